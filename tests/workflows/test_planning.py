"""What a plan says against what a real run counts."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tests.workflows.evaluating import SUITE, add_word
from tireg.domain.recipes import Recipe
from tireg.domain.suites import load_suite
from tireg.store.registry import Registry
from tireg.workflows.evaluate import EvalRequest
from tireg.workflows.planning import bare_pictures, counts_of, plan_evaluation


def test_a_plan_counts_what_the_run_counts(
    run_cli: RunCli, pictures: Path, tiny_sd1: Path, home: Path
) -> None:
    words = (
        pictures, "--base", tiny_sd1, "--name", "ball", "--token", "<ball>", "--kind", "object",
        "--init", "cat", "--steps", "50", "--batch", "2", "--resolution", "32",
    )  # fmt: skip
    cost = json.loads(run_cli("plan", "train", *words, "--json", code=0).stdout)
    with Registry.open(home) as registry:
        assert registry.count() == 0
    began = time.monotonic()
    record = json.loads(run_cli("train", *words, "--keep-anyway", "--json", code=0).stdout)
    took = time.monotonic() - began
    training = record["training"]
    assert cost["learned"] == training["samples"] == 100
    assert cost["checked"] == training["looked"]
    assert cost["pictures"] == sum(file["role"] == "preview" for file in record["files"])
    assert not cost["at_most"]
    assert cost["seconds_low"] <= cost["seconds"] <= cost["seconds_high"]
    assert took / 8 < cost["seconds"] < took * 8


@pytest.mark.parametrize("last", [1, 2, 11, 12, 13, 25, 300, 999, 1000, 5000])
def test_checks_are_counted_as_the_loop_makes_them(last: int) -> None:
    """Steps that the loop's own rule calls due, one by one."""
    from tireg.domain.families import families
    from tireg.training.loop import CHECKS, MOST_CHECKS, STEPS_OF_A_CHECK

    family = next(iter(families()))
    recipe = Recipe(steps=last, batch=2)
    every = max(1, -(-last // max(CHECKS, min(MOST_CHECKS, last // STEPS_OF_A_CHECK))))
    due = sum(step % every == 0 or step == last for step in range(1, last + 1))
    assert counts_of(recipe, family, probed=False).checked == 16 * due + 2 * 64


def test_an_evaluation_is_counted_picture_by_picture(
    tmp_path: Path, tiny_sd1: Path, home: Path
) -> None:
    """Two words of one noun share what is drawn without them."""
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    for seed, name in enumerate(("ball", "cup")):
        add_word(home, tiny_sd1, name, seed=seed)
    suite = load_suite(str(path))
    each = EvalRequest("", suite=str(path), steps=2, size=64)
    alone = plan_evaluation(["ball"], (), each, home=home)
    both = plan_evaluation(["ball", "cup"], (), each, home=home, workers=2)
    with_word = len(suite.prompts) * len(suite.seeds)
    assert both.pictures - alone.pictures == with_word
    noun = "cat"
    with Registry.open(home) as registry:
        noun = registry.resolve("ball").record.class_noun or ""
    assert alone.pictures == with_word + len(bare_pictures(suite, noun, negative=False))
    assert alone.samples == alone.pictures * 2 * 2
    assert not (home / "cache" / "pictures").exists()
