"""The intervals of ratios and shares are the jackknife, written plainly."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.metrics.builders import world
from tests.metrics.test_formulas import PLAIN, S, concept_way
from tireg.metrics import METRICS


def without(samples: S, i: int) -> S:
    """The same run with one prompt never asked."""
    kept = np.array([p for p in range(len(samples.prompts)) if p != i])
    return replace(
        samples,
        prompts=tuple(samples.prompts[p] for p in kept),
        images={k: {c: x[kept] for c, x in v.items()} for k, v in samples.images.items()},
        distances={k: {c: x[kept] for c, x in v.items()} for k, v in samples.distances.items()},
        texts={k: t[kept] for k, t in samples.texts.items()},
        probe={k: np.delete(x, i, axis=0) for k, x in samples.probe.items()},
    )


@pytest.mark.parametrize(
    "name",
    [
        "concept_fidelity",
        "semantic_collapse",
        "semantic_collapse_text",
        "diversity",
        "diversity_masked",
        "diversity_lpips",
        "pair_bleeding",
    ],
)
def test_interval_of_a_ratio_is_the_jackknife_over_prompts(name: str) -> None:
    samples = world(3, n=7, free=0)
    whole = PLAIN[name](samples)
    # The direction of the concept is not sought again without each prompt.
    fixed = {"way": concept_way(samples)} if name == "diversity" else {}
    left_out = [PLAIN[name](without(samples, i), **fixed) for i in range(7)]
    pseudo = [7 * whole - 6 * value for value in left_out]
    half = stats.t.ppf(0.975, 6) * np.std(pseudo, ddof=1) / math.sqrt(7)
    result = METRICS[name](samples)
    assert result.low == pytest.approx(whole - half)
    assert result.high == pytest.approx(whole + half)


def test_interval_of_bleeding_is_the_jackknife_over_prompts_and_pictures() -> None:
    samples = world(3, n=7, free=0)
    unknown = METRICS["concept_bleeding"](samples)
    assert (unknown.low, unknown.p_value) == (None, None), "one of the others has two pictures"
    elsewhere = world(4).others["concept"]["b"]
    more = {"b": samples.others["concept"]["b"], "c": elsewhere}
    samples = replace(samples, others={"concept": more})
    whole = PLAIN["concept_bleeding"](samples)
    groups = [[without(samples, i) for i in range(7)]]
    own, others = samples.references["concept"], samples.others["concept"]
    groups.append(
        [replace(samples, references={"concept": np.delete(own, i, 0)}) for i in range(len(own))]
    )
    for name, pictures in others.items():
        groups.append(
            [
                replace(samples, others={"concept": {**others, name: np.delete(pictures, i, 0)}})
                for i in range(len(pictures))
            ]
        )
    parts = []
    for group in groups:
        n = len(group)
        pseudo = [n * whole - (n - 1) * PLAIN["concept_bleeding"](one) for one in group]
        parts.append((np.var(pseudo, ddof=1) / n, n - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    half = stats.t.ppf(0.975, max(1, freedom)) * math.sqrt(variance)
    result = METRICS["concept_bleeding"](samples)
    assert result.low == pytest.approx(whole - half)
    assert result.high == pytest.approx(whole + half)


@pytest.mark.parametrize(
    "name", ["prompt_fidelity", "background_leakage", "off_token_leakage", "copying_gap"]
)
def test_interval_of_a_mean_is_student_s_over_prompts(name: str) -> None:
    samples = world(4, n=7, free=0)
    alone = []
    for i in range(7):
        one = samples
        for j in reversed([j for j in range(7) if j != i]):
            one = without(one, j)
        alone.append(PLAIN[name](one))
    low, high = stats.t.interval(0.95, 6, loc=np.mean(alone), scale=stats.sem(alone))
    result = METRICS[name](samples)
    assert (result.low, result.high) == pytest.approx((low, high))


def test_the_random_worlds_are_not_all_zero() -> None:
    values = {name: METRICS[name](world(0)).value for name in METRICS}
    assert all(
        value not in (0.0, None) for name, value in values.items() if "intrusion" not in name
    )
