"""What loading the embedding changes where its token is not used.

For a plain textual-inversion embedding the answer is exactly nothing, by construction: no weight
is touched. Equal pixels prove it. Different pixels mean a token that collides with an ordinary
word, an overwritten row of the vocabulary, or something that is no plain embedding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tireg.domain.statistics import FloatArray, IntArray, clustered_mean
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, mean_of, spread, used_seeds
from tireg.metrics.concept_fidelity import gap_to_references, similarity
from tireg.metrics.samples import FREE_ROLES, SLOT_ROLES, Samples, drawn

_CONDITIONS = ("class", "base")


def off_token_leakage(samples: Samples, level: float) -> Reading | Unscored:
    """OL: change of likeness to the references on prompts without the token."""
    found = _changes(samples)
    if isinstance(found, Unscored):
        return found
    rows, change, extra = found
    gap = gap_to_references(samples)
    if gap is not None and gap > 0:
        extra["share_of_gap"] = mean_of(change) / gap
    return _reading(samples, rows, change, extra, level)


def off_token_rate(samples: Samples, level: float) -> Reading | Unscored:
    """LR: how often the picture moved towards the references rather than away."""
    found = _changes(samples)
    if isinstance(found, Unscored):
        return found
    rows, change, extra = found
    closer = np.where(np.isnan(change), np.nan, 0.5 * (1.0 + np.sign(change)))
    return _reading(samples, rows, closer, extra, level, baseline=0.5)


def off_token_drift(samples: Samples, level: float) -> Reading | Unscored:
    """How different the picture became, in any direction."""
    found = _paired_rows(samples)
    if isinstance(found, Unscored):
        return found
    rows, equal, together = found
    if _all_equal(equal, together):
        drift = np.where(together, 0.0, np.nan)
    else:
        images = samples.images.get("concept", {})
        if any(c not in images for c in _CONDITIONS):
            return Unscored("pictures differ, and there are no features to say by how much")
        cosine = np.einsum("psd,psd->ps", images["class"][rows], images["base"][rows])
        if np.isnan(cosine[together & ~equal]).any():
            return Unscored("some pictures differ and have no features to say by how much")
        drift = np.where(equal, 0.0, 1.0 - cosine)
    return _reading(samples, rows, drift, _share(equal, together), level)


_Rows = tuple[IntArray, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def _paired_rows(samples: Samples) -> _Rows | Unscored:
    """Prompts drawn with the embedding loaded and without: their indices, which pictures are
    equal to the last pixel, and which pairs exist."""
    rows = samples.rows(FREE_ROLES + SLOT_ROLES)
    shape = (len(rows), len(samples.seeds))
    together = np.zeros(shape, dtype=np.bool_)
    equal = np.zeros(shape, dtype=np.bool_)
    if all(c in samples.pixels for c in _CONDITIONS):
        loaded, bare = (samples.pixels[c][rows] for c in _CONDITIONS)
        together |= (loaded != "") & (bare != "")
        equal |= together & (loaded == bare)
    images = samples.images.get("concept", {})
    if all(c in images for c in _CONDITIONS):
        together |= drawn(images["class"][rows]) & drawn(images["base"][rows])
    kept = together.any(axis=1)
    if not kept.any():
        return Unscored("no prompt was drawn both with the embedding loaded and on the bare base")
    return rows[kept], equal[kept], together[kept]


def _changes(samples: Samples) -> tuple[IntArray, FloatArray, dict[str, float]] | Unscored:
    found = _paired_rows(samples)
    if isinstance(found, Unscored):
        return found
    rows, equal, together = found
    if _all_equal(equal, together):
        return rows, np.where(together, 0.0, np.nan), _share(equal, together)
    images = samples.images.get("concept", {})
    references = samples.references.get("concept")
    if references is None or not len(references) or any(c not in images for c in _CONDITIONS):
        return Unscored("pictures differ, and there are no features to say whether they leak")
    change = similarity(images["class"][rows], references)
    change = change - similarity(images["base"][rows], references)
    if np.isnan(change[together & ~equal]).any():
        return Unscored("some pictures differ and have no features to say whether they leak")
    return rows, np.where(equal, 0.0, change), _share(equal, together)


def _all_equal(equal: npt.NDArray[np.bool_], together: npt.NDArray[np.bool_]) -> bool:
    return bool(equal[together].all())


def _share(equal: npt.NDArray[np.bool_], together: npt.NDArray[np.bool_]) -> dict[str, float]:
    return {"identical_pictures": float(equal[together].mean())}


def _reading(
    samples: Samples,
    rows: IntArray,
    values: FloatArray,
    details: dict[str, float],
    level: float,
    baseline: float = 0.0,
) -> Reading:
    return Reading(
        estimate=clustered_mean(values, level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(values),
        baseline=baseline,
        details=details,
        pictures={"class": spread(values, rows, len(samples.prompts))},
    )


_NEEDS = Needs(kind="concept")
_BASELINE = "the base without the embedding, same prompt and seed"

OFF_TOKEN_LEAKAGE = Metric(
    name="off_token_leakage",
    version=1,
    direction="lower",
    range=(-2.0, 2.0),
    null=0.0,
    baseline=_BASELINE,
    bad="anything but exactly 0 for a plain embedding; else surely above 0, and grave above a "
    "tenth of F_R - F_k",
    bad_above=0.0,
    formula="mean over token-free prompts and seeds of f(x_loaded).f(r) - f(x_base).f(r); pictures "
    "equal to the last pixel count as exactly 0",
    source="DreamBooth's PRES (Ruiz et al. 2022) with the base subtracted",
    needs=_NEEDS,
    function=off_token_leakage,
)

OFF_TOKEN_RATE = Metric(
    name="off_token_rate",
    version=1,
    direction="target",
    target=0.5,
    range=(0.0, 1.0),
    null=0.5,
    baseline="0.5: as often away from the references as towards them",
    bad="above 0.5 with its whole interval",
    bad_above=0.0,
    formula="mean of 1[D > 0] + 1[D = 0] / 2, D the change of likeness to the references",
    source="leakage rate after Gonen et al. 2024",
    needs=_NEEDS,
    function=off_token_rate,
)

OFF_TOKEN_DRIFT = Metric(
    name="off_token_drift",
    version=1,
    direction="lower",
    range=(0.0, 2.0),
    null=0.0,
    baseline=_BASELINE,
    bad="anything but exactly 0 for a plain embedding",
    formula="mean over token-free prompts and seeds of 1 - f(x_loaded).f(x_base)",
    source="image-space drift under adaptation",
    needs=_NEEDS,
    function=off_token_drift,
    couplings=(
        "no chance level but exact equality: any disturbance of the picture counts",
        "off token raises it: a picture that shows the concept is a disturbed one, too",
    ),
)
