"""Photographs in any size, mode and orientation, made into upright RGB pictures."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from tireg.domain.concept_files import read_file
from tireg.domain.concepts import Picture
from tireg.errors import ConceptError
from tireg.training.folders import HEIF_SUFFIXES, OTHER_SUFFIXES, RAW_SUFFIXES
from tireg.training.folders import find_pictures as find_pictures

if TYPE_CHECKING:
    import torch

# What Pillow may try: no format that starts another program (EPS) or has no signature (TGA).
# An MPO is opened as the JPEG that it begins with.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
MAX_BYTES = 512 * 2**20
MAX_PIXELS = 178_000_000
MAX_PROFILE_BYTES = 8 * 2**20
MIN_SIDE = 8
KEEP_SIDE = 2048
OPAQUE = 250
MAX_NAMED = 10

# What Pillow's readers raise for files that are cut off or made to mislead.
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError,
    OverflowError, ZeroDivisionError, AssertionError, struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Photo:
    """A picture in memory: RGB, upright, and what it was on disk.

    ``alpha`` is its transparency (mode L, the size of ``image``, 255 is opaque), or None where
    all of it is opaque.
    """

    image: Image.Image
    picture: Picture
    notes: tuple[str, ...] = ()
    alpha: Image.Image | None = None


def load_photos(paths: Iterable[Path], *, keep_side: int = KEEP_SIDE) -> list[Photo]:
    """Read every picture; ConceptError names all that cannot be read, none is skipped."""
    photos, bad, hints = [], [], set()
    for path in paths:
        try:
            photos.append(load_photo(path, keep_side=keep_side))
        except ConceptError as error:
            bad.append(error.message)
            hints.add(error.hint)
    if bad:
        more = f"; and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
        hint = hints.pop() if len(hints) == 1 else ""
        raise ConceptError(
            "; ".join(bad[:MAX_NAMED]) + more,
            hint=hint or ("remove or replace it" if len(bad) == 1 else "remove or replace them"),
        )
    return photos


def load_photo(path: Path, *, keep_side: int = KEEP_SIDE) -> Photo:
    """One picture as upright 8-bit sRGB: EXIF orientation applied, transparency on white.

    Of an animation the first frame is taken. A picture whose shorter side is over ``keep_side``
    pixels is made that small, so that fifty photographs fit into memory; ``picture`` keeps the
    size on disk. Raises ConceptError with the reason.
    """
    refuse_foreign(path, b"")
    data = read_file(path, MAX_BYTES)
    if not data:
        raise ConceptError(f"'{path}' is empty")
    refuse_foreign(path, data)
    image, notes, kind, mode = decode(path, data)
    if min(image.size) < MIN_SIDE:
        raise ConceptError(
            f"'{path}' is only {image.width} x {image.height} pixels", hint="use a larger picture"
        )
    alpha = transparency(image)
    picture = Picture(
        name=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        width=image.width,
        height=image.height,
        format=kind,
        mode=mode,
    )
    image = shrink(to_rgb(image), keep_side)
    if alpha is not None and alpha.size != image.size:
        alpha = alpha.resize(image.size, Image.Resampling.BOX)
    return Photo(image, picture, tuple(notes), alpha)


def refuse_foreign(path: Path, data: bytes) -> None:
    """ConceptError, saying to convert, for camera raw files, HEIC and the files of editors."""
    suffix = path.suffix.lower()
    # ISO 14496-12: the brand stands behind 'ftyp' at byte 4.
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    hint = "convert it to JPEG or PNG"
    if suffix in HEIF_SUFFIXES or brand in (b"heic", b"heix", b"hevc", b"heim", b"heis"):
        raise ConceptError(f"'{path}' is a HEIC photograph, which tireg does not read", hint=hint)
    # Many raw files open as TIFF and would give their thumbnail in silence.
    if suffix in RAW_SUFFIXES:
        raise ConceptError(f"'{path}' is a camera raw file, which tireg does not read", hint=hint)
    if suffix in OTHER_SUFFIXES:
        raise ConceptError(f"'{path}' is a {suffix[1:].upper()} file, not a picture that tireg "
                           "reads", hint=hint)  # fmt: skip


def decode(path: Path, data: bytes) -> tuple[Image.Image, list[str], str, str]:
    """First frame, upright, in its own mode; notes; format and mode as stored."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_formats()) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise _too_many(path)
                notes = _frames(path, opened)
                kind, mode = opened.format or "unknown", opened.mode
                opened.load()
                return _upright(path, opened, notes), notes, kind, mode
    except UnidentifiedImageError as error:
        raise ConceptError(f"'{path}' is not a picture") from error
    except Image.DecompressionBombError as error:
        raise _too_many(path) from error
    except MemoryError as error:
        raise ConceptError(f"'{path}' does not fit into memory") from error
    except DAMAGE as error:
        raise ConceptError(f"'{path}' is a damaged picture: {error}") from error


def _formats() -> list[str]:
    """Those of :data:`FORMATS` that this build of Pillow has."""
    if any(name not in Image.OPEN for name in FORMATS):
        Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _too_many(path: Path) -> ConceptError:
    return ConceptError(
        f"'{path}' has too many pixels, more than {MAX_PIXELS // 10**6} million",
        hint="make it smaller",
    )


def _frames(path: Path, opened: Image.Image) -> list[str]:
    try:
        several = getattr(opened, "n_frames", 1) > 1
    except DAMAGE:
        # The frames behind the first are cut off; the first is all that is used.
        several = True
    # An MPO holds the same photograph twice: for each eye, or small and large.
    if not several or opened.format == "MPO":
        return []
    if opened.format == "TIFF":
        return [f"'{path.name}' has several pages: its first page is used"]
    return [f"'{path.name}' is animated: its first frame is used"]


def _upright(path: Path, opened: Image.Image, notes: list[str]) -> Image.Image:
    try:
        upright = ImageOps.exif_transpose(opened)
    except DAMAGE:
        notes.append(f"the EXIF data of '{path.name}' cannot be read: it may lie on its side")
        upright = opened.copy()
    return to_srgb(upright)


def to_srgb(image: Image.Image) -> Image.Image:
    """The colours that the picture's ICC profile means, in sRGB; itself where it has none.

    Phones write Display P3, cameras Adobe RGB, printers' files CMYK: read as sRGB their colours
    are off. A profile that cannot be used is passed over, as viewers do.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MAX_PROFILE_BYTES:
        return image
    if image.mode not in ("RGB", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        target = ImageCms.createProfile("sRGB")
        made = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return made if made is not None else image


def transparency(image: Image.Image) -> Image.Image | None:
    """The alpha channel as L, or None where there is none or all of it is opaque."""
    if not image.has_transparency_data:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    low, _ = alpha.getextrema()
    return alpha if isinstance(low, int | float) and low < OPAQUE else None


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: transparency laid on white, 16-bit and float pictures scaled to 8 bits."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_bytes(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        upper = image.convert("RGBA")
        white = Image.new("RGBA", upper.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, upper).convert("RGB")
    return image.convert("RGB")


def _to_bytes(stored: np.ndarray, mode: str) -> np.ndarray:
    """Grey values of any depth as uint8: white is 1, 255, 65535 or the largest value found."""
    values = np.nan_to_num(stored.astype(np.float64), posinf=0.0, neginf=0.0)
    highest = float(values.max())
    tops = [1.0, 255.0, 65535.0] if mode == "F" else [255.0, 65535.0]
    top = next((t for t in tops if highest <= t), highest)
    grey: np.ndarray = np.clip(values * (255.0 / top), 0, 255).round().astype(np.uint8)
    return grey


def shrink(image: Image.Image, side: int) -> Image.Image:
    """``image`` with its shorter side at most ``side`` pixels (Lanczos); itself where it is."""
    factor = side / min(image.size)
    if factor >= 1:
        return image
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def square(image: Image.Image, side: int) -> Image.Image:
    """The middle square of ``image``, ``side`` pixels wide (Lanczos)."""
    return ImageOps.fit(image, (side, side), method=Image.Resampling.LANCZOS)


def to_tensor(photos: Sequence[Photo], side: int, *, flip: bool = False) -> torch.Tensor:
    """Pictures as fp32 [n, 3, side, side] in -1 … 1; with ``flip`` also mirrored, 2n of them."""
    squares = [square(photo.image, side) for photo in photos]
    if flip:
        squares += [ImageOps.mirror(s) for s in squares]
    return stack(squares)


def stack(images: Sequence[Image.Image]) -> torch.Tensor:
    """RGB pictures of one size as fp32 [n, 3, height, width] in -1 … 1."""
    import torch

    values = np.stack([np.asarray(image, dtype=np.float32) for image in images])
    return torch.from_numpy(values / 127.5 - 1.0).permute(0, 3, 1, 2).contiguous()
