"""Files by the sha256 of their bytes: ``objects/ab/cdef…``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from tireg.errors import CorruptError, StoreError
from tireg.store.faults import translated
from tireg.store.files import TEMPORARY, Stage, entries, write_whole

SHA = re.compile(r"[0-9a-f]{64}")


class Objects:
    """The object folder of one registry. Objects are immutable; equal bytes are kept once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "objects"

    def path(self, sha: str) -> Path:
        """Where the object lies or would lie."""
        if not SHA.fullmatch(sha):
            raise StoreError(f"'{sha}' is not the sha256 of an object")
        return self.folder / sha[:2] / sha[2:]

    def has(self, sha: str) -> bool:
        """Whether the file is there; its bytes are not checked."""
        return self.path(sha).is_file()

    def put(self, data: bytes) -> str:
        """Keep ``data`` durably; its hex sha256. An object that nothing refers to goes at gc."""
        sha = hashlib.sha256(data).hexdigest()
        with translated(self.home):
            if not self.holds(sha, data):
                write_whole(self.path(sha), data)
        return sha

    def put_file(self, source: Path) -> str:
        """Keep a copy of the file ``source``; its hex sha256."""
        with translated(self.home):
            data = source.read_bytes()
        return self.put(data)

    def read(self, sha: str) -> bytes:
        """The bytes, proven to be the right ones.

        Raises CorruptError when the object is missing or its bytes have changed.
        """
        path = self.path(sha)
        try:
            with translated(self.home):
                data = path.read_bytes()
        except CorruptError as error:
            raise CorruptError(
                f"the object {sha[:12]} is missing from '{self.folder}'", hint="tireg verify"
            ) from error
        if hashlib.sha256(data).hexdigest() != sha:
            raise CorruptError(
                f"the object {sha[:12]} at '{path}' has changed", hint="tireg verify"
            )
        return data

    def holds(self, sha: str, data: bytes) -> bool:
        """Whether the object is there with exactly these bytes."""
        try:
            return self.path(sha).read_bytes() == data
        except FileNotFoundError:
            return False

    def stage(self, stage: Stage, sha: str, data: bytes) -> None:
        """Stage ``data`` unless the object is there and whole; a damaged one is replaced."""
        if hashlib.sha256(data).hexdigest() != sha:
            raise CorruptError(f"the bytes given for the object {sha[:12]} have another sha256")
        if not self.holds(sha, data):
            stage.add(self.path(sha), data)

    def all(self) -> Iterator[tuple[str, Path]]:
        """Every (sha, path) in the folder, in no order; foreign names are passed over."""
        for shard in entries(self.folder):
            if len(shard.name) == 2:
                for entry in entries(Path(shard.path)):
                    if SHA.fullmatch(shard.name + entry.name):
                        yield shard.name + entry.name, Path(entry.path)

    def temporaries(self) -> Iterator[Path]:
        """Leftovers of killed processes and files being written now."""
        for shard in entries(self.folder):
            for entry in entries(Path(shard.path)):
                if entry.name.startswith(TEMPORARY):
                    yield Path(entry.path)
