"""Does every file still hold what its row says, and does every file have a row?"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlite_utils import Database

from tireg.errors import CorruptError
from tireg.store.adding import STAYING_ROLES
from tireg.store.core import Store
from tireg.store.files import TEMPORARY, entries
from tireg.store.state import document_bytes

Trouble = Literal["missing", "changed", "orphaned", "stale", "database", "leftover"]
# A temporary file this old belongs to a process that was killed.
LEFTOVER_SECONDS = 3600.0
DOCUMENTS = ("state", "bases", "verdicts")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    ``trouble``: ``missing`` (a row, no file), ``changed`` (a file with other bytes),
    ``orphaned`` (a file, no row), ``stale`` (a copy that lags behind the database, which
    ``doctor`` can put right), ``database`` (the database itself), ``leftover`` (a temporary
    file). ``about`` names the file or embedding, ``hint`` what to do.
    """

    trouble: Trouble
    about: str
    message: str
    hint: str

    @property
    def grave(self) -> bool:
        """Whether something is lost or wrong, and not just in the way."""
        return self.trouble in ("missing", "changed", "database")


@dataclass
class Report:
    """What was checked and what was found wrong; ``ok`` if nothing at all was."""

    embeddings: int = 0
    versions: int = 0
    runs: int = 0
    objects: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify(store: Store) -> Report:
    """Re-hash everything. A registry that is empty or not there yet is in order."""
    report = Report()
    store.recover()
    with store.reading() as db:
        problems = _database(db)
        if problems:
            # Rows of a damaged database say nothing about the files.
            report.problems = problems
            return report
        _count(db, report)
        suspects = [*_records(store, db), *_runs(store, db), *_objects(store, db, report)]
        suspects += _documents(store, db)
        suspects += _orphans(store, db)
    if suspects:
        report.problems = _still_there(store, suspects)
    report.problems += _indexes(store)
    report.problems += _leftovers(store.home)
    return report


def _still_there(store: Store, suspects: list[Problem]) -> list[Problem]:
    """Look again at what seemed wrong while nobody writes: it may have been under way."""
    if not store.writable:
        return suspects
    names = {p.about for p in suspects}
    with quiet(store) as db:
        again = [
            *_records(store, db, names),
            *_runs(store, db, names),
            *_objects(store, db, Report(), names),
            *_documents(store, db, names),
        ]
        if any(p.trouble == "orphaned" for p in suspects):
            again += [p for p in _orphans(store, db) if p.about in names]
    return again


@contextmanager
def quiet(store: Store) -> Iterator[Database]:
    """The database while no other process can write."""
    with store.writing() as change:
        yield change.db


def _database(db: Database) -> list[Problem]:
    try:
        lines = [str(row[0]) for row in db.execute("PRAGMA integrity_check(5)").fetchall()]
        broken = db.execute("PRAGMA foreign_key_check").fetchall()
    except sqlite3.DatabaseError as error:
        lines, broken = [str(error)], []
    hint = "tireg doctor --rebuild"
    problems = [
        Problem("database", "registry.db", f"the database is damaged: {line}", hint)
        for line in lines
        if line != "ok"
    ]
    for row in broken[:5]:
        message = f"a row of '{row[0]}' refers to nothing in '{row[2]}'"
        problems.append(Problem("database", "registry.db", message, hint))
    return problems


def _count(db: Database, report: Report) -> None:
    def one(sql: str) -> int:
        return int(db.execute(sql).fetchone()[0])

    report.embeddings = one("SELECT count(*) FROM embeddings")
    report.versions = one("SELECT count(*) FROM versions")
    report.runs = one("SELECT count(*) FROM runs")


def _records(store: Store, db: Database, only: set[str] | None = None) -> Iterator[Problem]:
    for sha, name, version in db.execute(
        "SELECT v.record_sha, e.name, v.version FROM versions v JOIN embeddings e"
        " ON e.id = v.embedding_id GROUP BY v.record_sha"
    ).fetchall():
        path = store.record_path(sha)
        yield from _hashed(store, path, sha, f"the record of '{name}@{version}'", only)


def _runs(store: Store, db: Database, only: set[str] | None = None) -> Iterator[Problem]:
    for run_id, sha in db.execute("SELECT run_id, sha256 FROM runs").fetchall():
        yield from _hashed(store, store.run_path(run_id), sha, f"the run {run_id[:12]}", only)


def _objects(
    store: Store, db: Database, report: Report, only: set[str] | None = None
) -> Iterator[Problem]:
    rows = db.execute(
        "SELECT f.sha256, min(f.name), e.name, v.version, max(f.bytes), max(f.role) FROM files f"
        " JOIN versions v ON v.id = f.version_id JOIN embeddings e ON e.id = v.embedding_id"
        " GROUP BY f.sha256 UNION ALL"
        " SELECT sha256, min(name), 'run ' || substr(run_id, 1, 12), NULL, max(bytes), ''"
        " FROM run_files GROUP BY sha256"
    ).fetchall()
    for sha, name, owner, version, size, role in rows:
        if role in STAYING_ROLES and not store.objects.path(sha).exists():
            continue
        owned = owner if version is None else f"{owner}@{version}"
        report.objects += 1
        report.bytes += size
        path = store.objects.path(sha)
        yield from _hashed(store, path, sha, f"'{name}' of '{owned}'", only)


def _hashed(
    store: Store, path: Path, sha: str, what: str, only: set[str] | None
) -> Iterator[Problem]:
    about = path.relative_to(store.home).as_posix()
    if only is not None and about not in only:
        return
    hint = "import or pull it again, or tireg rm it"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        yield Problem("missing", about, f"{what} is missing", hint)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        yield Problem("changed", about, f"{what} cannot be read: {reason}", hint)
    else:
        if found != sha:
            yield Problem("changed", about, f"{what} has changed", hint)


def _documents(store: Store, db: Database, only: set[str] | None = None) -> Iterator[Problem]:
    for about in document_names(db):
        if only is not None and about not in only:
            continue
        try:
            found: bytes | None = (store.home / about).read_bytes()
        except FileNotFoundError:
            found = None
        if found != document_bytes(db, about):
            word = "is missing" if found is None else "lags behind the database"
            yield Problem("stale", about, f"'{about}' {word}", "tireg doctor --repair")


def document_names(db: Database) -> Iterator[str]:
    """Every changeable file that the database asks for."""
    for (embedding_id,) in db.execute("SELECT id FROM embeddings ORDER BY id").fetchall():
        yield f"state/{embedding_id}.json"
    for (key,) in db.execute("SELECT key FROM bases ORDER BY key").fetchall():
        yield f"bases/{key}.json"
    for (target,) in db.execute("SELECT DISTINCT target FROM verdicts ORDER BY target").fetchall():
        yield f"verdicts/{target}.json"


def orphans(store: Store, db: Database) -> Iterator[Path]:
    """Every file of ours that no row speaks of."""
    wanted = {sha for (sha,) in db.execute("SELECT sha256 FROM files")}
    wanted |= {sha for (sha,) in db.execute("SELECT sha256 FROM run_files")}
    for sha, path in store.objects.all():
        if sha not in wanted:
            yield path
    names = {f"records/{sha}.json" for (sha,) in db.execute("SELECT record_sha FROM versions")}
    names |= {f"runs/{run_id}.json" for (run_id,) in db.execute("SELECT run_id FROM runs")}
    names |= set(document_names(db))
    for folder in ("records", "runs", *DOCUMENTS):
        for entry in entries(store.home / folder):
            if entry.name.endswith(".json") and f"{folder}/{entry.name}" not in names:
                yield Path(entry.path)


def _orphans(store: Store, db: Database) -> Iterator[Problem]:
    for path in orphans(store, db):
        about = path.relative_to(store.home).as_posix()
        yield Problem("orphaned", about, f"'{about}' belongs to nothing", "tireg gc removes it")


def _indexes(store: Store) -> list[Problem]:
    with store.reading() as db:
        unlike = db.execute(
            "SELECT (SELECT count(*) FROM embeddings WHERE updated IS NOT NULL),"
            " (SELECT count(*) FROM words)"
        ).fetchone()
    if unlike[0] == unlike[1]:
        return []
    message = f"{unlike[0]} embeddings can be searched for by words, but {unlike[1]} are indexed"
    return [Problem("stale", "words", message, "tireg doctor --repair")]


def _leftovers(home: Path) -> list[Problem]:
    return [
        Problem(
            "leftover",
            path.relative_to(home).as_posix(),
            f"'{path.name}' was left by a process that was killed",
            "tireg gc removes it",
        )
        for path in leftovers(home)
    ]


def leftovers(home: Path) -> Iterator[Path]:
    """Temporary files of processes that were killed, an hour old or more."""
    now = time.time()
    folders = [home, *(home / name for name in ("records", "runs", *DOCUMENTS, "features"))]
    folders += sorted(home.glob("objects/??"))
    for folder in folders:
        for entry in entries(folder):
            if entry.name.startswith((TEMPORARY, ".registry.db-")) and entry.is_file():
                try:
                    if now - entry.stat().st_mtime >= LEFTOVER_SECONDS:
                        yield Path(entry.path)
                except FileNotFoundError:
                    continue


def require_sound(store: Store) -> None:
    """CorruptError if the database itself is damaged."""
    with store.reading() as db:
        problems = _database(db)
    if problems:
        raise CorruptError(problems[0].message, hint=problems[0].hint)
