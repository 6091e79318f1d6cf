"""Masks: where in a picture the concept is, so that only that is learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tireg.domain.concept_files import read_file
from tireg.errors import ConceptError
from tireg.training.folders import MASK_ENDINGS, SUFFIXES
from tireg.training.images import MAX_BYTES, Photo, decode, refuse_foreign, to_rgb

if TYPE_CHECKING:
    import torch

# JPEG noise around black stays below this.
BLACK = 8
MASK_SUFFIXES = (".png", *sorted(SUFFIXES - {".png"}))


def find_mask(picture: Path, folder: Path | None = None) -> Path | None:
    """The mask of ``picture``: ``name_mask.png`` beside it, or in ``masks/`` as ``name.png``.

    ``folder`` takes the place of ``masks/``. OneTrainer's ``name-masklabel.png`` is found too.
    Any picture suffix is taken, PNG first.
    """
    places = [folder] if folder is not None else [picture.parent / "masks", picture.parent]
    for place in places:
        ends = ("", *MASK_ENDINGS) if place != picture.parent else MASK_ENDINGS
        for end in ends:
            for suffix in MASK_SUFFIXES:
                path = place / f"{picture.stem}{end}{suffix}"
                if path.exists() or path.is_symlink():
                    return path
    return None


def read_mask(path: Path, photo: Photo) -> Image.Image | None:
    """The mask in ``path`` as L, of the size of ``photo.image``; 255 is where the concept is.

    None where it is white all over. Raises ConceptError where it cannot be read, is black all
    over, or has another size than the picture; both upright.
    """
    refuse_foreign(path, b"")
    image, *_ = decode(path, read_file(path, MAX_BYTES))
    wanted = (photo.picture.width, photo.picture.height)
    if image.size != wanted:
        raise ConceptError(
            f"the mask '{path}' has {image.width} x {image.height} pixels and its picture "
            f"'{photo.picture.name}' {wanted[0]} x {wanted[1]}",
            hint="make both the same size",
        )
    if image.has_transparency_data:
        # Editors save a drawn mask as white on nothing.
        upper = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", upper.size, (0, 0, 0, 255)), upper)
    return checked(to_rgb(image).convert("L"), photo, f"the mask '{path}' is black all over")


def alpha_mask(photo: Photo) -> Image.Image | None:
    """The photo's own transparency as a mask; None where it has none.

    Raises ConceptError where nothing of the photo can be seen.
    """
    if photo.alpha is None:
        return None
    return checked(photo.alpha, photo, f"'{photo.picture.name}' is transparent all over")


def checked(mask: Image.Image, photo: Photo, empty: str) -> Image.Image | None:
    """``mask`` at the size of the photo in memory, None if white; ConceptError if black."""
    values = np.asarray(mask)
    low, high = float(values.min()), float(values.max())
    if high <= BLACK:
        raise ConceptError(f"{empty}: nothing would be learned", hint="white marks the concept")
    if low >= 255 - BLACK:
        return None
    if mask.size != photo.image.size:
        mask = mask.resize(photo.image.size, Image.Resampling.BOX)
    return mask


def to_weights(masks: Sequence[Image.Image], floor: float = 0.0) -> torch.Tensor:
    """Masks of one size as weights of the loss, fp32 [n, 1, height, width], ``floor`` … 1.

    ``floor`` is what the background still counts. At 0 nothing of it is learned, and nothing
    is asked of it: the base fills it in as it likes.
    """
    import torch

    values = np.stack([np.asarray(mask, dtype=np.float32) for mask in masks]) / 255.0
    return torch.from_numpy(floor + (1.0 - floor) * values)[:, None].contiguous()


def latent_masks(masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Weights [n, 1, height, width] averaged over the area of each latent pixel, [n, 1, *size]."""
    from torch.nn import functional

    if masks.shape[-2] % size[0] == 0 and masks.shape[-1] % size[1] == 0:
        factors = (masks.shape[-2] // size[0], masks.shape[-1] // size[1])
        return functional.avg_pool2d(masks, factors)
    return functional.adaptive_avg_pool2d(masks, size)
