"""Photographs in any size, mode and orientation, made into square RGB tensors."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from tireg.domain.concepts import Picture
from tireg.errors import ConceptError

SUFFIXES = {
    ".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp",
}  # fmt: skip
MAX_BYTES = 512 * 2**20
MAX_PIXELS = 400_000_000
MIN_SIDE = 8


@dataclass(frozen=True)
class Photo:
    """A picture in memory: RGB, upright, and what it was on disk."""

    image: Image.Image
    picture: Picture
    notes: tuple[str, ...] = ()


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Picture files among ``paths``, folders one level deep, sorted by name in each folder.

    A file named outright is taken whatever its suffix. Raises ConceptError for a path that
    does not exist and where nothing is found.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
            found += sorted(p for p in inside if p.suffix.lower() in SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise ConceptError(f"'{path}' does not exist", hint="give picture files or a folder")
    if not found:
        where = ", ".join(f"'{p}'" for p in paths) or "what was given"
        raise ConceptError(
            f"there is no picture in {where}",
            hint="three to ten pictures of one thing or style are enough",
        )
    return found


def load_photos(paths: Iterable[Path]) -> list[Photo]:
    """Read every picture; ConceptError names all that cannot be read, none is skipped."""
    photos, bad = [], []
    for path in paths:
        try:
            photos.append(load_photo(path))
        except ConceptError as error:
            bad.append(error.message)
    if bad:
        raise ConceptError("; ".join(bad), hint="remove or replace it")
    return photos


def load_photo(path: Path) -> Photo:
    """One picture as upright 8-bit RGB: EXIF orientation applied, transparency on white.

    Of an animation the first frame is taken. Raises ConceptError with the reason.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConceptError(f"'{path}' is larger than 512 MB")
        data = path.read_bytes()
    except OSError as error:
        raise ConceptError(f"'{path}' cannot be read: {error.strerror}") from error
    if not data:
        raise ConceptError(f"'{path}' is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as opened:
                return _decode(path, data, opened)
    except UnidentifiedImageError as error:
        raise ConceptError(f"'{path}' is not a picture") from error
    except Image.DecompressionBombError as error:
        raise ConceptError(f"'{path}' has too many pixels") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError) as error:
        raise ConceptError(f"'{path}' is a damaged picture: {error}") from error


def _decode(path: Path, data: bytes, opened: Image.Image) -> Photo:
    if opened.width * opened.height > MAX_PIXELS:
        raise ConceptError(f"'{path}' has too many pixels")
    notes = []
    if getattr(opened, "n_frames", 1) > 1 and opened.format != "MPO":
        notes.append(f"'{path.name}' is animated: its first frame is used")
    kind, mode = opened.format or "unknown", opened.mode
    upright = ImageOps.exif_transpose(opened)
    image = to_rgb(upright)
    if min(image.size) < MIN_SIDE:
        raise ConceptError(f"'{path}' is only {image.width} x {image.height} pixels")
    picture = Picture(
        name=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        width=image.width,
        height=image.height,
        format=kind,
        mode=mode,
    )
    return Photo(image, picture, tuple(notes))


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: transparency laid on white, 16-bit and float pictures scaled to 8 bits."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode.startswith("I") and values.max() > 255 else 255.0
        top = 1.0 if image.mode == "F" and values.max() <= 1.0 else top
        grey = np.clip(np.nan_to_num(values) * (255.0 / top), 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        upper = image.convert("RGBA")
        white = Image.new("RGBA", upper.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, upper).convert("RGB")
    return image.convert("RGB")


def square(image: Image.Image, side: int) -> Image.Image:
    """The middle square of ``image``, ``side`` pixels wide (Lanczos)."""
    return ImageOps.fit(image, (side, side), method=Image.Resampling.LANCZOS)


def to_tensor(photos: Sequence[Photo], side: int, *, flip: bool = False) -> torch.Tensor:
    """Pictures as fp32 [n, 3, side, side] in -1 … 1; with ``flip`` also mirrored, 2n of them."""
    squares = [square(photo.image, side) for photo in photos]
    if flip:
        squares += [ImageOps.mirror(s) for s in squares]
    stack = np.stack([np.asarray(s, dtype=np.float32) for s in squares])
    return torch.from_numpy(stack / 127.5 - 1.0).permute(0, 3, 1, 2).contiguous()
