"""How much of each score survives on a base that the embedding was not made on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tireg.domain.scores import Score, Transfer
from tireg.domain.statistics import clustered_mean, ratio_of_means
from tireg.metrics.registry import METRICS


def transfer(home: Sequence[Score], away: Sequence[Score]) -> tuple[Transfer, ...]:
    """Per metric, the distance from the baseline on the other base over that on its own.

    Formula: mean over shared prompts of d_away over that of d_home, with the jackknife interval
    of ``ratio_of_means``; d is the paired difference of a prompt. The share is null where d_home
    may be nothing (its interval holds 0): a part of nothing is no number. Scores are matched by
    metric, version and encoder; those that either run has not are left out.
    """
    known = {_key(score): score for score in home if score.value is not None}
    found = []
    for score in away:
        first = known.get(_key(score))
        if first is None or score.value is None:
            continue
        before, after = differences(first), differences(score)
        shared = sorted(before.keys() & after.keys())
        if not shared:
            continue
        own, other = (np.array([d[p] for p in shared]) for d in (before, after))
        base = clustered_mean(own)
        sure = base.low is not None and base.high is not None and base.low * base.high > 0
        ratio = ratio_of_means(other, own) if sure else None
        ci = None
        if ratio is not None and ratio.low is not None and ratio.high is not None:
            ci = (ratio.low, ratio.high)
        found.append(
            Transfer(
                metric=score.metric,
                encoder=score.encoder,
                home=base.value,
                away=float(other.mean()),
                share=ratio.value if ratio is not None else None,
                ci=ci,
                n_prompts=len(shared),
            )
        )
    return tuple(found)


def differences(score: Score) -> dict[str, float]:
    """Paired distance from the baseline, by prompt id; empty where the score does not keep it."""
    if score.prompt_differences:
        return score.prompt_differences
    declared = METRICS.get(score.metric)
    if declared is None or score.difference is None:
        return {}
    return {prompt: value - declared.null for prompt, value in score.prompt_values.items()}


def _key(score: Score) -> tuple[str, int, str | None]:
    return score.metric, score.version, score.encoder
