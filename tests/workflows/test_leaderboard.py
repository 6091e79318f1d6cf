"""Ranks over the registry, never over different questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store import make
from tests.workflows.scored import add, score
from tireg.domain.scores import EncoderRef, SuiteRef
from tireg.errors import InputError
from tireg.store.registry import Registry
from tireg.workflows.leaderboard import Filters, leaderboard


def around(value: float, spread: float = 0.05) -> np.ndarray:
    result: np.ndarray = value + np.linspace(-spread, spread, 20)
    return result


def names(group: dict[str, Any]) -> list[tuple[int, bool, str]]:
    return [(row["rank"], row["tied"], row["name"]) for row in group["rows"]]


@pytest.fixture
def board(home: Path) -> Path:
    for name, value in (("low", 0.1), ("best", 0.5), ("near", 0.49)):
        add(home, name, score("prompt_fidelity", around(value)))
    return home


def test_the_best_is_first_and_ties_within_intervals_are_marked(board: Path) -> None:
    (group,) = leaderboard(board, Filters())
    assert names(group) == [(1, True, "best"), (1, True, "near"), (3, False, "low")]
    assert group["scored"] == 3
    low, high = group["rows"][0]["ci"]
    assert low < group["rows"][0]["value"] < high


def test_lower_is_better_where_the_metric_says_so(home: Path) -> None:
    for name, value in (("a", 0.1), ("b", 0.5)):
        add(home, name, score("semantic_collapse", around(value), direction="lower"))
    (group,) = leaderboard(home, Filters())
    assert [row["name"] for row in group["rows"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("spec", "sampling", "changed"),
    [
        ({"suite": SuiteRef(name="core", version=1, sha256=make.sha("edited"))}, {}, {}),
        ({"base_fingerprint": make.sha("fine-tune")}, {}, {}),
        ({"encoders": (EncoderRef(name="clip", sha256=make.sha("other")),)}, {}, {}),
        ({}, {"steps": 50}, {}),
        ({}, {}, {"version": 2}),
        ({}, {}, {"encoder": "dino"}),
    ],
)
def test_nothing_is_mixed(
    board: Path, spec: dict[str, Any], sampling: dict[str, Any], changed: dict[str, Any]
) -> None:
    add(board, "alien", score("prompt_fidelity", around(0.9), **changed), spec=spec,
        sampling=sampling)  # fmt: skip
    groups = leaderboard(board, Filters())
    assert [[row["name"] for row in group["rows"]] for group in groups] == [
        ["best", "near", "low"], ["alien"],
    ]  # fmt: skip


def test_filters(board: Path) -> None:
    add(board, "wash", score("prompt_fidelity", around(0.3)), score("copying", around(0.2)),
        kind="style")  # fmt: skip
    (group,) = leaderboard(board, Filters(kind="style"))
    assert [row["name"] for row in group["rows"]] == ["wash"]
    (group,) = leaderboard(board, Filters(metrics=("copying",)))
    assert group["metric"] == "copying"
    (group,) = leaderboard(board, Filters(limit=1))
    assert [row["name"] for row in group["rows"]] == ["best"]
    assert group["scored"] == 4
    assert leaderboard(board, Filters(base="elsewhere")) == []
    assert len(leaderboard(board, Filters(base="base/one"))) == 1
    with pytest.raises(InputError, match="nothing here was scored by 'nope'") as caught:
        leaderboard(board, Filters(metrics=("nope",)))
    assert "copying" in caught.value.hint


def test_versions_stand_side_by_side_and_trash_does_not(board: Path) -> None:
    add(board, "best", score("prompt_fidelity", around(0.7)), seed="two")
    (group,) = leaderboard(board, Filters())
    assert [(r["name"], r["version"]) for r in group["rows"][:2]] == [("best", 2), ("best", 1)]
    with Registry.open(board) as registry:
        registry.remove("best@2")
    (group,) = leaderboard(board, Filters())
    assert group["scored"] == 3


def test_the_newest_run_counts_and_the_unscored_are_named(board: Path) -> None:
    add(board, "low", score("prompt_fidelity", around(0.9)), created="2026-09-01T00:00:00Z")
    add(board, "mute", score("prompt_fidelity", None))
    (group,) = leaderboard(board, Filters())
    assert group["rows"][0]["name"] == "low"
    assert [row["name"] for row in group["unscored"]] == ["mute"]
    assert group["unscored"][0]["unscored"] == "no pictures are kept"


def test_an_empty_registry_is_an_empty_board(home: Path) -> None:
    assert leaderboard(home, Filters()) == []
    assert leaderboard(home, Filters(metrics=("nope",))) == []
