"""Pictures made elsewhere, with a manifest that says what each of them was asked to be.

A manifest is a CSV file with a header, or JSON lines. Each picture has

    file        its path below the folder
    condition   token, class or empty; base: drawn where nothing was loaded
    prompt      the id of a prompt of the suite
    seed        what it was drawn from; pictures of equal prompt and seed are compared in pairs
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.domain.model import canonical_json
from tireg.domain.suites import BASE, CONDITIONS, Suite
from tireg.errors import InputError
from tireg.workflows.drawing import Shot

if TYPE_CHECKING:
    import numpy as np

COLUMNS = ("file", "condition", "prompt", "seed")
KNOWN = (*CONDITIONS, BASE)
MOST_BYTES = 64 << 20
HINT = "each line gives file, condition, prompt and seed: tireg eval --help"


@dataclass(frozen=True)
class Given:
    """Pictures by condition and (row of the prompt, column of the seed)."""

    seeds: tuple[int, ...]
    pictures: dict[str, dict[tuple[int, int], Shot]]
    sha256: str
    """Over every picture's place and bytes: the same whatever the files are called."""
    size: tuple[int, int]
    """Width and height of the first picture."""
    unlisted: int
    """Pictures in the folder that the manifest does not name."""


@dataclass(frozen=True)
class _Line:
    where: str
    file: str
    condition: str
    prompt: str
    seed: int


def read_given(folder: Path, manifest: Path, suite: Suite) -> Given:
    """Read a manifest and check every picture it names.

    Raises InputError, naming the line, for a file that is not there or no picture, a prompt that
    the suite does not have, or two pictures in one place.
    """
    rows = {prompt.id: n for n, prompt in enumerate(suite.prompts)}
    lines = sorted(_lines(manifest), key=lambda x: (x.condition, rows.get(x.prompt, -1), x.seed))
    if not lines:
        raise InputError(f"{manifest} names no picture", hint=HINT)
    seeds = tuple(sorted({line.seed for line in lines}))
    pictures: dict[str, dict[tuple[int, int], Shot]] = {}
    told, listed, size = [], set(), (0, 0)
    for line in lines:
        if line.prompt not in rows:
            raise InputError(
                f"{line.where}: the suite '{suite.name}' has no prompt '{line.prompt}'",
                hint=f"tireg suites show {suite.name}",
            )
        at = (rows[line.prompt], seeds.index(line.seed))
        group = pictures.setdefault(line.condition, {})
        if at in group:
            raise InputError(
                f"{line.where}: there are two pictures of {line.prompt}, seed {line.seed}, "
                f"as {line.condition}",
                hint=HINT,
            )
        path = _inside(folder, line)
        data = _bytes(path, line.where)
        width, height = _open(data, line.where).shape[1::-1]
        size = size if any(size) else (width, height)
        group[at] = Shot(str(path), lambda p=path, w=line.where: _open(_bytes(p, w), w))  # type: ignore[misc]
        digest = hashlib.sha256(data).hexdigest()
        told.append([line.condition, line.prompt, line.seed, digest])
        listed.add(path)
    there = {
        p.resolve() for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".webp")
    }
    sha = hashlib.sha256(canonical_json(told)).hexdigest()
    return Given(seeds, pictures, sha, size, len(there - listed))


def _lines(manifest: Path) -> Iterator[_Line]:
    try:
        if manifest.stat().st_size > MOST_BYTES:
            raise InputError(f"{manifest} is larger than 64 MiB, too large for a manifest")
        text = manifest.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{manifest} is not a text file in UTF-8", hint=HINT) from error
    except OSError as error:
        raise InputError(f"{manifest} cannot be read: {error.strerror}", hint=HINT) from error
    for number, row in _rows(text, manifest):
        where = f"{manifest.name} line {number}"
        if missing := [c for c in COLUMNS if row.get(c) in (None, "")]:
            raise InputError(f"{where} has no '{missing[0]}'", hint=HINT)
        condition = str(row["condition"]).strip()
        if condition not in KNOWN:
            raise InputError(
                f"{where}: '{condition}' is no condition; there are {', '.join(KNOWN)}", hint=HINT
            )
        try:
            seed = int(str(row["seed"]))
        except ValueError as error:
            raise InputError(f"{where}: '{row['seed']}' is no seed", hint=HINT) from error
        yield _Line(where, str(row["file"]).strip(), condition, str(row["prompt"]).strip(), seed)


def _rows(text: str, manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not text.lstrip().startswith("{"):
        reader = csv.DictReader(io.StringIO(text))
        for row in reader:
            yield reader.line_num, {str(k).strip(): v for k, v in row.items()}
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{manifest.name} line {number} is not valid JSON", hint=HINT
            ) from error
        if not isinstance(data, dict):
            raise InputError(f"{manifest.name} line {number} is not a JSON object", hint=HINT)
        yield number, data


def _inside(folder: Path, line: _Line) -> Path:
    root = folder.resolve()
    path = (root / line.file).resolve()
    if not path.is_relative_to(root):
        raise InputError(f"{line.where}: '{line.file}' lies outside {folder}", hint=HINT)
    return path


def _bytes(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{where}: '{path}' cannot be read: {error.strerror}",
            hint="paths in a manifest count from --images",
        ) from error


def _open(data: bytes, where: str) -> np.ndarray:
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: this file is no picture", hint=HINT) from error
