"""Results of units, kept by the key of the unit: a second start finds what is done."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tireg.errors import ConfigError
from tireg.fanout.units import Made

RECORD = "result.json"


class Results:
    """A folder of results; several processes may write to it at once.

    ``<folder>/<2 digits>/<key>/`` holds the result's files by their sha256 and, written last,
    ``result.json``: ``{"format_version": 1, "record": …, "files": [sha256, …]}``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the result of ``key`` is or would be."""
        return self.folder / key[:2] / key

    def get(self, key: str) -> Made | None:
        """The result, every file proven by its hash; None where it is missing or damaged."""
        place = self.path(key)
        try:
            told = json.loads((place / RECORD).read_bytes())
            if told["format_version"] != 1:
                return None
            files = {sha: (place / sha).read_bytes() for sha in told["files"]}
            record = told["record"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        whole = all(hashlib.sha256(data).hexdigest() == sha for sha, data in files.items())
        return Made(record, files) if whole else None

    def put(self, key: str, made: Made) -> None:
        """Keep a result whole or not at all. ConfigError where it cannot be written."""
        place = self.path(key)
        try:
            place.mkdir(parents=True, exist_ok=True)
            for sha, data in made.files.items():
                _write(place / sha, data)
            told = {"format_version": 1, "record": made.record, "files": sorted(made.files)}
            _write(place / RECORD, json.dumps(told, allow_nan=False).encode())
        except OSError as error:
            raise ConfigError(
                f"results cannot be kept in '{self.folder}': {error.strerror}",
                hint="free some space, or set TIREG_HOME to another folder",
            ) from error

    def settle(self, key: str, record: Any) -> None:
        """Replace a result by what is left to know of it, and let its files go.

        For results that are kept elsewhere from now on.
        """
        self.put(key, Made(record))
        for path in self.path(key).iterdir():
            if path.name != RECORD:
                path.unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        """Throw a result away."""
        shutil.rmtree(self.path(key), ignore_errors=True)


def _write(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
