"""Semantic collapse seen in the text encoder alone: no picture, milliseconds."""

from __future__ import annotations

import numpy as np

from tireg.domain.statistics import FloatArray, from_left_out
from tireg.errors import EvaluationError
from tireg.metrics.base import Metric, Needs, Reading, Unscored
from tireg.metrics.samples import Samples


def dispersion(features: FloatArray) -> float:
    """Mean of 1 - cosine over pairs of different contexts ``[A, d]``, unit-norm, A >= 2."""
    count = len(features)
    total = float(np.square(features.sum(axis=0)).sum()) - float(np.square(features).sum())
    return 1.0 - total / (count * (count - 1))


def without_each(features: FloatArray) -> FloatArray:
    """``dispersion`` with each context left out: ``[A, d]`` to ``[A]``, A >= 3."""
    rest = len(features) - 1
    squares = np.square(features).sum(axis=1)
    sums = features.sum(axis=0) - features
    total = np.square(sums).sum(axis=1) - (squares.sum() - squares)
    result: FloatArray = 1.0 - total / (rest * (rest - 1))
    return result


def norm_ratio(vectors: FloatArray, vocabulary: FloatArray) -> float:
    """Mean norm of an embedding's vectors ``[n, w]`` over the median norm of words ``[W, w]``.

    The words must be ones in use: rows that never occur in training keep the small norm they
    were initialised with and pull the median down. Above about 3 a vector tends to drown its
    prompt. Raises EvaluationError when there are no words.
    """
    if not len(vocabulary):
        raise EvaluationError("there are no words to compare the norm with")
    median = float(np.median(np.linalg.norm(vocabulary, axis=1)))
    return float(np.linalg.norm(vectors, axis=1).mean()) / median


def semantic_collapse_text(samples: Samples, level: float) -> Reading | Unscored:
    """SC_txt over A contexts; each context is a cluster."""
    token, noun = samples.probe.get("token"), samples.probe.get("class")
    if token is None or noun is None or token.shape != noun.shape:
        return Unscored("no text features of the contexts with the token and with the class noun")
    count = len(token)
    if count < 3:
        return Unscored("collapse compares contexts with each other and needs three")
    if dispersion(noun) < 1e-9:
        return Unscored("the contexts are all the same to this text encoder")

    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = 1.0 - without_each(token) / without_each(noun)
    return Reading(
        estimate=from_left_out(
            1.0 - dispersion(token) / dispersion(noun), left_out, n_samples=count, level=level
        ),
        prompt_ids=tuple(f"context-{i}" for i in range(count)),
        n_seeds=0,
        baseline=0.0,
        details={"token": dispersion(token), "class": dispersion(noun)},
    )


SEMANTIC_COLLAPSE_TEXT = Metric(
    name="semantic_collapse_text",
    version=1,
    direction="lower",
    range=(float("-inf"), 1.0),
    null=0.0,
    baseline="class noun (0 by definition; 1 is the same text feature whatever the context)",
    bad="above 0.25: look at the pictures",
    bad_above=0.25,
    formula="1 - D_V / D_k, D_c = mean over i < j of 1 - cos(t(a_i, c), t(a_j, c)), t the "
    "generator's own text encoder",
    source="intra-set distance of text features under a dominating token; no picture is seen",
    needs=Needs(),
    function=semantic_collapse_text,
    couplings=("sees the text encoder only: a collapse that arises in the denoiser is missed",),
    doubts=(
        (
            "study (c): it did not go along with what pictures lost (Spearman 0.08) but for the "
            "worst cases (AUC 0.93): a hint to look, not a measure"
        ),
    ),
)
