"""The data behind the first page: one short row per word, in files that a page loads as scripts.

A page opened from disk may not fetch anything, but it may load scripts. So each file is one call,
``tireg.add('…')``, whose only argument is JSON: the browser parses it as data, where a key such
as ``__proto__`` means nothing. Every text in it is as it will be shown: no invisible character
is left, and what JavaScript or HTML could read as more than a character is written as an escape.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tireg.report.gallery_data import MetricInfo, RunPart, Site, Word
from tireg.report.gallery_pictures import CARD, PAGE, Album
from tireg.report.pages import shown

ROWS = 1000
"""Rows of one data file: the first file alone fills the first page."""

PREVIEWS = 4
LONGEST_NOTES = 300
LONGEST_PROMPT = 200
MOST_TAGS = 50
GOOD = ("exact", "near")


def short(value: object, limit: int) -> str:
    """:func:`shown`, quick for the plain text that most values are."""
    text = "" if value is None else str(value)
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return " ".join(text.split())
    return shown(text, limit) if text else ""


def is_plain(text: str) -> bool:
    """Whether ``text`` is what it looks like, so that it may be offered for copying."""
    return bool(text) and short(text, 200) == text


def as_script(data: Any) -> bytes:
    """``tireg.add('…');`` with ``data`` as JSON, in ASCII."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&'":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return b"tireg.add('" + text.replace("\\", "\\\\").encode("ascii") + b"');\n"


class Index:
    """Rows for words, and the tables that they point into."""

    def __init__(self, site: Site, album: Album) -> None:
        self.site = site
        self.album = album
        self.metrics: dict[str, int] = {}
        self.frames: dict[str, int] = {}
        self.bases: dict[str, int] = {}
        self.groups: dict[tuple[tuple[int, int], ...], int] = {}

    def rows(self) -> list[dict[str, Any]]:
        """Every word's row, in the site's order."""
        return [self._row(word) for word in self.site.words]

    def head(self, total: int) -> dict[str, Any]:
        """What stands once: to be made after the rows."""
        return {
            "total": total,
            "bases": [short(base, 200) for base in self.bases],
            "groups": [list(map(list, group)) for group in self.groups],
            "frames": list(self.frames),
            "metrics": [self._metric(name) for name in self.metrics],
        }

    def _row(self, word: Word) -> dict[str, Any]:
        version = word.newest
        run = version.headline
        row: dict[str, Any] = {
            "i": word.id,
            "n": short(word.name, 200),
            "t": short(word.token, 200),
            "v": version.number,
            "c": short(version.created[:10], 10),
            "f": [short(family, 60) for family in version.families],
            "g": [short(tag, 100) for tag in word.tags[:MOST_TAGS]],
            "o": self._group(word),
        }
        optional: dict[str, Any] = {
            "k": word.kind,
            "b": version.base,
            "l": version.license,
            "a": word.author,
            "w": word.class_noun,
        }
        row |= {key: short(value, 100) for key, value in optional.items() if value}
        if word.notes:
            row["x"] = short(word.notes, LONGEST_NOTES)
        if word.negative:
            row["z"] = 1
        if not is_plain(word.token):
            row["h"] = 1
        if run is not None:
            row["s"] = self._scores(run)
            row["q"] = self.frames.setdefault(run.frame, len(self.frames))
        if pictures := self._pictures(word):
            row["p"] = pictures
        return row

    def _group(self, word: Word) -> int:
        """Which bases it runs on: 2 surely, 1 perhaps; words that are alike share an entry."""
        found = []
        for verdict in word.verdicts:
            sure = 2 if verdict.verdict in GOOD else 1 if verdict.verdict == "unknown" else 0
            number = self.bases.setdefault(verdict.base, len(self.bases))
            if sure:
                found.append((number, sure))
        return self.groups.setdefault(tuple(sorted(found)), len(self.groups))

    def _scores(self, run: RunPart) -> list[list[float | None]]:
        """``[metric, value, low, high]`` of each metric that has a value, each metric once."""
        found: dict[str, list[float | None]] = {}
        for score in run.scores:
            if score.value is not None and score.metric not in found:
                number = self.metrics.setdefault(score.metric, len(self.metrics))
                found[score.metric] = [
                    number, _rounded(score.value), _rounded(score.low), _rounded(score.high),
                ]  # fmt: skip
        return list(found.values())

    def _pictures(self, word: Word) -> list[list[Any]]:
        """``[card file, width, height, page file, prompt]``, the token in it as ``{token}``."""
        found: list[list[Any]] = []
        for preview in word.previews:
            card = self.album.get((preview.sha256, CARD))
            page = self.album.get((preview.sha256, PAGE))
            if card is not None and len(found) < PREVIEWS:
                prompt = preview.prompt.replace(word.token, "{token}") if word.token else ""
                large = page.name if page else card.name
                found.append(
                    [card.name, card.width, card.height, large, short(prompt, LONGEST_PROMPT)]
                )
        return found

    def _metric(self, name: str) -> dict[str, Any]:
        info = self.site.metrics.get(name, MetricInfo("higher"))
        told: dict[str, Any] = {"n": short(name, 80), "d": info.direction}
        if info.target is not None:
            told["t"] = info.target
        if info.bad:
            told["x"] = short(info.bad, 200)
        return told


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def parts(rows: Sequence[dict[str, Any]], size: int = ROWS) -> Iterator[Sequence[dict[str, Any]]]:
    """The rows in groups of ``size``, at least one group."""
    for start in range(0, max(len(rows), 1), size):
        yield rows[start : start + size]


def choices(values: Iterable[str | None]) -> list[tuple[str, int]]:
    """Each value that occurs with how often, the most frequent first."""
    counts: dict[str, int] = {}
    for value in values:
        if value:
            counts[value] = counts.get(value, 0) + 1
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
