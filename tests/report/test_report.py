"""The pages of reports: text stays text, pictures fit, drawings say what the numbers say."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from typing import Any, Literal, get_origin, get_type_hints

import numpy as np
import pytest
from PIL import Image

from tests.report.reading import HOSTILE, read_safely
from tireg.domain.records import CurvePoint, Training
from tireg.report.pages import best_form, encode, encode_bytes, exact, number, page, shown, size
from tireg.report.report import MOST_BYTES, render_comparison, render_report
from tireg.report.report_data import (
    ComparedScore,
    ComparePage,
    CompatRow,
    Copies,
    Extremes,
    Finding,
    Group,
    Ladder,
    Left,
    Mark,
    Neighbour,
    Pair,
    Photo,
    Pick,
    PromptRow,
    ReportPage,
    ScoreRow,
    Side,
    Verdict,
)
from tireg.report.report_drawing import Scale, curve_drawings, strip
from tireg.report.report_pictures import make_album

TRAINING = Training(
    steps=100, samples=400, seconds=3.5, device="cpu", dtype="fp32", threads=1, chosen_step=80,
    curve=tuple(
        CurvePoint(step=n, loss=0.1, validation=0.2, gain=n * 1e-4, gain_error=1e-5, norm=1.0,
                   cosine=1 - n / 500, fidelity=n / 100, editability=1.0)
        for n in range(0, 101, 10)
    ),
)  # fmt: skip


def png(seed: int, side: int = 24) -> bytes:
    rng = np.random.default_rng(seed)
    data = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(data, "PNG")
    return data.getvalue()


def photo(seed: int, side: int = 24, alt: str = "a picture") -> Photo:
    return Photo(f"{seed}-{side}", alt, lambda: png(seed, side))


def prompt_row(name: str, first: int, seeds: int = 2, side: int = 24) -> PromptRow:
    token = tuple(photo(first + n, side) for n in range(seeds))
    noun = tuple(photo(first + 500 + n, side) for n in range(seeds))
    groups = (Group("with <cat>", "token", "a <cat>", token), Group("cat", "class", "a cat", noun))
    return PromptRow(name, "context", groups)


SCORE = ScoreRow("concept_fidelity", "Concept fidelity", "Is it?", 0.7, (0.5, 0.9), 0.95, 0.0,
                 "class noun", "nearest 1", True, "near 0", 9, 4, 0.01, "clip")  # fmt: skip
VERDICT = Verdict(
    "good", "It looks like its pictures.", (Finding("bad", "copying", "It copies."),),
    ("copies",), ("Few prompts.",),
)  # fmt: skip


def full_page() -> ReportPage:
    """A page with something in every part."""
    row = prompt_row("beach", 10)
    return ReportPage(
        ref="cat@1", token="<cat>", about=(("kind", "object"),), verdict=VERDICT,
        made="Made today", learned=(photo(1), photo(2)), previews=(photo(3),),
        ladder=Ladder("clip", 0.95, (Mark("k", "class", 0.4), Mark("it", "token", 0.6, 0.5, 0.7))),
        asked="Suite core", scores=(SCORE, dataclasses.replace(SCORE, ci=None, bad=None)),
        unscored=(("Copying", "nobody looked"),), noun="'cat'", prompts=(row,),
        free=(dataclasses.replace(prompt_row("dog", 90), equal=True),),
        pictures_note="Some are gone.",
        sheet=photo(5, 200), extremes=(Extremes("Fidelity", (Pick("worst", 0.1, row),), "few"),),
        copies=Copies("clip", True, 0.5, (Neighbour(photo(6), photo(1), 0.9, "b", 3),), 0.4, 0.8),
        copies_note="A note.", training=TRAINING, training_note="100 steps.",
        home_words="Elsewhere.",
        left=(Left("Fidelity", 0.5, 0.4, 0.8, (0.6, 1.0)), Left("Other", 0.0, 0.1, None, None)),
        compat=(CompatRow("sd", "sd1", "near", "alike", "use it", "draws"),),
        other_runs=(("2026", "another"),), recipe=(("steps", "100"),), usual="batch 4",
        identity=(("record", "abc"),), commands=(("Score", "tireg eval cat"),), notes="A\nnote",
    )  # fmt: skip


def full_comparison() -> ComparePage:
    """A comparison with something in every part."""
    sides = tuple(Side(f"cat@{n}", "<cat>", "sd", VERDICT, (photo(n),)) for n in (1, 2))
    pairs = (
        Pair("cat@1", "cat@2", ("a is better",), ("they differ",), ("perhaps",), ("none",), ("n",)),
        Pair("cat@1", "cat@3", missing="not scored", hint="tireg eval"),
    )
    return ComparePage(
        title="cat@1 against cat@2", headline="Better.", made="today", sides=sides, pairs=pairs,
        asked="core", scores=(ComparedScore("Fidelity", "higher", (SCORE, None)),),
        prompts=(prompt_row("beach", 10),), pictures_note="gone", recipes=(("steps", ("1", "2")),),
        commands=(("Score", "tireg eval"),),
    )  # fmt: skip


def poisoned(value: Any, text: str) -> Any:
    """``value`` with ``text`` for every string that is no key of our own."""
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(poisoned(item, text) for item in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    hints = get_type_hints(type(value))
    changed = {
        field.name: poisoned(getattr(value, field.name), text)
        for field in dataclasses.fields(value)
        if get_origin(hints[field.name]) is not Literal and field.name != "key"
    }
    return dataclasses.replace(value, **changed)


def test_a_full_page_is_whole_and_loads_nothing() -> None:
    done = render_report(full_page())
    read = read_safely(done.html)
    assert done.html.startswith("<!doctype html>\n<html lang=")
    assert done.left_out == done.gone == 0
    # Nine keys; the equal pair is shown by one group, the picked row twice.
    assert done.pictures == 3 + 1 + 1 + 4 + 2
    assert len(read.pictures) == done.pictures + 3
    for said in ("It looks like its pictures.", "nobody looked", "0.500 to 0.900", "80%"):
        assert said in read.text
    assert "equal to the last pixel" in read.text
    assert done.html.count('class="plot"') == 6


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_field_is_text(text: str) -> None:
    for html in (
        render_report(poisoned(full_page(), text)).html,
        render_comparison(poisoned(full_comparison(), text)).html,
    ):
        read = read_safely(html)
        assert shown(text) in read.text
        assert any(shown(text) in alt for alt in read.alts)


def test_every_field_of_a_page_is_shown() -> None:
    """So that what the test above poisons is everything a page shows, and nothing is forgotten."""
    fields: dict[str, str] = {}

    def mark(value: Any, where: str = "") -> Any:
        if isinstance(value, str):
            text = f"mark{len(fields)}x"
            fields[text] = where
            return text
        if isinstance(value, tuple):
            return tuple(mark(item, where) for item in value)
        if not dataclasses.is_dataclass(value) or isinstance(value, type):
            return value
        hints = get_type_hints(type(value))
        kept = [f.name for f in dataclasses.fields(value) if f.name != "key"]
        changed = {
            name: mark(getattr(value, name), f"{type(value).__name__}.{name}")
            for name in kept
            if get_origin(hints[name]) is not Literal
        }
        return dataclasses.replace(value, **changed)

    missing = set()
    for render, told in ((render_report, full_page()), (render_comparison, full_comparison())):
        html = render(mark(told)).html
        missing |= {where for text, where in fields.items() if text not in html}
        fields.clear()
    # What has a title needs no key; equal pictures are shown once, a picked row by one picture
    # of each group; a comparison has less room for each score.
    assert missing == {
        "Finding.metric", "ScoreRow.metric", "ScoreRow.encoder", "Group.text",
        "Group.label", "Photo.alt", "PromptRow.role", "ScoreRow.asks", "ScoreRow.bad_words",
        "ScoreRow.baseline_name", "ScoreRow.title", "ScoreRow.better",
    }  # fmt: skip


def test_pages_of_nothing() -> None:
    bare = ReportPage(
        ref="x@1", token="", about=(), verdict=Verdict("unknown", "Not scored yet."),
        made="today", training_note="It was imported.",
    )  # fmt: skip
    read = read_safely(render_report(bare).html)
    assert "Not scored yet." in read.text
    assert read.pictures == []


def test_pictures_that_are_gone_or_broken_leave_a_word() -> None:
    row = PromptRow("beach", "context", (
        Group("with", "token", "a", (Photo("gone", "the gone one", lambda: None),)),
        Group("without", "class", "b", (Photo("bad", "the broken one", lambda: b"GIF89a"),)),
    ))  # fmt: skip
    done = render_report(dataclasses.replace(full_page(), prompts=(row,), extremes=()))
    read = read_safely(done.html)
    assert done.gone == 2
    assert "the gone one: missing" in read.alts
    assert "the broken one: missing" in read.alts


def test_a_page_stays_under_its_size() -> None:
    told = dataclasses.replace(
        full_page(),
        extremes=(),
        prompts=tuple(prompt_row(f"p{n}", 1000 * n + 2000, 3, 128) for n in range(6)),
    )
    whole = render_report(told)
    most = 110_000
    done = render_report(told, most_bytes=most)
    assert len(done.html.encode()) <= most < len(whole.html.encode()) <= MOST_BYTES < 5_000_000
    assert done.left_out > 0
    assert done.pictures + done.left_out == whole.pictures
    read = read_safely(done.html)
    assert any("left out" in alt for alt in read.alts)
    # What matters most stays: verdict, previews, then the first seed of every prompt.
    album = make_album(told.photos(), most - 60_000, whole=[])
    firsts = [row.groups[0].photos[0].key for row in told.prompts]
    lasts = [row.groups[1].photos[-1].key for row in told.prompts]
    assert sum(key in album.pictures for key in firsts) > sum(k in album.pictures for k in lasts)
    assert told.previews[0].key in album.pictures


def test_small_pictures_keep_every_pixel_and_large_ones_shrink() -> None:
    small, large = photo(1, 32), photo(2, 700)
    album = make_album([small, large], 1_000_000)
    with Image.open(io.BytesIO(album.pictures[small.key].data)) as kept:
        assert np.array_equal(
            np.asarray(kept.convert("RGB")), np.asarray(Image.open(io.BytesIO(png(1, 32))))
        )
    assert max(album.pictures[large.key].width, album.pictures[large.key].height) == 320


def test_pictures_lose_what_they_told_besides() -> None:
    image = Image.new("RGBA", (200, 100), (255, 0, 0, 0))
    exif = Image.Exif()
    exif[0x010E] = "Mr. Secret lives here"
    data = io.BytesIO()
    image.save(data, "PNG", exif=exif)
    for form in ("avif", "webp", "jpeg"):
        if form != "jpeg" and best_form() not in ("avif", form):
            continue
        made = encode_bytes(data.getvalue(), 64, form=form)
        assert made is not None
        assert (made.width, made.height) == (64, 32)
        assert b"Secret" not in made.data
        assert base64.b64encode(made.data).decode() in made.uri
        with Image.open(io.BytesIO(made.data)) as again:
            assert np.asarray(again.convert("RGB")).min() > 250
    assert b"Secret" not in exact(image).data
    assert encode(Image.new("L", (9, 9)), 100).width == 9
    assert encode_bytes(b"no picture", 64) is None
    assert encode_bytes(png(1)[:60], 64) is None


def test_a_bomb_is_no_picture() -> None:
    bomb = png(1, 8).replace((8).to_bytes(4, "big") * 2, (60_000).to_bytes(4, "big") * 2)
    assert encode_bytes(bomb, 64) is None
    assert make_album([Photo("bomb", "b", lambda: bomb)], 10_000).gone == {"bomb"}


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("a\x1bb", "a⟨U+001B⟩b"), ("a\u202eb", "a⟨U+202E⟩b"), ("\ud800", "⟨U+D800⟩"),
        ("a\n\tb  c", "a b c"), (None, "–"), ("", "–"), (3, "3"), ("a\u200db", "a⟨U+200D⟩b"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"), ("שלום", "שלום"),
        ("a\u2028b", "a⟨U+2028⟩b"), ("e\u0301" + "\u0301" * 9, "e" + "\u0301" * 4),
        ("x" * 30, "x" * 20 + " … (10 more characters)"),
    ],
)  # fmt: skip
def test_shown(given: object, seen: str) -> None:
    assert shown(given, 20) == seen


def test_shown_keeps_lines_where_asked() -> None:
    assert shown("a  b\n\tc\r", lines=True) == "a b\nc⟨U+000D⟩"


def test_numbers_and_sizes() -> None:
    assert number(-0.0001) == "0.000"
    assert number(-0.5, 1) == "−0.5"
    assert number(0.25, 2, sign=True) == "+0.25"
    assert number(None) == number(math.nan) == number(math.inf) == "–"
    assert len(number(-1e300)) < 12
    assert [size(n) for n in (5, 1500, 25_000, 3e6, 4e9)] == [
        "5 bytes", "1.5 kB", "25 kB", "3.0 MB", "4.0 GB",
    ]  # fmt: skip


def test_strips_are_to_scale() -> None:
    scale = Scale(0.0, 2.0)
    drawn = strip(scale, 1.0, (0.5, 1.5), against=2.0)
    assert 'x1="25.00%" x2="75.00%"' in drawn
    assert 'cx="50.00%"' in drawn
    assert 'class="against" x1="100.00%"' in drawn
    assert strip(scale, math.nan, None) == ""
    assert "nan" not in strip(scale, 1.0, (math.nan, 1.0), against=math.inf)
    one = Scale.over([3.0, None, math.inf])
    assert one.low < 3.0 < one.high


def test_curves_of_odd_runs() -> None:
    long = TRAINING.model_copy(
        update={
            "steps": 20_000,
            "curve": tuple(
                TRAINING.curve[1].model_copy(update={"step": n, "gain": math.sin(n)})
                for n in range(5000)
            ),
        }
    )
    drawn = dict(curve_drawings(long))
    assert len("".join(drawn.values())) < 120_000
    flat = TRAINING.model_copy(update={"curve": TRAINING.curve[:1], "steps": 0})
    broken = TRAINING.curve[1].model_copy(update={"loss": math.nan, "norm": math.inf})
    for training in (flat, TRAINING.model_copy(update={"curve": (broken,)})):
        for _, svg in curve_drawings(training):
            assert "nan" not in svg
            assert "inf" not in svg
    assert curve_drawings(TRAINING.model_copy(update={"curve": ()})) == []


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        page("report.html.jinja", page=full_page())
