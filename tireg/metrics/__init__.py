"""Scores as pure functions of features, each with its direction, range and what number is bad.

samples = Samples(prompts=suite.prompts, seeds=suite.seeds, images=..., texts=..., ...)
results = compute_all(samples)
"""

from __future__ import annotations

from tireg.metrics.base import Metric, MetricResult
from tireg.metrics.compat import CompatScore, compat_scores
from tireg.metrics.registry import METRICS, adjusted_p_values, compute_all, metric, scores_of
from tireg.metrics.samples import Samples, Words, pack, pack_text, text_forms

__all__ = [
    "METRICS",
    "CompatScore",
    "Metric",
    "MetricResult",
    "Samples",
    "Words",
    "adjusted_p_values",
    "compat_scores",
    "compute_all",
    "metric",
    "pack",
    "pack_text",
    "scores_of",
    "text_forms",
]
