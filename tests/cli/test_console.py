"""Printing: clean, aligned, machine-readable where asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tireg.cli.console import NOTHING, Column, Out, Progress, clean, plain, show_cell


@pytest.fixture
def console() -> Out:
    return Out()


def test_clean_removes_what_fools_a_terminal() -> None:
    assert clean("a\x1b[31mb\x07\x9bc\x7f") == "a[31mbc"
    assert clean("safe\u202egnp.exe\u2066\u200b") == "safegnp.exe"
    assert clean("two\u2028lines\nstay\tput") == "two lines\nstay\tput"
    assert clean("name\udcff") == "name\ufffd"
    assert clean("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 caf\u00e9 \u732b") == (
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 caf\u00e9 \u732b"
    ), "letters and joiners of scripts stay"


@given(st.text(alphabet=st.characters()))
def test_clean_text_can_always_be_written(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned
    assert "\x1b" not in cleaned


def test_table_is_aligned_and_has_no_colours(
    console: Out, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"name": "my-cat", "version": 2, "score": 0.25, "note": None},
        {"name": "x\x1b[31m\ny", "version": 12, "score": float("nan"), "note": ["a", "b"]},
    ]
    console.table(rows, ["name", Column("version", "v"), "score", "note"])
    assert capsys.readouterr().out.splitlines() == [
        "name      v  score  note",
        f"my-cat    2  0.250  {NOTHING}",
        f"x[31m y  12      {NOTHING}  a, b",
    ]


def test_empty_table_leaves_stdout_empty(console: Out, capsys: pytest.CaptureFixture[str]) -> None:
    console.table([], ["name"], empty="no words yet")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no words yet\n")


def test_drawn_table_takes_data_as_data(
    console: Out, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tireg.cli.console._is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "60")
    console.table([{"name": "[red]x[/red] :smile:", "score": 0.5}], ["name", "score"])
    text = capsys.readouterr().out
    assert "[red]x[/red] :smile:" in text
    assert "0.500" in text


class _Model(BaseModel):
    where: Path
    value: float


def test_json_is_ascii_and_strict(console: Out, capsys: pytest.CaptureFixture[str]) -> None:
    data = {
        "name": "caf\u00e9 \u202e",
        "values": (np.float32(0.5), np.int64(3), float("nan"), np.bool_(True)),
        "model": _Model(where=Path("a/b"), value=1.5),
        "names": {"b", "a"},
    }
    console.json(data)
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == {
        "name": "caf\u00e9 \u202e",
        "values": [0.5, 3, None, True],
        "model": {"where": "a/b", "value": 1.5},
        "names": ["a", "b"],
    }


def test_json_refuses_what_it_cannot_say() -> None:
    with pytest.raises(TypeError, match="Progress has no JSON form"):
        plain({"a": Progress("x", 1)})


def test_pairs_line_up(console: Out, capsys: pytest.CaptureFixture[str]) -> None:
    console.pairs({"name": "my-cat", "token": "<my-cat>", "notes": "one\ntwo", "base": None})
    assert capsys.readouterr().out.splitlines() == [
        "name   my-cat",
        "token  <my-cat>",
        "notes  one",
        "       two",
        f"base   {NOTHING}",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (False, "no"), (3, "3"), ((), NOTHING), ("", NOTHING), (-0.0004, "-0.000")],
)
def test_cells(value: object, text: str) -> None:
    assert show_cell(value) == text


def test_progress_prints_quarters_where_there_is_no_terminal(
    console: Out, capsys: pytest.CaptureFixture[str]
) -> None:
    with console.progress("training", total=10) as bar:
        for step in range(10):
            bar.advance(note=f"loss {step}")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "training: 25%  loss 2",
        "training: 50%  loss 4",
        "training: 75%  loss 7",
        "training: 100%  loss 9",
    ]


def test_progress_is_silent_when_quiet(console: Out, capsys: pytest.CaptureFixture[str]) -> None:
    console.quiet = True
    with console.progress("training") as bar:
        bar.update(5, total=5)
    assert bar.done == 5
    assert capsys.readouterr().err == ""


def test_progress_draws_on_a_terminal(
    console: Out, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tireg.cli.console._is_terminal", lambda stream: True)
    with console.progress("training [b]", total=2) as bar:
        bar.advance(2, note="done [/b]")
    assert "training [b]" in capsys.readouterr().err
