"""Folders of embedding files: what belongs together, and what is left alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tireg.dialects import limits
from tireg.dialects.content import FileReading, ReadEmbedding
from tireg.dialects.drafts import candidate_ids
from tireg.dialects.reading import Options, read_with
from tireg.domain.catalogue import row_called
from tireg.errors import FileRefusedError, InputError

SUFFIXES = frozenset({".pt", ".pth", ".bin", ".pti", ".safetensors", ".sft", ".ckpt", ".png"})
HALF = re.compile(r"(?P<head>.+)_(?P<number>[2-4])(?P<tail>-steps?-\d+)?")
NO_CARD = "it is a PNG picture with no embedding in it"


@dataclass(frozen=True)
class Group:
    """Files that are read as one: a lone file, or the files of one multi-encoder embedding.

    ``listed`` files were found in a folder: links among them are not followed, and pictures
    without an embedding are nothing to speak of.
    """

    files: tuple[Path, ...]
    listed: bool = False


def read_path(
    path: Path | str,
    *,
    family: str | None = None,
    token: str | None = None,
    recursive: bool = False,
) -> list[FileReading]:
    """Read a file, or every embedding file of a folder, in the order of their names.

    A folder in the concepts library's layout gives one reading, with its token and kind; the
    files ``NAME`` and ``NAME_2`` of a diffusers SDXL pair give one reading together. Pictures
    without an embedding are left out. Links are not followed in folders.
    """
    return [
        reading
        for group in groups([path], recursive=recursive)
        for reading in read_group(group, family=family, token=token)
    ]


def groups(paths: Iterable[Path | str], *, recursive: bool = False) -> list[Group]:
    """The files to read, in order, those that belong together as one group.

    Folders are listed, their subfolders only where ``recursive``. Raises InputError for more
    files than a folder of embeddings has.
    """
    found: list[tuple[Path, bool]] = []
    for path in map(Path, paths):
        if path.is_dir():
            found.extend((file, True) for file in _files_of(path, recursive))
        else:
            found.append((path, False))
        if len(found) > limits.FOLDER_FILES:
            raise InputError(f"{path} holds more than {limits.FOLDER_FILES} files")
    files = [path for path, _ in found]
    known = set(files)
    second: dict[Path, list[Path]] = {}
    for file in files:
        first = _first_half(file)
        if first is not None and first in known:
            second.setdefault(first, []).append(file)
    taken = {file for halves in second.values() for file in halves}
    return [
        Group((file, *sorted(second.get(file, []))), listed)
        for file, listed in dict(reversed(found)).items()
        if file not in taken
    ][::-1]


def _files_of(folder: Path, recursive: bool) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read: {error.strerror}") from error
    concept = any(entry.name == "token_identifier.txt" for entry in entries)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            # The pictures that a concept was learned from are no embeddings.
            if recursive and not (concept and entry.name == "concept_images"):
                yield from _files_of(Path(entry.path), recursive)
        elif Path(entry.name).suffix.lower() in SUFFIXES and not _is_preview(entry.name):
            yield Path(entry.path)


def _is_preview(name: str) -> bool:
    return name.lower().endswith(".preview.png")


def _first_half(file: Path) -> Path | None:
    match = HALF.fullmatch(file.stem)
    if match is None or file.suffix.lower() not in (".safetensors", ".bin", ".pt"):
        return None
    return file.with_name(match["head"] + (match["tail"] or "") + file.suffix)


def read_group(
    group: Group, *, family: str | None = None, token: str | None = None
) -> list[FileReading]:
    """Read one group of :func:`groups`; never raises for what files hold.

    One reading, or one for each file where they turn out not to belong together; none for a
    listed picture that holds no embedding.
    """
    options = Options(row_called(family) if family else None, token, not group.listed)
    if len(group.files) == 1:
        reading = read_with(group.files[0], options)
        return [] if group.listed and reading.refused == NO_CARD else [reading]
    loose = [read_with(path, replace(options, family=None)) for path in group.files]
    try:
        joined = _join(loose, family)
    except FileRefusedError as error:
        return [replace(loose[0], embeddings=(), refused=error.message, files=group.files)]
    return [joined] if joined is not None else [read_with(path, options) for path in group.files]


def _join(readings: list[FileReading], family: str | None) -> FileReading | None:
    """One reading out of the halves, where they hold the same tokens for different encoders."""
    if any(reading.refused or reading.dialect != "diffusers" for reading in readings):
        return None
    first = readings[0]
    tokens = [embedding.token for embedding in first.embeddings]
    if any([e.token for e in reading.embeddings] != tokens for reading in readings):
        return None
    embeddings = []
    for position in range(len(tokens)):
        merged = _merge([reading.embeddings[position] for reading in readings], family)
        if merged is None:
            return None
        embeddings.append(merged)
    # What each half alone could not know is no longer in doubt.
    warnings = [
        warning
        for reading in readings
        for warning in reading.warnings
        if not warning.startswith(("vectors of width", "it has no vectors for"))
    ]
    return replace(
        first,
        embeddings=tuple(embeddings),
        warnings=tuple(dict.fromkeys(warnings)),
        files=tuple(reading.path for reading in readings),
    )


def _merge(parts: list[ReadEmbedding], family: str | None) -> ReadEmbedding | None:
    tensors = {key: tensor for part in parts for key, tensor in part.tensors.items()}
    if len(tensors) != sum(len(part.tensors) for part in parts):
        return None
    first = parts[0]
    told = set(parts[0].families).intersection(*(part.families for part in parts[1:]))
    fitting = candidate_ids(True, tensors)
    families = [name for name in fitting if name in told] or fitting or sorted(told)
    if family is not None:
        wanted = row_called(family).id
        if wanted not in fitting:
            raise FileRefusedError(f"its encoders are not those of {wanted}")
        families = [wanted]
    return replace(first, tensors=tensors, families=tuple(families))
