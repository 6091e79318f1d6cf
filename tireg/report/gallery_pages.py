"""The pages of a gallery that are readable without a script: one per word, and plain lists."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tireg.report.gallery_data import MetricInfo, RunPart, ScoreLine, Site, VersionPart, Word
from tireg.report.gallery_index import is_plain
from tireg.report.gallery_pictures import CARD, PAGE, Album, Shown
from tireg.report.pages import environment, shown

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Scripts, styles and pictures from the gallery's own place, nothing else from anywhere.

``'self'`` means the site when served. Opened from disk it means files (Chromium 156, tried);
a scheme source ``file:`` would mean the same there and hashes do not work: Chromium wants an
integrity attribute for them, which it can only check on a request with CORS, and files have none.
Trusted types forbid every way from text to markup or code, should a script of ours ever try one.
"""

LIST_ROWS = 200
SCRIPTS = ("gallery", "gallery_cards", "gallery_compare", "gallery_index")
PAGE_SCRIPTS = ("gallery", "gallery_page")
STYLE = "gallery"
BAR = 160


@dataclass(frozen=True)
class Assets:
    """Paths of scripts and style below the gallery, each named by its content."""

    style: str
    icon: str
    scripts: tuple[str, ...]
    page_scripts: tuple[str, ...]


def assets() -> tuple[Assets, dict[str, bytes]]:
    """Where they lie, and their bytes by path."""
    found: dict[str, bytes] = {}

    def add(name: str, suffix: str, text: str) -> str:
        data = text.encode("utf-8")
        path = f"assets/{name}-{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
        found[path] = data
        return path

    style = add(STYLE, "css", environment().get_template("gallery.css.jinja").render())
    icon = add("gallery_icon", "svg", _source("gallery_icon.svg"))
    scripts = {name: add(name, "js", _source(f"{name}.js")) for name in (*SCRIPTS, "gallery_page")}
    return (
        Assets(
            style,
            icon,
            tuple(scripts[name] for name in SCRIPTS),
            tuple(scripts[name] for name in PAGE_SCRIPTS),
        ),
        found,
    )


@cache
def _source(name: str) -> str:
    return files("tireg.report").joinpath("templates", name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> bytes:
    """A page as UTF-8."""
    made = environment().get_template(template).render(csp=CSP, **values)
    return made.encode("utf-8", "replace")


class Pages:
    """Renders the static pages of one site."""

    def __init__(self, site: Site, album: Album, style: Assets) -> None:
        self.site = site
        self.album = album
        self.assets = style
        self.records = {v.record: (word, v) for word in site.words for v in word.versions}
        self.children: dict[str, list[tuple[Word, VersionPart]]] = {}
        for word in site.words:
            for version in word.versions:
                if version.parent and version.parent.record:
                    self.children.setdefault(version.parent.record, []).append((word, version))

    def index(self, scripts: tuple[str, ...], choices: Mapping[str, Any]) -> bytes:
        """The first page, with the data files it loads: the first, then after ours the rest."""
        return render(
            "gallery_index.html.jinja",
            site=self.site,
            assets=self.assets,
            up="",
            title=self.site.title,
            data=scripts,
            choices=choices,
            total=len(self.site.words),
        )

    def word(self, word: Word) -> bytes:
        """The page of one word."""
        pictures = [
            (self.album[p.sha256, PAGE], p.prompt)
            for p in word.previews
            if (p.sha256, PAGE) in self.album
        ]
        return render(
            "gallery_word.html.jinja",
            site=self.site,
            assets=self.assets,
            up="../",
            title=f"{shown(word.name, 100)} – {shown(self.site.title, 100)}",
            word=word,
            newest=word.newest,
            pictures=pictures,
            thumbnail=self._thumbnail,
            runs=[(run, self._score_rows(run)) for run in _newest_runs(word.newest)],
            parent_of=self._parent,
            children_of=self._children,
            can_copy=is_plain,
        )

    def plain_list(self, number: int) -> bytes:
        """Page ``number``, from 1, of the list that needs no script."""
        words = self.site.words[(number - 1) * LIST_ROWS : number * LIST_ROWS]
        return render(
            "gallery_list.html.jinja",
            site=self.site,
            assets=self.assets,
            up="../",
            title=f"{shown(self.site.title, 100)}, page {number}",
            words=[(word, self._thumbnail(word.previews)) for word in words],
            number=number,
            pages=list_pages(len(self.site.words)),
            total=len(self.site.words),
        )

    def _thumbnail(self, previews: Any) -> Shown | None:
        found = (self.album.get((preview.sha256, CARD)) for preview in previews)
        return next((picture for picture in found if picture is not None), None)

    def _parent(self, version: VersionPart) -> dict[str, Any] | None:
        """What a version was started from: its name, and its page where it is in the gallery."""
        if version.parent is None:
            return None
        known = self.records.get(version.parent.record or "")
        if known is None:
            return {"name": version.parent.name, "page": None}
        return {"name": f"{known[0].name}@{known[1].number}", "page": f"{known[0].id}.html"}

    def _children(self, version: VersionPart) -> list[dict[str, str]]:
        """Versions that were started from this one."""
        return [
            {"name": f"{word.name}@{child.number}", "page": f"{word.id}.html"}
            for word, child in self.children.get(version.record, [])
        ]

    def _score_rows(self, run: RunPart) -> list[dict[str, Any]]:
        return [
            {"score": score, "info": self._info(score), "bar": _bar(score, self._info(score))}
            for score in run.scores
        ]

    def _info(self, score: ScoreLine) -> MetricInfo:
        return self.site.metrics.get(score.metric, MetricInfo("", None, ""))


def list_pages(total: int) -> int:
    """How many pages the plain list has."""
    return max(1, -(-total // LIST_ROWS))


def _newest_runs(version: VersionPart) -> list[RunPart]:
    """The newest run per base and suite, that of its own base first."""
    newest: dict[tuple[str, str, int], RunPart] = {}
    for run in sorted(version.runs, key=lambda run: run.created):
        newest[run.base, run.suite, run.suite_version] = run
    return sorted(newest.values(), key=lambda run: (run.base != version.base, run.base, run.suite))


def _bar(score: ScoreLine, info: MetricInfo) -> dict[str, float | None] | None:
    """Where value, interval, baseline and target lie on a line of ``BAR`` pixels."""
    if score.value is None:
        return None
    marks = [
        mark
        for mark in (score.value, score.low, score.high, score.baseline, info.target)
        if mark is not None
    ]
    least, most = min(marks), max(marks)
    if most - least < 1e-9:
        return None
    inner, edge = BAR - 12, 6

    def at(mark: float | None) -> float | None:
        return None if mark is None else round(edge + inner * (mark - least) / (most - least), 1)

    return {
        "value": at(score.value),
        "low": at(score.low),
        "high": at(score.high),
        "baseline": at(score.baseline),
        "target": at(info.target),
    }
