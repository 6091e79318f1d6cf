"""Keeping the registry tidy, and looking it over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.errors import RefError
from tireg.store.database import FILE
from tireg.store.registry import Registry

if TYPE_CHECKING:
    from tireg.store.verifying import Report


@contextmanager
def _found(home: Path, ref: str) -> Iterator[Registry]:
    """The registry of ``home`` once ``ref`` is known to be in it, in the trash or not.

    So that a home without a registry says that nothing is called so, not that it is read-only.
    """
    with Registry.open(home, create=False) as registry:
        registry.find(ref, trashed=True)
        yield registry


def remove(home: Path, refs: Sequence[str]) -> list[tuple[str, int]]:
    """Move versions to the trash; a bare name means all its versions.

    All ``refs`` are looked up before the first is removed. Records are not read, so that a word
    whose files are damaged can go, too. Raises RefError for one that names nothing.
    """
    with Registry.open(home, create=False) as registry:
        found = {ref.strip(): registry.find(ref) for ref in refs}
        whole = {version.name for ref, version in found.items() if ref == version.name}
        single = {version.ref for version in found.values() if version.name not in whole}
        gone = [v for ref in (*sorted(whole), *sorted(single)) for v in registry.remove(ref)]
    return [(version.name, version.version) for version in gone]


def restore(home: Path, refs: Sequence[str]) -> list[tuple[str, int]]:
    """Take versions out of the trash; a bare name means all that are there.

    All ``refs`` are looked up before the first comes back. Raises RefError for one that names
    nothing, or nothing in the trash.
    """
    with Registry.open(home, create=False) as registry:
        trash = registry.trash()
        back: dict[str, tuple[str, int]] = {}
        for ref in refs:
            version = registry.find(ref, trashed=True)
            wanted = [v for v in trash if v.embedding_id == version.embedding_id]
            if ref.strip() != version.name:
                wanted = [v for v in wanted if v.id == version.id]
            if not wanted:
                raise RefError(f"'{ref}' is not in the trash", hint="tireg list --trash")
            back |= {v.ref: (v.name, v.version) for v in wanted}
        for ref in back:
            registry.restore(ref)
    return sorted(back.values())


def tag(home: Path, ref: str, tags: Sequence[str], *, take_away: bool = False) -> tuple[str, ...]:
    """Add tags to an embedding, or take them away; all its tags afterwards."""
    with _found(home, ref) as registry:
        return registry.untag(ref, tags) if take_away else registry.tag(ref, tags)


def alias(home: Path, ref: str, name: str) -> str:
    """Let ``name@alias`` mean the version ``ref``; that version as ``name@3``."""
    with _found(home, ref) as registry:
        return registry.alias(ref, name).ref


def unalias(home: Path, ref: str, name: str) -> None:
    """Forget an alias. Raises RefError when the embedding has none of that name."""
    with _found(home, ref) as registry:
        registry.unalias(ref, name)


def note(home: Path, ref: str, text: str) -> None:
    """Replace the notes of an embedding; an empty text removes them."""
    with _found(home, ref) as registry:
        registry.note(ref, text.strip())


def rename(home: Path, ref: str, name: str) -> tuple[str, str]:
    """Give an embedding another name; its old and its new one, as they are kept."""
    with _found(home, ref) as registry:
        old = registry.find(ref, trashed=True)
        registry.rename(ref, name)
        return old.name, registry.find(name, trashed=True).name


def collect(home: Path, *, days: float | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Empty the trash for good; ``days`` spares what was thrown away since. What went.

    Nothing is created in a home that has no registry yet.
    """
    before = None
    if days is not None:
        before = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with Registry.open(home, create=False) as registry:
        only_look = dry_run or not (home / FILE).exists()
        collected = registry.gc(older_than=before, dry_run=only_look)
    return {**asdict(collected), "dry_run": dry_run}


def dedupe(home: Path, *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Put all but the oldest of versions with equal tensors in the trash; what went.

    Versions with an alias or scores of their own stay.
    """
    with Registry.open(home, create=False) as registry:
        oldest = {group[0].tensor_hash: group[0].ref for group in registry.duplicates()}
        gone = registry.dedupe(dry_run=dry_run) if oldest else []
    return [
        {
            "name": version.name,
            "version": version.version,
            "same_as": oldest.get(version.tensor_hash),
            "tensor_hash": version.tensor_hash,
        }
        for version in gone
    ]


def verify(home: Path) -> dict[str, Any]:
    """Re-hash everything; counts and problems. A home without a registry is in order."""
    from tireg.store.doctor import examine

    return _report(examine(home))


def doctor(home: Path, *, repair: bool = False, rebuild: bool = False) -> dict[str, Any]:
    """As :func:`verify`, after putting right what can be.

    ``repair`` makes copies and indexes again from the database; ``rebuild`` makes the database
    again from the files beside it. ``done`` says what was put right, one sentence each,
    ``lost`` what a rebuild could not use.
    """
    from tireg.store import doctor as store_doctor

    done: list[str] = []
    lost: list[str] = []
    if rebuild and any((home / part).exists() for part in (FILE, "records", "state")):
        done, lost = _rebuild(home)
    if repair and (home / FILE).exists():
        repaired = store_doctor.repair(home)
        done += repaired.done
        return {**_report(repaired.report), "done": done, "lost": lost}
    return {**_report(store_doctor.examine(home)), "done": done, "lost": lost}


def _rebuild(home: Path) -> tuple[list[str], list[str]]:
    from tireg.store.rebuilding import rebuild

    made = rebuild(home)
    counts = f"{made.embeddings} embeddings, {made.versions} versions and {made.runs} runs"
    done = [f"made the database again from its files: {counts}"]
    if made.kept:
        done.append(f"kept the old database in '{made.kept}'")
    return done, made.problems


def _report(report: Report) -> dict[str, Any]:
    return {**asdict(report), "ok": report.ok}


def stats(home: Path, *, top: int = 10) -> dict[str, Any]:
    """Counts over the whole registry; at most ``top`` entries per table, most first.

    Tables are lists of ``{"name", "embeddings"}``, a null name where it is not known.
    """
    with Registry.open(home, create=False) as registry:
        counts = asdict(registry.stats(top=top))
    for name, table in counts.items():
        if isinstance(table, dict):
            counts[name] = [{"name": key, "embeddings": n} for key, n in table.items()]
    return counts


def history(home: Path, ref: str | None = None, *, limit: int = 100) -> list[dict[str, Any]]:
    """Who changed what, newest first; of one embedding, or of all."""
    with Registry.open(home, create=False) as registry:
        return [asdict(event) for event in registry.history(ref, limit=limit)]


def diff(home: Path, left: str, right: str) -> list[dict[str, Any]]:
    """The fields in which two versions differ; null where one has none."""
    with Registry.open(home, create=False) as registry:
        return [asdict(difference) for difference in registry.diff(left, right)]


def lookup(home: Path, text: str) -> list[dict[str, Any]]:
    """Every version a hash of any form belongs to, and which form it is.

    Raises InputError for what is no hash, RefError for one that is not known here.
    """
    with Registry.open(home, create=False) as registry:
        matches = registry.lookup(text)
    if not matches:
        raise RefError(
            f"no version here has the hash '{text}'", hint="tireg inspect FILE, or tireg list --all"
        )
    return [
        {
            "name": match.found.name,
            "version": match.found.version,
            "form": match.form,
            "trashed": match.found.trashed,
            "record_sha256": match.found.record_sha,
            "tensor_hash": match.found.tensor_hash,
        }
        for match in matches
    ]
