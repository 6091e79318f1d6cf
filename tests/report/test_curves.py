"""Curves as text and as a picture: everything a run went through, in the room there is."""

from __future__ import annotations

import io
import math
import sys

import pytest
from PIL import Image

from tireg.domain.records import CurvePoint, Training
from tireg.errors import MissingPackageError
from tireg.report.curves import LEAST_WIDTH, curve_lines, curves_png, facts, panels

DRAWN = {chr(code) for code in range(0x2801, 0x2900)}


def point(step: int, **more: float | None) -> CurvePoint:
    given: dict[str, float | None] = {
        "loss": 0.2 - 0.001 * step, "validation": 0.3, "gain": 0.0005 * step, "gain_error": 0.004,
        "norm": 1.0 + 0.01 * step, "cosine": 1.0 - 0.005 * step, **more,
    }  # fmt: skip
    return CurvePoint.model_validate({"step": step, **given})


def training(*points: CurvePoint, **more: object) -> Training:
    given: dict[str, object] = {
        "steps": max((p.step for p in points), default=0), "samples": 400, "seconds": 12.0,
        "device": "cpu", "dtype": "fp32", "threads": 1, **more,
    }  # fmt: skip
    return Training.model_validate({"curve": [p.model_dump() for p in points], **given})


def probed() -> Training:
    looks = {60: (0.4, 1.0), 80: (0.7, 0.9), 100: (0.6, 0.5)}
    points = [
        point(step, fidelity=looks.get(step, (None, None))[0],
              editability=looks.get(step, (None, None))[1])
        for step in range(0, 101, 20)
    ]  # fmt: skip
    return training(
        *points, chosen_step=80, variant="balanced", gain=0.04, gain_error=0.003,
        stopped="the balance of likeness and obedience fell after step 80",
    )  # fmt: skip


@pytest.mark.parametrize("braille", [True, False])
@pytest.mark.parametrize("width", [1, 30, 47, 63, 64, 80, 100, 250])
def test_lines_fit_the_width(width: int, braille: bool) -> None:
    lines = curve_lines(probed(), width=width, braille=braille)
    assert max(map(len, lines)) <= max(width, LEAST_WIDTH)
    text = "\n".join(lines)
    for title in (
        "loss of the",
        "fall of the loss",
        "row norm",
        "cosine",
        "likeness",
        "obedience",
    ):
        assert title in text
    assert braille == bool(DRAWN & set(text))
    if not braille:
        assert text.isascii()
        assert "*" in text


def test_the_chosen_step_and_the_reason_are_marked() -> None:
    text = "\n".join(curve_lines(probed(), width=80))
    assert "stopped: the balance of likeness and obedience fell after step 80" in text
    assert "chosen: step 80, the balanced rows" in text
    assert "the loss on all fixed samples fell by 0.04 ± 0.003" in text
    for line in curve_lines(probed(), width=40):
        if "└" in line:
            assert line.count("┴") == 1
            # Four fifths of the way along the axis.
            start = line.index("└") + 1
            share = (line.index("┴") - start) / (len(line) - 1 - start)
            assert share == pytest.approx(0.8, abs=0.03)
        if line.strip().startswith("0 ") and line.strip().endswith("100"):
            assert "80" in line


def test_a_rising_line_rises() -> None:
    run = training(*(point(step, loss=0.1, norm=1 + step) for step in range(11)))
    lines = curve_lines(run, width=40)
    start = next(n for n, line in enumerate(lines) if line.startswith("row norm"))
    tops = []
    for column in range(5, 40):
        rows = [r for r in range(start + 1, start + 7) if lines[r].ljust(41)[column] in DRAWN]
        if rows:
            tops.append(rows[0])
    assert len(tops) > 25
    assert tops == sorted(tops, reverse=True)
    assert (tops[0], tops[-1]) == (start + 6, start + 1)
    assert lines[start + 1].startswith("11"), "the greatest value stands at the top"


def test_only_what_was_measured_is_drawn() -> None:
    old = training(
        *(point(s, gain=None, gain_error=None, validation=0.3 - s / 100) for s in (0, 9))
    )
    titles = [panel.title for panel in panels(old)]
    assert "loss on the fixed samples" in titles
    assert not [t for t in titles if "likeness" in t or "fall" in t]
    assert panels(training()) == []
    assert curve_lines(training()) == []
    assert curves_png(training(), "nothing") == b""


def test_the_first_point_has_no_training_loss() -> None:
    (loss, *_) = panels(training(point(0, loss=9.0), point(5, loss=0.1)))
    assert [step for step, _, _ in loss.points] == [5]


@pytest.mark.parametrize("value", [0.0, 0.3, 1e7, -1e-9])
def test_flat_single_and_huge_curves_are_drawn(value: float) -> None:
    for steps in ((0,), (3,), (0, 1), (0, 500_000)):
        run = training(*(point(s, loss=value, norm=value, cosine=value) for s in steps))
        lines = curve_lines(run, width=80)
        assert max(map(len, lines)) <= 80
        assert DRAWN & set("".join(lines))


def test_what_is_not_finite_is_left_out() -> None:
    broken = CurvePoint.model_construct(
        step=2, loss=math.nan, norm=math.inf, cosine=0.5, gain=0.1, gain_error=math.nan
    )
    run = training(point(0), point(1)).model_copy(update={"curve": (point(0), point(1), broken)})
    assert all(math.isfinite(v) for p in panels(run) for _, v, _ in p.points)
    assert curve_lines(run, width=80)


def test_a_failed_run_says_so() -> None:
    run = training(point(0), point(4), gain=-0.002, gain_error=0.001, failed="it did not fall")
    assert "the loss on all fixed samples rose by 0.002 ± 0.001" in facts(run)
    assert "failed: it did not fall" in facts(run)


def test_the_picture_is_a_png_with_something_in_it() -> None:
    # Dollar signs are mathematics to matplotlib, other scripts are not in its font.
    data = curves_png(probed(), "cat@1  $\\frac$ 猫\x07")
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert 900 <= picture.width <= 1200
        assert picture.height > 600
        colours = picture.convert("RGB").getcolors(picture.width * picture.height)
    assert colours is not None
    assert sum(count for count, colour in colours if colour == (0x1F, 0x5F, 0xA8)) > 200
    assert curves_png(probed(), "cat@1  $\\frac$ 猫\x07") == data, "the same for the same"


def test_without_matplotlib_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match="matplotlib") as caught:
        curves_png(probed(), "cat@1")
    assert caught.value.hint == "pip install 'tireg[plots]'"
