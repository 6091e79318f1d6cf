"""What is in embedding files, and what folders of them hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tireg.dialects import groups, read_group
from tireg.workflows.patterns import expanded


def inspect_files(
    paths: Sequence[str | Path],
    *,
    family: str | None = None,
    token: str | None = None,
    recursive: bool = False,
) -> list[dict[str, Any]]:
    """One plain object per file: what it holds, or why it is refused; in the order given.

    ``paths`` are files, folders (their subfolders too where ``recursive``) and patterns. Never
    raises for a file. Raises BaseError for a family that the catalogue does not have and
    InputError for a folder that cannot be listed.
    """
    return [
        reading.as_json()
        for group in groups(expanded(paths), recursive=recursive)
        for reading in read_group(group, family=family, token=token)
    ]
