"""What every stage of the builder shares: a log, checkpoints to go on from, a training loop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tireg.errors import TrainingFailedError
from tireg.shapes.builder_sizes import Sizes

if TYPE_CHECKING:
    import torch


@dataclass
class Run:
    """Where a build is written, what it builds and where it computes.

    ``start`` is a folder of earlier weights to go on from (``base`` and ``scorer`` inside), or
    ``None`` to begin with random ones.
    """

    folder: Path
    sizes: Sizes
    device: str = "cpu"
    start: Path | None = None
    save_seconds: float = 60.0
    log_every: int = 100
    began: float = field(default_factory=time.time)

    def log(self, stage: str, **values: object) -> None:
        """Append one line of JSON to ``training_log.jsonl`` and print it."""
        line = {"stage": stage, **values, "seconds": round(time.time() - self.began, 1)}
        text = json.dumps(line)
        with (self.folder / "training_log.jsonl").open("a", encoding="utf-8") as out:
            out.write(text + "\n")
        print(text, flush=True)

    def done(self, stage: str) -> Path:
        """The file that holds a finished stage's weights."""
        return self.folder / f"{stage}.pt"


def rate_at(step: int, steps: int, peak: float, constant: float, warm: int = 100) -> float:
    """Learning rate: linear warm-up, a constant part (share of all steps), linear decay to 2%."""
    ramp = min(1.0, (step + 1) / max(1, min(warm, steps // 10)))
    part = step / steps
    decay = 1.0 if part < constant else (1 - part) / (1 - constant)
    return peak * ramp * max(decay, 0.02)


def draws(seed: int, stage: int, step: int) -> np.random.Generator:
    """The generator of one step: it depends on nothing but these numbers, so runs can go on."""
    return np.random.default_rng([seed, stage, step])


def _save(path: Path, state: dict[str, Any]) -> None:
    import torch

    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


class Average:
    """Exponential moving average of a module's parameters."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in module.named_parameters()}

    def update(self, module: torch.nn.Module) -> None:
        """Move the average towards the module's present values."""
        import torch

        with torch.no_grad():
            for name, value in module.named_parameters():
                self.state[name].lerp_(value, 1 - self.decay)


def train_stage(
    run: Run,
    stage: str,
    module: torch.nn.Module,
    loss_at: Callable[[int], torch.Tensor],
    *,
    steps: int,
    peak: float,
    constant: float = 0.0,
    average: Average | None = None,
    report: tuple[int, Callable[[int], dict[str, object]]] | None = None,
) -> None:
    """Train a module for ``steps`` steps, saving to go on after an interruption.

    ``loss_at(step)`` gives the loss of one step; ``report`` is how often, in steps, and with what
    function to add measurements to the log. The finished state dict (of the average, where
    there is one) goes to ``run.done(stage)``. Raises
    :class:`~tireg.errors.TrainingFailedError` when the loss is no longer a number.
    """
    import torch

    path = run.folder / f"{stage}.ckpt"
    decayed = [p for p in module.parameters() if p.ndim > 1]
    plain = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.99))
    first, before = 0, 0.0
    if path.exists():
        saved = torch.load(path, map_location=run.device, weights_only=True)
        module.load_state_dict(saved["module"])
        optimiser.load_state_dict(saved["optimiser"])
        first, before = int(saved["step"]), float(saved["spent"])
        if average is not None:
            average.state = saved["average"]
        run.log(stage, step=first, event="resumed")
    began, saved_at, losses = time.time(), time.time(), []
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, steps, peak, constant)
        loss = loss_at(step)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise TrainingFailedError(f"the loss of stage {stage} is not a number at step {step}")
        if average is not None and step % 4 == 0:
            average.update(module)
        spent = before + time.time() - began
        last = step + 1 == steps
        if last or (step + 1) % run.log_every == 0:
            run.log(stage, step=step + 1, loss=round(float(np.mean(losses)), 5), spent=round(spent))
            losses = []
        if report is not None and (last or (step + 1) % report[0] == 0):
            run.log(stage, step=step + 1, **report[1](step + 1))
        if last or time.time() - saved_at > run.save_seconds:
            state: dict[str, Any] = {"module": module.state_dict(), "step": step + 1}
            state["optimiser"] = optimiser.state_dict()
            state["spent"] = spent
            state["average"] = average.state if average is not None else {}
            _save(path, state)
            saved_at = time.time()
    final = module.state_dict()
    if average is not None:
        final.update(average.state)
    _save(run.done(stage), final)
    path.unlink(missing_ok=True)


def batches(count: int, size: int, seed: int, stage: int) -> Callable[[int], np.ndarray[Any, Any]]:
    """A function from step to picture numbers, ``int64 [size]``; each pass is a fresh shuffle."""
    per_pass = max(1, count // size)
    order: dict[int, np.ndarray[Any, Any]] = {}

    def at(step: int) -> np.ndarray[Any, Any]:
        turn, place = divmod(step, per_pass)
        if turn not in order:
            order.clear()
            order[turn] = np.random.default_rng([seed, stage, turn, 1]).permutation(count)
        return order[turn][place * size : (place + 1) * size]

    return at


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices that cover ``count`` items in pieces of ``size``."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
