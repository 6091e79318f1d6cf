"""Whether one concept takes on another's looks."""

from __future__ import annotations

import numpy as np

from tireg.domain.statistics import clustered_mean, ratio_of_means
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, mean_of, spread, used_seeds
from tireg.metrics.concept_fidelity import MIN_GAP, reference_likeness, similarity
from tireg.metrics.samples import SLOT_ROLES, Samples


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


def concept_bleeding(samples: Samples, level: float) -> Reading | Unscored:
    """The detector-free form: likeness to the other concepts of the reference set, averaged."""
    others = samples.others.get("concept", {})
    if not others:
        return Unscored("there is no other concept in the reference set")
    rows, images = samples.paired("concept", ("token", "class"), samples.rows(SLOT_ROLES))
    if not rows.size:
        return Unscored("no prompt has a picture of both the token and the class noun")
    tables = {
        name: similarity(images["token"], refs) - similarity(images["class"], refs)
        for name, refs in others.items()
    }
    change = np.mean(list(tables.values()), axis=0)
    return Reading(
        estimate=clustered_mean(change, level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(change),
        baseline=0.0,
        details={f"other:{name}": mean_of(table) for name, table in tables.items()},
        pictures={"token": spread(change, rows, len(samples.prompts))},
    )


_RESEMBLANCE = (
    "study (a): rank correlation 0.84 with the mixing of another concept, AUC 0.69, and 32% of "
    "worlds without any mixing are surely above 0, because concepts do resemble each other; use "
    "pair_bleeding for a verdict"
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
    version=1,
    direction="lower",
    range=(-2.0, 2.0),
    null=0.0,
    baseline="class noun at the same seed (0 by definition)",
    bad="no threshold: a concept that truly resembles another one is above 0 without any fault",
    formula="C_ij = mean of f(x_Vi).f(R_j) - f(x_ki).f(R_j), averaged over j != i",
    source="confusion matrix over stored concepts, minus the class noun's",
    needs=Needs(kind="concept", conditions=("token", "class"), roles=SLOT_ROLES),
    function=concept_bleeding,
    couplings=(
        "true resemblance: a faithful concept like another one is above 0 with nothing wrong",
    ),
    doubts=(_RESEMBLANCE,),
)
