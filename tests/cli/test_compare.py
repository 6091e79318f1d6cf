"""``tireg compare``, ``leaderboard`` and ``scores`` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RunCli
from tests.workflows.scored import add, score

EASE = np.linspace(-0.3, 0.3, 20)
WOBBLE = 0.001 * np.cos(np.arange(20))


@pytest.fixture
def two(home: Path) -> None:
    add(home, "good", score("prompt_fidelity", EASE + 0.2), score("copying", None))
    add(home, "poor", score("prompt_fidelity", EASE + WOBBLE), score("copying", None))


@pytest.mark.usefixtures("two")
def test_compare(run_cli: RunCli) -> None:
    result = run_cli("compare", "good", "poor", code=0)
    head, *verdicts = result.stdout.splitlines()
    assert head == "good@1 against poor@1: suite core version 1 on base/one, 2 seeds, ddim 20 steps"
    assert verdicts[0].startswith("- good@1 follows prompts better by 0.2, 95% 0.2 to 0.2")
    assert "not compared: 1 metrics" in result.stderr
    data = json.loads(run_cli("compare", "good", "poor", "--json", code=0).stdout)
    assert data["a"]["name"] == "good"
    assert [row["verdict"] for row in data["metrics"]] == ["a", "unscored"]


@pytest.mark.usefixtures("two")
def test_leaderboard(run_cli: RunCli) -> None:
    result = run_cli("leaderboard", code=0)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("suite core version 1 (")
    assert "prompt_fidelity version 1 seen by clip; highest is best" in lines
    assert [line.split()[:2] for line in lines if "@1" in line] == [
        ["1", "good@1"],
        ["2", "poor@1"],
    ]
    (group,) = json.loads(run_cli("leaderboard", "--json", code=0).stdout)
    assert [row["name"] for row in group["rows"]] == ["good", "poor"]
    short = run_cli("leaderboard", "--limit", "1", code=0)
    assert "poor@1" not in short.stdout
    assert "and 1 more: --limit 2" in short.stderr
    mute = run_cli("leaderboard", "--metric", "copying", code=0)
    assert "unscored, with reasons in --json: good@1, poor@1" in mute.stderr


def test_an_empty_registry(run_cli: RunCli) -> None:
    result = run_cli("leaderboard", code=0)
    assert result.stdout == ""
    assert "nothing was scored here" in result.stderr
    assert json.loads(run_cli("leaderboard", "--json", code=0).stdout) == []


@pytest.mark.usefixtures("two")
def test_scores(run_cli: RunCli, tmp_path: Path) -> None:
    text = run_cli("scores", "good", code=0).stdout
    assert text.startswith("name,version,token,")
    assert len(text.splitlines()) == 3
    target = tmp_path / "index.json"
    assert run_cli("scores", "good", "--to", "model-index", "--out", target, code=0).stdout == (
        f"{target}\n"
    )
    assert json.loads(target.read_text())["model-index"][0]["name"] == "good"
    again = run_cli("scores", "good", "--out", target, code=2)
    assert "is there already" in again.stderr


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("args", "named", "hint"),
    [
        (("compare", "good", "poro"), "poro", "did you mean poor?"),
        (("compare", "good", "good"), "same version", "tireg leaderboard"),
        (("compare", "good", "poor", "--base", "x"), "neither", "tireg eval good@1 --base x"),
        (("leaderboard", "--metric", "magic"), "'magic'", "--metric copying, prompt_fidelity"),
        (("leaderboard", "--suite", "magic"), "no suite 'magic'", "tireg suites list"),
        (("leaderboard", "--kind", "magic"), "magic", "tireg leaderboard --help"),
        (("scores", "good", "--to", "magic"), "magic", "tireg scores --help"),
        (("scores", "good", "--to", "eval-results"), "a file of your own", "--suite FILE"),
        (("scores", "good", "--base", "x"), "was not scored there", "tireg eval good@1 --base x"),
    ],
)
def test_wrong_use(run_cli: RunCli, args: tuple[str, ...], named: str, hint: str) -> None:
    result = run_cli(*args, code=2)
    assert result.stdout == ""
    error, following = result.stderr.splitlines()
    assert named in error
    assert hint in following
