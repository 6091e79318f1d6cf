"""Pictures of any shape, cut to the sizes that a base learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from tireg.training.images import Photo, stack
from tireg.training.masks import to_weights

if TYPE_CHECKING:
    import torch

MAX_ASPECT = 2.0
# Side of the smallest random crop, as a share of the largest that fits. Tight crops teach
# pictures with cut-off subjects (Podell et al., 2023, section 2.2), so they stay wide.
MIN_CROP = 0.8
TRIES = 8


@dataclass(frozen=True)
class Prepared:
    """All crops of one size: pictures fp32 [n, 3, height, width] in -1 … 1.

    ``masks`` [n, 1, height, width] are weights 0 … 1, or None where no picture of this size has
    one. ``size`` is (height, width). ``owner[i]`` is the index of the photo that row i shows.
    """

    pictures: torch.Tensor
    masks: torch.Tensor | None
    size: tuple[int, int]
    owner: tuple[int, ...]


def bucket_sizes(resolution: int, multiple: int | None = None) -> tuple[tuple[int, int], ...]:
    """Sizes (height, width) of about ``resolution`` squared pixels, square first.

    Both sides are multiples of ``multiple`` (64; below 256 pixels 8), neither more than twice the
    other. At 512: 512 x 512, 448 x 576, 384 x 704 and the same upright.
    """
    step = multiple or (64 if resolution >= 256 else 8)
    middle = max(step, round(resolution / step) * step)
    sizes = {(middle, middle)}
    for short in range(step, middle, step):
        long = max(step, round(resolution**2 / short / step) * step)
        if middle < long <= MAX_ASPECT * short:
            sizes |= {(short, long), (long, short)}
    return tuple(sorted(sizes, key=lambda s: (abs(math.log(s[1] / s[0])), s)))


def nearest_size(width: int, height: int, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The (height, width) of ``sizes`` whose shape is nearest to that of a picture."""
    shape = math.log(width / height)
    return min(sizes, key=lambda size: abs(math.log(size[1] / size[0]) - shape))


def prepare(
    photos: Sequence[Photo],
    masks: Sequence[Image.Image | None] | None,
    resolution: int,
    *,
    buckets: bool = False,
    crops: int = 1,
    flip: bool = False,
    seed: int = 0,
    multiple: int | None = None,
    mask_floor: float = 0.0,
) -> list[Prepared]:
    """Cut every photo, and its mask with it, to the size it is learned at.

    Without ``buckets`` all become squares of ``resolution``, with them each the nearest of
    :func:`bucket_sizes`; nothing is squashed. One crop is the middle of the picture, moved only
    where that keeps more of its mask; more are drawn at random from ``seed``, of 0.8 to 1 of the
    side. ``flip`` adds the mirror image of each. ``masks`` are L pictures of the
    photos' own sizes. Rows are ordered by crop, then photo; the mirror images come last.
    """
    own = list(masks) if masks is not None else [None] * len(photos)
    sizes = bucket_sizes(resolution, multiple) if buckets else ((resolution, resolution),)
    groups: dict[tuple[int, int], list[int]] = {}
    for index, photo in enumerate(photos):
        groups.setdefault(nearest_size(*photo.image.size, sizes), []).append(index)
    made = []
    for size in sorted(groups, key=sizes.index):
        owner, pictures, weights = [], [], []
        for turn in range(crops):
            for index in groups[size]:
                image, mask = photos[index].image, own[index]
                generator = np.random.default_rng([seed, index, turn]) if crops > 1 else None
                box = window(image.size, size, mask, generator)
                owner.append(index)
                pictures.append(_cut(image, size, box, Image.Resampling.LANCZOS))
                weights.append(_weight(mask, size, box))
        if flip:
            owner, pictures = owner * 2, pictures + [ImageOps.mirror(p) for p in pictures]
            weights += [ImageOps.mirror(w) for w in weights]
        masked = any(own[index] is not None for index in groups[size])
        made.append(
            Prepared(
                stack(pictures),
                to_weights(weights, mask_floor) if masked else None,
                size,
                tuple(owner),
            )
        )
    return made


Box = tuple[float, float, float, float]


def window(
    picture: tuple[int, int],
    size: tuple[int, int],
    mask: Image.Image | None = None,
    generator: np.random.Generator | None = None,
) -> Box:
    """What to cut out of a picture (width, height) for ``size`` (height, width), in its pixels.

    The largest window of that shape in the middle, moved only as far as it keeps more of
    ``mask``; with a ``generator`` one of 0.8 to 1 of its side, anywhere, the best masked of eight.
    """
    width, height = picture
    shape = size[1] / size[0]
    full = (shape * height, float(height)) if width / height >= shape else (width, width / shape)
    if generator is None:
        return _middle(picture, full, mask)
    best: tuple[float, Box] = (0.0, _middle(picture, full, mask))
    for _ in range(TRIES if mask is not None else 1):
        scale = float(generator.uniform(MIN_CROP, 1.0))
        part = (full[0] * scale, full[1] * scale)
        left = float(generator.uniform(0, width - part[0]))
        top = float(generator.uniform(0, height - part[1]))
        box = (left, top, left + part[0], top + part[1])
        kept = _kept(mask, box) if mask is not None else 1.0
        best = max(best, (kept, box), key=lambda pair: pair[0])
    return best[1]


def _middle(picture: tuple[int, int], part: tuple[float, float], mask: Image.Image | None) -> Box:
    left, top = ((whole - p) / 2 for whole, p in zip(picture, part, strict=True))
    if mask is not None:
        weight = np.asarray(mask, dtype=np.float64)
        left, top = _slide(weight.sum(0), part[0], left), _slide(weight.sum(1), part[1], top)
    return (left, top, left + part[0], top + part[1])


def _slide(weight: np.ndarray, length: float, middle: float) -> float:
    """Where a window of ``length`` along a profile [n] begins to keep all but 1% of the most.

    Of several such places the one nearest to ``middle``.
    """
    places = np.append(np.arange(0.0, len(weight) - length), [middle, len(weight) - length])
    total = np.append(0.0, np.cumsum(weight))
    edges = np.arange(len(total))
    kept = np.interp(places + length, edges, total) - np.interp(places, edges, total)
    good = places[kept >= 0.99 * kept.max()]
    return float(max(0.0, good[np.abs(good - middle).argmin()]))


def _kept(mask: Image.Image, box: Box) -> float:
    """How much of a mask's weight lies in ``box``."""
    left, top, right, bottom = (round(edge) for edge in box)
    weight = np.asarray(mask, dtype=np.float64)
    return float(weight[top:bottom, left:right].sum() / max(weight.sum(), 1e-9))


def _cut(image: Image.Image, size: tuple[int, int], box: Box, how: Image.Resampling) -> Image.Image:
    left, top, right, bottom = box
    inside = (max(0, left), max(0, top), min(image.width, right), min(image.height, bottom))
    return image.resize((size[1], size[0]), how, box=inside)


def _weight(mask: Image.Image | None, size: tuple[int, int], box: Box) -> Image.Image:
    if mask is None:
        return Image.new("L", (size[1], size[0]), 255)
    return _cut(mask, size, box, Image.Resampling.BOX)
