"""A report as one HTML file: no script, no other file, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tireg.report.pages import page
from tireg.report.report_data import ComparePage, Photo, Rendered, ReportPage, shown_groups
from tireg.report.report_drawing import curve_drawings, ladder_strips, score_strip
from tireg.report.report_pictures import SMALL, Album, Said, make_album

MOST_BYTES = 4_800_000
GENERATOR = "tireg report"
"""What the page names as its generator: by it a file is known to be ours."""


def _quiet(done: int, total: int) -> None:
    return None


def render_report(
    told: ReportPage, *, most_bytes: int = MOST_BYTES, said: Said = _quiet
) -> Rendered:
    """The page about one embedding, at most ``most_bytes`` long.

    ``said`` is told how many pictures are encoded, of how many.
    """
    values = {
        "ladder": ladder_strips(told.ladder) if told.ladder else [],
        "curves": curve_drawings(told.training) if told.training else [],
    }
    whole = [told.sheet] if told.sheet else []
    return _render("report.html.jinja", told, most_bytes, said, whole=whole, **values)


def render_comparison(
    told: ComparePage, *, most_bytes: int = MOST_BYTES, said: Said = _quiet
) -> Rendered:
    """The page that compares embeddings, at most ``most_bytes`` long."""
    return _render("report_compare.html.jinja", told, most_bytes, said)


def _render(
    template: str,
    told: ReportPage | ComparePage,
    most: int,
    said: Said,
    *,
    whole: Sequence[Photo] = (),
    **values: Any,
) -> Rendered:
    """Text first, to know what room it leaves for pictures; then both."""
    album = Album()

    def text() -> str:
        return page(
            template, page=told, album=album, generator=GENERATOR, small=SMALL,
            strip=score_strip, shown_groups=shown_groups, **values,
        )  # fmt: skip

    photos = list(told.photos())
    # Without pictures each is a word; with them it is its element around the address.
    room = most - len(text().encode()) - 200 * len(photos)
    album = make_album(photos, room, whole=whole, said=said)
    html = text()
    return Rendered(html, len(album.pictures), len(album.left_out), len(album.gone))
