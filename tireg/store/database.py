"""Opening the database file: created whole, never half; read without leaving a trace.

WAL lets readers go on while one process writes. ``synchronous = FULL`` makes a commit wait
for the disk, so that what a command reported is there after a power cut; the default of WAL
(``NORMAL``) could lose the last rows. The busy timeout is long because a bulk import may hold
the lock for a second per group while eight others wait.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from tireg.errors import CorruptError, StoreError
from tireg.store.files import entries, sync_paths
from tireg.store.migrations import STEPS, check_version, migrate, version_of

BUSY_SECONDS = 120.0
FILE = "registry.db"
REBUILDING = re.compile(r"\.registry\.db-[0-9]+-rebuild")
# Times 50 ms: setting a rebuilt database in place is two renames.
REBUILD_WAITS = 40


def open_writable(home: Path) -> Database:
    """The database of ``home``, created or migrated where needed."""
    path = home / FILE
    if not path.exists() and not appeared(home):
        create(home)
    db = connect(path)
    try:
        if check_version(db, home) < len(STEPS):
            migrate(db, home)
    except BaseException:
        db.close()
        raise
    return db


def open_readable(home: Path) -> tuple[Database, bool]:
    """The database for reading, and whether it can also be written.

    Nothing is created: a home that is not there gives an empty database in memory. A folder
    that cannot be written is read as it is.
    """
    path = home / FILE
    if not path.exists() and not appeared(home):
        return blank(), False
    try:
        db = connect(path)
        try:
            if check_version(db, home) < len(STEPS):
                migrate(db, home)
        except BaseException:
            db.close()
            raise
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if not name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
            raise
        return _read_closed_folder(path, home), False
    return db, True


def connect(path: Path, *, options: str = "mode=rw") -> Database:
    """A connection with our settings; it opens what is there and never creates."""
    uri = f"file:{quote(str(path))}?{options}"
    raw = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)
    try:
        db = Database(raw, execute_plugins=False)
        # A database from elsewhere may carry views and triggers that call functions.
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cell_size_check = ON")
        # The indexes over hashes are written at random places: with the default 2 MB a registry of
        # 100,000 is read again and again while it grows. Memory is taken only as it is used.
        db.execute("PRAGMA cache_size = -65536")
        # For the same reason a group of a few hundred changes thousands of pages, mostly those
        # of the group before: copying them from the log to the database less often (at 128 MB
        # instead of 4) writes each of them fewer times: at 100,000 embeddings, half as much
        # reaches the disk as at 32 MB. The log goes when the last process closes.
        db.execute("PRAGMA wal_autocheckpoint = 32000")
    except BaseException:
        raw.close()
        raise
    return db


def create(home: Path) -> None:
    """A new database, made under another name and linked into place.

    So no other process ever sees one without its tables, and of several that create at the
    same time one wins.
    """
    make_folders(home)
    new = home / f".{FILE}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        build(new, home)
        try:
            os.link(new, home / FILE)
        except FileExistsError:
            pass
        except OSError:
            # A file system without hard links: a rename, which could replace.
            if not (home / FILE).exists():
                new.rename(home / FILE)
    finally:
        new.unlink(missing_ok=True)
    sync_paths([home / "objects", home])


def make_folders(home: Path) -> None:
    """All folders at once, so that no add has to wait for a new name to become durable."""
    home.mkdir(parents=True, exist_ok=True)
    for name in ("records", "state", "runs", "objects", *(f"objects/{n:02x}" for n in range(256))):
        (home / name).mkdir(exist_ok=True)


def build(path: Path, home: Path) -> None:
    """An empty database of the newest schema at ``path``, in WAL mode, on the disk."""
    path.touch()
    db = connect(path)
    try:
        db.execute("PRAGMA page_size = 4096")
        migrate(db, home)
        db.execute("PRAGMA journal_mode = WAL")
    finally:
        db.close()


def blank() -> Database:
    """The schema in memory, with nothing in it."""
    db = Database(memory=True, execute_plugins=False)
    migrate(db, Path())
    return db


def appeared(home: Path) -> bool:
    """Whether another process has made the database since the caller found none.

    CorruptError if records lie here without a database: an empty one would hide them. For a
    moment of a rebuild that is so, and is waited for.
    """
    if not _has_records(home):
        return (home / FILE).exists()
    for _ in range(REBUILD_WAITS):
        # In this order: what is set in place between the two looks is found by the second.
        under_way = any(REBUILDING.fullmatch(entry.name) for entry in entries(home))
        if (home / FILE).exists():
            return True
        if not under_way:
            break
        time.sleep(0.05)
    raise CorruptError(
        f"the database of '{home}' is missing, but records are there",
        hint="tireg doctor --rebuild",
    )


def _has_records(home: Path) -> bool:
    return any(
        entry.name.endswith(".json")
        for name in ("records", "state")
        for entry in entries(home / name)
    )


def _read_closed_folder(path: Path, home: Path) -> Database:
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        # Ignoring the log would show an old state as if it were the present one.
        raise StoreError(
            f"'{home}' cannot be written to and its last changes are still in '{wal.name}'",
            hint="make the folder writable once, or copy it elsewhere",
        )
    db = connect(path, options="mode=ro&immutable=1")
    if check_version(db, home) < len(STEPS):
        number = version_of(db)
        db.close()
        raise StoreError(
            f"the registry at '{home}' has the older schema {number} and cannot be written to",
            hint="make the folder writable once, or copy it elsewhere",
        )
    return db
