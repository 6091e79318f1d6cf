"""The same few samples, noise and timesteps, looked at again and again."""

from __future__ import annotations

import torch

from tireg.training.data import Batch, Data, draw_batch
from tireg.training.objective import Objective

# Sixteen stratified samples at every check; four times as many at the start and the end, where
# it is decided whether anything was learned.
PART, PARTS = 16, 4
SEED = 20_240_901


def fixed_batches(data: Data, objective: Objective) -> list[Batch]:
    """``PARTS`` batches of ``PART`` samples, the same for every run with these pictures."""
    generator = torch.Generator().manual_seed(SEED)
    return [draw_batch(data, PART, objective.timesteps, generator) for _ in range(PARTS)]


@torch.no_grad()
def fixed_losses(objective: Objective, batches: list[Batch], size: int) -> torch.Tensor:
    """Loss of every fixed sample, fp32 [n] on the CPU, in pieces of at most ``size``."""
    losses = [
        objective(batch.part(start, start + size))
        for batch in batches
        for start in range(0, PART, size)
    ]
    return torch.cat(losses).float().cpu()
