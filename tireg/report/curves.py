"""The curves of a training run: as lines of text for a terminal, and as a picture."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tireg.domain.records import CurvePoint, Training
from tireg.errors import MissingPackageError

LEAST_WIDTH = 30
# Narrower than this, two plots side by side would have no room for their curves.
TWO_COLUMNS = 64
LEAST_SPAN = 0.01
WIDEST = 68
GAP = 4
HEIGHT = 6
INK, FAINT, LINE, BAND, MARK = "#1e1e22", "#6e6e76", "#1f5fa8", "#9fc1e6", "#c2571a"


@dataclass(frozen=True)
class Panel:
    """One measure against steps.

    ``points`` are (step, value, standard error or 0) in order of steps, all finite. ``levels``
    are values to compare with, which the scale always includes; the first is drawn as a line.
    """

    title: str
    points: tuple[tuple[int, float, float], ...]
    levels: tuple[float, ...] = ()

    @property
    def scale(self) -> tuple[float, float]:
        """Least and greatest value to be drawn, never the same."""
        values = [v + sign * e for _, v, e in self.points for sign in (-1, 1)] + [*self.levels]
        low, high = min(values), max(values)
        # What moves less than this is rounding, and is drawn as standing still.
        short = LEAST_SPAN * max(abs(low), abs(high)) - (high - low)
        if self.levels[:1] == (1.0,) and short > 0:
            return (low - short / 2, high + short / 2)
        room = max(abs(low), 1.0) * 1e-3
        return (low, high) if high > low else (low - room, high + room)


def panels(training: Training) -> list[Panel]:
    """What there is to draw of a run; empty where its record has no curve.

    Runs recorded without gains show the fixed loss itself; likeness and obedience are there
    only where a probe looked at samples.
    """
    curve = training.curve
    gains = _points(curve, lambda p: p.gain, lambda p: p.gain_error)
    found = [
        # Before the first step there is no training loss: that point holds the fixed one.
        Panel("loss of the training steps", _points(curve, lambda p: p.loss if p.step else None)),
        Panel("fall of the loss, first fixed samples ± error", gains, (0.0,))
        if gains
        else Panel("loss on the fixed samples", _points(curve, lambda p: p.validation)),
        Panel("row norm, 1: as words in use", _points(curve, lambda p: p.norm), (1.0,)),
        Panel("cosine to the start", _points(curve, lambda p: p.cosine), (1.0,)),
        Panel("likeness, 0: class noun, 1: pictures", _points(curve, lambda p: p.fidelity),
              (1.0, 0.0)),
        Panel("obedience, 1: as the class noun", _points(curve, lambda p: p.editability),
              (1.0, 0.0)),
    ]  # fmt: skip
    return [panel for panel in found if panel.points]


def _points(
    curve: Sequence[CurvePoint],
    value: Callable[[CurvePoint], float | None],
    error: Callable[[CurvePoint], float | None] = lambda _: None,
) -> tuple[tuple[int, float, float], ...]:
    found = []
    for point in sorted(curve, key=lambda p: p.step):
        seen, around = value(point), error(point) or 0.0
        if seen is not None and math.isfinite(seen):
            found.append((point.step, seen, around if math.isfinite(around) else 0.0))
    return tuple(found)


def facts(training: Training) -> list[str]:
    """What ended the run and what was kept of it, in a few sentences for people."""
    how_long = f"{training.steps:,} steps, {training.samples:,} samples, {training.seconds:,.0f} s"
    said = [f"{how_long} on {training.device} {training.dtype}"]
    if training.started:
        said.append(training.started)
    if training.stopped:
        said.append(f"stopped: {training.stopped}")
    if training.chosen_step is not None:
        variant = f", the {training.variant} rows" if training.variant else ""
        said.append(f"chosen: step {training.chosen_step:,}{variant}")
    if training.gain is not None:
        around = f" ± {_short(training.gain_error)}" if training.gain_error is not None else ""
        moved = "fell" if training.gain >= 0 else "rose"
        said.append(
            f"the loss on all fixed samples {moved} by {_short(abs(training.gain))}{around}"
        )
    if training.failed:
        said.append(f"failed: {training.failed}")
    return said


def _short(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.3f}"


def curve_lines(training: Training, *, width: int = 80, braille: bool = True) -> list[str]:
    """The curves of a run as lines of at most ``width`` columns (30 or more), without colours.

    Two plots stand side by side where there is room. The chosen step is a dotted line with its
    number under it. Without ``braille`` only ASCII is used, one character per point. Empty where
    there is no curve.
    """
    drawn = panels(training)
    if not drawn:
        return []
    width = max(LEAST_WIDTH, width)
    across = 2 if width >= TWO_COLUMNS else 1
    each = min(WIDEST, (width - GAP * (across - 1)) // across)
    lines: list[str] = []
    for fact in facts(training):
        lines += textwrap.wrap(_plain(fact, braille), width, subsequent_indent="  ")
    last = _last(training)
    for start in range(0, len(drawn), across):
        blocks = [
            _block(panel, each, last, training.chosen_step, braille=braille)
            for panel in drawn[start : start + across]
        ]
        lines.append("")
        lines += [(" " * GAP).join(row).rstrip() for row in zip(*blocks, strict=True)]
    return lines


def _plain(text: str, braille: bool) -> str:
    return text if braille else text.replace("±", "+-").encode("ascii", "replace").decode()


def _last(training: Training) -> int:
    return max(1, training.steps, *(point.step for point in training.curve))


def _block(panel: Panel, width: int, last: int, chosen: int | None, *, braille: bool) -> list[str]:
    """Title, plot, axis and steps of one panel; every line is ``width`` columns wide."""
    low, high = panel.scale
    labels = {0: _label(high, high - low), HEIGHT - 1: _label(low, high - low)}
    for level in panel.levels[:1]:
        row = round((high - level) / (high - low) * (HEIGHT - 1))
        if row not in labels:
            labels[row] = _label(level, high - low)
    gutter = max(map(len, labels.values())) + 1
    columns = width - gutter - 1
    canvas = _Canvas(columns, HEIGHT, braille=braille)
    canvas.draw(panel, last)
    mark = None if chosen is None or chosen > last else round(chosen / last * (columns - 1))
    if panel.levels:
        canvas.behind(row=round((high - panel.levels[0]) / (high - low) * (HEIGHT - 1)))
    if mark is not None:
        canvas.behind(column=mark)
    side, corner, floor, foot = ("│", "└", "─", "┴") if braille else ("|", "+", "-", "+")
    lines = [_plain(panel.title, braille)[:width].ljust(width)]
    for number, row_text in enumerate(canvas.rows()):
        lines.append(f"{labels.get(number, ''):>{gutter - 1}} {side}{row_text}")
    axis = [floor] * columns
    if mark is not None:
        axis[mark] = foot
    lines.append(f"{'':>{gutter}}{corner}{''.join(axis)}")
    lines.append(f"{'':>{gutter + 1}}{_steps(columns, last, chosen, mark)}")
    return lines


def _steps(columns: int, last: int, chosen: int | None, mark: int | None) -> str:
    """0, the chosen step and the last one under an axis; the chosen one goes first."""
    line = [" "] * columns
    wanted = [("0", 0), (str(last), columns - len(str(last)))]
    if mark is not None and chosen is not None:
        text = str(chosen)
        wanted.insert(0, (text, min(max(0, mark - len(text) // 2), columns - len(text))))
    for text, at in wanted:
        around = line[max(0, at - 1) : at + len(text) + 1]
        if at >= 0 and all(cell == " " for cell in around):
            line[at : at + len(text)] = text
    return "".join(line)


def _label(value: float, span: float) -> str:
    """``value`` with as many digits as its scale asks for."""
    if max(abs(value), span) >= 1e5 or span < 1e-6:
        return f"{value:.1e}"
    digits = min(7, max(0, 1 - math.floor(math.log10(span))))
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


class _Canvas:
    """A grid of characters with points: eight to a braille character, or one to a letter."""

    # Bits of the dots of U+2800, by column and row (Unicode, Braille Patterns).
    DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))

    def __init__(self, columns: int, rows: int, *, braille: bool) -> None:
        self.columns, self.height, self.braille = columns, rows, braille
        self.fine = (2, 4) if braille else (1, 1)
        self.cells = [[0] * columns for _ in range(rows)]
        self.back = [[" "] * columns for _ in range(rows)]

    def draw(self, panel: Panel, last: int) -> None:
        """Points, the lines between them, and a stroke of two standard errors through each."""
        low, high = panel.scale
        wide, tall = self.columns * self.fine[0] - 1, self.height * self.fine[1] - 1

        def place(step: int, value: float) -> tuple[int, int]:
            return round(step / last * wide), round((high - value) / (high - low) * tall)

        spots = [place(step, value) for step, value, _ in panel.points]
        for (x, y), (x2, y2) in zip(spots, spots[1:] or spots, strict=False):
            count = max(abs(x2 - x), abs(y2 - y), 1)
            for i in range(count + 1):
                self._dot(round(x + (x2 - x) * i / count), round(y + (y2 - y) * i / count))
        for step, value, error in panel.points:
            if error:
                x, top = place(step, value + error)
                for y in range(top, place(step, value - error)[1] + 1):
                    self._dot(x, y)

    def _dot(self, x: int, y: int) -> None:
        bit = self.DOTS[x % 2][y % 4] if self.braille else 1
        self.cells[y // self.fine[1]][x // self.fine[0]] |= bit

    def behind(self, *, row: int | None = None, column: int | None = None) -> None:
        """A dotted line across or upright, seen where there are no points."""
        for y in range(self.height):
            for x in range(self.columns):
                if x == column:
                    self.back[y][x] = "┊" if self.braille else ":"
                elif y == row:
                    self.back[y][x] = "┈" if self.braille else "."

    def rows(self) -> list[str]:
        """The grid as text."""
        return [
            "".join(self._character(y, x) for x in range(self.columns)) for y in range(self.height)
        ]

    def _character(self, y: int, x: int) -> str:
        bits = self.cells[y][x]
        if not bits:
            return self.back[y][x]
        return chr(0x2800 + bits) if self.braille else "*"


def curves_png(training: Training, title: str) -> bytes:
    """The curves of a run as a PNG of about 1,000 pixels across, empty where there is no curve.

    Raises MissingPackageError where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError(
            "drawing curves as a picture needs matplotlib, which is not installed",
            hint="pip install 'tireg[plots]'",
        ) from error
    drawn = panels(training)
    if not drawn:
        return b""
    deep = math.ceil(len(drawn) / 2)
    said = [part for fact in facts(training) for part in textwrap.wrap(_shown(fact), 130)]
    head = 0.55 + 0.19 * len(said)
    size = (9.6, head + 2.15 * deep)
    figure = Figure(figsize=size, dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    top = 1 - 0.16 / size[1]
    text: dict[str, Any] = {"parse_math": False, "va": "top", "x": 0.065}
    figure.text(y=top, s=_shown(title), size=14, color=INK, weight="bold", **text)
    figure.text(y=top - 0.33 / size[1], s="\n".join(said), size=9, color=FAINT, **text)
    grid = figure.subplots(deep, 2, squeeze=False)
    places = list(grid.flat)
    for axes, panel in zip(places, drawn, strict=False):
        _plot(axes, panel, _last(training), training.chosen_step)
    for axes in places[len(drawn) :]:
        axes.remove()
    figure.subplots_adjust(
        left=0.065, right=0.985, bottom=0.38 / size[1], top=1 - (head + 0.32) / size[1],
        wspace=0.16, hspace=0.55,
    )  # fmt: skip
    data = io.BytesIO()
    with warnings.catch_warnings():
        # Signs that matplotlib's own font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()


def _plot(axes: Any, panel: Panel, last: int, chosen: int | None) -> None:
    steps, values, errors = (list(column) for column in zip(*panel.points, strict=True))
    for level in panel.levels:
        axes.axhline(level, color=FAINT, linewidth=0.8, linestyle=(0, (1, 3)))
    if chosen is not None:
        axes.axvline(chosen, color=MARK, linewidth=1.0, linestyle=(0, (4, 3)))
        # Above the plot where the title does not reach, else inside it.
        above = chosen > 0.6 * last
        axes.annotate(
            f"{chosen:,}",
            (chosen, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2) if above else (3, -3),
            textcoords="offset points",
            va="bottom" if above else "top",
            ha="center" if above else "left",
            color=MARK,
            size=8,
        )
    if any(errors):
        lower, upper = ([v + sign * e for v, e in zip(values, errors, strict=True)]
                        for sign in (-1, 1))  # fmt: skip
        axes.fill_between(steps, lower, upper, color=BAND, alpha=0.6, linewidth=0)
    axes.plot(steps, values, color=LINE, linewidth=1.6, marker="o", markersize=3.2)
    axes.set_title(panel.title, loc="left", size=10, color=INK)
    axes.set_xlim(0, last * 1.01)
    axes.tick_params(labelsize=8, colors=FAINT)
    axes.margins(y=0.1)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
