"""What one publish would change: worked out against a commit, so that it can be shown first."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tireg.domain.model import read_document
from tireg.domain.scores import Run
from tireg.errors import HubError, InputError, TiregError
from tireg.hub import card
from tireg.hub.cardtext import merge
from tireg.hub.layout import (
    CARD,
    EVAL_RESULTS,
    INDEX,
    RECORD,
    Index,
    VersionRow,
    WrittenFile,
    check_tag,
    check_text,
    prefixes,
    read_index,
    version_folder,
)
from tireg.hub.rendering import (
    Offer,
    leaderboard_files,
    previews,
    score_name,
    tool_files,
    version_files,
)
from tireg.hub.tree import RemoteFile, Snapshot, git_blob

Reader = Callable[[str], bytes]


@dataclass(frozen=True)
class Plan:
    """The whole change of one publish. Empty ``writes`` and ``deletes``: nothing to do.

    ``parent`` is the commit it was worked out for (None: the repository does not exist).
    ``kept`` names what people edited by hand and is left alone. ``lists`` are all files of the
    embedding afterwards, with their sizes.
    """

    repo: str
    parent: str | None
    writes: Mapping[str, bytes]
    deletes: tuple[str, ...]
    kept: tuple[str, ...]
    tag: str
    record: str
    lists: Mapping[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether the repository has it all already."""
        return not self.writes and not self.deletes

    def as_json(self) -> dict[str, object]:
        """The plan as ``publish --dry-run --json`` prints it."""
        return {
            "repo": self.repo,
            "parent": self.parent,
            "tag": self.tag,
            "record": self.record,
            "write": [{"path": p, "bytes": len(d)} for p, d in sorted(self.writes.items())],
            "delete": list(self.deletes),
            "kept": list(self.kept),
            "files": sorted(self.lists),
        }


def plan(
    repo: str, offer: Offer, at: Snapshot | None, read: Reader, taken: Mapping[str, str]
) -> Plan:
    """Work out a publish of ``offer`` onto ``at``.

    ``read`` gives the bytes of a file at that commit, ``taken`` are the tags there are. Raises
    HubError where a file of another stands in the way, InputError where the place holds
    another embedding.
    """
    prefix = offer.prefix
    remote = at.folder(prefix) if at else {}
    old = _old_index(repo, prefix, remote, read)
    if old is not None and (old.token != offer.record.token):
        raise InputError(
            f"'{repo}' already holds the embedding '{old.token}'"
            + (f" in '{offer.folder}'" if offer.folder else ""),
            hint="publish to another repository, or give --folder NAME",
        )
    sha = offer.record.sha256
    known = old.row(sha) if old else None
    wanted = version_files(offer)
    shows = known is None or (old is not None and old.current == sha)
    if shows:
        wanted |= tool_files(offer)
        wanted |= {path: data for path, (data, _) in previews(offer).items()}
        wanted |= leaderboard_files(offer)
        wanted[RECORD] = offer.record.canonical()
    tag = _known_tag(repo, offer, known) if known else _tag(offer, old, taken)
    row = known or VersionRow(
        record=sha,
        tensor_hash=offer.record.tensor_hash,
        tag=tag,
        created=offer.record.created,
        base=offer.record.base.id if offer.record.base else None,
    )
    rows = (*(old.versions if old else ()), *(() if known else (row,)))
    written = dict(old.files) if old else {}
    doomed = _outdated(remote, written, wanted) if shows else []
    if known is not None:
        # Which benchmark a suite is was said when it was published; its scores still hold.
        doomed = [path for path in doomed if not path.startswith(f"{EVAL_RESULTS}/")]
    _check_ours(repo, prefix, remote, written, wanted)
    files = {path: entry for path, entry in written.items() if path in remote}
    files = {path: entry for path, entry in files.items() if path not in doomed}
    files |= {path: _hashes(data) for path, data in wanted.items()}
    index = Index(
        name=old.name if old else offer.name,
        token=offer.record.token,
        current=sha if shows or old is None else old.current,
        versions=rows,
        files=dict(sorted(files.items())),
    )
    wanted[INDEX] = index.to_bytes()
    kept: list[str] = []
    sizes = {path: remote[path].size for path in files if path in remote}
    sizes |= {path: len(data) for path, data in wanted.items()}
    if shows:
        shown = _shown(repo, offer, remote, read, rows, {**sizes, CARD: 0})
        before = _text(read, f"{prefix}{CARD}") if CARD in remote else None
        merged = merge(before, card.metadata(shown), card.sections(shown), _title(offer))
        kept += merged.kept
        wanted[CARD] = merged.content.encode()
    writes = {f"{prefix}{path}": data for path, data in wanted.items()}
    if prefix:
        writes |= _top_card(repo, offer, at, read, kept)
    everything = at.files if at else {}
    return Plan(
        repo=repo,
        parent=at.commit if at else None,
        writes={
            p: d for p, d in writes.items() if p not in everything or not everything[p].holds(d)
        },
        deletes=tuple(f"{prefix}{path}" for path in doomed),
        kept=tuple(kept),
        tag=tag,
        record=sha,
        lists={f"{prefix}{path}": size for path, size in {**sizes, CARD: 0}.items()},
    )


def _old_index(
    repo: str, prefix: str, remote: Mapping[str, RemoteFile], read: Reader
) -> Index | None:
    if INDEX not in remote:
        return None
    return read_index(read(f"{prefix}{INDEX}"), about=f"'{repo}'")


def _title(offer: Offer) -> str:
    from tireg.hub.cardtext import text

    return text(offer.name, 100)


def _text(read: Reader, path: str) -> str:
    return read(path).decode("utf-8", "replace")


def _known_tag(repo: str, offer: Offer, row: VersionRow) -> str:
    """The tag of a version that is there already, which it keeps."""
    if offer.tag not in (None, row.tag):
        raise InputError(
            f"this version of '{offer.name}' is in '{repo}' already, with the tag '{row.tag}'",
            hint="leave --tag out",
        )
    return row.tag


def _tag(offer: Offer, old: Index | None, taken: Mapping[str, str]) -> str:
    used = {*taken, *(row.tag for row in (old.versions if old else ()))}
    if offer.tag is not None:
        if offer.tag in used:
            raise InputError(f"there is a tag '{offer.tag}' already", hint="give another --tag")
        return check_tag(offer.tag)
    head = re.sub(r"\.{2,}", ".", f"{offer.folder}-v") if offer.folder else "v"
    number = len(old.versions) + 1 if old else 1
    while f"{head}{number}" in used:
        number += 1
    return f"{head}{number}"


def _hashes(data: bytes) -> WrittenFile:
    return WrittenFile(sha256=hashlib.sha256(data).hexdigest(), git=git_blob(data))


def _is_ours(file: RemoteFile, written: Mapping[str, WrittenFile]) -> bool:
    entry = written.get(file.path)
    if entry is None:
        return False
    return file.sha256 == entry.sha256 if file.sha256 else file.git == entry.git


def _relative(path: str, file: RemoteFile) -> RemoteFile:
    return RemoteFile(path, file.size, file.git, file.sha256)


def _check_ours(
    repo: str,
    prefix: str,
    remote: Mapping[str, RemoteFile],
    written: Mapping[str, WrittenFile],
    wanted: Mapping[str, bytes],
) -> None:
    for path, data in wanted.items():
        file = remote.get(path)
        if file is None or file.holds(data) or _is_ours(_relative(path, file), written):
            continue
        raise HubError(
            f"'{repo}' has a file '{prefix}{path}' that tireg did not write as it is now",
            hint="rename it there, or publish to another repository or --folder",
        )


def _outdated(
    remote: Mapping[str, RemoteFile],
    written: Mapping[str, WrittenFile],
    wanted: Mapping[str, bytes],
) -> list[str]:
    """Files of the version shown before that the new one has no use for, if still ours."""
    return sorted(
        path
        for path, file in remote.items()
        if path not in wanted
        and not path.startswith("versions/")
        and path not in (INDEX, CARD)
        and _is_ours(_relative(path, file), written)
    )


def _shown(
    repo: str,
    offer: Offer,
    remote: Mapping[str, RemoteFile],
    read: Reader,
    rows: tuple[VersionRow, ...],
    sizes: Mapping[str, int],
) -> card.Shown:
    pictures = [
        (path, prompt) for path, (_, prompt) in previews(offer).items() if "preview" in path
    ]
    return card.Shown(
        repo=repo,
        folder=offer.folder,
        name=offer.name,
        record=offer.record,
        runs=_all_runs(offer, remote, read),
        license=offer.license,
        files=sizes,
        previews=pictures,
        versions=rows,
    )


def _all_runs(offer: Offer, remote: Mapping[str, RemoteFile], read: Reader) -> list[Run]:
    """Our runs, and those others have added to this version."""
    found = {run.run_id: run for run in offer.runs}
    ours = {score_name(run) for run in offer.runs}
    top = f"{version_folder(offer.record.sha256)}/"
    for path in remote:
        name = path.removeprefix(top)
        if path.startswith(f"{top}scores/") and name not in ours:
            try:
                raw = check_text(read(f"{offer.prefix}{path}"), about=f"'{path}'")
                run = read_document(Run, raw, name=f"'{path}'")
            except TiregError:
                continue
            if run.record == offer.record.sha256:
                found[run.run_id] = run
    return [found[key] for key in sorted(found)]


def _top_card(
    repo: str, offer: Offer, at: Snapshot | None, read: Reader, kept: list[str]
) -> dict[str, bytes]:
    """The README on top of a repository of several: what is in which folder."""
    folders = {offer.folder: offer.record.token}
    for prefix in prefixes(at.files) if at else ():
        if prefix and prefix != offer.prefix:
            try:
                token = read_index(read(f"{prefix}{INDEX}"), about=f"'{repo}'").token
            except TiregError:
                continue
            folders[prefix.rstrip("/")] = token
    before = _text(read, CARD) if at and CARD in at.files else None
    metadata = {"tags": ["textual_inversion", "tireg"], "library_name": "diffusers"}
    merged = merge(before, metadata, card.listing(repo, folders), repo)
    kept += merged.kept
    return {CARD: merged.content.encode()}
