"""Whether the token drowns out the rest of the prompt, and by how much."""

from __future__ import annotations

import numpy as np

from tireg.domain.statistics import FloatArray, from_left_out
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, used_seeds
from tireg.metrics.samples import SLOT_ROLES, Samples, drawn


def alignment(images: FloatArray, contexts: FloatArray) -> FloatArray:
    """Mean cosine over seeds of each prompt's pictures with each context.

    ``[P, S, d]`` with NaN rows where missing and ``[P, d]``, to ``[P, P]``.
    """
    present = drawn(images)
    sums = np.where(present[:, :, None], images, 0.0).sum(axis=1)
    result: FloatArray = (sums / present.sum(axis=1)[:, None]) @ contexts.T
    return result


def specificity(matrix: FloatArray) -> float:
    """Mean of the diagonal minus mean of the rest: how much pictures follow *their* context."""
    count = len(matrix)
    diagonal = float(np.trace(matrix))
    return diagonal / count - (float(matrix.sum()) - diagonal) / (count * (count - 1))


def without_each(matrix: FloatArray) -> FloatArray:
    """``specificity`` with each prompt left out, pictures and context alike: ``[P, P]`` to ``[P]``.

    At least three prompts.
    """
    rest = len(matrix) - 1
    own = np.diagonal(matrix)
    diagonal = own.sum() - own
    removed = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * own
    others = matrix.sum() - own.sum() - removed
    result: FloatArray = diagonal / rest - others / (rest * (rest - 1))
    return result


def semantic_collapse(samples: Samples, level: float) -> Reading | Unscored:
    """SC: the share of context-following that is lost against the class noun."""
    contexts = samples.texts["context"]
    rows = samples.rows(SLOT_ROLES)
    rows, images = samples.paired("clip", ("token", "class"), rows[drawn(contexts[rows])])
    if len(rows) < 3:
        return Unscored("collapse compares contexts with each other and needs three prompts")
    token = alignment(images["token"], contexts[rows])
    noun = alignment(images["class"], contexts[rows])

    count = int(drawn(images["token"]).sum())
    followed = from_left_out(specificity(noun), without_each(noun), n_samples=count, level=level)
    if followed.low is None or followed.low <= 0.0:
        return Unscored(
            f"pictures of the class noun do not follow the contexts either (A_k = "
            f"{followed.value:.3f}, interval includes 0), so nothing can be lost"
        )

    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = 1.0 - without_each(token) / without_each(noun)
    value = 1.0 - specificity(token) / followed.value
    return Reading(
        estimate=from_left_out(value, left_out, n_samples=count, level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(images["token"][..., 0]),
        baseline=0.0,
        details={"token": specificity(token), "class": followed.value},
    )


SEMANTIC_COLLAPSE = Metric(
    name="semantic_collapse",
    version=1,
    direction="lower",
    range=(float("-inf"), float("inf")),
    null=0.0,
    baseline="class noun (0 by definition; 1 is no trace of the context)",
    bad="above 0.25: a quarter of what the prompt asks for is lost",
    bad_above=0.25,
    formula="1 - A_V / A_k, A_c = mean of I(x_c(p)).T(ctx_p) minus mean over p' != p of "
    "I(x_c(p)).T(ctx_p')",
    source="the context part of CLIP-T, against permuted contexts",
    needs=Needs(kind="clip", conditions=("token", "class"), texts=("context",), roles=SLOT_ROLES),
    function=semantic_collapse,
    couplings=(
        "copying raises it fully: a copied picture follows no prompt",
        "background carry-over raises it where the prompt names a background",
        "style content raises it where the prompt names a thing",
    ),
    doubts=(
        (
            "study (c): small differences are not ordered as the oracle orders them (Spearman "
            "0.60); of those of 0.15 or more, 93% are"
        ),
    ),
)
