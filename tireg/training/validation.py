"""The same few samples, noise and timesteps, looked at again and again."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tireg.training.data import Batch, Data, draw_batch
from tireg.training.objective import Objective

# Sixteen stratified samples at every check; four times as many at the start and the end, where
# it is decided whether anything was learned.
PART, PARTS = 16, 4
SEED = 20_240_901


Part = tuple[Batch, ...]


def fixed_batches(data: Data, objective: Objective) -> list[Part]:
    """``PARTS`` parts of ``PART`` samples, the same for every run with these pictures.

    Every bucket has its share of the samples, by the pictures in it.
    """
    generator = torch.Generator().manual_seed(SEED)
    made: list[Part] = []
    for number in range(PARTS):
        batches = []
        for bucket in data.buckets:
            share = PART * len(bucket.mean) / data.pictures
            count = round((number + 1) * share) - round(number * share)
            if count:
                one = Data((bucket,))
                batches.append(draw_batch(one, count, objective.timesteps, generator))
        made.append(tuple(batches))
    return made


@torch.no_grad()
def fixed_losses(objective: Objective, parts: Sequence[Part], size: int) -> torch.Tensor:
    """Loss of every fixed sample, fp32 [n] on the CPU, in pieces of at most ``size``."""
    losses = [
        objective(batch.part(start, start + size))
        for part in parts
        for batch in part
        for start in range(0, len(batch.prompts), size)
    ]
    return torch.cat(losses).float().cpu()


def count_of(part: Part) -> int:
    """Samples in a part."""
    return sum(len(batch.prompts) for batch in part)
