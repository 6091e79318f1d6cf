"""The pictures of a page, as large as its size allows."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tireg.report.pages import MOST_PIXELS, Picture, encode, exact
from tireg.report.report_data import Photo

# Side in pixels and quality, what looks best first. On a page pictures are some 100 pixels wide,
# on a screen of high density twice that.
TIERS = ((320, 62), (256, 58), (192, 54), (144, 50), (112, 45))
SHEET_SIDE = 1400
# Smaller pictures are kept to the last pixel and shown with their pixels as they are.
SMALL = 96
TRIED = 8

Said = Callable[[int, int], None]


@dataclass
class Album:
    """The pictures of a page by key, and how many there was no room for or that are gone."""

    pictures: dict[str, Picture] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def get(self, photo: Photo) -> Picture | None:
        """The picture, or None where the page has to do without it."""
        return self.pictures.get(photo.key)

    def why(self, photo: Photo) -> str:
        """Why a picture is not there, in two words."""
        return "left out" if photo.key in self.left_out else "missing"


def make_album(
    photos: Iterable[Photo],
    room: int,
    *,
    whole: Sequence[Photo] = (),
    said: Said = lambda done, total: None,
) -> Album:
    """Encode pictures into ``room`` bytes of page.

    ``photos`` are the uses of pictures, what matters most first: where even the smallest form is
    too much, the last ones are left out. Those in ``whole`` are large pictures of many small ones.
    """
    uses: Counter[str] = Counter()
    first: dict[str, Photo] = {}
    for photo in photos:
        uses[photo.key] += 1
        first.setdefault(photo.key, photo)
    album, large = Album(), {photo.key for photo in whole}
    side, quality = _tier(list(first.values()), uses, room, large)
    spent = 0
    for done, (key, photo) in enumerate(first.items(), 1):
        picture = _encoded(photo, SHEET_SIDE if key in large else side, quality)
        said(done, len(first))
        if picture is None:
            album.gone.add(key)
            continue
        cost = len(picture.uri) * uses[key]
        if spent + cost > room:
            album.left_out.add(key)
            continue
        spent += cost
        album.pictures[key] = picture
    return album


def _tier(photos: list[Photo], uses: Counter[str], room: int, large: set[str]) -> tuple[int, int]:
    """The best form in which all pictures should fit, judged by a few of them."""
    total = sum(uses.values())
    tried = [p for p in photos if p.key not in large][:: max(1, len(photos) // TRIED)]
    for side, quality in TIERS:
        costs = [len(p.uri) for p in (_encoded(one, side, quality) for one in tried) if p]
        if not costs or sum(costs) / len(costs) * total * 1.15 < room:
            return side, quality
    return TIERS[-1]


def _encoded(photo: Photo, side: int, quality: int) -> Picture | None:
    """The picture of that size; None where its file is gone, broken, or no picture."""
    from PIL import Image, ImageOps

    data = photo.read()
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                return None
            opened.draft("RGB", (side, side))
            image: Any = ImageOps.exif_transpose(opened)
            if max(image.size) <= min(SMALL, side):
                return exact(image)
            return encode(image, side, quality)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return None
