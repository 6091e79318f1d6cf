"""How much of the way from the class noun to the real pictures the token goes."""

from __future__ import annotations

import numpy as np

from tireg.domain.statistics import FloatArray, clustered_mean, ratio_of_means
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, mean_of, spread, used_seeds
from tireg.metrics.samples import SLOT_ROLES, Samples

MIN_GAP = 0.05


def similarity(images: FloatArray, references: FloatArray) -> FloatArray:
    """Mean cosine of each picture with the references: ``[P, S, d]``, ``[R, d]`` to ``[P, S]``."""
    result: FloatArray = images @ references.mean(axis=0)
    return result


def reference_likeness(references: FloatArray) -> float | None:
    """Mean cosine over pairs of different references ``[R, d]``; None with fewer than two."""
    count = len(references)
    if count < 2:
        return None
    total = float(np.square(references.sum(axis=0)).sum()) - float(np.square(references).sum())
    return total / (count * (count - 1))


def gap_to_references(samples: Samples, kind: str = "concept") -> float | None:
    """F_R - F_k: the scale on which changes of likeness are large or small. None if unknown."""
    references = samples.references.get(kind)
    drawn_as_class = samples.images.get(kind, {}).get("class")
    if references is None or drawn_as_class is None:
        return None
    ceiling = reference_likeness(references)
    rows = samples.rows(SLOT_ROLES)
    values = similarity(drawn_as_class[rows], references)
    if ceiling is None or np.isnan(values).all():
        return None
    return ceiling - mean_of(values)


def concept_fidelity(samples: Samples, level: float) -> Reading | Unscored:
    """CF over the prompts that ask for the concept, token and class noun at the same seeds."""
    references = samples.references["concept"]
    ceiling = reference_likeness(references)
    if ceiling is None:
        return Unscored("one reference picture cannot say how alike references are; two can")
    rows, images = samples.paired("concept", ("token", "class"), samples.rows(SLOT_ROLES))
    if not rows.size:
        return Unscored("no prompt has a picture of both the token and the class noun")
    token = similarity(images["token"], references)
    noun = similarity(images["class"], references)
    gap = ceiling - mean_of(noun)
    if gap < MIN_GAP:
        return Unscored(
            f"this encoder sees the class noun as alike to the references as they are to each "
            f"other (gap {gap:.3f}, needs {MIN_GAP})"
        )
    absolute = clustered_mean(token, level=level)
    return Reading(
        estimate=ratio_of_means(token - noun, ceiling - noun, level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(token),
        baseline=0.0,
        details={
            "token_similarity": absolute.value,
            "class_similarity": mean_of(noun),
            "reference_similarity": ceiling,
        },
        pictures={
            "token": spread(token, rows, len(samples.prompts)),
            "class": spread(noun, rows, len(samples.prompts)),
        },
    )


CONCEPT_FIDELITY = Metric(
    name="concept_fidelity",
    version=1,
    direction="target",
    target=1.0,
    range=(float("-inf"), float("inf")),
    null=0.0,
    baseline="class noun (0 by definition; 1 is what real pictures of it score)",
    bad="below 0.2: hardly more than the class noun; above 1: look at copying",
    formula="(F_V - F_k) / (F_R - F_k), F_c = mean over prompts, seeds, references of f(x_c).f(r), "
    "F_R = mean over reference pairs",
    source="normalises the 'image only' and 'prompt only' points of Gal et al. 2022",
    needs=Needs(kind="concept", conditions=("token", "class"), references=True, roles=SLOT_ROLES),
    function=concept_fidelity,
    couplings=(
        "copying raises it: a training picture is the most faithful picture there is",
        "off token lowers it: the class noun it is measured from shows the concept too",
        "mix in lowers it: another concept's look is not this one's",
    ),
    doubts=(
        (
            "study (c): it orders stages of one concept well (AUC 0.92) and not those of different "
            "concepts (Spearman over all 0.32): compare it within a concept"
        ),
    ),
)
