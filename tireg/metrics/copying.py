"""Whether the token reproduces training pictures instead of drawing new ones."""

from __future__ import annotations

from math import comb

import numpy as np

from tireg.domain.statistics import FloatArray, clustered_mean
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, mean_of, spread, used_seeds
from tireg.metrics.samples import SLOT_ROLES, Samples, drawn


def nearest(images: FloatArray, references: FloatArray, size: int) -> FloatArray:
    """Expected best cosine with a random ``size`` of the references: ``[P, S]``.

    The best of many is higher than the best of few, so sets are only compared at equal size. The
    expectation is exact: the i-th smallest of n is the best of a random subset with probability
    C(i - 1, size - 1) / C(n, size).

    Args: images ``[P, S, d]``, references ``[n, d]`` with n >= size >= 1.
    """
    count = len(references)
    ordered = np.sort(images @ references.T, axis=-1)
    weights = np.array([comb(i, size - 1) for i in range(count)], dtype=np.float64)
    result: FloatArray = ordered @ (weights / comb(count, size))
    return result


def copying(samples: Samples, level: float) -> Reading | Unscored:
    """CP50: share of pictures that a copy detector takes for a training picture."""
    rows, images = samples.paired("copy", ("token", "class"), samples.rows(SLOT_ROLES))
    if not rows.size:
        return Unscored("no prompt has a picture of both the token and the class noun")
    references = samples.references["copy"]
    best = {c: nearest(x, references, len(references)) for c, x in images.items()}
    copied = {
        c: np.where(drawn(images[c]), (m > samples.copy_threshold).astype(np.float64), np.nan)
        for c, m in best.items()
    }
    return Reading(
        estimate=clustered_mean(copied["token"], level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(copied["token"]),
        baseline=mean_of(copied["class"]),
        details={
            "threshold": samples.copy_threshold,
            "token_nearest": mean_of(best["token"]),
            "class_nearest": mean_of(best["class"]),
        },
        differences=copied["token"] - copied["class"],
        pictures={c: spread(v, rows, len(samples.prompts)) for c, v in best.items()},
    )


def copying_gap(samples: Samples, level: float) -> Reading | Unscored:
    """How much nearer the nearest training picture is than the nearest held-out one."""
    held_out = samples.held_out.get("copy")
    if held_out is None or not len(held_out):
        return Unscored("there is no picture of the concept that was not trained on")
    rows, images = samples.paired("copy", ("token",), samples.rows(SLOT_ROLES))
    size = min(len(samples.references["copy"]), len(held_out))

    def gap(features: FloatArray) -> FloatArray:
        return nearest(features, samples.references["copy"], size) - nearest(
            features, held_out, size
        )

    token = gap(images["token"])
    noun_images = samples.images["copy"].get("class")
    noun = np.full(token.shape, np.nan) if noun_images is None else gap(noun_images[rows])
    known = not np.isnan(token - noun).all()
    return Reading(
        estimate=clustered_mean(token, level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(token),
        baseline=mean_of(noun) if known else None,
        differences=token - noun if known else None,
        details={"set_size": float(size)},
        pictures={"token": spread(token, rows, len(samples.prompts))},
    )


COPYING = Metric(
    name="copying",
    version=1,
    direction="lower",
    range=(0.0, 1.0),
    null=0.0,
    baseline="class noun at the same number of pictures",
    bad="surely above the class noun's",
    bad_above=0.0,
    formula="P(m > threshold), m = max over training pictures r of SSCD(x).SSCD(r)",
    source="Somepalli et al. 2023; threshold 0.5 is SSCD's (Pizzi et al. 2022)",
    needs=Needs(kind="copy", conditions=("token", "class"), references=True, roles=SLOT_ROLES),
    function=copying,
)

COPYING_GAP = Metric(
    name="copying_gap",
    version=1,
    direction="lower",
    range=(-2.0, 2.0),
    null=0.0,
    baseline="class noun: what the two sets differ by without training",
    bad="surely above the class noun's",
    bad_above=0.0,
    formula="mean of max over R_train of SSCD(x).SSCD(r) minus max over R_heldout, in expectation "
    "over subsets of equal size",
    source="train / held-out gap, as in membership tests",
    needs=Needs(kind="copy", conditions=("token",), references=True, roles=SLOT_ROLES),
    function=copying_gap,
)
