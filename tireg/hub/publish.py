"""Publish a version: one commit onto the head it was planned for, planned anew if it moved."""

from __future__ import annotations

import io
import random
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tireg.errors import HubError, InputError, TiregError
from tireg.hub.faults import translated
from tireg.hub.layout import CARD, INDEX, read_index
from tireg.hub.planning import Plan, plan
from tireg.hub.rendering import Offer
from tireg.hub.session import Hub, guarded
from tireg.hub.tree import Snapshot, check_repo, read, snapshot, tags

PATIENCE = 300.0  # seconds over which a publish that others get ahead of is tried again
MOVED = (409, 412)

Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Published:
    """What became of a publish: where it is, and whether a commit was made for it."""

    repo: str
    url: str
    commit: str
    tag: str
    committed: bool
    tagged: bool
    plan: Plan


class Moved(Exception):
    """The head is no longer the one the plan was made for."""


def find_snapshot(hub: Hub, repo: str) -> Snapshot | None:
    """The head of a repository, or None where there is none."""
    try:
        return snapshot(hub, repo)
    except InputError:
        return None


def preview_plan(hub: Hub, repo: str, offer: Offer) -> Plan:
    """What :func:`publish` would do now; nothing is changed."""
    return _plan(hub, check_repo(repo), offer)


def publish(
    hub: Hub, repo: str, offer: Offer, *, private: bool = False, say: Say | None = None
) -> Published:
    """Publish ``offer`` to ``repo``, making it if need be, then tag the commit.

    Nothing is committed when the repository has it all already. Raises HubError or InputError
    with the next command; then the repository is as it was, or has the whole version.
    """
    check_repo(repo)
    if hub.token is None:
        raise HubError("you are not logged in to the Hub", hint="hf auth login")
    told = say or (lambda task, done, total: None)
    deadline = time.monotonic() + PATIENCE
    made = False
    while True:
        told("planning", 0, 1)
        wish = _plan(hub, repo, offer)
        if wish.parent is None:
            if made:
                raise HubError(f"'{repo}' was made, but cannot be seen", hint="try again")
            _create(hub, repo, private)
            made = True
            continue
        if wish.empty:
            assert wish.parent is not None
            return _done(hub, repo, offer, wish, wish.parent, committed=False)
        told("uploading", 0, len(wish.writes))
        try:
            commit = _commit(hub, repo, offer, wish)
        except Moved:
            if time.monotonic() > deadline:
                raise HubError(
                    f"others keep changing '{repo}' faster than this can be published",
                    hint="try again when it is quieter",
                ) from None
            time.sleep(random.uniform(0.02, 0.4))
            continue
        told("uploading", len(wish.writes), len(wish.writes))
        return _done(hub, repo, offer, wish, commit, committed=True)


def _plan(hub: Hub, repo: str, offer: Offer) -> Plan:
    at = find_snapshot(hub, repo)
    taken = tags(hub, repo) if at is not None else {}
    return plan(repo, offer, at, lambda path: read(hub, at, path) if at else b"", taken)


def _create(hub: Hub, repo: str, private: bool) -> None:
    with guarded(hub.endpoint):
        try:
            hub.api.create_repo(repo, private=private, exist_ok=True)
        except Exception as error:
            raise _said(hub, repo, error) from error


def _commit(hub: Hub, repo: str, offer: Offer, wish: Plan) -> str:
    """One commit. Moved when the head is another one by now."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    # A buffer makes the client upload by LFS, which every server speaks; given bytes it would
    # insist on xet, and fail on servers without it.
    operations: list[Any] = [
        *(CommitOperationAdd(path, io.BytesIO(data)) for path, data in sorted(wish.writes.items())),
        *(CommitOperationDelete(path) for path in wish.deletes),
    ]
    # Equal bytes are uploaded once: the client would read one buffer from several threads.
    once = {op.upload_info.sha256: op for op in operations if hasattr(op, "upload_info")}
    with guarded(hub.endpoint), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            hub.api.preupload_lfs_files(repo, once.values(), free_memory=False)
            info = hub.api.create_commit(
                repo,
                operations,
                commit_message=f"{offer.name} {wish.tag}",
                commit_description=f"record {wish.record}",
                parent_commit=wish.parent,
                num_threads=1,
            )
        except Exception as error:
            if _status(error) in MOVED:
                raise Moved from error
            raise _said(hub, repo, error) from error
    return str(info.oid)


def _status(error: BaseException) -> int:
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _said(hub: Hub, repo: str, error: Exception) -> TiregError | Exception:
    return translated(error, repo, hub.endpoint, hub.token is not None) or error


def _done(
    hub: Hub, repo: str, offer: Offer, wish: Plan, commit: str, *, committed: bool
) -> Published:
    tagged = _tag(hub, repo, wish, commit, committed)
    url = f"{hub.endpoint}/{repo}" + (f"/tree/main/{offer.folder}" if offer.folder else "")
    return Published(repo, url, commit, wish.tag, committed, tagged, wish)


def _tag(hub: Hub, repo: str, wish: Plan, commit: str, committed: bool) -> bool:
    """Tag the commit; False when the tag is there already."""
    if not committed and wish.tag in tags(hub, repo):
        return False
    with guarded(hub.endpoint):
        try:
            hub.api.create_tag(repo, tag=wish.tag, revision=commit)
        except Exception as error:
            if _status(error) == 409:
                return False
            raise _said(hub, repo, error) from error
    return True


def withdraw(hub: Hub, repo: str, prefix: str, name: str) -> str | None:
    """Delete what tireg wrote of one embedding, as one commit; None if nothing was left of it.

    Files of others stay. The history keeps the versions, under their tags.
    """
    from huggingface_hub import CommitOperationDelete

    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        at = snapshot(hub, repo)
        remote = at.folder(prefix)
        if INDEX not in remote:
            return None
        index = read_index(read(hub, at, f"{prefix}{INDEX}"), about=f"'{repo}'")
        doomed = [path for path in (*index.files, INDEX, CARD) if path in remote]
        with guarded(hub.endpoint):
            try:
                info = hub.api.create_commit(
                    repo,
                    [CommitOperationDelete(f"{prefix}{path}") for path in doomed],
                    commit_message=f"{name} withdrawn",
                    parent_commit=at.commit,
                )
            except Exception as error:
                if _status(error) not in MOVED:
                    raise _said(hub, repo, error) from error
                time.sleep(random.uniform(0.02, 0.4))
                continue
        return str(info.oid)
    raise HubError(f"others keep changing '{repo}' faster than it can be changed")
