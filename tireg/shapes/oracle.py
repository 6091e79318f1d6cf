"""The oracle: what a picture truly shows, read from its pixels by fixed rules.

Nothing here is learned. The background is the colour at the border; the object is what differs
from it; its shape is the best match among the renderer's own silhouettes; its fill is told by how
two colours lie inside it. So the oracle can judge a sample that a model drew without sharing any
weight with that model. `tireg.shapes.oracle_error` states its error on clean and spoilt renders.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tireg.shapes.world import (
    FRAME,
    HUES,
    NEUTRALS,
    PALETTE,
    SHAPES,
    SIZE,
    Color,
    coverage,
    duotone,
    lab,
    luminance,
    stripe_partner,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

GRID = 24
"""Side of the normalised silhouettes, in cells."""
NEAR = 26.0
"""Largest colour difference (delta E) at which a colour counts as a named hue."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the oracle reads. Names are ``None`` where no word fits or nothing could be read.

    ``color``, ``second`` and ``background_color`` are sRGB in 0..1 and are always there;
    ``second`` is the other colour of a striped or two-hued fill. ``tint`` is a hue in turns (0..1)
    or ``None`` for a picture that is not of one hue. Under a tint the hues beneath cannot be read:
    ``hue`` is ``None`` and ``background`` is only told apart as white, gray or black.
    ``center`` is in half picture sides (-1..1, y down), ``area`` the object's share of the
    picture, ``match`` how well the silhouette fits its shape (0..1).
    """

    shape: str | None
    hue: str | None
    second_hue: str | None
    background: str | None
    fill: str | None
    position: str | None
    style: str
    color: Color
    second: Color
    background_color: Color
    tint: float | None
    center: tuple[float, float]
    area: float
    match: float


@cache
def _palette() -> NDArray[np.float64]:
    return lab(np.array([PALETTE[name] for name in HUES]))


def nearest_hue(color: Color, limit: float = NEAR) -> str | None:
    """The named hue closest to a colour, or ``None`` when all are farther than ``limit``."""
    away = np.linalg.norm(_palette() - lab(color), axis=-1)
    best = int(away.argmin())
    return HUES[best] if away[best] <= limit else None


def _normalised(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """A silhouette stretched to its bounding box: ``[GRID, GRID]`` cells, each in 0..1.

    The box is found to parts of a pixel, from how much of its outermost rows is covered.
    """
    rows, columns = share.max(1), share.max(0)
    top, bottom = _ends(rows)
    left, right = _ends(columns)
    ys = top + (np.arange(GRID) + 0.5) / GRID * (bottom - top) - 0.5
    xs = left + (np.arange(GRID) + 0.5) / GRID * (right - left) - 0.5
    return _sample(share, ys, xs)


def _ends(line: NDArray[np.float64]) -> tuple[float, float]:
    inside = np.flatnonzero(line > 0.5)
    if len(inside) == 0:
        return 0.0, float(SIZE)
    first, last = int(inside[0]), int(inside[-1])
    before = float(line[first - 1]) if first > 0 else 0.0
    after = float(line[last + 1]) if last + 1 < len(line) else 0.0
    low = first - before if line[first] > 0.9 else first + 1 - float(line[first])
    high = last + 1 + after if line[last] > 0.9 else last + float(line[last])
    return low, max(high, low + 1.0)


def _sample(
    image: NDArray[np.float64], ys: NDArray[np.float64], xs: NDArray[np.float64]
) -> NDArray[np.float64]:
    ys, xs = np.clip(ys, 0, SIZE - 1), np.clip(xs, 0, SIZE - 1)
    y0, x0 = np.minimum(ys.astype(int), SIZE - 2), np.minimum(xs.astype(int), SIZE - 2)
    fy, fx = (ys - y0)[:, None], (xs - x0)[None, :]
    a, b = image[y0][:, x0], image[y0][:, x0 + 1]
    c, d = image[y0 + 1][:, x0], image[y0 + 1][:, x0 + 1]
    blend: NDArray[np.float64] = (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy
    return blend


@cache
def _templates() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Normalised silhouettes at some sizes, tilts and offsets, and the number of their shape."""
    cells, owners = [], []
    for index, shape in enumerate(SHAPES):
        for radius in (0.46, 0.56, 0.68):
            for tilt in (-0.09, -0.045, 0.0, 0.045, 0.09):
                for shift in ((0.0, 0.0), (0.02, 0.03)):
                    cells.append(_normalised(coverage(shape, shift, radius, tilt)).ravel())
                    owners.append(index)
    return np.stack(cells), np.array(owners)


def _read_shape(share: NDArray[np.float64]) -> tuple[str | None, float]:
    """Best matching shape and its soft intersection over union (0..1) with that silhouette."""
    bank, owners = _templates()
    mine = _normalised(share).ravel()
    shared = np.minimum(bank, mine).sum(1)
    overlap = shared / np.maximum(np.maximum(bank, mine).sum(1), 1e-6)
    best = int(overlap.argmax())
    return (SHAPES[owners[best]] if overlap[best] > 0.6 else None), float(overlap[best])


def _background(picture: NDArray[np.float64]) -> tuple[Color, bool, slice]:
    """Background colour, whether there is a frame, and the rows and columns inside it."""
    outer = np.ones((SIZE, SIZE), dtype=bool)
    outer[FRAME:-FRAME, FRAME:-FRAME] = False
    inner = np.zeros((SIZE, SIZE), dtype=bool)
    inner[FRAME + 1 : -FRAME - 1, FRAME + 1 : -FRAME - 1] = True
    inner[FRAME + 3 : -FRAME - 3, FRAME + 3 : -FRAME - 3] = False
    rim, within = np.median(picture[outer], 0), np.median(picture[inner], 0)
    tones = lab(picture)
    even = np.linalg.norm(tones[outer] - lab(rim), axis=-1)
    framed = (
        float(np.linalg.norm(lab(rim) - lab(within))) > 25
        and float(np.mean(even < 22)) > 0.85
        and nearest_hue(_color(rim), 30) in ("white", "black")
    )
    if framed:
        return _color(within), True, slice(FRAME + 1, SIZE - FRAME - 1)
    return _color(rim), False, slice(0, SIZE)


def _color(values: NDArray[np.float64]) -> Color:
    return (float(values[0]), float(values[1]), float(values[2]))


def _mask(picture: NDArray[np.float64], back: Color, room: slice) -> NDArray[np.float64]:
    """How much of each pixel is object, ``[32, 32]`` in 0..1; only the largest part is kept."""
    from scipy import ndimage

    away = np.zeros((SIZE, SIZE))
    away[room, room] = np.linalg.norm(lab(picture[room, room]) - lab(back), axis=-1)
    # On a noisy picture the background itself is not of one colour.
    edge = np.concatenate([away[room, room][:2].ravel(), away[room, room][-2:].ravel()])
    limit = max(18.0, 2.6 * float(np.median(edge)))
    # Closed first: where two tones of a fill blend, they may blend into the background.
    differs = away > limit
    differs = ndimage.binary_closing(differs, np.ones((1, 3))) | (
        ndimage.binary_closing(differs, np.ones((3, 1)))
    )
    parts, count = ndimage.label(differs, structure=np.ones((3, 3)))
    if count == 0:
        return np.zeros_like(away)
    sizes = ndimage.sum_labels(np.ones_like(away), parts, np.arange(1, count + 1))
    largest = parts == 1 + int(np.argmax(sizes))
    inside = ndimage.binary_erosion(largest)
    if not inside.any():
        inside = largest
    # An edge pixel's share is told by the colour just inside it: fills have several tones.
    row, column = ndimage.distance_transform_edt(
        ~inside, return_distances=False, return_indices=True
    )
    share = np.clip(away / np.maximum(away[row, column], 1e-6), 0.0, 1.0)
    share[inside] = 1.0
    return np.where(ndimage.binary_dilation(largest), share, 0.0)


def _two_means(tones: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Split Lab colours ``[n, 3]`` into two groups; true for the second."""
    spread = tones - tones.mean(0)
    axis = np.linalg.svd(spread, full_matrices=False)[2][0]
    along: NDArray[np.float64] = spread @ axis
    low, high = tones[along.argmin()], tones[along.argmax()]
    groups: NDArray[np.bool_] = along > 0
    for _ in range(8):
        groups = np.linalg.norm(tones - high, axis=1) < np.linalg.norm(tones - low, axis=1)
        if groups.all() or not groups.any():
            return np.zeros(len(tones), dtype=bool)
        low, high = np.median(tones[~groups], 0), np.median(tones[groups], 0)
    return groups


def _read_fill(
    picture: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[str, Color, Color]:
    """Fill, first colour and second colour of the object that ``share`` covers."""
    from scipy import ndimage

    solid = share > 0.85
    deep = ndimage.binary_erosion(solid, np.ones((2, 2)))
    inside = deep if deep.sum() >= 20 else solid if solid.sum() >= 6 else share > 0.4
    if not inside.any():
        return "solid", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    colors, places = picture[inside], np.argwhere(inside)
    groups = _two_means(lab(colors))
    whole = _color(np.median(colors, 0))
    part = float(groups.mean())
    # Less than this is a soft edge, not a second tone.
    if min(part, 1 - part) < 0.16:
        return "solid", whole, whole
    one, two = _color(np.median(colors[~groups], 0)), _color(np.median(colors[groups], 0))
    apart = float(np.linalg.norm(lab(one) - lab(two)))
    if apart < max(17.0, 3.5 * _scatter(colors, groups)):
        return "solid", whole, whole
    across, along = _best_cut(groups, places[:, 1]), _best_cut(groups, places[:, 0])
    if max(abs(across), abs(along)) < 0.75:
        if min(part, 1 - part) < 0.26:
            return "solid", whole, whole
        return ("striped", *_stripe_order(one, two))
    fill, sign = ("split", across) if abs(across) >= abs(along) else ("stacked", along)
    return (fill, one, two) if sign > 0 else (fill, two, one)


def _scatter(colors: NDArray[np.float64], groups: NDArray[np.bool_]) -> float:
    """Median distance (delta E) of colours from the middle of their own group."""
    tones = lab(colors)
    away = np.where(groups[:, None], np.median(tones[groups], 0), np.median(tones[~groups], 0))
    return float(np.median(np.linalg.norm(tones - away, axis=1)))


def _best_cut(groups: NDArray[np.bool_], line: NDArray[np.int64]) -> float:
    """Correlation (-1..1) of two groups of pixels with the best straight cut between them.

    ``line`` is each pixel's row or column. Two halves give 1 or -1, stripes about a half.
    """
    cuts = np.arange(line.min() + 1, line.max() + 1)
    if len(cuts) == 0:
        return 0.0
    sides = line[None, :] >= cuts[:, None]
    far = sides - sides.mean(1, keepdims=True)
    own = groups - groups.mean()
    linked = far @ own / np.sqrt((far**2).sum(1) * (own**2).sum())
    return float(linked[np.abs(linked).argmax()])


def _stripe_order(one: Color, two: Color) -> tuple[Color, Color]:
    """The tones of a striped fill, the one that the other is made of first."""

    def misfit(first: Color, second: Color) -> float:
        return float(np.linalg.norm(lab(stripe_partner(first)) - lab(second)))

    def shift(first: Color, second: Color) -> float:
        name = nearest_hue(first)
        return misfit(first, second) - (6.0 if name is not None else 0.0)

    return (one, two) if shift(one, two) <= shift(two, one) else (two, one)


def _read_tint(picture: NDArray[np.float64], share: NDArray[np.float64]) -> float | None:
    """The hue (turns) that object and background both have, or ``None``."""
    from scipy import ndimage

    picture = ndimage.median_filter(picture, (3, 3, 1))
    hues, saturation = _hue_saturation(picture)
    turns = np.exp(2j * np.pi * hues)
    center = float(np.angle((turns * saturation).sum()) / (2 * np.pi) % 1.0)
    off = np.abs((hues - center + 0.5) % 1.0 - 0.5)
    fits = (off < 0.05) & (saturation > 0.28)
    inside, outside = share > 0.8, share < 0.2
    if not (inside.any() and outside.any()):
        return None
    return center if fits[inside].mean() > 0.8 and fits[outside].mean() > 0.85 else None


def _hue_saturation(
    picture: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """HSV hue in turns (0..1) and saturation (0..1) of every pixel."""
    r, g, b = picture[..., 0], picture[..., 1], picture[..., 2]
    high, low = picture.max(-1), picture.min(-1)
    span = np.maximum(high - low, 1e-9)
    sixth = np.where(
        high == r, (g - b) / span % 6.0, np.where(high == g, (b - r) / span + 2, (r - g) / span + 4)
    )
    return sixth / 6.0, (high - low) / np.maximum(high, 1e-9)


def _untinted(color: Color, tint: float) -> str:
    """White, gray or black: which of them a tint of this hue turns into ``color``."""
    grays = np.array([float(luminance(PALETTE[name])) for name in NEUTRALS])
    away = np.linalg.norm(lab(duotone(grays, tint)) - lab(color), axis=-1)
    return NEUTRALS[int(away.argmin())]


def _position(center: tuple[float, float]) -> str:
    x, y = center
    if max(abs(x), abs(y)) < 0.125:
        return "center"
    if abs(x) >= abs(y):
        return "right" if x > 0 else "left"
    return "bottom" if y > 0 else "top"


def _center(share: NDArray[np.float64]) -> tuple[float, float]:
    """Middle of the bounding box, in half picture sides."""
    top, bottom = _ends(share.max(1))
    left, right = _ends(share.max(0))
    return (left + right) / SIZE - 1, (top + bottom) / SIZE - 1


def read(picture: NDArray[np.uint8]) -> Reading:
    """What one picture shows. ``picture`` is ``uint8 [32, 32, 3]``; about 2 ms.

    Raises :class:`~tireg.errors.InputError` for any other size or kind of array.
    """
    if picture.shape != (SIZE, SIZE, 3) or picture.dtype != np.uint8:
        from tireg.errors import InputError

        raise InputError(
            f"the oracle reads uint8 pictures of {SIZE} by {SIZE} by 3, "
            f"not {picture.dtype} {picture.shape}"
        )
    values = picture.astype(np.float64) / 255
    back, framed, room = _background(values)
    share = _mask(values, back, room)
    tint = None if framed else _read_tint(values, share)
    area = float(share.mean())
    shape, match = _read_shape(share) if area > 0.01 else (None, 0.0)
    fill, color, second = _read_fill(values, share)
    two = fill in ("split", "stacked")
    center = _center(share) if area > 0.01 else (0.0, 0.0)
    hue = None if tint is not None else nearest_hue(color)
    return Reading(
        shape=shape,
        hue=hue,
        second_hue=nearest_hue(second) if two and tint is None else None,
        background=nearest_hue(back) if tint is None else _untinted(back, tint),
        fill=fill if area > 0.01 else None,
        position=_position(center) if area > 0.01 else None,
        style="framed" if framed else "tinted" if tint is not None else "plain",
        color=color,
        second=second,
        background_color=back,
        tint=tint,
        center=center,
        area=area,
        match=match,
    )


def read_many(pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[Reading]:
    """Readings of several pictures."""
    return [read(np.asarray(picture)) for picture in pictures]


def turn(one: float, two: float) -> float:
    """Distance of two hues on the colour circle, in turns (0..0.5)."""
    return abs((one - two + 0.5) % 1.0 - 0.5)
