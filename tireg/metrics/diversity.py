"""Whether seeds still make different pictures."""

from __future__ import annotations

import numpy as np

from tireg.domain.statistics import (
    FloatArray,
    IntArray,
    from_left_out,
    ratio_of_means,
)
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


def between_prompts(images: FloatArray, axis: FloatArray) -> FloatArray:
    """Mean inner product of pictures of two prompts at different seeds, ``[P, P]``.

    Args: features ``[P, S, d]``, NaN where a picture is missing; ``axis`` ``[d]``, a unit vector
    that is taken out of them first, or 0. NaN where two prompts have no two seeds.
    """
    present = drawn(images)
    rows = np.where(present[:, :, None], images - (images @ axis)[..., None] * axis, 0.0)
    sums, counts = rows.sum(axis=1), present.sum(axis=1).astype(np.float64)
    same = np.einsum("isd,jsd->ij", rows, rows)
    pairs = np.outer(counts, counts) - present.astype(np.float64) @ present.T
    with np.errstate(invalid="ignore", divide="ignore"):
        result: FloatArray = np.where(pairs > 0, (sums @ sums.T - same) / pairs, np.nan)
    return result


def concept_axis(token: FloatArray, noun: FloatArray) -> FloatArray:
    """Direction ``[d]`` from the mean of the class noun's pictures to the token's, or 0."""
    way = np.nanmean(token, axis=(0, 1)) - np.nanmean(noun, axis=(0, 1))
    length = float(np.linalg.norm(way))
    result: FloatArray = way / length if length > 1e-9 else np.zeros_like(way)
    return result


def settled(table: FloatArray) -> tuple[float, FloatArray]:
    """How much more alike two seeds of a prompt are than those of two prompts.

    Args: ``[P, P]`` from ``between_prompts``, P >= 3. Returns the value, and ``[P]`` what it is
    without each prompt; NaN where no two prompts have two seeds.
    """
    own = np.diag(table)
    apart = np.where(np.eye(len(table), dtype=bool), np.nan, table)
    known = ~np.isnan(apart)
    rows, columns = np.nansum(apart, axis=1), np.nansum(apart, axis=0)
    pairs = known.sum() - known.sum(axis=1) - known.sum(axis=0)
    total, many = rows.sum(), known.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        without = (own.sum() - own) / (len(own) - 1) - (total - rows - columns) / pairs
    return float(own.mean() - total / many), np.where(pairs > 0, without, np.nan)


def diversity(samples: Samples, level: float) -> Reading | Unscored:
    """Distance between seeds over what it would be if only the identity had become fixed.

    A word that shows one thing differs less from seed to seed than its class noun, and so it
    should. That makes all its pictures more alike, those of two prompts as well; repeated seeds
    do not. So pictures of two prompts say what the distance of two seeds ought to be.
    """
    rows, images = samples.paired("concept", ("token", "class"), samples.rows(SLOT_ROLES))
    distances = {c: seed_distance(images[c]) for c in images}
    several = ~np.isnan(distances["token"]) & ~np.isnan(distances["class"])
    token, noun = (images[c][several] for c in ("token", "class"))
    if len(token) < 3:
        return Unscored("diversity takes at least three prompts with two seeds each")
    if distances["class"][several].sum() <= 1e-9:
        return Unscored("the class noun's pictures do not differ between seeds either")
    apart = distances["token"][several]

    axis = concept_axis(token, noun)
    (wide, wides), (usual, usuals) = (settled(between_prompts(x, axis)) for x in (token, noun))
    ought = float(apart.mean()) + wide - usual
    others = (apart.sum() - apart) / (len(apart) - 1)
    oughts = others + wides - usuals
    if not min(ought, *oughts) > 1e-9:
        return Unscored(
            "the token's pictures hardly differ between prompts, so seeds cannot be judged apart"
        )
    value, left = float(apart.mean()) / ought, others / oughts
    count = int(drawn(token).sum())
    return Reading(
        estimate=from_left_out(value, left, n_samples=count, level=level),
        prompt_ids=ids(samples, rows[several]),
        n_seeds=used_seeds(token[..., 0]),
        baseline=1.0,
        details={
            "token": float(apart.mean()),
            "class": float(distances["class"][several].mean()),
            "plain_ratio": float(apart.mean() / distances["class"][several].mean()),
        },
    )


def diversity_masked(samples: Samples, level: float) -> Reading | Unscored:
    """Distance between seeds over the class noun's, of what is not the concept."""
    rows, images = samples.paired("background", ("token", "class"), samples.rows(SLOT_ROLES))
    token, noun = seed_distance(images["token"]), seed_distance(images["class"])
    return _ratio(samples, rows, token, noun, used_seeds(images["token"][..., 0]), level)


def pair_distance(table: FloatArray) -> FloatArray:
    """Mean distance of two different seeds of a prompt: ``[P, S, S]`` to ``[P]``.

    NaN for a prompt without two pictures. A picture is never paired with itself.
    """
    upper = np.triu(np.ones(table.shape[1:], dtype=bool), k=1)
    pairs = table[:, upper]
    known = ~np.isnan(pairs)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: FloatArray = np.where(known, pairs, 0.0).sum(axis=1) / known.sum(axis=1)
    return result


def diversity_of_pairs(samples: Samples, level: float) -> Reading | Unscored:
    """DR on distances of pairs of pictures, the same pairs of both conditions."""
    rows = samples.rows(SLOT_ROLES)
    tables = {c: samples.distances["perceptual"][c][rows] for c in ("token", "class")}
    both = ~np.isnan(tables["token"]) & ~np.isnan(tables["class"])
    token, noun = (pair_distance(np.where(both, tables[c], np.nan)) for c in ("token", "class"))
    seeds = int(both.any(axis=2).sum(axis=1).max(initial=0))
    return _ratio(samples, rows, token, noun, seeds, level)


def _ratio(
    samples: Samples,
    rows: IntArray,
    token: FloatArray,
    noun: FloatArray,
    n_seeds: int,
    level: float,
) -> Reading | Unscored:
    """Distances ``[P]`` of the token's pictures over those of the class noun's."""
    several = ~np.isnan(token)
    if not several.any():
        return Unscored("diversity takes at least two seeds of one prompt")
    if np.nansum(noun) <= 1e-9:
        return Unscored("the class noun's pictures do not differ between seeds either")
    return Reading(
        estimate=ratio_of_means(token[several], noun[several], level=level),
        prompt_ids=ids(samples, rows[several]),
        n_seeds=n_seeds,
        baseline=1.0,
        details={"token": mean_of(token[:, None]), "class": mean_of(noun[:, None])},
    )


_FORMULA = "D_V / D_k, D_c = mean over prompts and seeds s < s' of 1 - f(x(s)).f(x(s'))"
_SOURCE = "DreamBooth's DIV (Ruiz et al. 2022) as a ratio, with a distance that is named"
_BASELINE = "class noun at the same seeds (1 by definition)"

DIVERSITY = Metric(
    name="diversity",
    version=2,
    direction="target",
    target=1.0,
    range=(0.0, float("inf")),
    null=1.0,
    baseline=_BASELINE,
    bad="no threshold: on trained words it reads below 1 where seeds do not repeat each other",
    formula="D_V / (D_V + G_V - G_k), D_c = mean over prompts and seeds s < s' of 1 - "
    "f(x(s)).f(x(s')), G_c = mean f(x_p(s)).f(x_p(s')) - mean f(x_p(s)).f(x_q(s')) over p != q and "
    "s != s', in G without the direction from the class noun's mean to the token's",
    source="ours: DreamBooth's DIV (Ruiz et al. 2022) against what a fixed identity alone would "
    "leave of it; the detail 'plain_ratio' is D_V / D_k",
    needs=Needs(kind="concept", conditions=("token", "class"), roles=SLOT_ROLES),
    function=diversity,
    couplings=(
        "suppression raises it: what no prompt fixes varies",
        "copying raises it: the same few pictures for every prompt",
        "background carry-over and style content raise it: prompts settle less of the picture",
    ),
    doubts=(
        (
            "study (b): through a real encoder Spearman is 0.86, AUC for a slight seed collapse "
            "0.73; a word that copies or keeps one background reads far above 1"
        ),
        (
            "study (c): Spearman with the oracle's is 0.71, AUC 0.88; it still falls a little "
            "with fidelity (-0.35)"
        ),
    ),
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
    function=diversity_masked,
    couplings=(
        "suppression raises it: what no prompt fixes varies",
        "copying raises or lowers it: training pictures differ in their surroundings, but are few",
    ),
)

DIVERSITY_LPIPS = Metric(
    name="diversity_lpips",
    version=1,
    direction="target",
    target=1.0,
    range=(0.0, float("inf")),
    null=1.0,
    baseline=_BASELINE,
    bad="no threshold: it falls as soon as the identity is fixed; compare at equal fidelity",
    formula="D_V / D_k, D_c = mean over prompts and seeds s < s' of LPIPS(x(s), x(s')); the "
    "detail 'token' is D_V, DreamBooth's DIV",
    source="DreamBooth's DIV (Ruiz et al. 2022), LPIPS 0.1 (Zhang et al. 2018), nothing resized",
    needs=Needs(kind="perceptual", conditions=("token", "class"), roles=SLOT_ROLES),
    function=diversity_of_pairs,
    couplings=(
        "fidelity lowers it, with nothing wrong: a fixed identity differs less from seed to seed",
        "it sees layout and texture before meaning: a cluttered background reads as diversity",
    ),
    doubts=(
        "in no study: (a) draws nothing and LPIPS's weights do not come along; read diversity's",
    ),
)
