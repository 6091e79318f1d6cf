"""What a metric is: a pure function of samples, and a declaration that says how to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from tireg.domain.scores import Score
from tireg.domain.statistics import (
    Estimate,
    FloatArray,
    IntArray,
    cluster_means,
    clustered_mean,
    effect_size,
    effective_n,
    minimum_detectable_effect,
    sign_flip_test,
)
from tireg.metrics.samples import Samples

Direction = Literal["higher", "lower", "target"]


@dataclass(frozen=True)
class Unscored:
    """The value cannot be known, and why. Never a 0, never a NaN."""

    reason: str


@dataclass(frozen=True)
class Reading:
    """What a metric function returns when it can answer."""

    estimate: Estimate
    prompt_ids: tuple[str, ...]
    n_seeds: int
    baseline: float | None
    details: Mapping[str, float] = field(default_factory=dict)
    widened: float = 1.0
    """How much wider than the spread over prompts alone the interval is: 1, or more where
    something else that was chosen at random counts too. Tests are widened alike."""
    differences: FloatArray | None = field(default=None, compare=False, repr=False)
    """``[P]`` or ``[P, S]`` paired distances from the baseline, where the value is not itself one.
    Default: the value minus the metric's ``null``."""
    pictures: Mapping[str, FloatArray] = field(default_factory=dict, compare=False, repr=False)
    """Per condition ``[P, S]`` over all prompts of the samples, NaN where not used."""


@dataclass(frozen=True)
class MetricResult:
    """One score: the number, its interval, what it stands on, and what it compares with.

    ``low`` and ``high`` are None when one prompt is all there is. ``difference`` is the paired
    distance from the baseline (from the metric's ``null`` where the value is itself a difference
    or a ratio), with its own interval; ``p_value``, ``effect_size`` and ``mde`` speak of it.
    ``prompt_values`` has one number per prompt, for pairing with another run on the same suite.
    """

    metric: str
    version: int
    encoder: str | None
    direction: Direction
    value: float | None
    low: float | None
    high: float | None
    level: float
    n_prompts: int
    n_seeds: int
    baseline: float | None
    baseline_name: str
    unscored: str | None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None
    effect_size: float | None = None
    mde: float | None = None
    n_effective: float | None = None
    details: Mapping[str, float] = field(default_factory=dict)
    prompt_values: Mapping[str, float] = field(default_factory=dict)
    prompt_differences: Mapping[str, float] = field(default_factory=dict)
    """Empty where it is ``prompt_values`` minus the metric's ``null``."""
    pictures: Mapping[str, FloatArray] = field(default_factory=dict, compare=False, repr=False)

    def to_score(self) -> Score:
        """The part of it that is kept in a run."""
        return Score(
            metric=self.metric,
            version=self.version,
            encoder=self.encoder,
            value=self.value,
            ci=_interval(self.low, self.high),
            level=self.level,
            n_prompts=self.n_prompts,
            n_seeds=self.n_seeds,
            baseline=self.baseline,
            baseline_name=self.baseline_name,
            direction=self.direction,
            unscored=self.unscored,
            difference=self.difference,
            difference_ci=_interval(self.difference_low, self.difference_high),
            p_value=self.p_value,
            effect_size=self.effect_size,
            minimum_effect=self.mde,
            n_effective=self.n_effective,
            prompt_values=dict(self.prompt_values),
            prompt_differences=dict(self.prompt_differences),
            details=dict(self.details),
        )


def _interval(low: float | None, high: float | None) -> tuple[float, float] | None:
    return (low, high) if low is not None and high is not None else None


@dataclass(frozen=True)
class Needs:
    """What must be in the samples before a metric can answer."""

    kind: str | None = None
    conditions: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    references: bool = False
    words: str | None = None
    roles: tuple[str, ...] = ()

    def missing(self, samples: Samples) -> str | None:
        """What is not there, as a reason; None when all is."""
        seen = samples.distances if self.kind in samples.distances else samples.images
        images = seen.get(self.kind, {}) if self.kind is not None else {}
        if self.kind is not None and not images and self.kind in samples.absent:
            return samples.absent[self.kind]
        for condition in self.conditions:
            if condition not in images or np.isnan(images[condition]).all():
                return f"no {self.kind} features of pictures drawn as '{condition}'"
        for variant in self.texts:
            if variant not in samples.texts or np.isnan(samples.texts[variant]).all():
                return f"no text features of the prompts' '{variant}' form"
        if (
            self.references
            and self.kind is not None
            and not len(samples.references.get(self.kind, ()))
        ):
            return samples.absent.get(
                "references", f"no {self.kind} features of reference pictures"
            )
        if self.words is not None and self.words not in samples.words:
            return f"no vocabulary of {self.words} words"
        if self.words is not None and not samples.training_words.get(self.words):
            if not samples.references and "references" in samples.absent:
                return samples.absent["references"]
            return f"no {self.words} words are known for the training pictures"
        if self.roles and not samples.rows(self.roles).size:
            return f"the suite has no prompt of role {' or '.join(self.roles)}"
        return None


@dataclass(frozen=True)
class Metric:
    """A declaration: everything needed to read the number, and the function that makes it."""

    name: str
    version: int
    direction: Direction
    range: tuple[float, float]
    null: float
    """What the metric reads in expectation when the effect it looks for is absent."""
    baseline: str
    """What ``baseline`` in the result is."""
    bad: str
    formula: str
    source: str
    needs: Needs
    function: Callable[[Samples, float], Reading | Unscored]
    target: float | None = None
    """Where a metric of direction ``target`` should be."""
    bad_above: float | None = None
    """A ``difference`` above this is bad."""
    bad_below: float | None = None
    """A ``difference`` below this is bad."""
    couplings: tuple[str, ...] = ()
    """What else moves it, as found in the studies."""
    doubts: tuple[str, ...] = ()
    """Which bars of the studies it misses, and why."""

    def __call__(self, samples: Samples, *, level: float = 0.95) -> MetricResult:
        """Measure. Never raises for missing inputs: the result then says why it is unscored."""
        reason = self.needs.missing(samples)
        answer = Unscored(reason) if reason is not None else self.function(samples, level)
        encoder = samples.encoders.get(self.needs.kind) if self.needs.kind is not None else None
        if isinstance(answer, Unscored):
            return MetricResult(
                metric=self.name,
                version=self.version,
                encoder=encoder,
                direction=self.direction,
                value=None,
                low=None,
                high=None,
                level=level,
                n_prompts=0,
                n_seeds=0,
                baseline=None,
                baseline_name=self.baseline,
                unscored=answer.reason,
            )
        return self._result(answer, encoder)

    def distance(self, reading: Reading) -> Estimate:
        """How far a reading is from its baseline, per prompt and in the mean."""
        estimate = reading.estimate
        if reading.differences is not None:
            return clustered_mean(reading.differences, level=estimate.level)
        return replace(
            estimate,
            value=estimate.value - self.null,
            low=None if estimate.low is None else estimate.low - self.null,
            high=None if estimate.high is None else estimate.high - self.null,
            cluster_values=tuple(value - self.null for value in estimate.cluster_values),
        )

    def _result(self, reading: Reading, encoder: str | None) -> MetricResult:
        estimate = reading.estimate
        apart = self.distance(reading)
        distance = np.array(apart.cluster_values)
        if reading.widened != 1.0:
            distance = distance.mean() + (distance - distance.mean()) * reading.widened
        several = apart.low is not None
        return MetricResult(
            metric=self.name,
            version=self.version,
            encoder=encoder,
            direction=self.direction,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            level=estimate.level,
            n_prompts=estimate.n_clusters,
            n_seeds=reading.n_seeds,
            baseline=reading.baseline,
            baseline_name=self.baseline,
            unscored=None,
            difference=apart.value,
            difference_low=apart.low,
            difference_high=apart.high,
            p_value=sign_flip_test(distance).p_value if several else None,
            effect_size=effect_size(distance) if several else None,
            mde=minimum_detectable_effect(distance) if several else None,
            n_effective=_worth(reading.pictures),
            details=dict(reading.details),
            prompt_values=dict(zip(reading.prompt_ids, estimate.cluster_values, strict=True)),
            prompt_differences=_by_prompt(reading, apart),
            pictures=reading.pictures,
        )

    def is_bad(self, result: MetricResult) -> bool | None:
        """Whether the number is bad: past its threshold, and surely not its baseline.

        None when there is no score, no interval, or the metric declares no threshold.
        """
        apart, low, high = result.difference, result.difference_low, result.difference_high
        if apart is None or low is None or high is None:
            return None
        if self.bad_above is not None:
            return apart > self.bad_above and low > 0.0
        if self.bad_below is not None:
            return apart < self.bad_below and high < 0.0
        return None


def _by_prompt(reading: Reading, apart: Estimate) -> dict[str, float]:
    """Paired differences by prompt, where the metric gives them and every prompt has one."""
    if reading.differences is None or len(apart.cluster_values) != len(reading.prompt_ids):
        return {}
    return dict(zip(reading.prompt_ids, apart.cluster_values, strict=True))


def _worth(pictures: Mapping[str, FloatArray]) -> float | None:
    """Effective n of the paired pictures where there are pairs, else of the one condition."""
    if not pictures:
        return None
    tables = list(pictures.values())
    return effective_n(tables[0] - tables[1] if len(tables) > 1 else tables[0])


def spread(values: FloatArray, rows: IntArray, n: int) -> FloatArray:
    """Per-picture values ``[len(rows), S]`` of some prompts, back in a ``[n, S]`` table of all."""
    table = np.full((n, values.shape[1]), np.nan)
    table[rows] = values
    return table


def used_seeds(values: FloatArray) -> int:
    """The largest number of pictures that any prompt of ``[P, S]`` has."""
    return int((~np.isnan(values)).sum(axis=1).max(initial=0))


def ids(samples: Samples, rows: IntArray) -> tuple[str, ...]:
    """Ids of these prompts."""
    return tuple(samples.prompts[int(i)].id for i in rows)


def mean_of(values: FloatArray) -> float:
    """Mean of the prompt means of ``[P, S]`` with NaN where missing; at least one is present."""
    means, _ = cluster_means(values)
    return float(means.mean())
