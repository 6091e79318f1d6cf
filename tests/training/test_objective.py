"""Flow matching: sigmas as the schedulers have them, weights that are what they are said to be."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tireg.domain.families import family
from tireg.models.bases import Base
from tireg.training.data import Batch
from tireg.training.flow import Flow, pack, unpack


def flow_of(ident: str, scheduler: Any, **config: Any) -> Flow:
    """A Flow for a family whose transformer is never asked."""
    row = family(ident)
    denoiser = SimpleNamespace(config={"patch_size": 1, **config})
    pipe = SimpleNamespace(scheduler=scheduler, transformer=denoiser)
    cpu = torch.device("cpu")
    return Flow(Base(None, row, pipe, {}, cpu, torch.float32))  # type: ignore[arg-type]


def batch_of(times: list[int], side: int = 8) -> Batch:
    index = torch.tensor(times)
    noise = torch.randn(2, len(times), 4, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(noise[0], noise[1], index, index * 0, (8 * side, 8 * side))


def test_a_fixed_shift_is_the_schedulers() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    flow = flow_of("sd3", scheduler)
    found = flow.sigmas(batch_of(list(range(1000))))
    assert torch.allclose(found, scheduler.sigmas.flip(0), atol=1e-6)
    times = flow._time(found)
    assert torch.allclose(times, scheduler.timesteps.flip(0), atol=1e-3)


@pytest.mark.parametrize("kind", ["exponential", "linear"])
def test_a_shift_by_size_is_the_pipelines(kind: str) -> None:
    import numpy as np
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
    flow = flow_of("flux1", scheduler)
    for side in (32, 128):
        mu = calculate_shift((side // 2) ** 2)
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 1000, 1000).tolist(), mu=mu)
        found = flow.sigmas(batch_of([0, 1, 500, 998, 999], side))
        theirs = scheduler.sigmas[:-1].flip(0)[[0, 1, 500, 998, 999]]
        assert torch.allclose(found, theirs, atol=1e-6)


def test_noise_is_mixed_along_a_straight_line() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    flow = flow_of("sd3", FlowMatchEulerDiscreteScheduler())
    batch = batch_of([0, 499, 999])
    noisy = flow.noisy(batch)
    assert torch.allclose(noisy[2], batch.noise[2])
    assert torch.allclose(noisy[1], (batch.noise[1] + batch.latents[1]) / 2, atol=1e-6)
    back = noisy - flow.sigmas(batch).view(-1, 1, 1, 1) * flow.target(batch)
    assert torch.allclose(back, batch.latents, atol=1e-5)


def test_weights_are_the_logit_normal_density() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    flow = flow_of("sd3", FlowMatchEulerDiscreteScheduler())
    assert torch.equal(flow.weights(0.0), torch.ones(1000))
    weights = flow.weights(5.0)
    assert float(weights.mean()) == pytest.approx(1)
    # Half of a standard normal lies within 0.6745 deviations; the sigmoid keeps the order.
    low, high = (1 / (1 + math.exp(-z)) for z in (-0.6745, 0.6745))
    inside = weights[round(1000 * low) : round(1000 * high)].sum() / 1000
    assert float(inside) == pytest.approx(0.5, abs=0.01)


def test_packing_is_undone() -> None:
    latents = torch.randn(2, 4, 6, 8)
    packed = pack(latents)
    assert packed.shape == (2, 12, 16)
    assert torch.equal(unpack(packed, 6, 8), latents)
