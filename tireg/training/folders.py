"""Which files of a folder are pictures, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tireg.domain.concept_files import CONCEPT_NAMES, MAX_PICTURES
from tireg.errors import ConceptError

SUFFIXES = frozenset(
    ".avif .bmp .gif .jfif .jp2 .jpeg .jpg .mpo .png .ppm .tif .tiff .webp".split()
)
RAW_SUFFIXES = frozenset(
    ".3fr .arw .cr2 .cr3 .dng .erf .nef .nrw .orf .pef .raf .rw2 .rwl .sr2 .srw .x3f".split()
)
HEIF_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
OTHER_SUFFIXES = frozenset({".eps", ".jxl", ".pdf", ".psd", ".svg", ".tga", ".xcf"})
FOREIGN = HEIF_SUFFIXES | RAW_SUFFIXES | OTHER_SUFFIXES
MASK_ENDINGS = ("_mask", "-masklabel")
CAPTION_SUFFIXES = (".txt", ".caption")
# Lies beside pictures by custom and means nothing here.
KNOWN_OTHERS = frozenset({".npz", ".md", ".ini", ".db", ".aae", ".xmp", ".html"})
MAX_NAMED = 3


@dataclass(frozen=True)
class Found:
    """Picture files in the order of training, and sentences about what was left out."""

    pictures: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Picture files among ``paths``, folders one level deep, sorted by name in each folder.

    A file named outright is taken whatever its suffix. Raises ConceptError for a path that
    does not exist and where nothing is found.
    """
    return list(look_for_pictures(paths).pictures)


def look_for_pictures(paths: Sequence[Path]) -> Found:
    """As :func:`find_pictures`, with notes about what lies there and is not used.

    A mask (``name_mask.png`` beside ``name.jpg``) is no picture. A file that is found twice
    counts once. A camera raw file or a HEIC photograph is left out, with a note, where the same
    shot is there as a picture; elsewhere it stays in the list, so that reading it says why not.
    """
    found: list[Path] = []
    notes: list[str] = []
    for path in paths:
        if path.is_dir():
            inside = _look_into(path)
            found += inside.pictures
            notes += inside.notes
        elif path.exists() or path.is_symlink():
            found.append(path)
        else:
            raise ConceptError(f"'{path}' does not exist", hint="give picture files or a folder")
    if not found:
        where = ", ".join(f"'{p}'" for p in paths) or "what was given"
        raise ConceptError(f"there is no picture in {where}", hint=_hint(paths))
    pictures = tuple(dict.fromkeys(found))
    if len(pictures) < len(found):
        notes.append("a picture that was named twice counts once")
    if len(pictures) > MAX_PICTURES:
        raise ConceptError(
            f"there are {len(pictures)} pictures, more than {MAX_PICTURES}",
            hint="three to ten pictures of one thing or style are enough",
        )
    return Found(pictures, tuple(notes))


def _hint(paths: Sequence[Path]) -> str:
    for path in paths:
        for child in sorted(entries(path)) if path.is_dir() else ():
            if child.is_dir() and any(p.suffix.lower() in SUFFIXES for p in entries(child)):
                return f"there are some in '{child}': name that folder"
    return "three to ten pictures of one thing or style are enough"


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, hidden files aside; ConceptError where it cannot be listed."""
    try:
        return [p for p in folder.iterdir() if not p.name.startswith(".")]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConceptError(f"the folder '{folder}' cannot be read: {reason}") from error


def _look_into(folder: Path) -> Found:
    inside = sorted(entries(folder))
    files = [p for p in inside if not p.is_dir()]
    likely = [p for p in files if p.suffix.lower() in SUFFIXES]
    stems = {p.stem for p in likely}
    masks = {p for p in likely if _of_mask(p.stem, stems)}
    pictures = [p for p in likely if p not in masks]
    notes = [
        f"'{p.name}' is named like a mask, but no picture goes with it: it is taken as a picture"
        for p in pictures
        if p.stem.endswith(MASK_ENDINGS)
    ]
    shots = {p.stem.lower() for p in pictures}
    foreign = [p for p in files if p.suffix.lower() in FOREIGN]
    beside = [p for p in foreign if p.stem.lower() in shots]
    if beside:
        notes.append(f"{named(beside)} left out: the same shot is there as a picture")
    pictures = sorted([*pictures, *(p for p in foreign if p.stem.lower() not in shots)])
    if pictures:
        notes += _strangers(inside, files)
    return Found(tuple(pictures), tuple(notes))


def _strangers(inside: Sequence[Path], files: Sequence[Path]) -> list[str]:
    """Sentences about files and folders that nothing will look at."""
    known = SUFFIXES | FOREIGN | KNOWN_OTHERS | frozenset(CAPTION_SUFFIXES)
    odd = [
        p
        for p in files
        if p.suffix.lower() not in known and p.name.lower() not in (*CONCEPT_NAMES, "thumbs.db")
    ]
    folders = [
        p
        for p in inside
        if p.is_dir() and p.name != "masks" and any(c.suffix.lower() in SUFFIXES for c in _peek(p))
    ]
    notes = [f"{named(odd)} not looked at: no picture by its name"] if odd else []
    if folders:
        notes.append(f"{named(folders)} not looked at: folders are read one level deep")
    return notes


def _peek(folder: Path) -> list[Path]:
    """What lies in a folder that was not asked for: nothing where it may not be listed."""
    try:
        return entries(folder)
    except ConceptError:
        return []


def _of_mask(stem: str, stems: set[str]) -> bool:
    return any(stem.endswith(end) and stem.removesuffix(end) in stems for end in MASK_ENDINGS)


def named(paths: Iterable[Path]) -> str:
    """``'a' is``, ``'a' and 'b' are``, at most three by name: the beginning of a sentence."""
    names = [f"'{p.name}'" for p in paths]
    if len(names) == 1:
        return f"{names[0]} is"
    if len(names) > MAX_NAMED:
        return f"{', '.join(names[:MAX_NAMED])} and {len(names) - MAX_NAMED} more are"
    return f"{', '.join(names[:-1])} and {names[-1]} are"
