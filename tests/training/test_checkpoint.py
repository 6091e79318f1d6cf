"""Going on later gives the same bits, from a few kilobytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_loop import start
from tireg.errors import CorruptError
from tireg.training.checkpoint import newest_front, pack, pack_front, unpack
from tireg.training.loop import Learning, Outcome, Run
from tireg.training.stopping import Look

KNOBS: dict[str, Any] = {"steps": "auto", "max_steps": 12}


class Seen:
    """A probe whose looks depend on the rows alone."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __call__(self) -> Look:
        rows = next(iter(self.run.rows().values()))
        return Look(float(rows.abs().mean()), float(rows.sum().sin().abs()))


def begin(folder: Path, pictures: Path, **knobs: Any) -> Run:
    run = start(folder, pictures, **{**KNOBS, **knobs})
    run.probe = Seen(run)
    return run


def to_the_end(learning: Learning) -> Outcome:
    for _ in learning:
        pass
    return learning.outcome()


@pytest.mark.parametrize("method", ["classic", "directional", "cross"])
@pytest.mark.parametrize("stop", [1, 5, 8])
def test_a_resumed_run_ends_with_the_same_bits(
    method: str, stop: int, tiny_sdxl: Path, pictures: Path
) -> None:
    knobs = {"method": method, "anchor": 0.1 if method == "cross" else 0.0, "paired_noise": True}
    whole = to_the_end(Learning(begin(tiny_sdxl, pictures, **knobs)))
    first = Learning(begin(tiny_sdxl, pictures, **knobs))
    for moment in first:
        if moment.step == stop:
            break
    state = first.state()
    again = unpack(pack(state), pack_front(state.front))
    second = Learning(begin(tiny_sdxl, pictures, **knobs), again)
    seen = next(iter(second)).step
    assert seen == stop + 1, "it must not start at 0"
    resumed = to_the_end(second)
    assert resumed.step == whole.step
    for key, rows in whole.rows.items():
        assert torch.equal(rows, resumed.rows[key])
    assert set(resumed.variants) == set(whole.variants) == {"balanced", "faithful", "editable"}
    for name, (step, look, kept) in whole.variants.items():
        assert resumed.variants[name][:2] == (step, look)
        assert all(torch.equal(kept[key], resumed.variants[name][2][key]) for key in kept)
    ours = [(c.step, c.loss, c.validation, c.look) for c in whole.checks]
    assert [(c.step, c.loss, c.validation, c.look) for c in resumed.checks] == ours


@pytest.mark.parametrize("vectors", [1, 8])
def test_a_checkpoint_is_small(vectors: int, tiny_sdxl: Path, pictures: Path) -> None:
    learning = Learning(begin(tiny_sdxl, pictures, vectors=vectors))
    rows = sum(r.numel() * 4 for r in learning.run.rows().values())
    sizes = [len(pack(learning.state())) for _ in learning]
    assert max(sizes) <= 5 * rows + 32 * 1024


def test_the_front_is_named_by_its_newest_rows(tiny_sd1: Path, pictures: Path) -> None:
    learning = Learning(begin(tiny_sd1, pictures))
    to_the_end(learning)
    state = learning.state()
    assert newest_front(pack(state)) == max(step for step, _, _ in state.front.values())


@pytest.mark.parametrize("damage", ["cut", "empty", "newer", "other"])
def test_a_damaged_checkpoint_is_one_sentence(damage: str, tiny_sd1: Path, pictures: Path) -> None:
    learning = Learning(begin(tiny_sd1, pictures))
    next(iter(learning))
    state = learning.state()
    data, front = pack(state), pack_front(state.front)
    if damage == "newer":
        data = data.replace(b'\\"format_version\\": 1', b'\\"format_version\\": 9')
    data = {"cut": data[:-9], "empty": b"", "newer": data, "other": front}[damage]
    with pytest.raises(CorruptError, match=r"checkpoint"):
        unpack(data, front)


def test_several_passes_a_step_learn_the_same(tiny_sd1: Path, pictures: Path) -> None:
    """Accumulated gradients equal those of one pass up to rounding."""
    results = []
    for accumulate in (1, 2):
        run = start(tiny_sd1, pictures, steps=3, batch=4, accumulate=accumulate)
        results.append(to_the_end(Learning(run)).rows["clip_l"])
    assert torch.allclose(results[0], results[1], rtol=1e-3, atol=1e-5)
    assert not torch.equal(results[0], start(tiny_sd1, pictures).begin["clip_l"])
