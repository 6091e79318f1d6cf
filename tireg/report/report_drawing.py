"""Small drawings of a report as inline SVG: intervals on a scale, and the curves of a run.

Only numbers go in, so nothing has to be escaped; colours are those of the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tireg.domain.records import Training
from tireg.report.curves import Panel, panels
from tireg.report.pages import number
from tireg.report.report_data import Ladder, Mark, ScoreRow

MOST_POINTS = 400
WIDE, TALL = 340, 150
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 22


@dataclass(frozen=True)
class Scale:
    """From values to per cent of a width, with some room at both ends."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float | None]) -> Scale:
        """A scale that shows all of ``values``; what is not finite is passed over."""
        known = [v for v in values if v is not None and math.isfinite(v)] or [0.0]
        low, high = min(known), max(known)
        room = (high - low) * 0.06 or max(abs(high), 1.0) * 0.05
        return cls(low - room, high + room)

    def at(self, value: float) -> float:
        """0..100."""
        return min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low)))


def strip(
    scale: Scale,
    value: float,
    ci: tuple[float, float] | None,
    *,
    kind: str = "token",
    against: float | None = None,
) -> Markup:
    """One value with its interval on a line; ``against`` is drawn as an upright stroke."""
    if not math.isfinite(value):
        return Markup("")
    parts = ['<line class="rail" x1="0" x2="100%" y1="9" y2="9"/>']
    if against is not None and math.isfinite(against):
        x = scale.at(against)
        parts.append(f'<line class="against" x1="{x:.2f}%" x2="{x:.2f}%" y1="1" y2="17"/>')
    if ci is not None and all(math.isfinite(bound) for bound in ci):
        a, b = scale.at(ci[0]), scale.at(ci[1])
        parts.append(f'<line class="span" x1="{a:.2f}%" x2="{b:.2f}%" y1="9" y2="9"/>')
    parts.append(f'<circle cx="{scale.at(value):.2f}%" cy="9" r="5"/>')
    return Markup(
        '<svg class="strip {}" width="100%" height="18" aria-hidden="true">{}</svg>'
    ).format(kind, Markup("".join(parts)))


def score_strip(row: ScoreRow) -> Markup:
    """A score beside its baseline, on a scale of its own."""
    bounds = row.ci or (None, None)
    scale = Scale.over([row.value, row.baseline, *bounds])
    kind = "bad" if row.bad else "token"
    return strip(scale, row.value, row.ci, kind=kind, against=row.baseline)


def ladder_strips(ladder: Ladder) -> list[tuple[Mark, Markup]]:
    """Every mark with its strip, all on one scale."""
    scale = Scale.over([v for mark in ladder.marks for v in (mark.value, mark.low, mark.high)])
    return [
        (mark, strip(scale, mark.value, _interval(mark), kind=mark.kind)) for mark in ladder.marks
    ]


def _interval(mark: Mark) -> tuple[float, float] | None:
    return None if mark.low is None or mark.high is None else (mark.low, mark.high)


def curve_drawings(training: Training) -> list[tuple[str, Markup]]:
    """Title and drawing of every curve that the run has."""
    last = max(1, training.steps, *(point.step for point in training.curve))
    return [(panel.title, _curve(panel, last, training.chosen_step)) for panel in panels(training)]


def _curve(panel: Panel, last: int, chosen: int | None) -> Markup:
    low, high = panel.scale
    if not math.isfinite(high - low):
        return Markup("")
    points = panel.points[:: max(1, math.ceil(len(panel.points) / MOST_POINTS))]

    def x(step: float) -> float:
        return LEFT + step / last * (WIDE - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (TALL - TOP - BOTTOM)

    parts = []
    for level in panel.levels:
        parts.append(
            f'<line class="level" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{y(level):.1f}" '
            f'y2="{y(level):.1f}"/>'
        )
    if chosen is not None and chosen <= last:
        parts.append(
            f'<line class="chosen" x1="{x(chosen):.1f}" x2="{x(chosen):.1f}" y1="{TOP}" '
            f'y2="{TALL - BOTTOM}"/>'
        )
    if any(error for _, _, error in points):
        upper = [f"{x(s):.1f},{y(v + e):.1f}" for s, v, e in points]
        lower = [f"{x(s):.1f},{y(v - e):.1f}" for s, v, e in reversed(points)]
        parts.append(f'<polygon class="band" points="{" ".join(upper + lower)}"/>')
    line = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v, _ in points)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    if len(points) <= 40:
        parts += [f'<circle cx="{x(s):.1f}" cy="{y(v):.1f}" r="2.2"/>' for s, v, _ in points]
    parts += _axes(low, high, last, y, {*panel.levels[:1]})
    # The svg is for the eye; what it says is in the sentence beside it.
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDE, TALL, _told(panel), Markup("".join(parts)))


def _axes(
    low: float, high: float, last: int, y: Callable[[float], float], levels: set[float]
) -> list[str]:
    digits = min(6, max(0, 1 - math.floor(math.log10(high - low))))
    wanted: dict[float, float] = {low: TALL - BOTTOM, high: TOP}
    for level in levels:
        at = y(level)
        if TOP + 14 < at < TALL - BOTTOM - 14:
            wanted[level] = at
    parts = [
        f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(v, digits)}</text>'
        for v, at in wanted.items()
    ]
    floor = TALL - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{floor}" y2="{floor}"/>')
    parts.append(f'<text x="{LEFT}" y="{TALL - 6}">0</text>')
    parts.append(f'<text x="{WIDE - RIGHT}" y="{TALL - 6}" text-anchor="end">{last:,} steps</text>')
    return parts


def _told(panel: Panel) -> str:
    first, final = panel.points[0], panel.points[-1]
    return (
        f"{panel.title}: {number(first[1], 4)} at step {first[0]}, "
        f"{number(final[1], 4)} at step {final[0]}"
    )
