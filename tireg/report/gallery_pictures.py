"""Pictures of a gallery: small ones for cards, large ones for pages, each encoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tireg.report.gallery_folder import GalleryFolder
from tireg.report.pages import Form, Picture, encode_bytes

CARD, PAGE = 320, 768
QUALITY = {CARD: 58, PAGE: 68}
SUFFIXES: dict[Form, str] = {"webp": ".webp", "jpeg": ".jpg"}
# Raised whenever the same picture would be encoded in another way.
METHOD = 1
THREADS = 2
AHEAD = 16
SMALL = 128
"""Pictures up to this side are shown enlarged, with their pixels as they are."""


@dataclass(frozen=True)
class Shown:
    """A picture file of the gallery: its name in ``pictures/`` and its size in pixels."""

    name: str
    width: int
    height: int

    @property
    def small(self) -> bool:
        """Whether its pixels are to be seen as they are."""
        return max(self.width, self.height) <= SMALL


Album = dict[tuple[str, int], Shown]
"""By sha256 of the source and side: what can be shown of it."""


def form() -> Form:
    """WebP, or JPEG where this Pillow has none.

    A gallery is built again and again: at these sizes AVIF takes two to four times as long and
    its files are no smaller (photographs of 512 pixels, qualities that look alike).
    """
    from PIL import features

    return "webp" if features.check("webp") else "jpeg"


def file_name(sha256: str, side: int, made_as: Form) -> str:
    """The file's name: a hash of what the picture is and of how it was encoded."""
    made = f"{sha256} {side} {QUALITY[side]} {made_as} {METHOD}"
    return hashlib.sha256(made.encode()).hexdigest()[:32] + SUFFIXES[made_as]


def put_pictures(
    folder: GalleryFolder,
    wanted: Iterable[tuple[str, int]],
    read: Callable[[str], bytes | None],
    said: Callable[[int], None],
) -> Album:
    """Encode what is not in the folder yet; what cannot be read or is no picture is left out.

    ``wanted`` are pairs of a source's sha256 and a side in pixels, ``read`` gives a source's
    bytes, ``said`` is told how many are done.
    """
    album: Album = {}
    made_as = form()
    missing: list[tuple[str, int]] = []
    done = 0
    for sha, side in dict.fromkeys(wanted):
        name = file_name(sha, side, made_as)
        if folder.has(f"pictures/{name}") and name in folder.sizes:
            width, height = folder.sizes[name]
            album[sha, side] = Shown(name, width, height)
            done += 1
        else:
            missing.append((sha, side))
    said(done)
    for (sha, side), picture in _encoded(missing, read, made_as):
        done += 1
        if picture is not None:
            name = file_name(sha, side, made_as)
            folder.put(f"pictures/{name}", picture.data)
            folder.sizes[name] = [picture.width, picture.height]
            album[sha, side] = Shown(name, picture.width, picture.height)
        said(done)
    return album


def _encoded(
    missing: list[tuple[str, int]], read: Callable[[str], bytes | None], made_as: Form
) -> Iterator[tuple[tuple[str, int], Picture | None]]:
    """Each with its picture, in order; a few ahead in threads, as encoding leaves Python free."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: list[tuple[tuple[str, int], Future[Picture | None]]] = []
        for key in missing:
            waiting.append((key, pool.submit(_encode, read(key[0]), key[1], made_as)))
            if len(waiting) > AHEAD:
                first, future = waiting.pop(0)
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _encode(data: bytes | None, side: int, made_as: Form) -> Picture | None:
    return None if data is None else encode_bytes(data, side, QUALITY[side], made_as)
