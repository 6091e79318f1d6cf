"""Pictures made for the tests of this room: photos in memory, scenes of the built-in world."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from tireg.domain.concepts import Picture
from tireg.training.images import Photo


def photo(image: Image.Image | np.ndarray, name: str = "a.png") -> Photo:
    """A photo as it is after reading, from pixels."""
    made = image if isinstance(image, Image.Image) else Image.fromarray(image)
    sha = hashlib.sha256(made.tobytes()).hexdigest()
    picture = Picture(
        name=name, sha256=sha, width=made.width, height=made.height, format="PNG", mode="RGB"
    )
    return Photo(made, picture)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth random picture, no two seeds alike."""
    cells = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def spot(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    """A mask that is white in ``box`` (left, top, right, bottom)."""
    mask = Image.new("L", (width, height), 0)
    mask.paste(255, box)
    return mask
