"""docs/training.md answers every pain, and every test and option it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import click
import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
# What each line must be about, in the order of the list it answers.
PAINS = {
    1: "prompt", 2: "stop", 3: "nothing is learned", 4: "resum", 5: "sdxl", 6: "slow",
    7: "memory", 8: "nan", 9: "base", 10: "captions", 11: "flux", 12: "start",
}  # fmt: skip
NODE = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def items() -> dict[int, str]:
    """The numbered lines under the heading, each with what follows it."""
    _, _, part = PAGE.partition("## Twelve pains")
    found = re.split(r"^(\d+)\. ", part, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(found[1::2], found[2::2], strict=True)}


@cache
def names_in(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_there_is_one_line_for_each() -> None:
    assert list(items()) == list(PAINS)


@pytest.mark.parametrize("number", PAINS)
def test_each_line_is_about_its_pain_and_names_a_test(number: int) -> None:
    text = items()[number]
    title = re.match(r"\*\*(.+?)\.\*\* \S", text)
    assert title is not None
    assert PAINS[number] in title[1].lower()
    assert [name for _, name in NODE.findall(text) if name], "no test is named"


def test_every_test_that_is_named_is_there() -> None:
    named = NODE.findall(PAGE)
    assert len(named) > len(PAINS)
    missing = [
        f"{file}::{name}" for file, name in named
        if not names_in(file) or (name and name not in names_in(file))
    ]  # fmt: skip
    assert missing == []


def test_every_command_has_only_options_there_are() -> None:
    from tests.house.readme import commands
    from tireg.cli.main import cli

    shown = commands(PAGE)
    assert len(shown) > 3
    with click.Context(cli) as context:
        for line in shown:
            program, name, *words = line.split()
            assert program == "tireg"
            command = cli.get_command(context, name)
            assert command is not None, line
            known = {option for param in command.params for option in param.opts}
            assert {word for word in words if word.startswith("--")} <= known, line


def test_every_option_and_knob_that_is_named_is_there() -> None:
    from tireg.cli.main import cli
    from tireg.domain.recipes import Recipe

    with click.Context(cli) as context:
        params = [
            param
            for name in ("train", "show")
            for param in (cli.get_command(context, name) or cli).params
        ]
    known = {option for param in params for option in param.opts} | {"--help"}
    named = set(re.findall(r"`(?:[^`\n]* )?(--[a-z-]+)", PAGE))
    assert named <= known
    table = PAGE.partition("## Knobs")[2].partition("## ")[0]
    for cell in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE):
        for knob in re.findall(r"`(\w+)`", cell):
            assert knob == "lr" or knob in Recipe.model_fields, knob


def test_the_defaults_in_the_table_are_the_recipes() -> None:
    from tireg.domain.recipes import Recipe

    table = PAGE.partition("## Knobs")[2].partition("## ")[0]
    rows = re.findall(r"^\| (`.+?) \| (.+?) \|", table, re.MULTILINE)
    assert len(rows) > 8
    for names, values in rows:
        knobs = [{"lr": "learning_rate"}.get(n, n) for n in re.findall(r"`(\w+)`", names)]
        for knob, value in zip(knobs, values.split(", "), strict=True):
            default = Recipe.model_fields[knob].default
            said = "False" if value == "no" else value
            assert said == str(default) or float(said) == default, knob
