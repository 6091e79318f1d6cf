"""Sweeps: what a file may say, how recipes are ranked, and one sweep from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RunCli
from tests.workflows.evaluating import SUITE
from tireg.errors import ConceptError, InputError, RecipeError
from tireg.shapes import scorer_path
from tireg.store.registry import Registry
from tireg.workflows.sweep_file import Sweep, read_sweep
from tireg.workflows.sweep_ranking import conclusion, rank, scored
from tireg.workflows.train import TrainRequest

GOOD = """
base: shapes
defaults: {kind: object, init: circle, steps: 2, batch: 1}
concepts: [ball, {path: disc, token: <round>}]
recipes:
  plain: {}
  grid: {vectors: [1, 4], lr: [0.1, 0.2]}
seeds: [0, 7]
"""


@pytest.fixture
def folder(tmp_path: Path, pictures: Path) -> Path:
    """Two folders of concepts."""
    root = tmp_path / "sweep"
    for name, first in (("ball", 0), ("disc", 2)):
        (root / name).mkdir(parents=True)
        for path in sorted(pictures.iterdir())[first:]:
            (root / name / path.name).write_bytes(path.read_bytes())
    return root


def read(folder: Path, text: str) -> Sweep:
    (folder / "sweep.yaml").write_text(text)
    return read_sweep(folder / "sweep.yaml", TrainRequest((), ""))


def test_every_recipe_meets_every_concept_with_every_seed(folder: Path) -> None:
    sweep = read(folder, GOOD)
    assert sweep.recipes[:2] == ("plain", "grid-vectors=1-lr=0.1")
    assert len(sweep.recipes) == 5
    assert len(sweep.trials) == 2 * 5 * 2
    one = sweep.trials[3]
    assert (one.concept, one.label) == ("ball", "grid-vectors=1-lr=0.1-s7")
    recipe = one.request.recipe
    assert (recipe.vectors, recipe.learning_rate, recipe.seed, recipe.batch) == (1, 0.1, 7, 1)
    assert {t.request.token for t in sweep.trials} == {"<ball>", "<round>"}
    assert sweep.rank_by == ("concept_fidelity", "prompt_fidelity")


@pytest.mark.parametrize(
    ("old", "new", "kind", "said"),
    [
        ("concepts:", "konzepte:", ConceptError, "lists no concepts"),
        ("concepts: [ball, {path: disc, token: <round>}]", "concepts: []", ConceptError,
         "lists no concepts"),
        ("recipes:", "receipts:", ConceptError, "lists no recipes"),
        ("base: shapes", "", ConceptError, "names no base"),
        ("base: shapes", "base: shapes\nseed: [1]", ConceptError, "did you mean 'seeds'"),
        ("plain: {}", "plain: {vektors: 2}", RecipeError, "did you mean 'vectors'"),
        ("plain: {}", "plain: {seed: 2}", RecipeError, "seeds are not part"),
        ("plain: {}", "plain: {vectors: 0}", RecipeError, "vectors"),
        ("plain: {}", "plain: {vectors: []}", RecipeError, "lists no value"),
        ("plain: {}", "plain: {}\n  again: {}", RecipeError, "are the same"),
        ("plain: {}", "latest: {}", RecipeError, "cannot be an alias"),
        ("plain: {}", "a@b: {}", RecipeError, "holds '@'"),
        ("[ball,", "[{path: ball, colour: red},", ConceptError, "unknown key 'colour'"),
        ("[ball,", "[{path: disc, name: disc},", ConceptError, "two concepts are called 'disc'"),
        ("seeds: [0, 7]", "seeds: [0]\nrank_by: [concept_fidelty]", ConceptError,
         "did you mean 'concept_fidelity'"),
        ("seeds: [0, 7]", "seeds: []", ConceptError, "seeds"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_sentence(
    old: str, new: str, kind: type[InputError], said: str, folder: Path
) -> None:
    assert old in GOOD
    with pytest.raises(kind) as caught:
        read(folder, GOOD.replace(old, new))
    assert said in str(caught.value)
    assert "sweep.yaml" in caught.value.message
    assert "\n" not in str(caught.value)


def table(
    effects: dict[str, tuple[float, float]], pairs: int, noise: float = 0.01
) -> dict[str, dict[tuple[str, int], dict[str, float]]]:
    """Likeness and obedience by recipe, with concepts of unlike difficulty."""
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 1, pairs)
    return {
        recipe: {
            (f"c{n % 3}", n): {
                "like": hard[n] + like + rng.normal(0, noise),
                "obey": obey + rng.normal(0, noise),
            }
            for n in range(pairs)
        }
        for recipe, (like, obey) in effects.items()
    }


def test_a_recipe_that_is_better_wins_and_is_shown_to() -> None:
    values = table({"bad": (0.0, 0.0), "good": (0.3, 0.3), "middle": (0.15, 0.15)}, 12)
    best, *rest = rank(values, values, ["bad", "good", "middle"])
    assert [best.recipe, *(one.recipe for one in rest)] == ["good", "middle", "bad"]
    assert all(one.p_adjusted is not None and one.p_adjusted < 0.05 for one in rest)
    assert all(one.behind is not None and (one.behind.low or 0) > 0 for one in rest)
    assert conclusion([best, *rest]) == "good is better than every other recipe"


def test_likeness_alone_does_not_win() -> None:
    values = table({"overfits": (0.5, -0.5), "balanced": (0.3, 0.0), "weak": (0.0, 0.05)}, 12)
    assert rank(values, values, list(values))[0].recipe == "balanced"
    alone = {
        r: {pair: {"like": told["like"]} for pair, told in own.items()} for r, own in values.items()
    }
    assert rank(alone, alone, list(alone))[0].recipe == "overfits"


def test_noise_shows_no_difference() -> None:
    shown = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = {
            r: {("c", n): {"m": float(rng.normal())} for n in range(10)} for r in ("a", "b", "c")
        }
        standings = rank(values, values, list(values))
        shown += any((one.p_adjusted or 1.0) < 0.05 for one in standings)
    assert shown <= 5


def test_few_pairs_are_said_to_show_nothing() -> None:
    values = table({"a": (1.0, 1.0), "b": (0.0, 0.0)}, 3)
    standings = rank(values, values, ["a", "b"])
    assert standings[1].p_value is None
    assert "it takes 6" in conclusion(standings)


def test_a_recipe_that_lacks_trials_stands_behind() -> None:
    values = table({"a": (1.0, 1.0), "b": (0.0, 0.0)}, 8)
    del values["a"]["c0", 0]
    best, last = rank(values, values, ["a", "b", "never"])[:2]
    assert (best.recipe, last.recipe, last.missing) == ("b", "a", 1)


def test_equal_numbers_have_no_score() -> None:
    values = {r: {("c", n): {"m": 0.1 + 0.2} for n in range(7)} for r in ("a", "b")}
    assert {v for own in scored(values).values() for v in own.values()} == {0.0}
    standings = rank(values, values, ["a", "b"])
    assert standings[1].p_value is None
    assert "no difference is shown" in conclusion(standings)


def test_a_sweep_from_end_to_end(run_cli: RunCli, folder: Path, tiny_sd1: Path, home: Path) -> None:
    (folder / "small.yaml").write_text(SUITE + "\nsteps: 2\nsize: 64\n")
    (folder / "sweep.yaml").write_text(
        "defaults: {kind: object, init: cat, steps: 2, batch: 1, resolution: 64}\n"
        "concepts: [ball]\nrecipes: {one: {vectors: 1}, two: {vectors: 2}}\n"
        "seeds: [0]\nsuite: small.yaml\nrank_by: [prompt_fidelity]\n"
    )
    given = ("sweep", folder / "sweep.yaml", "--base", tiny_sd1, "--encoder", scorer_path())
    told = json.loads(run_cli(*given, "--json", code=0).stdout)
    assert [one["result"] for one in told["trials"]] == ["trained"] * 2
    assert all(one["scores"]["prompt_fidelity"] is not None for one in told["trials"])
    best = told["recipes"][0]["recipe"]
    with Registry.open(home) as registry:
        labels = {r: registry.find(f"ball@{r}-s0").record_sha for r in ("one", "two")}
        assert registry.find("ball@best").record_sha == labels[best]
        runs = {r: len(registry.runs(sha)) for r, sha in labels.items()}
    assert runs == {"one": 1, "two": 1}
    assert "ball" in run_cli("search", "--tag", "sweep sweep", code=0).stdout
    again = json.loads(run_cli(*given, "--json", code=0).stdout)
    assert [one["result"] for one in again["trials"]] == ["there"] * 2
    assert again["recipes"] == told["recipes"]
    assert [t["run_id"] for t in again["trials"]] == [t["run_id"] for t in told["trials"]]
    shown = run_cli(*given, code=0)
    assert "can show no difference" in shown.stdout
    assert "ball@best is ball@" in shown.stdout
