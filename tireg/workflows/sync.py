"""Keep the registry and a place on the Hub in step, in both directions, losing nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tireg.errors import ConfigError, InputError, TiregError
from tireg.store.files import write_whole
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.progress import Event, Listener, silent
from tireg.workflows.publish import PublishRequest, make_offer, send
from tireg.workflows.pull import Fetched, check_package, keep

if TYPE_CHECKING:
    from tireg.hub.listing import Word
    from tireg.hub.session import Hub

FILE_NAME = "remotes.json"
OWN = ("trained", "made", "imported")
State = Literal[
    "same", "ahead", "behind", "diverged", "new here", "new there", "deleted here",
    "deleted there", "conflict", "unreadable",
]  # fmt: skip


@dataclass
class Step:
    """How one embedding stands, and what is to be done. ``push`` are refs, ``pull`` records."""

    name: str
    place: str
    state: State
    push: list[str] = field(default_factory=list)
    pull: list[str] = field(default_factory=list)
    note: str = ""
    done: bool = False
    failed: str = ""
    word: Word | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name, "place": self.place, "state": self.state, "push": self.push,
            "pull": self.pull, "note": self.note, "done": self.done, "failed": self.failed,
        }  # fmt: skip


def read_remotes(home: Path) -> dict[str, str]:
    """Remotes by name: a repository (``owner/name``) or an organisation."""
    path = home / FILE_NAME
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' cannot be read", hint=f"rm '{path}'") from error
    if not isinstance(data, dict) or data.get("format_version") != 1:
        raise ConfigError(f"'{path}' was written by a newer tireg", hint="pip install -U tireg")
    return {str(k): str(v) for k, v in dict(data.get("remotes", {})).items()}


def add_remote(home: Path, name: str, target: str) -> None:
    """Remember ``target`` under ``name``. InputError when it is no repository or organisation."""
    from tireg.hub.tree import check_repo

    if "/" in target:
        check_repo(target)
    elif re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}", target) is None:
        raise InputError(
            f"'{target}' is neither a repository nor an organisation",
            hint="tireg remote add club my-org, or: tireg remote add words me/words",
        )
    if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,49}", name) is None:
        raise InputError(f"'{name}' cannot be the name of a remote", hint="use letters and digits")
    _write(home, {**read_remotes(home), name: target})


def remove_remote(home: Path, name: str) -> None:
    """Forget a remote; nothing on the Hub changes."""
    remotes = read_remotes(home)
    _find(remotes, name)
    _write(home, {k: v for k, v in remotes.items() if k != name})


def _write(home: Path, remotes: dict[str, str]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    data = {"format_version": 1, "remotes": dict(sorted(remotes.items()))}
    write_whole(home / FILE_NAME, (json.dumps(data, indent=1) + "\n").encode())


def _find(remotes: dict[str, str], name: str | None) -> str:
    if name is None and len(remotes) == 1:
        return next(iter(remotes.values()))
    if name not in remotes:
        if not remotes:
            raise InputError("there is no remote yet", hint="tireg remote add NAME REPO-or-ORG")
        known = ", ".join(remotes)
        what = f"there is no remote '{name}'" if name else "say which remote is meant"
        raise InputError(f"{what}; known: {known}", hint="tireg remote add NAME REPO-or-ORG")
    return remotes[name]


def sync(
    name: str | None,
    *,
    home: Path,
    push: bool = True,
    pull: bool = True,
    delete: bool = False,
    dry_run: bool = False,
    license: str | None = None,
    listen: Listener = silent,
) -> list[Step]:
    """Bring a remote and the registry in step; how each embedding stood, and what was done.

    Diverged versions are kept on both sides, each with its own number or tag. What was deleted
    on one side is deleted on the other only with ``delete``; otherwise it is left as it is and
    said so. One embedding that fails does not stop the others.
    """
    from tireg.hub.session import connect

    target = _find(read_remotes(home), name)
    hub = connect()
    listen(Event("comparing", 0, 1, target))
    with Registry.open(home) as registry:
        steps = compare(hub, registry, target)
        listen(Event("comparing", 1, 1, target))
        if dry_run:
            return steps
        for number, step in enumerate(steps):
            listen(Event("syncing", number, len(steps), step.name))
            try:
                _carry_out(hub, registry, step, push, pull, delete, license, listen)
            except TiregError as error:
                step.failed = str(error)
        listen(Event("syncing", len(steps), len(steps)))
    return steps


def compare(hub: Hub, registry: Registry, target: str) -> list[Step]:
    """How every embedding here and there stands."""
    from tireg.hub.layout import folder_for
    from tireg.hub.listing import remote_words
    from tireg.hub.private import known_as

    words, unreadable = remote_words(hub, target)
    local = _local(registry)
    by_record = {
        sha: name
        for name, versions in local.items()
        for version in versions
        for sha in known_as(version.record)
    }
    placed = {remote.repo: name for name in local for remote in registry.remotes(name)}
    steps = [Step(u.repo, u.repo, "unreadable", failed=u.error.message) for u in unreadable]
    matched: set[str] = set()
    for word in words:
        owner = placed.get(word.place) or next(
            (by_record[r.record] for r in word.index.versions if r.record in by_record), None
        )
        same_name = owner or (word.index.name if word.index.name in local else None)
        if same_name is not None and local[same_name][0].record.token == word.index.token:
            matched.add(same_name)
            steps.append(_pair(registry, same_name, local[same_name], word))
        elif same_name is not None:
            matched.add(same_name)
            note = f"here '{same_name}' is {local[same_name][0].record.token}"
            steps.append(Step(same_name, word.place, "conflict", note=note, word=word))
        else:
            records = [row.record for row in word.index.versions]
            steps.append(Step(word.index.name, word.place, "new there", pull=records, word=word))
    gone = {place: name for place, name in placed.items() if _under(place, target)}
    for name, versions in local.items():
        alive = [v for v in versions if v.trashed is None]
        if name in matched or not alive:
            continue
        places = [place for place, owner in gone.items() if owner == name]
        if places:
            steps.append(Step(name, places[0], "deleted there"))
        elif alive[-1].record.source.how in OWN:
            folder = folder_for(name)
            place = f"{target}/{folder}"
            taken = any(word.place == place for word in words)
            state: State = "conflict" if taken else "new here"
            steps.append(Step(name, place, state, push=[v.ref for v in alive if not taken]))
    return sorted(steps, key=lambda step: (step.state == "same", step.name, step.place))


def _local(registry: Registry) -> dict[str, list[Version]]:
    """Every embedding with its versions, those in the trash too."""
    names = {row.name for row in registry.list(limit=None)}
    names |= {found.name for found in registry.trash()}
    return {name: registry.versions(name, trashed=True) for name in sorted(names)}


def _under(place: str, target: str) -> bool:
    return place == target or place.startswith(f"{target}/")


def _pair(registry: Registry, name: str, versions: list[Version], word: Word) -> Step:
    """One embedding that is here and there."""
    from tireg.hub.private import known_as

    there = {row.record for row in word.index.versions}
    alive = [v for v in versions if v.trashed is None]
    if not alive:
        return Step(name, word.place, "deleted here", word=word)
    known = {sha for v in versions for sha in known_as(v.record)}
    push: list[str] = []
    pull = [row.record for row in word.index.versions if row.record not in known]
    for version in alive:
        forms = [sha for sha in known_as(version.record) if sha in there]
        ours = {run.run_id[:16] for run in registry.runs(version.record_sha)}
        theirs = {sha: word.scores(sha) for sha in forms}
        if not forms or ours.difference(*theirs.values()):
            push.append(version.ref)
        pull += [sha for sha in forms if theirs[sha] - ours]
    state: State = "same"
    if push and pull:
        state = "diverged"
    elif push or pull:
        state = "ahead" if push else "behind"
    note = "both sides have versions of their own; both are kept" if state == "diverged" else ""
    return Step(name, word.place, state, push=push, pull=pull, note=note, word=word)


def _carry_out(
    hub: Hub,
    registry: Registry,
    step: Step,
    push: bool,
    pull: bool,
    delete: bool,
    license: str | None,
    listen: Listener,
) -> None:
    from tireg.hub.publish import withdraw
    from tireg.hub.pulling import fetch_version

    word = step.word
    if step.state == "deleted here" and delete and push and word is not None:
        withdraw(hub, word.repo, word.prefix, step.name)
        step.done = True
    elif step.state == "deleted there" and delete and pull:
        registry.remove(step.name)
        step.done = True
    if pull and word is not None:
        name = None if step.state == "new there" else step.name
        for sha in step.pull:
            row = word.index.row(sha)
            if row is None:
                continue
            package = check_package(fetch_version(hub, word.at, word.prefix, row))
            one = Fetched(word.place, word.at.commit, package.record, package, package.notices)
            pulled = keep(registry, one, name or word.index.name, listen, suffix=name is None)
            name = pulled.version.name
            step.done = True
    if push:
        repo, folder = _place(step, word)
        for ref in dict.fromkeys(step.push):
            terms = license or (card_license(word) if word is not None else None)
            pictures = word is not None and _with_pictures(word, registry.resolve(ref))
            request = PublishRequest(
                ref, repo, folder=folder, license=terms, with_pictures=pictures
            )
            version, offer = make_offer(registry, request)
            if word is not None:
                offer = replace(offer, name=word.index.name)
            send(hub, registry, version, offer, request, listen)
            step.done = True


def _with_pictures(word: Word, version: Version) -> bool:
    """Whether this version was published with its pictures and captions; then it stays so."""
    from tireg.hub.layout import version_folder
    from tireg.hub.private import known_as

    sha = version.record_sha
    if word.index.row(sha) is None:
        return False
    files = word.at.folder(f"{word.prefix}{version_folder(sha)}/files/")
    return len(known_as(version.record)) > 1 or any("-picture" in path for path in files)


def card_license(word: Word) -> str | None:
    """The licence a repository of one word was published under, as its card states it."""
    card = word.at.info.get("cardData")
    if not isinstance(card, dict) or word.folder:
        return None
    named = card.get("license_name") if card.get("license") == "other" else card.get("license")
    return named if isinstance(named, str) and 0 < len(named) <= 200 else None


def _place(step: Step, word: Word | None) -> tuple[str, str]:
    if word is not None:
        return word.repo, word.folder
    owner, name, *folder = step.place.split("/")
    return f"{owner}/{name}", folder[0] if folder else ""
