from __future__ import annotations

import math

import pytest

from tireg.domain.ranking import goodness, interval_of_goodness, ranks
from tireg.domain.scores import Direction


def test_intervals_that_overlap_share_a_rank() -> None:
    assert ranks([(0.7, 0.9), (0.6, 0.8), (0.1, 0.2)]) == [1, 1, 3]
    assert ranks([(0.0, 1.0)]) == [1]
    assert ranks([]) == []


def test_an_unknown_interval_is_never_surely_worse_or_better() -> None:
    assert ranks([(0.8, 0.9), (-math.inf, math.inf), (0.1, 0.2)]) == [1, 1, 2]


@pytest.mark.parametrize(
    ("direction", "target", "better", "worse"),
    [("higher", None, 0.3, 0.1), ("lower", None, 0.1, 0.3), ("target", 0.5, 0.45, 0.6)],
)
def test_goodness_points_up(
    direction: Direction, target: float | None, better: float, worse: float
) -> None:
    assert goodness(better, direction, target) > goodness(worse, direction, target)


def test_intervals_follow_the_direction() -> None:
    assert interval_of_goodness(0.2, (0.1, 0.3), "lower", None) == (-0.3, -0.1)
    assert interval_of_goodness(0.6, (0.4, 0.8), "target", 0.5) == pytest.approx((-0.3, 0.0))
    assert interval_of_goodness(0.7, (0.6, 0.8), "target", 0.5) == pytest.approx((-0.3, -0.1))
    assert interval_of_goodness(0.7, None, "higher", None) == (-math.inf, math.inf)
