"""The folder a gallery lies in: known by a marker, changed file by file, nothing else touched."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tireg.errors import ConfigError, TiregError

MARKER = "tireg-gallery.json"
FORMAT = 1
FOLDERS = ("assets", "data", "list", "pictures", "words")
# All that we ever write. In a folder with our marker, what is called so is ours, to replace and
# to remove; anything else is left alone.
OURS = re.compile(
    r"index\.html|assets/[a-z_]+-[0-9a-f]{12}\.(?:js|css|svg)|data/[a-z]+(?:-\d{1,6})?-[0-9a-f]{12}\.js"
    r"|list/\d{1,6}\.html|words/[0-9a-f]{20}\.html|pictures/[0-9a-f]{32}\.(?:webp|jpg)"
)
TEMPORARY = ".tmp-"


class GalleryFolder:
    """An opened gallery folder: put files in, then :meth:`close` it.

    ``sizes`` holds width and height in pixels of the pictures that are there, by file name.
    """

    def __init__(self, folder: Path, sizes: dict[str, list[int]]) -> None:
        self.folder = folder
        self.sizes = sizes
        self.kept: set[str] = set()
        self.written = 0
        self._marked = False

    @classmethod
    def open(cls, folder: Path) -> GalleryFolder:
        """The gallery in ``folder``, or a new one where it is empty or not there.

        Raises ConfigError for a folder with anything else in it, a gallery of a newer tireg, or
        a part of it that leads elsewhere.
        """
        with _told(folder):
            if folder.exists() and not folder.is_dir():
                raise ConfigError(f"'{folder}' is not a folder", hint="tireg gallery FOLDER")
            found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
            names = [name for name in found if not name.startswith(TEMPORARY)]
            for name in {MARKER, *FOLDERS} & set(names):
                if (folder / name).is_symlink():
                    raise ConfigError(
                        f"'{folder / name}' leads elsewhere, and a gallery is written in its "
                        "folder only",
                        hint=f"remove the link '{name}'",
                    )
            if names and MARKER not in names:
                raise ConfigError(
                    f"'{folder}' holds files that are not a gallery of tireg, such as '{names[0]}'",
                    hint="name a folder that is empty or does not exist yet",
                )
            return cls(folder, _read_marker(folder / MARKER) if names else {})

    def has(self, path: str) -> bool:
        """Whether this file of ours is there already; it is kept if so."""
        with _told(self.folder):
            if not _is_file(self.folder / path):
                return False
        self.kept.add(path)
        return True

    def put(self, path: str, data: bytes) -> None:
        """Write one file whole, or leave it as it is where it has these bytes already."""
        if OURS.fullmatch(path) is None:
            raise ValueError(f"'{path}' is no file of a gallery")
        target = self.folder / path
        self.kept.add(path)
        with _told(self.folder):
            if not self._marked:
                self._mark()
            if not _is_file(target) or target.read_bytes() != data:
                self._write(target, data)
                self.written += 1

    def checkpoint(self) -> None:
        """Remember the sizes so far: a build that is cut off goes on from here."""
        with _told(self.folder):
            self._mark()

    def close(self) -> int:
        """Write the marker, remove what earlier builds left; how many files went."""
        gone = 0
        self.sizes = {
            name: size for name, size in self.sizes.items() if f"pictures/{name}" in self.kept
        }
        with _told(self.folder):
            self._mark()
            for name in FOLDERS:
                for path in (self.folder / name).iterdir():
                    stale = path.name.startswith(TEMPORARY) or (
                        OURS.fullmatch(f"{name}/{path.name}")
                        and f"{name}/{path.name}" not in self.kept
                    )
                    if stale:
                        path.unlink(missing_ok=True)
                        gone += 1
        return gone

    def _mark(self) -> None:
        """The marker and the folders, before anything that would need them to be told as ours."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = {
            "format_version": FORMAT,
            "about": "a gallery written by tireg; tireg gallery builds it anew in place",
            "sizes": self.sizes,
        }
        text = json.dumps(data, indent=0, sort_keys=True) + "\n"
        self._write(self.folder / MARKER, text.encode("ascii"))
        for name in FOLDERS:
            (self.folder / name).mkdir(exist_ok=True)
        self._marked = True

    def _write(self, target: Path, data: bytes) -> None:
        part = target.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}")
        try:
            part.write_bytes(data)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def _is_file(path: Path) -> bool:
    """Whether a file is there; a link is none, wherever it leads."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        raise ConfigError(f"'{path}' is not a plain file", hint="remove it")
    return True


def _read_marker(marker: Path) -> dict[str, list[int]]:
    try:
        data = json.loads(marker.read_bytes())
        version = data["format_version"]
        sizes = {str(k): [int(v[0]), int(v[1])] for k, v in data["sizes"].items()}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"'{marker}' is not the marker of a gallery", hint="name another folder"
        ) from error
    if not isinstance(version, int) or version > FORMAT:
        raise ConfigError(
            f"'{marker.parent}' holds a gallery of a newer tireg (format {version!r}; this one "
            f"writes {FORMAT})",
            hint="pip install --upgrade tireg",
        )
    return sizes


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What the disk says, as one sentence about the folder."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TiregError(f"the disk of '{folder}' is full", hint="df -h") from error
        why = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"'{folder}' cannot be written: {why}", hint="name another folder"
        ) from error
