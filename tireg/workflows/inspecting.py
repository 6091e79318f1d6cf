"""What is in embedding files, and what folders of them hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tireg.dialects import read_path


def inspect_files(
    paths: Sequence[Path], *, family: str | None = None, token: str | None = None
) -> list[dict[str, Any]]:
    """One plain object per file: what it holds, or why it is refused; in the order given.

    Never raises for a file. Raises BaseError for a family that the catalogue does not have.
    """
    found = []
    for path in paths:
        found += [reading.as_json() for reading in read_path(path, family=family, token=token)]
    return found
