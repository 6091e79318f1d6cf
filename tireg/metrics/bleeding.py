"""Whether one concept takes on another's looks."""

from __future__ import annotations

import numpy as np

from tireg.domain.statistics import FloatArray, clustered_mean, from_left_out, ratio_of_means
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, mean_of, spread, used_seeds
from tireg.metrics.concept_fidelity import MIN_GAP, reference_likeness, similarity
from tireg.metrics.samples import SLOT_ROLES, Samples, drawn

LEAST_SPREAD = 0.03
"""Smallest singular value of the concepts' likenesses at which they are told apart."""


def pair_bleeding(samples: Samples, level: float) -> Reading | Unscored:
    """XB on pictures of two concepts: likeness of a's crop to b, against b's class noun."""
    references = samples.partner.get("crop")
    if references is None or not len(references):
        return Unscored("no reference pictures of the second concept")
    rows, images = samples.paired("crop", ("pair", "pair_class"), samples.rows(SLOT_ROLES))
    if not rows.size:
        return Unscored("no prompt has a picture of both pairs")
    ceiling = reference_likeness(references)
    if ceiling is None:
        return Unscored("one picture of the second concept cannot say how alike they are; two can")
    values = {c: similarity(x, references) for c, x in images.items()}
    change = values["pair"] - values["pair_class"]
    gap = ceiling - mean_of(values["pair_class"])
    if gap < MIN_GAP:
        return Unscored(
            f"to this encoder the two concepts look the same (gap {gap:.3f}, needs {MIN_GAP})"
        )
    return Reading(
        estimate=ratio_of_means(change, ceiling - values["pair_class"], level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(change),
        baseline=0.0,
        details={
            **{c: mean_of(v) for c, v in values.items()},
            "partner_references": ceiling,
            "absolute": mean_of(change),
        },
        pictures={c: spread(v, rows, len(samples.prompts)) for c, v in values.items()},
    )


def unmix(change: FloatArray, targets: FloatArray) -> FloatArray:
    """The share of each concept in a shift of pictures, from likenesses alone.

    The mean shift from class noun to token is taken for a mixture of the ways from the class noun
    to each concept: change[b] = sum over a of share[a] * targets[a, b].

    Args: change ``[..., C]``, by how much likeness to each of C concepts rose; targets ``[C, C]``,
    by how much it would rise at b if the pictures became those of a. Returns shares ``[..., C]``.
    """
    shares = np.linalg.solve(targets.T, change[..., None])[..., 0]
    return np.asarray(shares, dtype=np.float64)


def concept_bleeding(samples: Samples, level: float) -> Reading | Unscored:
    """The detector-free form: the share of other concepts in what the token changed."""
    others = samples.others.get("concept", {})
    if not others:
        return Unscored(
            samples.absent.get("others", "there is no other concept in the reference set")
        )
    sets = [samples.references["concept"], *others.values()]
    alike = _likenesses(sets)
    if alike is None:
        return Unscored("one picture of a concept cannot say how alike they are; two can")
    rows, images = samples.paired("concept", ("token", "class"), samples.rows(SLOT_ROLES))
    if not rows.size:
        return Unscored("no prompt has a picture of both the token and the class noun")
    token, noun = (np.stack([similarity(images[c], r) for r in sets], -1) for c in images)
    means = np.stack([np.nanmean(block, axis=1) for block in (token, noun)])
    targets = alike - means[1].mean(axis=0)
    if np.linalg.svd(targets, compute_uv=False)[-1] < LEAST_SPREAD:
        return Unscored(
            "to this encoder two of the concepts, or one and the class noun, look alike"
        )

    def shares(kept: FloatArray) -> FloatArray:
        own, plain = kept
        return unmix(own.mean(axis=0) - plain.mean(axis=0), alike - plain.mean(axis=0))

    found = shares(means)
    count = len(rows)
    if count > 1:
        left = [shares(np.delete(means, i, axis=1))[1:].sum() for i in range(count)]
        n_samples = int(drawn(images["token"]).sum())
        value = float(found[1:].sum())
        estimate = from_left_out(value, np.array(left), n_samples=n_samples, level=level)
    else:
        estimate = clustered_mean(np.array([found[1:].sum()]), level=level)
    each = unmix(token - noun, targets)[..., 1:].sum(axis=-1)
    return Reading(
        estimate=estimate,
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(each),
        baseline=0.0,
        details={"own": float(found[0])}
        | {f"other:{name}": float(w) for name, w in zip(others, found[1:], strict=True)},
        pictures={"token": spread(each, rows, len(samples.prompts))},
    )


def _likenesses(sets: list[FloatArray]) -> FloatArray | None:
    """Mean cosine between pictures of concepts ``[C, C]``, none with itself; None for a single."""
    table = np.empty((len(sets), len(sets)))
    for a, first in enumerate(sets):
        for b, second in enumerate(sets):
            own = reference_likeness(first) if a == b else float((first @ second.T).mean())
            if own is None:
                return None
            table[a, b] = own
    return table


_FEW_REFERENCES = (
    "study (a): 23% of worlds without any mixing have an interval just above 0, for a concept is "
    "known from few pictures only; 4% are surely above 0.1, the value that counts as bad"
)

PAIR_BLEEDING = Metric(
    name="pair_bleeding",
    version=1,
    direction="lower",
    range=(float("-inf"), float("inf")),
    null=0.0,
    baseline="the same picture with the second concept's class noun (0 by definition)",
    bad="surely above 0, and above 0.1",
    bad_above=0.1,
    formula="u the crop of a: [f(u).f(R_b) under 'V_a and V_b' minus the same under 'V_a and a "
    "k_b'], over F_Rb minus the latter: 0 none, 1 a looks wholly like b",
    source="entity leakage (DeLeaker) carried over to learned concepts",
    needs=Needs(kind="crop", conditions=("pair", "pair_class"), roles=SLOT_ROLES),
    function=pair_bleeding,
)

CONCEPT_BLEEDING = Metric(
    name="concept_bleeding",
    version=2,
    direction="lower",
    range=(float("-inf"), float("inf")),
    null=0.0,
    baseline="class noun at the same seed (0 by definition; 1 is wholly other concepts)",
    bad="above 0.1 with its whole interval; a little above 0 is the noise of few references",
    bad_above=0.1,
    formula="sum over j != i of w_j, where w solves d_b = sum over a of w_a (F_ab - F_kb): d_b the "
    "mean of f(x_V).f(R_b) - f(x_k).f(R_b), F_ab between pictures of a and b, F_kb = f(x_k).f(R_b)",
    source="confusion matrix over stored concepts, minus the class noun's, unmixed so that a true "
    "resemblance of two concepts is no bleeding",
    needs=Needs(kind="concept", conditions=("token", "class"), references=True, roles=SLOT_ROLES),
    function=concept_bleeding,
    doubts=(_FEW_REFERENCES,),
)
