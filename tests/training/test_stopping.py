"""Stopping and choosing: on evidence, the same whatever the order it is looked at again."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tireg.training.stopping import VARIANTS, Check, Front, Look, gain, has_learned, why_stop


def check(step: int, look: Look | None = None, **values: float) -> Check:
    known: dict[str, Any] = {
        "loss": 1.0, "validation": 1.0, "gain": 0.1, "gain_error": 0.01, "norm": 1.0,
        "cosine": 0.5, "rate": 0.1, "seconds": 1.0, **values,
    }  # fmt: skip
    return Check(step, look=look, **known)


def test_balance_is_high_only_where_both_are() -> None:
    assert Look(1.0, 1.0).balance == 1.0
    assert Look(2.0, 0.0).balance == 0.0, "an embedding that ignores the prompt is worth nothing"
    assert Look(-0.5, 1.0).balance == 0.0
    assert Look(0.9, 0.9).balance > Look(1.0, 0.7).balance


def test_it_goes_on_while_the_balance_rises() -> None:
    rising = [check(25 * i, Look(0.1 * i, 1.0)) for i in range(1, 9)]
    assert all(why_stop(rising[:n]) is None for n in range(1, 9))


def test_it_stops_after_four_looks_without_a_better_one() -> None:
    balances = [0.3, 0.8, 0.8, 0.81, 0.75, 0.8]
    looks = [check(25 * i, Look(b, b)) for i, b in enumerate(balances, 1)]
    assert why_stop(looks[:5]) is None
    assert "no better after step 100" in (why_stop(looks) or "")


def test_a_falling_obedience_stops_it_though_the_likeness_rises() -> None:
    looks = [check(i, Look(0.2 * i, 1.2 - 0.2 * i)) for i in range(1, 7)]
    stopped = next(n for n in range(1, 7) if why_stop(looks[:n]))
    assert "together fell after step 3" in (why_stop(looks[:stopped]) or "")
    assert stopped == 6


def test_without_a_probe_the_fixed_loss_decides() -> None:
    falling = [check(i, gain=0.1 * i, gain_error=0.05) for i in range(12)]
    flat = [check(i, gain=0.1, gain_error=0.05) for i in range(12)]
    assert why_stop(falling) is None
    assert "fixed samples" in (why_stop(flat) or "")


def test_the_front_keeps_the_best_of_each() -> None:
    seen = {1: Look(0.5, 1.0), 2: Look(0.88, 0.88), 3: Look(1.0, 0.4), 4: Look(1.5, 0.1)}
    front = offered(seen)
    assert chosen(front) == {"balanced": 2, "faithful": 3, "editable": 1}


def test_of_rows_that_look_alike_the_later_are_kept() -> None:
    slow = {step: Look(0.9 - 0.04 * step, 0.9 - 0.04 * step) for step in range(6)}
    assert chosen(offered(slow))["balanced"] == 2, (
        "within the tie of the best ever, not of the last"
    )


def test_a_front_taken_up_again_goes_on_as_it_was() -> None:
    seen = {1: Look(0.9, 0.9), 2: Look(0.82, 0.82), 3: Look(0.79, 0.79)}
    half = offered({step: seen[step] for step in (1, 2)})
    again = Front.again(half.kept, [check(step, seen[step]) for step in (1, 2)])
    again.offer(3, seen[3], {})
    assert chosen(again) == chosen(offered(seen)) == dict.fromkeys(VARIANTS, 2)


def offered(seen: dict[int, Look]) -> Front:
    front = Front()
    for step, look in seen.items():
        front.offer(step, look, {"clip_l": torch.full((1, 2), float(step))})
    return front


def chosen(front: Front) -> dict[str, int]:
    return {name: step for name, (step, _, _) in front.kept.items()}


@pytest.mark.parametrize(("fall", "learned"), [(0.0, False), (0.05, True), (-0.05, False)])
def test_a_run_must_beat_two_standard_errors(fall: float, learned: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(64, generator=generator)
    noise = 0.01 * torch.randn(64, generator=generator)
    mean, error = gain(start, start - fall + noise - noise.mean())
    assert mean == pytest.approx(fall, abs=1e-6)
    assert error == pytest.approx(float(noise.std()) / 8, rel=1e-4)
    assert has_learned(mean, error) is learned
