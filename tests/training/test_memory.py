"""Memory: an estimate that grows as it should, and means that change no number."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.test_families import PROMPTS, open_with_word, pictures_of
from tireg.models.conditioning import Conditioning
from tireg.training.data import draw_batch
from tireg.training.memory import (
    _group_leaves,
    _kernel_says,
    available_memory,
    estimate_memory,
    for_training,
)
from tireg.training.objective import Objective


def test_checkpointing_changes_no_number(tiny_sd1: Path) -> None:
    base, wrappers, _ = open_with_word(tiny_sd1)
    wrappers["clip_l"].rows.requires_grad_(True)
    objective = Objective(base, Conditioning(base, PROMPTS, "<x>"))
    batch = draw_batch(pictures_of(base, 64), 2, 1000, torch.Generator().manual_seed(0))
    found = []
    for checkpointing in (False, True, False):
        for_training(base, checkpointing=checkpointing)
        assert base.pipe.unet.is_gradient_checkpointing == checkpointing
        wrappers["clip_l"].rows.grad = None
        loss = objective(batch).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = wrappers["clip_l"].rows.grad
        assert gradient is not None
        found.append((loss.detach(), gradient.clone()))
    for loss, gradient in found[1:]:
        assert torch.equal(loss, found[0][0])
        assert torch.allclose(gradient, found[0][1], rtol=1e-5, atol=1e-9)


def test_the_estimate_follows_what_is_asked(tiny_sd1: Path) -> None:
    base, _, _ = open_with_word(tiny_sd1)
    parts = [p for p in base.pipe.components.values() if isinstance(p, torch.nn.Module)]
    weights = sum(w.nbytes for part in parts for w in part.parameters())
    small = estimate_memory(base, resolution=64, batch=1) - weights
    more = estimate_memory(base, resolution=64, batch=4) - weights
    larger = estimate_memory(base, resolution=128, batch=1) - weights
    spared = estimate_memory(base, resolution=128, batch=1, checkpointing=True) - weights
    assert more == pytest.approx(4 * small, rel=0.05)
    assert 2 * small < larger < 5 * small
    assert 0 < spared < larger
    # The base itself is as it was: nothing was moved to another device.
    assert all(w.device == base.device for part in parts for w in part.parameters())


def test_what_is_there_is_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:   2048 kB\n")
    assert _kernel_says(tmp_path / "meminfo") == 2048 * 1024
    assert _kernel_says(tmp_path / "none") is None
    assert (available_memory(torch.device("cpu")) or 1) > 0
    assert available_memory(torch.device("meta")) is None


def test_the_limit_of_a_control_group_counts(tmp_path: Path) -> None:
    assert _group_leaves(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 300\n")
    assert _group_leaves(tmp_path) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert _group_leaves(tmp_path) is None
