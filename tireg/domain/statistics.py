"""Intervals, tests and sample sizes for scores whose samples come in clusters.

The cluster is always the prompt. Pictures of one prompt resemble each other, so treating
pictures as independent makes intervals far too short: a nominal 95% interval over 25 prompts
with 4 seeds each then covers about 72%. Everything here first reduces each prompt to one
number and lets only the number of prompts speak.

A missing picture is NaN. No function turns "unknown" into 0: what cannot be known is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tireg.errors import EvaluationError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BOOTSTRAP_MIN_CLUSTERS = 25
"""Below this many prompts the cluster bootstrap is too short (84% at 5, 89% at 8)."""


@dataclass(frozen=True)
class Estimate:
    """One number with its interval.

    ``low`` and ``high`` are None when there are fewer than two prompts or when the statistic is
    undefined with one prompt left out. ``cluster_values`` has one number per prompt, whose mean
    is ``value`` (for the jackknife: whose mean is the bias-corrected ``value``); the difference
    of two estimates on the same prompts is the difference of these.
    """

    value: float
    low: float | None
    high: float | None
    level: float
    std_error: float | None
    n_clusters: int
    n_samples: int
    cluster_values: tuple[float, ...]
    method: str


@dataclass(frozen=True)
class SignFlip:
    """Outcome of a paired sign-flip test: two-sided p in (0, 1], and how it was found."""

    p_value: float
    mean: float
    n: int
    exact: bool
    flips: int


def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t.

    Args: probability in (0, 1); df >= 1. Returns any real number; tends to the normal quantile.
    """
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def cluster_means(values: npt.ArrayLike) -> tuple[FloatArray, int]:
    """Mean of each prompt over its pictures, prompts without a picture left out.

    Args: values ``[P, S]`` or ``[P]``, NaN where a picture is missing.
    Returns: means ``[P']`` with P' <= P, and the number of pictures used.
    """
    array = _two_dimensional(values)
    present = ~np.isnan(array)
    counts = present.sum(axis=1)
    kept = counts > 0
    sums = np.where(present, array, 0.0).sum(axis=1)
    return sums[kept] / counts[kept], int(counts.sum())


def clustered_mean(values: npt.ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean of the prompt means, with a t interval over prompts.

    Formula: with m_p the mean of prompt p, value = mean(m), SE = sd(m) / sqrt(P),
    value -+ t(P - 1) * SE. Every prompt weighs the same, however many of its pictures exist.
    Source: Miller 2024, "Adding Error Bars to Evals" (clustered errors); Cameron and Miller 2015
    for the small-cluster t with P - 1 degrees of freedom.

    Args: values ``[P, S]`` or ``[P]``, any range, NaN where missing; level in (0, 1).
    Raises: EvaluationError when no value is present or one is infinite.
    """
    _check_level(level)
    means, n_samples = cluster_means(values)
    if means.size == 0:
        raise EvaluationError("there is no value to average: every sample is missing")
    value = float(means.mean())
    error = float(means.std(ddof=1)) / math.sqrt(means.size) if means.size > 1 else None
    return _with_interval(value, error, means, n_samples, level, "clustered-t")


def jackknife(
    statistic: Callable[[IntArray], float],
    n_clusters: int,
    *,
    n_samples: int | None = None,
    level: float = 0.95,
) -> Estimate:
    """Any statistic of the prompts, with the leave-one-prompt-out t interval.

    Formula: theta_(i) is the statistic without prompt i, its pseudo-value is
    P * theta - (P - 1) * theta_(i); SE = sd(pseudo-values) / sqrt(P); theta -+ t(P - 1) * SE.
    The interval stands around the plain statistic, not the bias-corrected one, so that the value
    is what the formula says.
    Source: Tukey 1958; Miller 1974, "The jackknife: a review"; for pairwise terms (a picture
    against other prompts' texts) Arvesen 1969, "Jackknifing U-statistics".

    Args: statistic takes the sorted indices of the prompts kept and may return NaN where it is
    undefined; n_clusters >= 1.
    Raises: EvaluationError when the statistic of all prompts is undefined.
    """
    _check_level(level)
    if n_clusters < 1:
        raise EvaluationError("there is no prompt to compute this from")
    everything = np.arange(n_clusters, dtype=np.int64)
    value = float(statistic(everything))
    if not math.isfinite(value):
        raise EvaluationError("this statistic is undefined on the prompts given")
    samples = n_clusters if n_samples is None else n_samples
    if n_clusters == 1:
        return _with_interval(value, None, np.array([value]), samples, level, "jackknife-t")
    left_out = np.array([float(statistic(np.delete(everything, i))) for i in everything])
    return from_left_out(value, left_out, n_samples=samples, level=level)


def from_left_out(
    value: float, left_out: npt.ArrayLike, *, n_samples: int, level: float = 0.95
) -> Estimate:
    """The estimate of ``jackknife`` where all leave-one-out values ``[P]`` are known already.

    Args: value is the statistic of all prompts; P >= 2; a NaN among ``left_out`` means that the
    statistic is undefined without that prompt, and gives no interval.
    """
    _check_level(level)
    left = np.asarray(left_out, dtype=np.float64)
    n = left.size
    pseudo = n * value - (n - 1) * left
    known = bool(np.isfinite(left).all())
    error = float(pseudo.std(ddof=1)) / math.sqrt(n) if known else None
    return _with_interval(value, error, pseudo, n_samples, level, "jackknife-t")


def ratio_of_means(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike, *, level: float = 0.95
) -> Estimate:
    """Mean numerator over mean denominator, both per prompt, with the jackknife t interval.

    Formula: theta = mean_p(n_p) / mean_p(d_p), interval as in ``jackknife``. To first order it
    equals the delta method's SE, sd(n_p - theta * d_p) / (sqrt(P) * mean(d)).
    Source: Durbin 1959 (jackknife of ratios); Cochran, Sampling Techniques, 6.

    Args: both ``[P, S]`` or ``[P]``, NaN where missing; a prompt counts only when it has both.
    Reliable when the mean denominator is several of its standard errors away from 0: callers
    check that and report "unscored" otherwise.
    Raises: EvaluationError when no prompt has both or the mean denominator is 0.
    """
    _check_level(level)
    top, bottom = _prompt_means_with_gaps(numerator), _prompt_means_with_gaps(denominator)
    if top.shape != bottom.shape:
        raise EvaluationError(
            f"numerator has {top.size} prompts and denominator {bottom.size}; they must agree"
        )
    kept = ~np.isnan(top) & ~np.isnan(bottom)
    top, bottom = top[kept], bottom[kept]
    if top.size == 0:
        raise EvaluationError("no prompt has both a numerator and a denominator")
    if bottom.sum() == 0.0:
        raise EvaluationError("the mean denominator is exactly 0, so the ratio is undefined")
    value = float(top.sum() / bottom.sum())
    n_samples = int((~np.isnan(_two_dimensional(numerator)[kept])).sum())
    if top.size == 1:
        return _with_interval(value, None, np.array([value]), n_samples, level, "jackknife-t")
    rest = bottom.sum() - bottom
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = np.where(rest != 0.0, (top.sum() - top) / rest, np.nan)
    return from_left_out(value, left_out, n_samples=n_samples, level=level)


def cluster_bootstrap(
    values: npt.ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Mean of the prompt means, with a percentile interval from resampled prompts.

    Formula: draw P prompts with replacement, average their means; the interval is the central
    ``level`` of those averages.
    Source: Field and Welsh 2007, "Bootstrapping clustered data".

    Args: values ``[P, S]`` or ``[P]``, NaN where missing; P >= 25, below which it is too short.
    Raises: EvaluationError for fewer than 25 prompts.
    """
    _check_level(level)
    means, n_samples = cluster_means(values)
    if means.size < BOOTSTRAP_MIN_CLUSTERS:
        raise EvaluationError(
            f"a cluster bootstrap over {means.size} prompts is too short an interval",
            hint=f"use the clustered t interval below {BOOTSTRAP_MIN_CLUSTERS} prompts",
        )
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, means.size, size=(resamples, means.size))
    averages = means[picks].mean(axis=1)
    low, high = np.quantile(averages, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(
        value=float(means.mean()),
        low=float(low),
        high=float(high),
        level=level,
        std_error=float(averages.std(ddof=1)),
        n_clusters=means.size,
        n_samples=n_samples,
        cluster_values=tuple(float(m) for m in means),
        method="cluster-bootstrap",
    )


def sign_flip_test(
    differences: npt.ArrayLike, *, seed: int = 0, max_exact: int = 14, flips: int = 9999
) -> SignFlip:
    """Two-sided paired test of "the mean difference is 0", one difference per prompt.

    Formula: under the null each difference may as well have the other sign. Up to ``max_exact``
    prompts all 2^P sign patterns are counted, p = share with |mean| >= observed. Above, ``flips``
    random patterns, p = (1 + count) / (1 + flips), which is never 0.
    Source: Fisher 1935 (randomisation of signs); Phipson and Smyth 2010 for the added one.

    Args: differences ``[P]`` or ``[P, S]`` (reduced to prompt means first), NaN where missing.
    The smallest possible p is 2 / 2^P, so fewer than six prompts can never reach 0.05.
    Raises: EvaluationError when there is no difference at all.
    """
    d, _ = cluster_means(differences)
    if d.size == 0:
        raise EvaluationError("there is no difference to test: every pair is missing")
    observed = abs(float(d.sum()))
    # Sums of the same numbers in another order differ in the last bits; they are ties.
    edge = observed - 1e-12 * max(float(np.abs(d).sum()), 1e-300)
    if d.size <= max_exact:
        patterns = np.arange(2**d.size)[:, None] >> np.arange(d.size)[None, :]
        signs = 1.0 - 2.0 * (patterns & 1)
        p = float((np.abs(signs @ d) >= edge).mean())
        return SignFlip(p, float(d.mean()), d.size, True, 2**d.size)
    flipped = np.random.default_rng(seed).integers(0, 2, size=(flips, d.size), dtype=np.int8)
    count = int((np.abs(d.sum() - 2.0 * (flipped @ d)) >= edge).sum())
    return SignFlip((1 + count) / (1 + flips), float(d.mean()), d.size, False, flips)


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Adjust p values for asking several questions at once; a missing one stays missing.

    Formula: sort the m known p values; adjusted p_(i) = max over j <= i of
    min(1, (m - j + 1) * p_(j)). Controls the chance of any false alarm, whatever the dependence.
    Source: Holm 1979.

    Args: p values in [0, 1] by name. Returns the same names, values in [0, 1] or None.
    """
    known = [(p, name) for name, p in p_values.items() if p is not None and not math.isnan(p)]
    if any(not 0.0 <= p <= 1.0 for p, _ in known):
        raise EvaluationError("a p value lies outside 0 to 1")
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    running = 0.0
    for rank, (p, name) in enumerate(sorted(known)):
        running = max(running, min(1.0, (len(known) - rank) * p))
        adjusted[name] = running
    return adjusted


def effect_size(differences: npt.ArrayLike) -> float | None:
    """Standardised paired effect d_z = mean(d) / sd(d), over prompt means.

    Source: Cohen 1988; Lakens 2013. Any real number; 0.2 is small, 0.8 large. None with fewer
    than two prompts or when the differences do not vary (then no scale exists).
    """
    d, _ = cluster_means(differences)
    if d.size < 2:
        return None
    sd = float(d.std(ddof=1))
    # Equal numbers differ in the last bits; that is no spread.
    return float(d.mean()) / sd if sd > 1e-12 * float(np.abs(d).max()) else None


def minimum_detectable_effect(
    differences: npt.ArrayLike, *, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest true mean difference that these prompts would have shown.

    Formula: (t_{1 - alpha/2} + t_{power}) * sd(d) / sqrt(P) with P - 1 degrees of freedom; for
    many prompts 2.8 * sd(d) / sqrt(P). Source: Bloom 1995, "Minimum detectable effects".

    Args: differences ``[P]`` or ``[P, S]``, in the metric's own unit; alpha and power in (0, 1).
    Returns a number >= 0 in the same unit, or None with fewer than two prompts.
    """
    d, _ = cluster_means(differences)
    if d.size < 2:
        return None
    factor = t_quantile(1 - alpha / 2, d.size - 1) + t_quantile(power, d.size - 1)
    return factor * float(d.std(ddof=1)) / math.sqrt(d.size)


def effective_n(values: npt.ArrayLike) -> float | None:
    """How many independent pictures these are worth, for the mean.

    Formula: N / (1 + (m0 - 1) * rho), rho the intraclass correlation of the one-way analysis of
    variance, m0 the adjusted pictures per prompt. An estimated rho below 0 is read as 0 and above
    1 as 1, so the answer lies between the number of prompts and the number of pictures.
    Source: Kish 1965 (design effect); Donner 1986 for rho and m0.

    Args: values ``[P, S]``, NaN where missing. None when it cannot be told (one prompt, or one
    picture per prompt).
    """
    array = _two_dimensional(values)
    counts = (~np.isnan(array)).sum(axis=1)
    array, counts = array[counts > 0], counts[counts > 0]
    n, total = counts.size, int(counts.sum())
    if n < 2 or total <= n:
        return None
    means = np.nansum(array, axis=1) / counts
    grand = np.nansum(array) / total
    between = float((counts * (means - grand) ** 2).sum()) / (n - 1)
    within = float(np.nansum((array - means[:, None]) ** 2)) / (total - n)
    size = (total - float((counts**2).sum()) / total) / (n - 1)
    spread = between + (size - 1) * within
    rho = (between - within) / spread if spread > 0 else 0.0
    return float(total / (1 + (size - 1) * min(1.0, max(0.0, rho))))


def paired_difference(
    first: Mapping[str, float], second: Mapping[str, float], *, level: float = 0.95
) -> Estimate:
    """Mean of first minus second over the prompts they share, with a t interval.

    Args: cluster values by prompt id, from two estimates of one metric on the same suite.
    Raises: EvaluationError when they share no prompt.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise EvaluationError("the two runs share no prompt, so they cannot be compared")
    return clustered_mean(np.array([first[p] - second[p] for p in shared]), level=level)


def _with_interval(
    value: float,
    error: float | None,
    clusters: FloatArray,
    n_samples: int,
    level: float,
    method: str,
) -> Estimate:
    half = None if error is None else t_quantile((1 + level) / 2, clusters.size - 1) * error
    return Estimate(
        value=value,
        low=None if half is None else value - half,
        high=None if half is None else value + half,
        level=level,
        std_error=error,
        n_clusters=clusters.size,
        n_samples=n_samples,
        cluster_values=tuple(float(c) for c in clusters),
        method=method,
    )


def _prompt_means_with_gaps(values: npt.ArrayLike) -> FloatArray:
    array = _two_dimensional(values)
    present = ~np.isnan(array)
    counts = present.sum(axis=1)
    sums = np.where(present, array, 0.0).sum(axis=1)
    result: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return result


def _two_dimensional(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise EvaluationError(
            f"values must be [prompts] or [prompts, seeds], not {array.ndim} dimensions"
        )
    if np.isinf(array).any():
        raise EvaluationError("a value is infinite, so its mean says nothing")
    return array


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise EvaluationError(f"an interval's level lies between 0 and 1, not {level}")
