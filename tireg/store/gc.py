"""Emptying the trash for good, and taking away files that belong to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from tireg.store.core import Change, Store
from tireg.store.features import Features
from tireg.store.files import remove
from tireg.store.insert import refresh_embedding
from tireg.store.verifying import leftovers, orphans


@dataclass(frozen=True)
class Collected:
    """What was (or, in a dry run, would be) removed; ``bytes`` counts the files."""

    versions: tuple[str, ...]
    files: int
    bytes: int


def collect(store: Store, *, older_than: str | None = None, dry_run: bool = False) -> Collected:
    """Remove trashed versions and every file that no row speaks of. There is no undo.

    ``older_than`` (UTC, ISO 8601) keeps what was thrown away since. First the rows go and
    commit, then the files: a crash between leaves files too many, never too few.
    """
    if dry_run:
        return _would(store, older_than)
    with store.writing() as change:
        doomed = _doomed(change.db, older_than)
        for version_id, embedding_id, name, version, record_sha in doomed:
            _forget_version(change, version_id, record_sha)
            change.event("gc", embedding_id, name, version)
        for embedding_id in {row[1] for row in doomed}:
            _settle(change, embedding_id)
        _forget_concepts(change.db)
    # In a change of its own: the lock keeps others from naming these files meanwhile.
    with store.writing() as change:
        files, size = 0, 0
        for path in [*orphans(store, change.db), *leftovers(store.home)]:
            length = _size(path)
            if remove(path):
                files, size = files + 1, size + length
        Features(store).compact(_described(change.db))
    return Collected(tuple(f"{row[2]}@{row[3]}" for row in doomed), files, size)


def _doomed(db: Database, older_than: str | None) -> list[tuple[int, int, str, int, str]]:
    return db.execute(
        "SELECT v.id, v.embedding_id, e.name, v.version, v.record_sha FROM versions v"
        " JOIN embeddings e ON e.id = v.embedding_id WHERE v.trashed IS NOT NULL"
        " AND v.trashed < ? ORDER BY e.name, v.version",
        [older_than or "9999"],
    ).fetchall()


def _forget_version(change: Change, version_id: int, record_sha: str) -> None:
    db = change.db
    for table in ("tensors", "files", "families", "hashes"):
        db.execute(f"DELETE FROM {table} WHERE version_id = ?", [version_id])
    db.execute("DELETE FROM versions WHERE id = ?", [version_id])
    if db.execute("SELECT 1 FROM versions WHERE record_sha = ?", [record_sha]).fetchone():
        return
    db.execute("DELETE FROM headlines WHERE record_sha = ?", [record_sha])
    for table in ("scores", "run_files", "runs"):
        db.execute(
            f"DELETE FROM {table} WHERE run_id IN (SELECT run_id FROM runs WHERE record_sha = ?)",
            [record_sha],
        )


def _settle(change: Change, embedding_id: int) -> None:
    """Drop aliases that mean nothing now; drop the embedding if no version is left."""
    db = change.db
    db.execute(
        "DELETE FROM aliases WHERE embedding_id = :id AND version NOT IN"
        " (SELECT version FROM versions WHERE embedding_id = :id)",
        {"id": embedding_id},
    )
    refresh_embedding(db, embedding_id)
    if not db.execute("SELECT 1 FROM versions WHERE embedding_id = ?", [embedding_id]).fetchone():
        for table in ("aliases", "tags", "remotes"):
            db.execute(f"DELETE FROM {table} WHERE embedding_id = ?", [embedding_id])
        db.execute("DELETE FROM embeddings WHERE id = ?", [embedding_id])
    change.touch(embedding_id)


def _forget_concepts(db: Database) -> None:
    unused = "SELECT concept_sha FROM versions WHERE concept_sha IS NOT NULL"
    db.execute(f"DELETE FROM pictures WHERE concept_sha NOT IN ({unused})")
    db.execute(f"DELETE FROM concepts WHERE sha NOT IN ({unused})")


def _described(db: Database) -> set[str]:
    keys = {sha for (sha,) in db.execute("SELECT sha256 FROM files WHERE role = 'preview'")}
    return keys | {sha for (sha,) in db.execute("SELECT tensor_hash FROM versions")}


def _would(store: Store, older_than: str | None) -> Collected:
    with store.reading() as db:
        doomed = _doomed(db, older_than)
        gone = {row[0] for row in doomed}
        marks = ", ".join(str(version_id) for version_id in sorted(gone))
        shas = [
            sha
            for (sha,) in db.execute(
                f"SELECT DISTINCT sha256 FROM files WHERE version_id IN ({marks}) AND sha256"
                f" NOT IN (SELECT sha256 FROM files WHERE version_id NOT IN ({marks}))"
                " AND sha256 NOT IN (SELECT sha256 FROM run_files)"
            )
        ]
        paths = [store.objects.path(sha) for sha in shas]
        paths += [store.record_path(row[4]) for row in doomed]
        paths += [*orphans(store, db), *leftovers(store.home)]
    sizes = [_size(path) for path in paths]
    return Collected(tuple(f"{row[2]}@{row[3]}" for row in doomed), len(paths), sum(sizes))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
