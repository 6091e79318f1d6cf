"""Paths as users type them: files, folders, and patterns where the shell expands none."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path


def expanded(paths: Iterable[str | Path]) -> list[Path]:
    """Each path itself, or the files its ``*``, ``?``, ``**`` or ``[…]`` match, in order of name.

    A pattern that matches nothing stays as it is, so that it is reported as missing.
    """
    found: list[Path] = []
    for path in paths:
        text = str(path)
        plain = Path(text).expanduser()
        if plain.exists() or not glob.has_magic(text):
            found.append(plain)
        else:
            matches = sorted(glob.glob(str(plain), recursive=True))  # noqa: PTH207  any path is a pattern
            found += [Path(match) for match in matches] or [plain]
    return list(dict.fromkeys(found))
