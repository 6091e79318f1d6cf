"""The database again, from the files beside it: every row but history, with the same ids."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sqlite_utils import Database

from tireg.domain.model import Document, read_document
from tireg.domain.records import Record
from tireg.domain.scores import Run
from tireg.errors import CorruptError, TiregError
from tireg.store import database
from tireg.store.bases import insert_base, insert_verdict
from tireg.store.core import Store, journals, now, who
from tireg.store.faults import is_busy, translated
from tireg.store.files import remove, sync_paths
from tireg.store.insert import (
    Digests,
    insert_run,
    insert_version,
    refresh_embedding,
    refresh_headlines,
)
from tireg.store.migrations import check_version
from tireg.store.rows import BaseRow, Verdict
from tireg.store.state import BaseState, State, VerdictsState

T = TypeVar("T", bound=Document)

GROUP = 1000


@dataclass
class Rebuilt:
    """What a rebuild found. ``problems`` are files that could not be used, one sentence each.

    ``kept`` is the folder that holds the old database now (null: there was none).
    """

    embeddings: int = 0
    versions: int = 0
    runs: int = 0
    problems: list[str] = field(default_factory=list)
    kept: Path | None = None


def rebuild(home: Path) -> Rebuilt:
    """Make ``registry.db`` of ``home`` again and set the old one aside under ``backups/``.

    If the old database can still be read, other writers are kept out meanwhile, and what a
    killed writer left is put right first.
    """
    result = Rebuilt()
    with translated(home), _old_locked(home):
        # Of a damaged database. Listed now: one that appears later belongs to a writer who has
        # opened the new database already.
        stale = journals(home)
        database.make_folders(home)
        new = home / f".{database.FILE}-{os.getpid()}-rebuild"
        new.unlink(missing_ok=True)
        try:
            database.build(new, home)
            db = database.connect(new)
            try:
                fill(db, home, result)
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                db.close()
            result.kept = _set_aside(home)
            new.rename(home / database.FILE)
            for journal in stale:
                remove(journal)
            sync_paths([home / database.FILE, home])
        finally:
            for end in ("", "-wal", "-shm"):
                new.with_name(new.name + end).unlink(missing_ok=True)
    return result


def fill(db: Database, home: Path, result: Rebuilt) -> None:
    """Fill an empty database from the files of ``home``."""
    with db.atomic():
        for base in _documents(home, "bases", BaseState, result):
            _insert_base(db, base)
        for about in _documents(home, "verdicts", VerdictsState, result):
            _insert_verdicts(db, about)
    for group in _groups(_states(home, result)):
        with db.atomic():
            for state in group:
                _insert_state(db, home, state, result)
    with db.atomic():
        for run, sha in _runs(home, result):
            known = db.execute("SELECT 1 FROM versions WHERE record_sha = ?", [run.record])
            if known.fetchone() is None:
                result.problems.append(f"run {run.run_id[:12]} is about a record that is not here")
                continue
            insert_run(db, run, sha)
            result.runs += 1
        records = db.execute("SELECT DISTINCT record_sha FROM runs").fetchall()
        for (record_sha,) in records:
            refresh_headlines(db, record_sha)
        db.execute(
            "INSERT INTO events (at, who, verb, detail) VALUES (?, ?, 'rebuild', ?)",
            [now(), who(), f"{result.embeddings} embeddings, {result.versions} versions"],
        )


def _states(home: Path, result: Rebuilt) -> Iterator[State]:
    """State files in the order of their ids; records without any are adopted at the end."""
    listed: set[str] = set()
    names = []
    last = 0
    states = list(_documents(home, "state", State, result))
    for state in sorted(states, key=lambda s: s.id):
        listed |= {v.record for v in state.versions}
        names.append(state.name)
        last = max(last, state.id, *(v.id for v in state.versions))
        yield state
    if not states:
        yield from _adopt(home, last, result)


def _adopt(home: Path, last: int, result: Rebuilt) -> Iterator[State]:
    """States for records whose state files are all lost: versions in order of time."""
    groups: dict[str, list[tuple[Record, str]]] = {}
    for path in sorted((home / "records").glob("*.json")):
        sha = path.name.removesuffix(".json")
        try:
            record = _record(home, sha)
        except TiregError as error:
            result.problems.append(error.message)
            continue
        groups.setdefault(record.name, []).append((record, sha))
    if groups:
        result.problems.append("no state file was found: names, tags and trash are as at birth")
    row = last
    for number, (name, records) in enumerate(sorted(groups.items()), start=1):
        records.sort(key=lambda pair: (pair[0].created, pair[1]))
        first = records[0][0]
        versions = []
        for version, (record, sha) in enumerate(records, start=1):
            row += 1
            stamp = record.created
            versions.append({"id": row, "version": version, "record": sha, "added": stamp})
        yield State.model_validate(
            {
                "id": last + number,
                "name": name,
                "token": first.token,
                "kind": next((r.kind for r, _ in records if r.kind), None),
                "notes": first.notes,
                "created": first.created,
                "next_version": len(records) + 1,
                "tags": sorted({t for r, _ in records for t in r.tags}),
                "aliases": {},
                "versions": versions,
                "remotes": [],
            }
        )


def _insert_state(db: Database, home: Path, state: State, result: Rebuilt) -> None:
    db.execute(
        "INSERT INTO embeddings (id, name, token, kind, notes, created, next_version)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            state.id,
            state.name,
            state.token,
            state.kind,
            state.notes,
            state.created,
            state.next_version,
        ],
    )
    present = set()
    for v in state.versions:
        try:
            record = _record(home, v.record)
        except TiregError as error:
            result.problems.append(f"'{state.name}@{v.version}': {error.message}")
            continue
        insert_version(
            db,
            state.id,
            v.version,
            record,
            Digests.of(record, v.record),
            added=v.added,
            trashed=v.trashed,
            hashes=v.hashes,
            row_id=v.id,
        )
        present.add(v.version)
    if not present:
        db.execute("DELETE FROM embeddings WHERE id = ?", [state.id])
        return
    for tag in state.tags:
        db.execute("INSERT INTO tags VALUES (?, ?)", [tag, state.id])
    for alias, version in state.aliases.items():
        if version in present:
            db.execute("INSERT INTO aliases VALUES (?, ?, ?)", [state.id, alias, version])
    for r in state.remotes:
        db.execute(
            "INSERT INTO remotes VALUES (?, ?, ?, ?, ?)",
            [state.id, r.repo, r.revision, r.record_sha, r.synced],
        )
    refresh_embedding(db, state.id)
    result.embeddings += 1
    result.versions += len(present)


def _record(home: Path, sha: str) -> Record:
    path = home / "records" / f"{sha}.json"
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise CorruptError(f"the record {sha[:12]} is missing") from error
    if hashlib.sha256(raw).hexdigest() != sha:
        raise CorruptError(f"the record {sha[:12]} has changed")
    return read_document(Record, raw, name=f"the record {sha[:12]}")


def _runs(home: Path, result: Rebuilt) -> Iterator[tuple[Run, str]]:
    for path in sorted((home / "runs").glob("*.json")):
        try:
            raw = path.read_bytes()
            yield read_document(Run, raw, name=f"'{path.name}'"), hashlib.sha256(raw).hexdigest()
        except TiregError as error:
            result.problems.append(error.message)


def _documents(home: Path, folder: str, kind: type[T], result: Rebuilt) -> Iterator[T]:
    for path in sorted((home / folder).glob("*.json")):
        try:
            yield read_document(kind, path.read_bytes(), name=f"'{folder}/{path.name}'")
        except TiregError as error:
            result.problems.append(error.message)


def _insert_base(db: Database, base: BaseState) -> None:
    insert_base(
        db,
        BaseRow(
            id=base.id,
            family=base.family,
            revision=base.revision,
            fingerprint=base.fingerprint,
            license=base.license,
            path=base.path,
            added=base.added,
        ),
    )


def _insert_verdicts(db: Database, about: VerdictsState) -> None:
    for v in about.verdicts:
        insert_verdict(
            db,
            Verdict(
                about.target, v.fingerprint, v.encoder, v.verdict, v.cosine, v.reason, v.decided
            ),
        )


def _groups(states: Iterator[State]) -> Iterator[list[State]]:
    while group := list(islice(states, GROUP)):
        yield group


@contextmanager
def _old_locked(home: Path) -> Iterator[None]:
    """Hold the write lock of the old database, if it is one that can still be opened."""
    store = None
    if (home / database.FILE).exists():
        try:
            db = database.connect(home / database.FILE)
            try:
                check_version(db, home)
            except BaseException:
                db.close()
                raise
            store = Store(home, db, writable=True)
        except sqlite3.DatabaseError as error:
            if is_busy(error):
                raise
    if store is None:
        yield
        return
    try:
        try:
            store.db.begin()
            store.lock()
        except (sqlite3.DatabaseError, CorruptError) as error:
            # Damaged: then nobody can write, and there is nothing to put right first.
            if is_busy(error):
                raise
        yield
    finally:
        store.db.rollback()
        store.db.close()


def _set_aside(home: Path) -> Path | None:
    old = [home / (database.FILE + end) for end in ("", "-wal", "-shm")]
    if not any(path.exists() for path in old):
        return None
    stamp = now().translate(str.maketrans("", "", "-:."))
    folder = home / "backups" / f"before-rebuild-{stamp}"
    folder.mkdir(parents=True)
    for path in old:
        if path.exists():
            path.rename(folder / path.name)
    return folder
