"""Which recipe is best over concepts and seeds, and whether that is more than chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tireg.domain.statistics import (
    Estimate,
    clustered_mean,
    holm,
    minimum_detectable_effect,
    paired_difference,
    sign_flip_test,
)

LEVEL = 0.95
LEAST_PAIRS = 6
"""Below this many pairs no sign-flip test can reach 0.05."""

Pair = tuple[str, int]
Values = Mapping[str, Mapping[Pair, Mapping[str, float]]]
"""Recipe, then pair of concept and seed, to goodness by metric; a trial without all is absent."""


@dataclass(frozen=True)
class Standing:
    """One recipe. ``score`` is how far it lies above the mean of all recipes, in each concept and
    seed, in standard deviations, averaged over metrics; ``means`` are the metrics' own values.

    ``behind`` is the best recipe's score minus this one's, over the pairs they share; p values
    are None for the best itself and where there are too few pairs to tell.
    """

    recipe: str
    missing: int
    pairs: int
    score: Estimate | None
    means: Mapping[str, Estimate]
    behind: Estimate | None
    p_value: float | None
    p_adjusted: float | None
    least: float | None


def rank(values: Values, raw: Values, recipes: Sequence[str]) -> list[Standing]:
    """The recipes, best first; those that lack trials which others have stand behind them.

    ``values`` are larger the better, ``raw`` the same as the metrics read. Scores are centred by
    pair, so that easy concepts do not count for more, and scaled by each metric's spread, so that
    no metric outweighs another. Every two recipes are tested by sign flips over their pairs, and
    p values adjusted for all these tests, not only for those against the best: which one is best
    is read from the same numbers.
    """
    scores = scored(values)
    everywhere = {pair for own in scores.values() for pair in own}
    missing = {r: len(everywhere - scores.get(r, {}).keys()) for r in recipes}
    mean = {
        r: float(np.mean(list(scores[r].values()))) if scores.get(r) else -math.inf for r in recipes
    }
    order = sorted(recipes, key=lambda r: (missing[r], -mean[r], recipes.index(r)))
    tests = {
        f"{a}/{b}": _p_value(scores.get(a, {}), scores.get(b, {}))
        for a, b in itertools.combinations(order, 2)
    }
    adjusted = holm(tests)
    best = order[0]
    return [_standing(r, best, scores, raw.get(r, {}), missing[r], tests, adjusted) for r in order]


def scored(values: Values) -> dict[str, dict[Pair, float]]:
    """The score of every trial."""
    metrics = sorted({m for own in values.values() for told in own.values() for m in told})
    pairs = sorted({pair for own in values.values() for pair in own})
    total: dict[str, dict[Pair, float]] = {r: dict.fromkeys(own, 0.0) for r, own in values.items()}
    for metric in metrics:
        apart: dict[tuple[str, Pair], float] = {}
        for pair in pairs:
            there = {r: own[pair][metric] for r, own in values.items() if pair in own}
            middle = sum(there.values()) / len(there)
            apart |= {(r, pair): value - middle for r, value in there.items()}
        spread = math.sqrt(sum(v * v for v in apart.values()) / max(1, len(apart)))
        largest = max((abs(v) for v in apart.values()), default=0.0)
        for (recipe, pair), value in apart.items():
            # Equal numbers differ in the last bits; that is no spread.
            if largest > 1e-9:
                total[recipe][pair] += value / spread / len(metrics)
    return total


def _p_value(first: Mapping[Pair, float], second: Mapping[Pair, float]) -> float | None:
    apart = [first[pair] - second[pair] for pair in sorted(first.keys() & second.keys())]
    if len(apart) < LEAST_PAIRS or not any(apart):
        return None
    return sign_flip_test(apart).p_value


def _standing(
    recipe: str,
    best: str,
    scores: Mapping[str, Mapping[Pair, float]],
    own: Mapping[Pair, Mapping[str, float]],
    missing: int,
    tests: Mapping[str, float | None],
    adjusted: Mapping[str, float | None],
) -> Standing:
    mine, top = scores.get(recipe, {}), scores.get(best, {})
    shared = sorted(mine.keys() & top.keys())
    behind = least = None
    if recipe != best and shared:
        behind = paired_difference(_by_name(top), _by_name(mine), level=LEVEL)
        least = minimum_detectable_effect([top[p] - mine[p] for p in shared], alpha=1 - LEVEL)
    key = f"{best}/{recipe}"
    metrics = sorted({metric for told in own.values() for metric in told})
    return Standing(
        recipe, missing, len(mine),
        clustered_mean(list(mine.values()), level=LEVEL) if mine else None,
        {m: clustered_mean([told[m] for told in own.values()], level=LEVEL) for m in metrics},
        behind, tests.get(key), adjusted.get(key), least,
    )  # fmt: skip


def _by_name(scores: Mapping[Pair, float]) -> dict[str, float]:
    return {f"{concept} {seed}": value for (concept, seed), value in scores.items()}


def conclusion(standings: Sequence[Standing]) -> str:
    """In one sentence what was shown."""
    best, *rest = standings
    if not rest:
        return f"there is one recipe, {best.recipe}, and nothing to compare it with"
    if best.score is None:
        return "no trial could be scored, so nothing is shown"
    if best.pairs < LEAST_PAIRS:
        return (
            f"{best.recipe} has the highest mean, but {best.pairs} pairs of concept and seed can "
            f"show no difference: it takes {LEAST_PAIRS}, such as by more seeds"
        )
    worse = [one for one in rest if one.p_adjusted is not None and one.p_adjusted < 1 - LEVEL]
    if len(worse) == len(rest):
        return f"{best.recipe} is better than every other recipe"
    names = ", ".join(one.recipe for one in rest if one not in worse)
    if worse:
        return f"{best.recipe} is not shown to be better than {names}; it is than the others"
    return f"no difference is shown: {best.recipe} has the highest mean, perhaps by chance"
