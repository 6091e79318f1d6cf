"""Every metric there is, by name."""

from __future__ import annotations

from collections.abc import Iterable

from tireg.domain.scores import Score
from tireg.domain.statistics import holm
from tireg.errors import EvaluationError
from tireg.metrics.background_leakage import BACKGROUND_LEAKAGE, BACKGROUND_LEAKAGE_MASKED
from tireg.metrics.base import Metric, MetricResult
from tireg.metrics.bleeding import CONCEPT_BLEEDING, PAIR_BLEEDING
from tireg.metrics.collapse_text import SEMANTIC_COLLAPSE_TEXT
from tireg.metrics.concept_fidelity import CONCEPT_FIDELITY
from tireg.metrics.copying import COPYING, COPYING_GAP
from tireg.metrics.diversity import DIVERSITY, DIVERSITY_LPIPS, DIVERSITY_MASKED
from tireg.metrics.identifiability import IDENTIFIABILITY
from tireg.metrics.off_token import OFF_TOKEN_DRIFT, OFF_TOKEN_LEAKAGE, OFF_TOKEN_RATE
from tireg.metrics.prompt_fidelity import PROMPT_FIDELITY, PROMPT_RETRIEVAL
from tireg.metrics.samples import Samples
from tireg.metrics.semantic_collapse import SEMANTIC_COLLAPSE
from tireg.metrics.similarity import CLIP_IMAGE_SIMILARITY, CLIP_TEXT_SIMILARITY
from tireg.metrics.style_leakage import STYLE_CONTENT_LEAKAGE, STYLE_INTRUSION

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        CONCEPT_FIDELITY,
        IDENTIFIABILITY,
        PROMPT_FIDELITY,
        PROMPT_RETRIEVAL,
        SEMANTIC_COLLAPSE,
        SEMANTIC_COLLAPSE_TEXT,
        OFF_TOKEN_LEAKAGE,
        OFF_TOKEN_RATE,
        OFF_TOKEN_DRIFT,
        BACKGROUND_LEAKAGE,
        BACKGROUND_LEAKAGE_MASKED,
        COPYING,
        COPYING_GAP,
        DIVERSITY,
        DIVERSITY_MASKED,
        DIVERSITY_LPIPS,
        PAIR_BLEEDING,
        CONCEPT_BLEEDING,
        STYLE_CONTENT_LEAKAGE,
        STYLE_INTRUSION,
        CLIP_IMAGE_SIMILARITY,
        *CLIP_TEXT_SIMILARITY,
    )
}
"""In the order in which a report shows them."""


def metric(name: str) -> Metric:
    """The declaration of one metric. Raises EvaluationError for a name that is none."""
    if name not in METRICS:
        raise EvaluationError(
            f"there is no metric '{name}'; there are {', '.join(METRICS)}",
            hint="tireg eval --help",
        )
    return METRICS[name]


def compute_all(
    samples: Samples, names: Iterable[str] | None = None, *, level: float = 0.95
) -> dict[str, MetricResult]:
    """Every named metric (default: all) on one run, in the registry's order.

    A metric that cannot be known is there with its reason. Raises EvaluationError only for a
    name that is no metric.
    """
    wanted = list(METRICS) if names is None else [metric(name).name for name in names]
    return {name: METRICS[name](samples, level=level) for name in wanted}


def scores_of(results: dict[str, MetricResult]) -> tuple[Score, ...]:
    """The scores of one run as they are kept, p values adjusted over its metrics."""
    adjusted = adjusted_p_values(results)
    return tuple(
        result.to_score().model_copy(update={"p_adjusted": adjusted[name]})
        for name, result in results.items()
    )


def adjusted_p_values(results: dict[str, MetricResult]) -> dict[str, float | None]:
    """Holm-adjusted p values over the metrics of one run; None where a metric has none."""
    return holm({name: result.p_value for name, result in results.items()})
