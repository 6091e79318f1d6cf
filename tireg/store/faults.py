"""Every failure of the database or the disk, said in one sentence with the way out."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tireg.errors import ConfigError, CorruptError, StoreError, TiregError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
REBUILD = "tireg doctor --rebuild"


@contextmanager
def translated(home: Path) -> Iterator[None]:
    """Turn sqlite3 and OS errors raised inside into the tree of :mod:`tireg.errors`."""
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, home) from error
    except OSError as error:
        raise from_os(error, home) from error


def is_busy(error: BaseException) -> bool:
    """Whether another process holds the lock."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def from_os(error: OSError, home: Path) -> TiregError:
    """One OSError as a sentence about the file it concerns."""
    about = f"'{error.filename}'" if error.filename else f"the registry at '{home}'"
    if error.errno in FULL:
        return _full(home)
    if error.errno in CLOSED:
        return _closed(home, about)
    if error.errno == errno.EIO:
        return CorruptError(f"the disk cannot read or write {about}", hint="tireg verify")
    if error.errno == errno.ENOENT:
        return CorruptError(f"{about} is missing", hint="tireg verify")
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG):
        reason = (error.strerror or "").lower()
        return ConfigError(f"{about}: {reason}", hint="set TIREG_HOME to another folder")
    return StoreError(f"{about}: {(error.strerror or str(error)).lower()}", hint="tireg doctor")


def from_sqlite(error: sqlite3.Error, home: Path) -> TiregError:
    """One sqlite3 error as a sentence about the registry."""
    name = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if is_busy(error):
        return StoreError(
            f"the registry at '{home}' is busy: another process has been writing to it too long",
            hint="wait for that process to end, then run this again",
        )
    if name.startswith("SQLITE_READONLY"):
        return _closed(home, f"the registry at '{home}'")
    if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR_WRITE"):
        return _full(home)
    if name.startswith("SQLITE_CANTOPEN"):
        return ConfigError(
            f"the registry at '{home}' cannot be opened",
            hint="check the folder's permissions, or set TIREG_HOME to another folder",
        )
    if name.startswith("SQLITE_NOTADB"):
        return CorruptError(f"'{home / 'registry.db'}' is not a database", hint=REBUILD)
    if name.startswith("SQLITE_CORRUPT") or "malformed" in text:
        return CorruptError(f"the database at '{home}' is damaged: {text}", hint=REBUILD)
    if name.startswith("SQLITE_IOERR"):
        return StoreError(f"the disk failed under the registry at '{home}'", hint="tireg doctor")
    if "no such" in text:
        return CorruptError(f"the database at '{home}' lacks a part: {text}", hint=REBUILD)
    return StoreError(f"the registry at '{home}' failed: {text}", hint="tireg doctor")


def _full(home: Path) -> StoreError:
    return StoreError(
        f"the disk of '{home}' is full; nothing was changed",
        hint="free some space (tireg gc helps), then run this again",
    )


def _closed(home: Path, about: str) -> ConfigError:
    return ConfigError(
        f"{about} cannot be written to",
        hint=f"make '{home}' writable, or set TIREG_HOME to another folder",
    )
