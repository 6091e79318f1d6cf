"""Whether seeds still make different pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tireg.domain.statistics import FloatArray, ratio_of_means
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, mean_of, used_seeds
from tireg.metrics.samples import SLOT_ROLES, Samples, drawn


def seed_distance(images: FloatArray) -> FloatArray:
    """Mean of 1 - cosine over pairs of different seeds of a prompt: ``[P, S, d]`` to ``[P]``.

    NaN for a prompt with fewer than two pictures. A picture is never paired with itself.
    """
    present = drawn(images)
    rows = np.where(present[:, :, None], images, 0.0)
    count = present.sum(axis=1).astype(np.float64)
    total = np.square(rows.sum(axis=1)).sum(axis=1) - np.square(rows).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: FloatArray = np.where(count > 1, 1.0 - total / (count * (count - 1)), np.nan)
    return result


def diversity_of(kind: str) -> Callable[[Samples, float], Reading | Unscored]:
    """DR on one kind of features."""

    def diversity(samples: Samples, level: float) -> Reading | Unscored:
        rows, images = samples.paired(kind, ("token", "class"), samples.rows(SLOT_ROLES))
        token, noun = seed_distance(images["token"]), seed_distance(images["class"])
        if not rows.size or np.isnan(token).all():
            return Unscored("diversity takes at least two seeds of one prompt")
        if np.nansum(noun) <= 1e-9:
            return Unscored("the class noun's pictures do not differ between seeds either")
        several = ~np.isnan(token)
        return Reading(
            estimate=ratio_of_means(token[several], noun[several], level=level),
            prompt_ids=ids(samples, rows[several]),
            n_seeds=used_seeds(images["token"][..., 0]),
            baseline=1.0,
            details={"token": mean_of(token[:, None]), "class": mean_of(noun[:, None])},
        )

    return diversity


_IDENTITY = (
    "study (a): a faithful embedding (0.8) with nothing wrong reads about 0.6, so it always looks "
    "like a loss of diversity, and AUC for a slight seed collapse is 0.84; diversity_masked holds"
)
_FORMULA = "D_V / D_k, D_c = mean over prompts and seeds s < s' of 1 - f(x(s)).f(x(s'))"
_SOURCE = "DreamBooth's DIV (Ruiz et al. 2022) as a ratio, with a distance that is named"
_BASELINE = "class noun at the same seeds (1 by definition)"

DIVERSITY = Metric(
    name="diversity",
    version=1,
    direction="target",
    target=1.0,
    range=(0.0, float("inf")),
    null=1.0,
    baseline=_BASELINE,
    bad="no threshold: it falls as soon as the identity is fixed; compare at equal fidelity",
    formula=_FORMULA,
    source=_SOURCE,
    needs=Needs(kind="concept", conditions=("token", "class"), roles=SLOT_ROLES),
    function=diversity_of("concept"),
    couplings=(
        "fidelity lowers it, with nothing wrong: a fixed identity differs less from seed to seed",
        "suppression raises it: what no prompt fixes varies",
        "copying lowers it: few training pictures are repeated",
        "off token raises it: the class noun's pictures vary less",
        "mix in lowers or raises it: two identities vary more than one, less than many",
    ),
    doubts=(_IDENTITY,),
)

DIVERSITY_MASKED = Metric(
    name="diversity_masked",
    version=1,
    direction="higher",
    range=(0.0, float("inf")),
    null=1.0,
    baseline=_BASELINE,
    bad="below 0.7: seeds repeat each other outside the concept",
    bad_below=-0.3,
    formula=f"{_FORMULA}, with the concept masked out",
    source=_SOURCE,
    needs=Needs(kind="background", conditions=("token", "class"), roles=SLOT_ROLES),
    function=diversity_of("background"),
    couplings=(
        "suppression raises it: what no prompt fixes varies",
        "copying raises or lowers it: training pictures differ in their surroundings, but are few",
    ),
)
