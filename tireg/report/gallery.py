"""A gallery: the words of a registry as a folder of pages that opens from disk or from a server.

    index.html          search, filters, sorting, comparison
    words/ID.html       a page per word, readable without a script
    list/N.html         plain lists, for browsers without scripts
    data/ assets/       rows as scripts, styles and code, named by what is in them
    pictures/           previews, named by what they show
    tireg-gallery.json  marks the folder as a gallery of ours

Pages replace their forerunners one by one, the first page last: whoever looks meanwhile sees the
old gallery or the new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tireg.report.gallery_data import Site, Word
from tireg.report.gallery_folder import GalleryFolder
from tireg.report.gallery_index import Index, as_script, choices, parts, short
from tireg.report.gallery_pages import Pages, assets, list_pages
from tireg.report.gallery_pictures import CARD, PAGE, put_pictures

MOST_PREVIEWS = 12
"""Pictures of a version that its page shows."""

Read = Callable[[str], bytes | None]
Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Built:
    """What became of a build: words shown, files written or changed, files removed."""

    index: Path
    words: int
    pictures: int
    written: int
    removed: int


def write_gallery(site: Site, folder: Path, read: Read, say: Say) -> Built:
    """Write ``site`` into ``folder``, or bring the gallery there up to date.

    ``read`` gives the bytes of a picture by sha256, None where it is not there; ``say`` is told
    a task, how much of it is done, and of how much. Raises ConfigError for a folder that is not
    a gallery and not empty, or cannot be written to.
    """
    place = GalleryFolder.open(folder)
    wanted = _wanted(site)
    album = put_pictures(place, wanted, read, lambda done: say("pictures", done, len(wanted)))
    if wanted:
        place.checkpoint()
    paths, sources = assets()
    for path, data in sources.items():
        place.put(path, data)
    index = Index(site, album)
    scripts = _put_data(place, index)
    pages = Pages(site, album, paths)
    for number, word in enumerate(site.words, 1):
        place.put(f"words/{word.id}.html", pages.word(word))
        if number % 50 == 0 or number == len(site.words):
            say("pages", number, len(site.words))
    for number in range(1, list_pages(len(site.words)) + 1):
        place.put(f"list/{number}.html", pages.plain_list(number))
    place.put("index.html", pages.index(scripts, _choices(site)))
    removed = place.close()
    shown = len({sha for sha, _ in album})
    return Built(folder / "index.html", len(site.words), shown, place.written, removed)


def _wanted(site: Site) -> list[tuple[str, int]]:
    """Every picture with the sizes it is shown in, each once."""
    found: dict[tuple[str, int], None] = {}
    for word in site.words:
        for number, preview in enumerate(word.previews[:MOST_PREVIEWS]):
            found[preview.sha256, PAGE] = None
            if number < 4:
                found[preview.sha256, CARD] = None
        for version in word.versions:
            for preview in version.previews[:1]:
                found[preview.sha256, CARD] = None
    return list(found)


def _put_data(place: GalleryFolder, index: Index) -> tuple[str, ...]:
    """Write the rows; the paths of their files, the one with the tables first."""
    rows = index.rows()
    scripts = []
    for number, part in enumerate(parts(rows)):
        scripts.append(_put_script(place, f"cards-{number}", {"rows": part}))
    return (_put_script(place, "head", index.head(len(rows))), *scripts)


def _put_script(place: GalleryFolder, name: str, data: dict[str, Any]) -> str:
    script = as_script(data)
    path = f"data/{name}-{hashlib.sha256(script).hexdigest()[:12]}.js"
    place.put(path, script)
    return path


def _choices(site: Site) -> dict[str, list[tuple[str, int]]]:
    """What the filters offer, with how many words each leaves."""
    words = site.words
    good: list[str | None] = [
        short(v.base, 200)
        for word in words
        for v in word.verdicts
        if v.verdict in ("exact", "near")
    ]
    return {
        "kind": choices(short(word.kind, 100) for word in words),
        "family": choices(short(f, 60) for word in words for f in word.newest.families),
        "base": choices(good),
        "license": choices(short(word.newest.license, 100) for word in words),
        "tags": choices(short(tag, 100) for word in words for tag in word.tags)[:500],
    }


__all__ = ["Built", "Read", "Say", "Site", "Word", "write_gallery"]
