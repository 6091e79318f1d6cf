"""Opening files without trusting them: regular files only, read once, bounded."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

from tireg.dialects import limits
from tireg.errors import FileRefusedError

CHUNK = 1024 * 1024


class Source:
    """Random access to the bytes of one file, opened once.

    What is hashed is what is parsed: small files are kept in memory, large ones are read
    through the one handle. Use as a context manager.
    """

    def __init__(self, handle: BinaryIO, size: int) -> None:
        self.handle = handle
        self.size = size

    @classmethod
    def of(cls, data: bytes) -> Source:
        """A source over bytes in memory."""
        return cls(io.BytesIO(data), len(data))

    def read(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset``. Raises FileRefusedError where they end."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FileRefusedError("it is cut short: data is missing at its end")
        self.handle.seek(offset)
        data = self.handle.read(size)
        if len(data) != size:
            raise FileRefusedError("it changed while it was read")
        return data

    def sha256(self) -> str:
        """Hex SHA-256 of the whole file."""
        digest = hashlib.sha256()
        self.handle.seek(0)
        while chunk := self.handle.read(CHUNK):
            digest.update(chunk)
        return digest.hexdigest()

    def close(self) -> None:
        """Give the file handle back."""
        self.handle.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(path: Path, *, follow_links: bool = True) -> Source:
    """Open a regular file. Raises FileRefusedError for anything else and for unreadable files.

    A symbolic link given by name is followed, as the Hub's cache consists of them; folder scans
    set ``follow_links`` to false. Opening never blocks on a FIFO.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        # A device or FIFO is told by its mode first: even opening one may do something.
        mode = path.stat(follow_symlinks=follow_links).st_mode
        if stat.S_ISLNK(mode):
            raise FileRefusedError(
                "it is a symbolic link; links are not followed when a folder is read"
            )
        refuse_special(mode)
        if not follow_links:
            flags |= getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise FileRefusedError("there is no such file") from error
    except PermissionError as error:
        raise FileRefusedError("it may not be read by this user") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileRefusedError(f"it cannot be opened: {reason}") from error
    handle = os.fdopen(descriptor, "rb")
    try:
        status = os.fstat(descriptor)
        refuse_special(status.st_mode)
        if status.st_size > limits.WHOLE_FILE:
            return Source(handle, status.st_size)
        data = handle.read(limits.WHOLE_FILE + 1)
        if len(data) > limits.WHOLE_FILE:
            raise FileRefusedError("it grew while it was read")
    except OSError as error:
        handle.close()
        raise FileRefusedError(f"it cannot be read: {error.strerror}") from error
    except FileRefusedError:
        handle.close()
        raise
    handle.close()
    return Source.of(data)


def refuse_special(mode: int) -> None:
    """Raise FileRefusedError unless ``mode`` is that of a regular file."""
    kinds = (
        (stat.S_ISDIR, "it is a folder, not a file"),
        (stat.S_ISFIFO, "it is a named pipe, not a file"),
        (stat.S_ISCHR, "it is a device, not a file"),
        (stat.S_ISBLK, "it is a device, not a file"),
        (stat.S_ISSOCK, "it is a socket, not a file"),
    )
    for test, sentence in kinds:
        if test(mode):
            raise FileRefusedError(sentence)
    if not stat.S_ISREG(mode):
        raise FileRefusedError("it is not a regular file")
