"""Which scores may be set side by side: only answers to one question, asked in one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tireg.domain.scores import Run, Score

AGAINST_OTHERS = frozenset({"identifiability", "concept_bleeding", "pair_bleeding"})
"""Metrics whose value depends on the other concepts that a run was compared with."""


@dataclass(frozen=True, order=True)
class Frame:
    """How the pictures of a run were asked for and drawn.

    Device and batch are no part of it: they say how it was reckoned and move scores by less than
    a thousandth.
    """

    suite: str
    seeds: tuple[int, ...]
    base: str
    negative: bool
    sampler: str
    steps: int
    guidance: float
    width: int
    height: int
    dtype: str


@dataclass(frozen=True)
class Question:
    """What one number answers: a version of a metric, seen by one encoder's weights."""

    metric: str
    version: int
    encoder: str | None
    encoder_sha256: str | None
    others: tuple[str, ...]


def frame_of(run: Run) -> Frame:
    """The frame of a run; ``suite`` and ``base`` are the hashes of their contents."""
    spec, sampling = run.spec, run.spec.sampling
    return Frame(
        spec.suite.sha256,
        spec.seeds,
        spec.base_fingerprint,
        spec.negative,
        sampling.sampler,
        sampling.steps,
        sampling.guidance,
        sampling.width,
        sampling.height,
        sampling.dtype,
    )


def question_of(run: Run, score: Score) -> Question:
    """What ``score`` of ``run`` answers."""
    weights = {encoder.name: encoder.sha256 for encoder in run.spec.encoders}
    others: tuple[str, ...] = ()
    if score.metric in AGAINST_OTHERS:
        others = tuple(sorted(other.embedding for other in run.spec.others))
    seen_by = weights.get(score.encoder) if score.encoder else None
    return Question(score.metric, score.version, score.encoder, seen_by, others)


def newest_of_each_frame(runs: Sequence[Run]) -> dict[Frame, Run]:
    """The newest run of every frame; one that keeps values by prompt before those that do not."""

    def age(run: Run) -> tuple[bool, str, str]:
        return any(score.prompt_values for score in run.scores), run.created, run.run_id

    return {frame_of(run): run for run in sorted(runs, key=age)}
