"""Two embeddings, paired by prompt: verdicts that match what was put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store import make
from tests.workflows.scored import PROMPTS, add, score
from tireg.domain.scores import EncoderRef, ReferenceSet, SuiteRef
from tireg.errors import InputError, RefError, SuiteError
from tireg.workflows.compare import compare

EASE = np.linspace(-0.3, 0.3, PROMPTS)


def noise(seed: int, size: float = 0.01) -> np.ndarray:
    result: np.ndarray = size * np.random.default_rng(seed).normal(size=PROMPTS)
    return result


def rows(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in found["metrics"]}


def test_a_difference_and_its_absence_are_said_plainly(home: Path) -> None:
    """The prompts differ far more than the words do: only pairing can see 0.03."""
    fidelity = EASE + 0.5
    add(home, "good", score("prompt_fidelity", EASE + 0.03 + noise(1)),
        score("concept_fidelity", fidelity + noise(2)))  # fmt: skip
    add(home, "poor", score("prompt_fidelity", EASE + noise(3)),
        score("concept_fidelity", fidelity + noise(4)))  # fmt: skip
    found = rows(compare(home, "good", "poor"))
    first = found["prompt_fidelity"]
    low, high = first["ci"]
    assert low < 0.03 < high
    assert first["verdict"] == "a"
    assert first["text"].startswith("good@1 follows prompts better by 0.0")
    assert f"95% {low:.3g} to {high:.3g}" in first["text"]
    second = found["concept_fidelity"]
    assert second["verdict"] == "none"
    assert second["text"].startswith("no difference in fidelity, smallest we could have seen 0.0")
    assert 0 < second["minimum_effect"] < 0.03
    swapped = rows(compare(home, "poor", "good"))["prompt_fidelity"]
    assert swapped["verdict"] == "b"
    assert swapped["text"] == first["text"]
    assert swapped["difference"] == pytest.approx(-first["difference"])


def test_p_values_are_adjusted_over_all_metrics(home: Path) -> None:
    """One p of about 0.03 among twenty questions is no finding."""
    drift = np.where(np.arange(PROMPTS) < 15, 0.01, -0.01) + noise(5, 0.001)
    many = [score(f"m{n}", noise(n + 20)) for n in range(19)]
    twins = [score(f"m{n}", noise(n + 50)) for n in range(19)]
    add(home, "a", score("prompt_fidelity", drift), *many)
    add(home, "b", score("prompt_fidelity", np.zeros(PROMPTS)), *twins)
    row = rows(compare(home, "a", "b"))["prompt_fidelity"]
    assert row["p_value"] < 0.05 <= row["p_adjusted"]
    assert row["verdict"] == "perhaps"
    assert row["text"].startswith("no sure difference in prompt fidelity")


def test_lower_and_target_metrics_are_read_the_right_way_round(home: Path) -> None:
    add(home, "a", score("semantic_collapse", noise(1), direction="lower"),
        score("off_token_rate", 0.7 + noise(2), direction="target"))  # fmt: skip
    add(home, "b", score("semantic_collapse", 0.5 + noise(3), direction="lower"),
        score("off_token_rate", 0.52 + noise(4), direction="target"))  # fmt: skip
    found = rows(compare(home, "a", "b"))
    assert found["semantic_collapse"]["verdict"] == "a"
    assert found["off_token_rate"]["verdict"] == "b"
    assert "is nearer to chance where it is not asked for" in found["off_token_rate"]["text"]


def test_a_target_between_the_two_makes_none_of_them_better(home: Path) -> None:
    add(home, "a", score("off_token_rate", 0.7 + noise(2), direction="target"))
    add(home, "b", score("off_token_rate", 0.3 + noise(4), direction="target"))
    row = rows(compare(home, "a", "b"))["off_token_rate"]
    assert row["verdict"] == "differ"
    assert row["text"].startswith("a@1 has more off-token rate than b@1 by 0.4")


def test_equal_values_and_few_prompts_are_no_verdict(home: Path) -> None:
    add(home, "a", score("off_token_leakage", np.zeros(4)), score("copying", np.full(4, 0.9)))
    add(home, "b", score("off_token_leakage", np.zeros(4)), score("copying", np.arange(4.0)))
    found = rows(compare(home, "a", "b"))
    assert found["off_token_leakage"]["text"] == "off-token leakage: equal in every prompt"
    assert found["copying"]["text"].startswith("copying: 4 prompts are too few")
    assert found["copying"]["p_value"] is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"spec": {"suite": SuiteRef(name="core", version=2, sha256=make.sha("2"))}}, "suites"),
        ({"spec": {"base_fingerprint": make.sha("fine-tune")}}, "with other weights"),
        ({"spec": {"seeds": (1, 2, 3)}}, "seeds"),
        ({"spec": {"negative": True}}, "negative"),
        ({"sampling": {"steps": 30}}, "steps 20 and 30"),
        ({"sampling": {"dtype": "bf16"}}, "dtype"),
    ],
)
def test_runs_that_were_not_asked_alike_are_never_paired(
    home: Path, change: dict[str, Any], named: str
) -> None:
    add(home, "a", score("prompt_fidelity", EASE))
    add(home, "b", score("prompt_fidelity", EASE), **change)
    with pytest.raises(InputError, match="never asked alike") as caught:
        compare(home, "a", "b")
    assert named in caught.value.message
    assert caught.value.hint.startswith("tireg eval b@1 --suite core.yaml --base base/one")
    assert "--steps 20" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"encoder": "other"},
        {"encoder": None},
    ],
)
def test_scores_of_another_version_or_encoder_are_not_compared(
    home: Path, change: dict[str, Any]
) -> None:
    add(home, "a", score("prompt_fidelity", EASE))
    add(home, "b", score("prompt_fidelity", EASE + 1, **change))
    found = compare(home, "a", "b")["metrics"]
    assert [row["verdict"] for row in found] == ["unscored", "unscored"]


def test_encoders_of_one_name_and_other_weights_are_not_compared(home: Path) -> None:
    add(home, "a", score("prompt_fidelity", EASE))
    other = (EncoderRef(name="clip", sha256=make.sha("other weights")),)
    add(home, "b", score("prompt_fidelity", EASE + 1), spec={"encoders": other})
    assert {row["verdict"] for row in compare(home, "a", "b")["metrics"]} == {"unscored"}


def test_identifiability_against_other_concepts_is_another_question(home: Path) -> None:
    add(home, "a", score("identifiability", EASE))
    others = (ReferenceSet(name="c", embedding=make.sha("c"), pictures=()),)
    add(home, "b", score("identifiability", EASE + 1), spec={"others": others})
    assert {row["verdict"] for row in compare(home, "a", "b")["metrics"]} == {"unscored"}


def test_device_and_batch_do_not_matter_but_are_told(home: Path) -> None:
    add(home, "a", score("prompt_fidelity", EASE))
    add(home, "b", score("prompt_fidelity", EASE + 1), sampling={"device": "cuda", "batch": 32})
    found = compare(home, "a", "b")
    assert found["metrics"][0]["verdict"] == "b"
    assert any("devices" in note for note in found["notes"])


def test_the_newest_pair_of_runs_in_one_frame_is_taken(home: Path) -> None:
    late = "2026-08-05T12:00:00Z"
    add(home, "a", score("prompt_fidelity", EASE))
    add(home, "a", score("prompt_fidelity", EASE + 2), created=late)
    add(home, "b", score("prompt_fidelity", EASE + 1))
    add(home, "b", score("prompt_fidelity", EASE + 9), created=late, sampling={"steps": 30})
    found = compare(home, "a", "b")
    assert found["a"]["created"] == late
    assert found["metrics"][0]["difference"] == pytest.approx(1.0)


def test_what_is_missing_is_said_with_the_command(home: Path) -> None:
    add(home, "a", score("prompt_fidelity", EASE))
    record, objects = make.record("bare")
    from tireg.store.registry import Registry

    with Registry.open(home) as registry:
        registry.add(record, objects)
    with pytest.raises(InputError, match="bare@1 was not scored") as caught:
        compare(home, "bare", "a")
    assert caught.value.hint == (
        "tireg eval bare@1 --suite core.yaml --base base/one --sampler ddim --steps 20 "
        "--guidance 7.5 --size 64 --dtype float32 --encoder clip"
    )
    with pytest.raises(InputError, match="neither a@1 nor bare@1 was scored on the base 'x'"):
        compare(home, "a", "bare", base="x")
    with pytest.raises(InputError, match="same version"):
        compare(home, "a", "a@1")
    with pytest.raises(RefError):
        compare(home, "a", "nobody")
    with pytest.raises(SuiteError):
        compare(home, "a", "bare", suite="nothing")


def test_runs_of_an_older_tireg_are_to_be_made_again(home: Path) -> None:
    add(home, "a", score("prompt_fidelity", EASE))
    add(home, "b", score("prompt_fidelity", EASE, prompt_values={}))
    with pytest.raises(InputError, match="scores of b@1 are of an older tireg") as caught:
        compare(home, "a", "b")
    assert caught.value.hint.startswith("tireg eval b@1")


def test_unscored_metrics_keep_their_reason(home: Path) -> None:
    add(home, "a", score("prompt_fidelity", EASE), score("copying", EASE))
    add(home, "b", score("prompt_fidelity", EASE), score("copying", None))
    assert rows(compare(home, "a", "b"))["copying"]["text"] == "copying: no pictures are kept"


def test_every_metric_can_be_spoken_of() -> None:
    from tireg.metrics import METRICS
    from tireg.workflows.report_words import ASKS
    from tireg.workflows.verdict_words import WORDS

    assert set(METRICS) <= set(WORDS)
    assert set(METRICS) <= set(ASKS)
