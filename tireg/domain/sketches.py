"""Sketches: what is left of a large matrix in 16 kB, enough to tell how alike two of them are.

A row of a matrix is projected onto 16 seeded Gaussian directions (Johnson and Lindenstrauss,
1984). The cosine between two sketches estimates that between the rows they were made of. All
sums are of whole numbers, so that every machine gives the same bits.
"""

from __future__ import annotations

import base64
import binascii
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ANCHORS = 512
DIRECTIONS = 16
SEED = 20_240_607

_ROW_STEPS = 32767  # a row is counted in steps of its largest number / 32767
_DIRECTION_STEPS = 2048  # a direction in steps of 1/2048: sums of 8192 products stay exact
_LARGEST_RANGE = 18  # the first draws are below 2**18, which is more than most tables have rows
_DRAWS_PER_RANGE = 8


def anchors(rows: int) -> NDArray[np.int64]:
    """512 seeded row numbers below ``rows``; a table grown by a few rows keeps nearly all.

    Each anchor takes the first number of its own list of draws that is a row of the table.
    The lists begin with draws over the largest range and end in the range of one.
    """
    import numpy as np

    random = np.random.RandomState(SEED)
    draws = [
        random.randint(0, 2**bits, size=(ANCHORS, _DRAWS_PER_RANGE), dtype=np.int64)
        for bits in range(_LARGEST_RANGE, -1, -1)
    ]
    lists = np.concatenate(draws, axis=1)
    first = (lists < rows).argmax(axis=1)
    found: NDArray[np.int64] = lists[np.arange(ANCHORS), first]
    return found


@cache
def _directions(width: int) -> NDArray[np.float64]:
    """Whole numbers [width, 16]: a standard normal times 2048."""
    import numpy as np

    # RandomState's streams are frozen by numpy's promise; those of a Generator are not.
    drawn = np.random.RandomState(SEED + 1).standard_normal((width, DIRECTIONS))
    whole: NDArray[np.float64] = np.rint(drawn * _DIRECTION_STEPS)
    return whole


def project(values: NDArray[np.floating]) -> NDArray[np.float16]:
    """Rows [n, width] as sketch rows [n, 16]; their scale is kept."""
    import numpy as np

    rows = values.astype(np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    steps = np.rint(rows / np.where(largest > 0, largest, 1) * _ROW_STEPS)
    scale = largest / (_ROW_STEPS * _DIRECTION_STEPS * DIRECTIONS**0.5)
    sums = steps @ _directions(rows.shape[1])  # exact: whole numbers below 2**53
    limit = float(np.finfo(np.float16).max)
    rounded: NDArray[np.float16] = np.clip(sums * scale, -limit, limit).astype(np.float16)
    return rounded


def pack(sketch: NDArray[np.float16]) -> str:
    """Base64 of a sketch [n, 16], little-endian fp16."""
    return base64.b64encode(sketch.astype("<f2").tobytes()).decode("ascii")


def unpack(text: str) -> NDArray[np.float64] | None:
    """The sketch [n, 16] that :func:`pack` gave; None for anything else."""
    import numpy as np

    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not raw or len(raw) % (2 * DIRECTIONS):
        return None
    values = np.frombuffer(raw, "<f2").astype(np.float64).reshape(-1, DIRECTIONS)
    return values if bool(np.isfinite(values).all()) else None


def cosine(a: NDArray[np.float64], b: NDArray[np.float64], *, centred: bool = False) -> float:
    """Estimated mean cosine, -1 to 1, between the rows two sketches [n, 16] stand for.

    ``centred`` takes the mean row out of each first, which all states of an encoder share.
    Rows count by their length. NaN where one of them is nothing.
    """
    import numpy as np

    if centred:
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    lengths = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / lengths if lengths > 0 else float("nan")
