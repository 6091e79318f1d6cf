"""Ranks of values that are known by their intervals only."""

from __future__ import annotations

from collections.abc import Sequence

from tireg.domain.scores import Direction


def goodness(value: float, direction: Direction, target: float | None) -> float:
    """A number that is larger the better ``value`` is.

    For the direction ``target`` minus the distance from it; with no target known, 0 for all.
    """
    if direction == "higher":
        return value
    if direction == "lower":
        return -value
    return 0.0 if target is None else -abs(value - target)


def interval_of_goodness(
    value: float, ci: tuple[float, float] | None, direction: Direction, target: float | None
) -> tuple[float, float]:
    """The interval ``ci`` of a value as one of :func:`goodness`; unbounded where there is none."""
    if ci is None:
        return float("-inf"), float("inf")
    ends = [goodness(bound, direction, target) for bound in ci]
    inside = direction == "target" and target is not None and ci[0] <= target <= ci[1]
    return min(ends), max([*ends, goodness(value, direction, target), *([0.0] if inside else [])])


def ranks(intervals: Sequence[tuple[float, float]]) -> list[int]:
    """For each interval 1 + how many others lie wholly above it; shared ranks are ties.

    Larger is better. Source: the rank of Chiang et al. 2024, "Chatbot Arena", section 5. Stricter
    than a paired test, as it does not know that both answered the same prompts.
    """
    return [1 + sum(low > high for low, _ in intervals) for _, high in intervals]
