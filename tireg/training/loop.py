"""The training loop: only the new rows move; everything else is as it was."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from tireg.domain.recipes import Recipe
from tireg.errors import TrainingFailedError
from tireg.models.bases import Base
from tireg.models.tokens import TokenRows
from tireg.training.data import Batch, Data, draw_batch
from tireg.training.objective import Objective
from tireg.training.optimisers import limit_norms, make_optimiser, rate_at

VALIDATION_SAMPLES = 16
POINTS = 20


@dataclass(frozen=True)
class Progress:
    """One moment of a run. ``loss`` is the mean since the last moment."""

    step: int
    loss: float
    validation: float | None
    norm: float
    cosine: float
    seconds: float


@dataclass
class Run:
    """One concept being learned: what is fixed, and the rows that move."""

    base: Base
    objective: Objective
    data: Data
    recipe: Recipe
    wrappers: dict[str, TokenRows]
    scales: dict[str, float]
    begin: dict[str, torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        for wrapper in self.wrappers.values():
            wrapper.rows.requires_grad_(True)
        self.begin = {key: w.rows.detach().clone() for key, w in self.wrappers.items()}

    def rows(self) -> dict[str, torch.Tensor]:
        """A copy of the current rows by encoder key, fp32 [n, width], on the CPU."""
        return {k: w.rows.detach().cpu().clone() for k, w in self.wrappers.items()}


def learn(run: Run) -> Iterator[Progress]:
    """Train until the recipe's last step, yielding about twenty moments.

    At the end the rows hold the mean of the last ``average_last`` share of the steps (Polyak
    averaging). Raises TrainingFailedError when a loss or a row is not finite, or when no
    gradient reaches the rows.
    """
    recipe, began = run.recipe, time.monotonic()
    generator = torch.Generator().manual_seed(recipe.seed)
    fixed = fixed_batch(run)
    movers = {
        key: make_optimiser(recipe, wrapper.rows, run.scales[key])
        for key, wrapper in run.wrappers.items()
    }
    every = max(1, math.ceil(recipe.last_step / POINTS))
    tail = recipe.last_step - max(1, round(recipe.last_step * recipe.average_last))
    total = torch.zeros((), device=run.base.device)
    sums = {key: torch.zeros_like(w.rows) for key, w in run.wrappers.items()}
    start = validate(run, fixed)
    yield moment(run, 0, start, start, began)
    for step in range(recipe.last_step):
        batch = draw_batch(
            run.data,
            recipe.batch,
            run.objective.timesteps,
            generator,
            stratified=recipe.timesteps == "stratified",
            paired=recipe.paired_noise,
        )
        loss = run.objective(batch).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        if step == 0:
            check_gradient(run)
        for key, mover in movers.items():
            mover.step(rate_at(recipe, step))
            limit_norms(recipe, run.wrappers[key].rows, run.scales[key], step)
        total += loss.detach()
        if step >= tail:
            for key, wrapper in run.wrappers.items():
                sums[key] += wrapper.rows.detach()
        done = step + 1
        if done == recipe.last_step:
            settle(run, sums, done - tail)
        if done % every == 0 or done == recipe.last_step:
            steps = (done - 1) % every + 1
            mean = float(total) / steps
            total.zero_()
            check_finite(run, mean, done)
            yield moment(run, done, mean, validate(run, fixed), began)


def settle(run: Run, sums: dict[str, torch.Tensor], count: int) -> None:
    """Leave the mean of the last ``count`` steps' rows; directional rows keep their length."""
    for key, wrapper in run.wrappers.items():
        mean = sums[key] / count
        if run.recipe.method == "directional":
            mean = mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-12) * run.scales[key]
        with torch.no_grad():
            wrapper.rows.copy_(mean)


def fixed_batch(run: Run) -> Batch:
    """The same sixteen samples for every validation of every run with these pictures."""
    generator = torch.Generator().manual_seed(20_240_901)
    return draw_batch(run.data, VALIDATION_SAMPLES, run.objective.timesteps, generator)


@torch.no_grad()
def validate(run: Run, fixed: Batch) -> float:
    """Mean loss on the fixed batch, in pieces of the recipe's batch size."""
    losses = []
    for start in range(0, VALIDATION_SAMPLES, run.recipe.batch):
        losses.append(run.objective(fixed.part(start, start + run.recipe.batch)))
    return float(torch.cat(losses).mean())


@torch.no_grad()
def moment(run: Run, step: int, loss: float, validation: float, began: float) -> Progress:
    """What there is to see now: norms against words in use, cosine to the beginning."""
    norms, cosines = [], []
    for key, wrapper in run.wrappers.items():
        norms.append(float(wrapper.rows.norm(dim=-1).mean()) / run.scales[key])
        same = torch.cosine_similarity(wrapper.rows, run.begin[key], dim=-1)
        cosines.append(float(same.mean()))
    return Progress(
        step,
        loss,
        validation,
        sum(norms) / len(norms),
        sum(cosines) / len(cosines),
        time.monotonic() - began,
    )


def check_gradient(run: Run) -> None:
    """TrainingFailedError if the first gradient of any encoder's rows is missing or zero."""
    for key, wrapper in run.wrappers.items():
        gradient = wrapper.rows.grad
        if gradient is None or not bool(gradient.abs().sum() > 0):
            raise TrainingFailedError(
                f"no gradient reaches the new rows of {key}: nothing would be learned",
                hint="try --dtype fp32",
            )


def check_finite(run: Run, loss: float, step: int) -> None:
    """TrainingFailedError if the loss or any row is not finite."""
    rows = all(bool(w.rows.isfinite().all()) for w in run.wrappers.values())
    if not math.isfinite(loss) or not rows:
        raise TrainingFailedError(
            f"training became non-finite at step {step}", hint="try a lower --lr or --dtype fp32"
        )
