"""One open registry: its folder, its database, and the one way to change them together.

A change is: files staged (written under temporary names, outside the lock), then one
``db.atomic()`` in which rows change, everything staged is forced to the disk and renamed into
place, the state files of the embeddings concerned among them, and the transaction commits.
Before the first rename a journal (``journal-*.json``) names everything that is about to appear.
A process that is killed between there and the commit leaves its journal behind, and the next
writer puts the files back to what the database says. So the outcome is always nothing or
everything. A journal is removed after the commit, when another writer may hold the lock and
have written its own: so each has a name of its own.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

from tireg.errors import StoreError, TiregError
from tireg.store.database import FILE
from tireg.store.faults import translated
from tireg.store.files import Stage, entries, remove, sync_paths
from tireg.store.objects import Objects

JOURNAL = re.compile(r"journal(-[0-9a-f]{16})?\.json")
# What a journal may speak of; anything else in one is not ours and is left alone.
DOCUMENT = re.compile(r"state/[0-9]+\.json|(bases|verdicts)/[0-9a-f]{64}\.json")
FILE_NAME = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f]{62}|(records|runs)/[0-9a-f]{64}\.json")


class Store:
    """The folder, the database and the objects of an open registry."""

    def __init__(self, home: Path, db: Database, *, writable: bool) -> None:
        self.home = home
        self.db = db
        self.writable = writable
        self.objects = Objects(home)
        self._inode = self._stat()

    def record_path(self, sha: str) -> Path:
        """The immutable record file."""
        return self.home / "records" / f"{sha}.json"

    def run_path(self, run_id: str) -> Path:
        """The immutable evaluation run file."""
        return self.home / "runs" / f"{run_id}.json"

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """The database, with failures as sentences."""
        with translated(self.home):
            yield self.db

    @contextmanager
    def writing(self, stage: Stage | None = None) -> Iterator[Change]:
        """One change: see the module. ``stage`` brings files that were written before.

        Whatever is raised inside undoes everything, files included.
        """
        self.require_writable()
        stage = stage or Stage()
        try:
            with translated(self.home):
                try:
                    with self.db.atomic():
                        self.lock()
                        change = Change(self, stage)
                        yield change
                        change.publish()
                except BaseException:
                    self._undo()
                    raise
                remove(change.journal)
        finally:
            stage.discard()

    def require_writable(self) -> None:
        """StoreError if this registry was opened for looking and cannot be written."""
        if not self.writable:
            raise StoreError(
                f"the registry at '{self.home}' is open for reading only",
                hint="check that the folder is there and writable",
            )

    def recover(self) -> bool:
        """Put right what a killed process left behind; whether there was anything."""
        if not self.writable or not journals(self.home):
            return False
        with translated(self.home), self.db.atomic():
            self.lock()
        return True

    def lock(self) -> None:
        """Take the write lock in the open transaction, and put right what a crash left."""
        # The first statement is a write, so the transaction has the write lock before it
        # reads anything; two writers can then never see the same "next version".
        self.db.execute("UPDATE counters SET value = value + 1 WHERE name = 'writes'")
        if self._stat() != self._inode:
            raise StoreError(
                f"the database at '{self.home}' was replaced while it was open",
                hint="run this again",
            )
        roll_back(self)

    def _undo(self) -> None:
        # The failure being reported matters more than one met while tidying up after it;
        # the journal stays, so the next writer tries again.
        try:
            self.recover()
        except (TiregError, OSError):
            return

    def _stat(self) -> tuple[int, int] | None:
        try:
            found = (self.home / FILE).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


class Change:
    """What one write collects before it is published and committed."""

    def __init__(self, store: Store, stage: Stage) -> None:
        self.store = store
        self.db = store.db
        self.stage = stage
        self.journal = store.home / f"journal-{secrets.token_hex(8)}.json"
        self.at = now()
        self.dropped: list[Path] = []
        self._touched: dict[str, None] = {}
        self._events: list[tuple[object, ...]] = []

    def next_version_id(self) -> int:
        """A row id for ``versions`` that was never used; the caller inserts it at once."""
        row = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'versions'").fetchone()
        return int(row[0]) + 1 if row else 1

    def touch(self, embedding_id: int) -> None:
        """The state file of this embedding will be written anew."""
        self.touch_document(f"state/{embedding_id}.json")

    def touch_document(self, name: str) -> None:
        """A changeable file, by its path in the home, will be written anew or removed."""
        self._touched[name] = None

    def event(
        self,
        verb: str,
        embedding_id: int | None = None,
        name: str | None = None,
        version: int | None = None,
        detail: str | None = None,
    ) -> None:
        """One line of history."""
        self._events.append((self.at, who(), verb, embedding_id, name, version, detail))

    def publish(self) -> None:
        """Write the journal, place every file; the caller commits."""
        from tireg.store.state import document_bytes

        self.db.conn.executemany(
            "INSERT INTO events (at, who, verb, embedding_id, name, version, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            self._events,
        )
        home = self.store.home
        gone = []
        for name in self._touched:
            data = document_bytes(self.db, name)
            if data is None:
                gone.append(home / name)
            elif not _holds(home / name, data):
                self.stage.add(home / name, data)
        if not self.stage.waiting and not gone and not self.dropped:
            return
        new = [t for _, t in self.stage.waiting if not t.exists()]
        journal = {
            "format_version": 1,
            "documents": list(self._touched),
            "files": [t.relative_to(home).as_posix() for t in new],
        }
        self.journal.write_text(json.dumps(journal))
        self.stage.sync(self.journal, home)
        self.stage.place()
        removed = [path for path in (*gone, *self.dropped) if remove(path)]
        sync_paths(sorted({path.parent for path in removed}))


def journals(home: Path) -> list[Path]:
    """The journals of changes under way or cut off."""
    return sorted(home / entry.name for entry in entries(home) if JOURNAL.fullmatch(entry.name))


def roll_back(store: Store) -> None:
    """Undo the files of changes that were never committed; the caller holds the write lock.

    A change that had been committed after all is found to be in order.
    """
    for journal in journals(store.home):
        _roll_back(store, journal)


def _roll_back(store: Store, journal: Path) -> None:
    from tireg.store.state import document_bytes

    try:
        entry = json.loads(journal.read_text())
        documents = [n for n in entry["documents"] if DOCUMENT.fullmatch(n)]
        files = [n for n in entry["files"] if DOCUMENT.fullmatch(n) or FILE_NAME.fullmatch(n)]
    except FileNotFoundError:
        return
    except (ValueError, LookupError, TypeError):
        # Cut off while being written: then nothing had been renamed yet.
        documents, files = [], []
    stage = Stage()
    for name in documents:
        path = store.home / name
        data = document_bytes(store.db, name)
        if data is None:
            remove(path)
        elif not _holds(path, data):
            stage.add(path, data)
    stage.sync()
    stage.place()
    for name in files:
        if not is_referenced(store, name):
            remove(store.home / name)
    remove(journal)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False


def is_referenced(store: Store, name: str) -> bool:
    """Whether a row speaks of the file ``name`` (relative to the home)."""
    parts = name.split("/")
    stem = parts[-1].removesuffix(".json")
    if parts[0] == "objects":
        sha = "".join(parts[1:])
        sql = (
            "SELECT EXISTS (SELECT 1 FROM files WHERE sha256 = :key)"
            " OR EXISTS (SELECT 1 FROM run_files WHERE sha256 = :key)"
        )
        return bool(store.db.execute(sql, {"key": sha}).fetchone()[0])
    table = {
        "records": "versions WHERE record_sha",
        "runs": "runs WHERE run_id",
    }.get(parts[0])
    if table is None:
        return True
    found = store.db.execute(f"SELECT EXISTS (SELECT 1 FROM {table} = ?)", [stem]).fetchone()
    return bool(found[0])


def now() -> str:
    """UTC in ISO 8601 with microseconds, so that text order is time order."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_who: list[str] = []


def who() -> str:
    """The user's login name, for the history."""
    if not _who:
        import getpass

        try:
            _who.append(getpass.getuser())
        except (OSError, KeyError, ImportError):
            _who.append("unknown")
    return _who[0]
