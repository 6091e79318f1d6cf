"""A few real steps and pictures on the real base, from which the time of many is reckoned."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tireg.domain.families import Family
from tireg.domain.suites import Suite, fill
from tireg.workflows.progress import Event, Listener

if TYPE_CHECKING:
    from tireg.models.bases import Base
    from tireg.workflows.evaluate import EvalRequest
    from tireg.workflows.places import Place
    from tireg.workflows.train import Ground, TrainRequest

STEPS = 4
PICTURES = 2
# A few steps on a quiet machine say too little of an hour on a busy one.
LEAST_SPREAD = 0.2


@dataclass(frozen=True)
class Pace:
    """Seconds that things take here, at ``side`` pixels.

    ``learn`` and ``check`` are of one sample with and without a gradient, ``picture`` of one
    picture of ``steps`` steps, ``look`` of one probe, ``prepare`` of getting one run ready,
    ``opening`` of the base. ``low`` and ``high`` are the ends of the spread as shares of the mean.
    ``look_cost`` are denoiser samples of a probe, 0 without one; ``guided`` is 2 where each step
    of a picture takes two.
    """

    family: Family
    side: int
    opening: float
    prepare: float
    learn: float
    check: float
    picture: float
    look: float
    look_cost: int
    steps: int
    guided: int
    low: float
    high: float
    memory: int | None
    picture_bytes: int


def time_learning(
    request: TrainRequest, ground: Ground, home: Path, listen: Listener, width: int
) -> Pace:
    """Open the base and the concept, take a few steps of ``width`` runs at once, draw a picture."""
    from tireg.training.loop import Learning
    from tireg.training.validation import PART, PARTS
    from tireg.workflows.teaching import fit_memory, open_for, set_up
    from tireg.workflows.train import make_ready, plan_run

    request, plan = plan_run(request, home)
    ready = make_ready(request, plan, ground, home, listen)
    began = time.monotonic()
    base = open_for(ready.request, ground.place, listen)
    opening = time.monotonic() - began
    fit_memory(base, ready.request.recipe, ready.request.memory, listen)
    began = time.monotonic()
    run, _, prober = set_up(ready.request, ready.concept, base, ground.place, home, listen)
    prepare = time.monotonic() - began
    look = 0.0
    if prober is not None:
        began = time.monotonic()
        prober()
        look = time.monotonic() - began
        prepare = max(0.0, prepare - look)
    # As many samples in a pass as the runs that share it have together.
    wide = run.recipe.model_copy(update={"batch": run.recipe.batch * width})
    learning = Learning(replace(run, recipe=wide))
    listen(Event("timing a few steps", 0, STEPS + 1))
    began = time.monotonic()
    learning.first()
    check = (time.monotonic() - began) / (PART * PARTS)
    laps = []
    for number in range(STEPS + 1):
        began = time.monotonic()
        learning.advance()
        laps.append(time.monotonic() - began)
        listen(Event("timing a few steps", number + 1, STEPS + 1))
    laps = laps[1:]  # the first one warms up
    mean = sum(laps) / len(laps)
    picture, size = _picture(base, ready.request.recipe.resolution, base.family.steps)
    return Pace(
        family=base.family, side=ready.request.recipe.resolution, opening=opening,
        prepare=prepare, learn=mean / wide.batch, check=check,
        picture=picture, look=look, look_cost=prober.cost if prober else 0,
        steps=base.family.steps, guided=2 if base.family.guidance > 1 else 1,
        low=min(1 - LEAST_SPREAD, min(laps) / mean), high=max(1 + LEAST_SPREAD, max(laps) / mean),
        memory=_memory(base, ready.request, width), picture_bytes=size,
    )  # fmt: skip


def _memory(base: Base, request: TrainRequest, width: int) -> int:
    from tireg.training.memory import estimate_memory

    recipe = request.recipe
    batch = -(-recipe.batch // recipe.accumulate) * width
    return estimate_memory(base, resolution=recipe.resolution, batch=batch)


def _picture(base: Base, side: int, steps: int) -> tuple[float, int]:
    """Seconds and bytes of one picture without any learned word."""
    from tireg.models.bases import unload
    from tireg.models.latents import restore_vae

    unload(base.pipe)
    restore_vae(base)
    family = base.family
    times, size = _draw(base, ["a photo"] * PICTURES, side, steps, family.sampler, family.guidance)
    return min(times), size


def _draw(
    base: Base, prompts: list[str], side: int, steps: int, sampler: str, guidance: float
) -> tuple[list[float], int]:
    """Seconds of each picture, drawn one by one, and the size of the largest as PNG."""
    from tireg.models.sampler import Draw, DrawSettings, draw
    from tireg.workflows.making import png_bytes

    settings = DrawSettings(sampler, steps, guidance, side, side, 1)
    times, size, began = [], 0, time.monotonic()
    for _, picture in draw(base.pipe, [Draw(p, n) for n, p in enumerate(prompts)], settings):
        times.append(time.monotonic() - began)
        size = max(size, len(png_bytes(picture)))
        began = time.monotonic()
    return times, size


def time_drawing(place: Place, suite: Suite, each: EvalRequest, listen: Listener) -> Pace:
    """Open the base and draw a few of the suite's pictures, none of which is kept."""
    from tireg.models.bases import dtype_name, open_base
    from tireg.workflows.eval_setup import sampling_of

    listen(Event("opening the base", 0, 1, place.id))
    began = time.monotonic()
    base = open_base(place.folder, device=each.device, dtype=each.dtype, config=place.config)
    opening = time.monotonic() - began
    told = sampling_of(replace(each), suite, base, dtype_name(base.dtype))
    prompts = [fill(p, "empty") if p.has_slot else p.text for p in suite.prompts[: PICTURES + 1]]
    listen(Event("timing a few pictures", 0, 1))
    times, size = _draw(base, prompts, told.width, told.steps, told.sampler, told.guidance)
    listen(Event("timing a few pictures", 1, 1))
    laps = times[1:] or times
    mean = sum(laps) / len(laps)
    return Pace(
        family=base.family, side=told.width, opening=opening, prepare=0.0, learn=0.0, check=0.0,
        picture=mean, look=0.0, look_cost=0, steps=told.steps,
        guided=2 if told.guidance > 1 else 1, low=min(1 - LEAST_SPREAD, min(laps) / mean),
        high=max(1 + LEAST_SPREAD, max(laps) / mean), memory=None, picture_bytes=size,
    )  # fmt: skip
