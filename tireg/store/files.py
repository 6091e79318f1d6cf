"""Files that appear whole or not at all: temporary name, sync, rename, sync of the folder."""

from __future__ import annotations

import ctypes
import os
import secrets
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

TEMPORARY = ".tmp-"
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
# Above this many files, one sync of the whole file system is cheaper than one per file.
MANY = 8


class Stage:
    """Files written under temporary names beside where they will be, placed together.

    ``add`` any number, ``sync`` once, ``place`` once. Until ``place`` nothing is visible; a
    killed process leaves only names that start with ``.tmp-``.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Path, Path]] = []
        self.placed: list[Path] = []

    def add(self, target: Path, data: bytes) -> None:
        """Write ``data`` beside ``target`` under a temporary name."""
        folder = target.parent
        temporary = folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
        self.waiting.append((temporary, target))
        try:
            handle = os.open(temporary, NEW, 0o666)
        except FileNotFoundError:
            make_folder(folder)
            handle = os.open(temporary, NEW, 0o666)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
        finally:
            os.close(handle)

    def sync(self, *others: Path) -> None:
        """Make every byte written so far survive a power cut, ``others`` along with them."""
        sync_paths([*(temporary for temporary, _ in self.waiting), *others])

    def place(self) -> None:
        """Rename every file to its target, then make the names themselves durable."""
        while self.waiting:
            temporary, target = self.waiting[-1]
            temporary.replace(target)
            self.waiting.pop()
            self.placed.append(target)
        sync_paths(sorted({target.parent for target in self.placed}))

    def keep_only(self, targets: Iterable[Path]) -> None:
        """Give up every waiting file whose target is not among ``targets``."""
        kept = set(targets)
        for temporary, target in self.waiting:
            if target not in kept:
                remove(temporary)
        self.waiting = [pair for pair in self.waiting if pair[1] in kept]

    def discard(self) -> None:
        """Remove what was staged and never placed."""
        for temporary, _ in self.waiting:
            remove(temporary)
        self.waiting.clear()


def write_whole(target: Path, data: bytes) -> None:
    """Write one file durably and atomically."""
    stage = Stage()
    try:
        stage.add(target, data)
        stage.sync()
        stage.place()
    finally:
        stage.discard()


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents, each new name durable."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    sync_paths([folder.parent])


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in ``folder``, in no order; nothing if it is not there."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove(path: Path) -> bool:
    """Unlink ``path``; False if it was not there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def sync_paths(paths: Iterable[Path]) -> None:
    """Force files or folders to the disk.

    A few are forced at the same time, so that one journal commit of the file system serves
    them all (measured: four at once take 1.5 times as long as one, in turn four times). Many
    go by one sync of their file system on Linux, where ``syncfs`` waits for the data and
    reports write errors since 5.8.
    """
    several = list(paths)
    if len(several) > MANY and sys.platform == "linux" and _sync_file_system(several[0]):
        return
    # The calling thread takes one itself; the others are waited for whatever becomes of it.
    calls: list[Callable[[], None]] = [partial(_sync, path) for path in several[:1]]
    calls += [_helpers().submit(_sync, path).result for path in several[1:]]
    failures: list[OSError] = []
    for call in calls:
        try:
            call()
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]


_pools: dict[int, ThreadPoolExecutor] = {}


def _helpers() -> ThreadPoolExecutor:
    """The threads that wait for the disk: kept, because starting one takes as long as a sync.

    A forked process has a pool of its own, as threads do not come along.
    """
    from concurrent.futures import ThreadPoolExecutor

    pid = os.getpid()
    if pid not in _pools:
        _pools[pid] = ThreadPoolExecutor(MANY, thread_name_prefix="tireg-sync")
    return _pools[pid]


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:
        # Windows opens no folders; there a rename is durable without it.
        if os.name == "nt" and path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file_system(path: Path) -> bool:
    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        if call(handle) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(handle)
    return True
