from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tireg.domain.statistics import (
    Estimate,
    cluster_bootstrap,
    cluster_means,
    clustered_mean,
    effect_size,
    effective_n,
    holm,
    jackknife,
    minimum_detectable_effect,
    paired_difference,
    ratio_of_means,
    sign_flip_test,
    t_quantile,
)
from tireg.errors import EvaluationError

NAN = float("nan")


def grid(seed: int, prompts: int, seeds: int, between: float = 1.0) -> np.ndarray:
    """Prompts that differ, pictures of a prompt that resemble each other; true mean 0."""
    rng = np.random.default_rng(seed)
    return between * rng.normal(size=(prompts, 1)) + rng.normal(size=(prompts, seeds))


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


class TestClusteredMean:
    def test_agrees_with_scipy_on_the_prompt_means(self) -> None:
        values = grid(0, 12, 4)
        means = values.mean(axis=1)
        expected = stats.t.interval(0.95, 11, loc=means.mean(), scale=stats.sem(means))
        estimate = clustered_mean(values)
        assert (estimate.low, estimate.high) == pytest.approx(expected)
        assert estimate.value == pytest.approx(values.mean())
        assert (estimate.n_clusters, estimate.n_samples) == (12, 48)

    def test_unequal_prompts_weigh_the_same(self) -> None:
        values = [[1.0, 1.0, 1.0, 1.0], [3.0, NAN, NAN, NAN], [NAN] * 4]
        estimate = clustered_mean(values)
        assert estimate.value == pytest.approx(2.0)
        assert (estimate.n_clusters, estimate.n_samples) == (2, 5)

    def test_one_prompt_has_no_interval(self) -> None:
        estimate = clustered_mean([[1.0, 2.0]])
        assert (estimate.value, estimate.low, estimate.high) == (1.5, None, None)

    @pytest.mark.parametrize("bad", [[[NAN]], [], [[math.inf]], np.zeros((2, 2, 2))])
    def test_what_has_no_mean_is_refused(self, bad: object) -> None:
        with pytest.raises(EvaluationError):
            clustered_mean(bad)  # type: ignore[arg-type]

    def test_level_is_checked(self) -> None:
        with pytest.raises(EvaluationError, match="between 0 and 1"):
            clustered_mean([1.0, 2.0], level=95)

    def test_interval_covers_where_the_naive_one_does_not(self) -> None:
        clustered = naive = 0
        for seed in range(1000):
            values = grid(seed, 25, 4)
            clustered += covers(clustered_mean(values), 0.0)
            naive += covers(clustered_mean(values.ravel()), 0.0)
        assert 0.92 <= clustered / 1000 <= 0.97
        assert naive / 1000 < 0.85

    def test_order_of_prompts_does_not_matter(self) -> None:
        values = grid(3, 9, 3)
        turned = clustered_mean(values[::-1])
        assert turned.value == pytest.approx(clustered_mean(values).value)
        assert turned.high == pytest.approx(clustered_mean(values).high)


class TestRatios:
    def test_jackknife_of_a_mean_is_the_t_interval(self) -> None:
        values = grid(1, 10, 3)
        means = values.mean(axis=1)
        by_jackknife = jackknife(lambda kept: float(means[kept].mean()), 10)
        assert by_jackknife.low == pytest.approx(clustered_mean(values).low)
        assert by_jackknife.cluster_values == pytest.approx(means)

    def test_ratio_is_the_generic_jackknife(self) -> None:
        top, bottom = grid(2, 8, 3) + 1, grid(3, 8, 3) + 5
        t, b = top.mean(axis=1), bottom.mean(axis=1)
        generic = jackknife(lambda kept: float(t[kept].mean() / b[kept].mean()), 8)
        quick = ratio_of_means(top, bottom)
        assert quick.value == pytest.approx(top.mean() / bottom.mean())
        assert (quick.low, quick.high) == pytest.approx((generic.low, generic.high))
        assert quick.n_samples == 24

    def test_ratio_is_close_to_the_delta_method(self) -> None:
        top, bottom = 2 + grid(4, 200, 1)[:, 0], 6 + grid(5, 200, 1)[:, 0]
        estimate = ratio_of_means(top, bottom)
        residual = top - estimate.value * bottom
        delta = residual.std(ddof=1) / math.sqrt(200) / bottom.mean()
        assert estimate.std_error == pytest.approx(delta, rel=0.02)

    def test_ratio_interval_covers(self) -> None:
        rng = np.random.default_rng(0)
        hits = 0
        for _ in range(1000):
            shared = rng.normal(size=25)
            bottom = 1.0 + 0.3 * shared + 0.2 * rng.normal(size=25)
            top = 0.4 + 0.2 * shared + 0.2 * rng.normal(size=25)
            hits += covers(ratio_of_means(top, bottom), 0.4)
        assert 0.92 <= hits / 1000 <= 0.97

    def test_ratio_needs_both_sides(self) -> None:
        estimate = ratio_of_means([1.0, NAN, 3.0], [2.0, 2.0, 2.0])
        assert (estimate.value, estimate.n_clusters) == (1.0, 2)
        with pytest.raises(EvaluationError, match="undefined"):
            ratio_of_means([1.0, 1.0], [1.0, -1.0])
        with pytest.raises(EvaluationError, match="must agree"):
            ratio_of_means([1.0], [1.0, 2.0])
        with pytest.raises(EvaluationError, match="both"):
            ratio_of_means([NAN, 1.0], [1.0, NAN])

    def test_one_prompt_has_a_value_and_no_interval(self) -> None:
        for estimate in (ratio_of_means([1.0], [4.0]), jackknife(lambda kept: 0.25, 1)):
            assert (estimate.value, estimate.low) == (0.25, None)

    def test_a_statistic_undefined_without_one_prompt_has_no_interval(self) -> None:
        estimate = ratio_of_means([1.0, 1.0], [2.0, 0.0])
        assert (estimate.value, estimate.low, estimate.high) == (1.0, None, None)

    def test_undefined_statistic_is_refused(self) -> None:
        with pytest.raises(EvaluationError, match="undefined"):
            jackknife(lambda kept: NAN, 3)
        with pytest.raises(EvaluationError, match="no prompt"):
            jackknife(lambda kept: 1.0, 0)


class TestBootstrap:
    def test_close_to_the_t_interval_with_many_prompts(self) -> None:
        values = grid(6, 200, 2)
        boot, t = cluster_bootstrap(values), clustered_mean(values)
        assert boot.value == t.value
        assert boot.low == pytest.approx(t.low, abs=0.03)
        assert boot.high == pytest.approx(t.high, abs=0.03)
        assert boot == cluster_bootstrap(values)

    def test_refused_with_few_prompts(self) -> None:
        with pytest.raises(EvaluationError, match="24 prompts is too short"):
            cluster_bootstrap(grid(0, 24, 4))


class TestSignFlip:
    def test_exact_p_counts_all_patterns(self) -> None:
        d = np.array([0.5, -0.1, 0.3, 0.2, 0.4])
        patterns = np.array(list(itertools.product([1, -1], repeat=5)))
        expected = (np.abs(patterns @ d) >= abs(d.sum()) - 1e-12).mean()
        found = sign_flip_test(d)
        assert found.exact
        assert found.p_value == pytest.approx(expected)

    def test_smallest_p_is_two_patterns(self) -> None:
        assert sign_flip_test(np.ones(6)).p_value == 2 / 64
        assert sign_flip_test([1.0]).p_value == 1.0

    def test_no_difference_is_p_one(self) -> None:
        assert sign_flip_test(np.zeros(8)).p_value == 1.0
        assert sign_flip_test(np.zeros(40)).p_value == 1.0

    def test_random_flips_agree_with_exact_and_repeat(self) -> None:
        d = np.random.default_rng(1).normal(0.4, 1.0, 14)
        exact = sign_flip_test(d)
        random = sign_flip_test(d, max_exact=5, flips=20000)
        assert not random.exact
        assert random.p_value == pytest.approx(exact.p_value, abs=0.01)
        assert random == sign_flip_test(d, max_exact=5, flips=20000)

    def test_p_is_uniform_under_the_null(self) -> None:
        rng = np.random.default_rng(2)
        alarms = [sign_flip_test(rng.normal(size=10)).p_value <= 0.05 for _ in range(1000)]
        assert np.mean(alarms) <= 0.065

    def test_no_pair_is_refused(self) -> None:
        with pytest.raises(EvaluationError, match="no difference"):
            sign_flip_test([NAN])


class TestHolm:
    def test_textbook(self) -> None:
        adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "e": None})
        assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02, "e": None})

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
    def test_never_below_the_raw_p_never_above_bonferroni_and_keeps_order(
        self, ps: list[float]
    ) -> None:
        adjusted = holm({str(i): p for i, p in enumerate(ps)})
        values = [adjusted[str(i)] for i in range(len(ps))]
        for raw, new in zip(ps, values, strict=True):
            assert new is not None
            assert raw <= new <= max(raw, min(1.0, raw * len(ps)))
        order = np.argsort(ps, kind="stable")
        sorted_values = [values[i] for i in order]
        assert sorted_values == sorted(sorted_values)

    def test_impossible_p_is_refused(self) -> None:
        with pytest.raises(EvaluationError):
            holm({"a": 1.5})


class TestSizes:
    def test_effect_size(self) -> None:
        assert effect_size([1.0, 2.0, 3.0]) == pytest.approx(2.0)
        assert effect_size([0.1, 0.1, 0.1]) is None
        assert effect_size([1.0]) is None

    def test_minimum_detectable_effect_tends_to_2_8_standard_errors(self) -> None:
        d = np.random.default_rng(0).normal(size=2000)
        found = minimum_detectable_effect(d)
        assert found == pytest.approx(2.8 * d.std(ddof=1) / math.sqrt(2000), rel=0.002)
        assert minimum_detectable_effect([1.0]) is None

    def test_minimum_detectable_effect_is_found_in_four_of_five(self) -> None:
        rng = np.random.default_rng(1)
        unit = (t_quantile(0.975, 19) + t_quantile(0.8, 19)) / math.sqrt(20)
        found = 0
        for _ in range(1000):
            estimate = clustered_mean(unit + rng.normal(size=20))
            found += estimate.low is not None and estimate.low > 0
        assert 0.76 <= found / 1000 <= 0.84

    def test_effective_n_lies_between_prompts_and_pictures(self) -> None:
        alike = np.repeat(np.arange(5.0)[:, None], 4, axis=1)
        assert effective_n(alike) == pytest.approx(5)
        free = grid(0, 400, 4, between=0.0)
        assert effective_n(free) == pytest.approx(1600, rel=0.15)
        half = effective_n(grid(0, 2000, 4))
        assert half == pytest.approx(8000 / 2.5, rel=0.1)
        assert effective_n([[1.0], [2.0]]) is None
        assert effective_n([[1.0, 2.0]]) is None

    def test_cluster_means_drop_empty_prompts(self) -> None:
        means, n = cluster_means([[1.0, 3.0], [NAN, NAN], [5.0, NAN]])
        assert means.tolist() == [2.0, 5.0]
        assert n == 3

    def test_t_quantile(self) -> None:
        assert t_quantile(0.975, 24) == pytest.approx(stats.t.ppf(0.975, 24))


class TestPaired:
    def test_only_shared_prompts_count(self) -> None:
        found = paired_difference({"a": 1.0, "b": 2.0, "c": 9.0}, {"a": 0.5, "b": 1.0, "d": 7.0})
        assert found.value == pytest.approx(0.75)
        assert found.n_clusters == 2

    def test_nothing_shared_is_refused(self) -> None:
        with pytest.raises(EvaluationError, match="share no prompt"):
            paired_difference({"a": 1.0}, {"b": 1.0})
