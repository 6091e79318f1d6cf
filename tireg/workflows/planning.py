"""What a training run, a fleet, a sweep or an evaluation will cost, told before it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.domain.families import Family
from tireg.domain.recipes import Recipe
from tireg.domain.suites import Suite, fill, load_suite
from tireg.errors import TiregError
from tireg.workflows.evaluate import EvalRequest, default_suite
from tireg.workflows.fleet_file import named_by_folder
from tireg.workflows.planning_timing import Pace, time_drawing, time_learning
from tireg.workflows.progress import Listener, Notice, silent
from tireg.workflows.train import Ground, TrainRequest, find_ground, plan_run

if TYPE_CHECKING:
    from tireg.workflows.sweep_file import Sweep

# What a version takes on the disk beside its pictures: vectors, record, log.
RECORD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Cost:
    """What it takes. Samples are passes of one picture through the denoiser.

    ``learned`` are those with a gradient, ``checked`` those of the fixed loss, ``looked`` those of
    the probe, ``drawn`` those of previews and evaluations; ``at_most`` says that automatic runs
    may end earlier. ``disk`` and ``memory`` are bytes, memory that of one worker; seconds are a
    likely value and the ends of the spread that the timed steps showed.
    """

    runs: int
    learned: int
    checked: int
    looked: int
    drawn: int
    pictures: int
    disk: int
    memory: int | None
    seconds: float
    seconds_low: float
    seconds_high: float
    workers: int
    at_most: bool
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """All passes through the denoiser."""
        return self.learned + self.checked + self.looked + self.drawn

    def as_json(self) -> dict[str, Any]:
        """As ``tireg plan --json`` prints it."""
        return {**asdict(self), "samples": self.samples, "notes": list(self.notes)}


@dataclass(frozen=True)
class Counts:
    """Denoiser samples of one run, from its recipe alone."""

    learned: int
    checked: int
    looks: int
    previews: int


def counts_of(recipe: Recipe, family: Family, *, probed: bool) -> Counts:
    """What the loop will count for ``recipe``; of an automatic run the most it can."""
    from tireg.training.loop import CHECKS, MOST_CHECKS, PROBE_EVERY, STEPS_OF_A_CHECK
    from tireg.training.validation import PART, PARTS
    from tireg.workflows.previews import MAX_PREVIEWS

    last = recipe.last_step
    every = max(1, math.ceil(last / max(CHECKS, min(MOST_CHECKS, last // STEPS_OF_A_CHECK))))
    checks = math.ceil(last / every)
    looks = math.ceil(checks / PROBE_EVERY) if probed else 0
    return Counts(
        learned=last * recipe.batch,
        checked=PART * checks + 2 * PART * PARTS,
        looks=looks + (1 if probed else 0),
        previews=max(1, min(MAX_PREVIEWS, last * recipe.batch // family.steps)),
    )


def plan_training(
    requests: Sequence[TrainRequest],
    *,
    home: Path,
    width: int = 1,
    workers: int = 1,
    listen: Listener = silent,
) -> Cost:
    """The cost of all ``requests``, of one base, ``width`` side by side, by ``workers``.

    Opens the base and the first concept, takes a few steps, and records nothing. Raises what the
    first request that can be planned raises when it starts; others that cannot are told of.
    """
    settled, notes = _settled(requests, home, listen)
    ground = find_ground(settled[0], home)
    pace = time_learning(settled[0], ground, home, listen, min(width, len(settled)))
    totals = [_run_cost(request, ground, pace) for request in settled]
    steps = pace.family.steps * pace.guided
    count = [counts_of(_sized(r, ground), ground.family, probed=_probed(r, pace)) for r in settled]
    pictures = sum(c.previews for c in count)
    likely = sum(totals)
    return _cost(
        runs=len(settled), workers=workers, pace=pace, likely=likely, notes=notes,
        learned=sum(c.learned for c in count), checked=sum(c.checked for c in count),
        looked=sum(c.looks for c in count) * pace.look_cost,
        drawn=pictures * steps, pictures=pictures,
        disk=len(settled) * RECORD_BYTES + pictures * pace.picture_bytes,
        at_most=any(r.recipe.steps == "auto" for r in settled),
    )  # fmt: skip


def _settled(
    requests: Sequence[TrainRequest], home: Path, listen: Listener
) -> tuple[list[TrainRequest], tuple[str, ...]]:
    """The requests that can be begun, and words about those that cannot."""
    settled: list[TrainRequest] = []
    first: TiregError | None = None
    for request in requests:
        try:
            named = named_by_folder(request) if len(requests) > 1 else request
            settled.append(plan_run(named, home)[0])
        except TiregError as error:
            first = first or error
            listen(Notice(f"{request.name or request.pictures[0].name}: {error.message}"))
    if not settled and first is not None:
        raise first
    left = len(requests) - len(settled)
    return settled, ((f"{left} of {len(requests)} cannot be begun",) if left else ())


def _sized(request: TrainRequest, ground: Ground) -> Recipe:
    side = request.recipe.resolution or ground.family.resolution
    return request.recipe.model_copy(update={"resolution": side})


def _probed(request: TrainRequest, pace: Pace) -> bool:
    return request.recipe.steps == "auto" and pace.look_cost > 0 and not request.negative


def _run_cost(request: TrainRequest, ground: Ground, pace: Pace) -> float:
    """Seconds of one run, its part of opening the base left out."""
    recipe = _sized(request, ground)
    count = counts_of(recipe, ground.family, probed=_probed(request, pace))
    area = (recipe.resolution / pace.side) ** 2
    return area * (
        count.learned * pace.learn + count.checked * pace.check + count.previews * pace.picture
        + count.looks * pace.look
    ) + pace.prepare  # fmt: skip


def _cost(*, workers: int, pace: Pace, likely: float, notes: tuple[str, ...], **told: Any) -> Cost:
    """Seconds on ``workers``: each opens the base, and the last to end has a whole run to do."""
    runs = max(1, told["runs"])
    share = math.ceil(runs / workers) / runs
    seconds = pace.opening + likely * share
    return Cost(
        **told,
        memory=pace.memory,
        seconds=seconds,
        seconds_low=pace.opening + likely * share * pace.low,
        seconds_high=pace.opening + likely * share * pace.high,
        workers=workers,
        notes=notes,
    )


def plan_evaluation(
    refs: Sequence[str],
    bases: Sequence[str],
    each: EvalRequest,
    *,
    home: Path,
    workers: int = 1,
    listen: Listener = silent,
) -> Cost:
    """The cost of scoring every embedding on every base: of pictures that were never drawn.

    Opens the first base and draws two pictures. Time is that of drawing: encoders look besides.
    """
    from tireg.workflows.many_setup import prepare

    setup = prepare(refs, bases, each, home, listen)
    cells = [c for c in (*setup.home_cells, *setup.away_cells) if c.ground is not None]
    if not cells:
        failed = next(c.failure for c in setup.asked if c.failure is not None)
        raise TiregError(failed.message, hint=failed.hint)
    shared: set[tuple[str, str, int]] = set()
    pictures, suite = 0, None
    for cell in cells:
        record, ground = cell.version.record, cell.ground
        assert ground is not None
        family = record.base.family if record.base else ground.family
        suite = load_suite(each.suite or default_suite(family, record.kind))
        pictures += len(suite.prompts) * len(suite.seeds)
        shared |= {
            (ground.id, *one)
            for one in bare_pictures(suite, record.class_noun or "", negative=record.negative)
        }
    ground = cells[0].ground
    assert ground is not None
    assert suite is not None
    pace = time_drawing(setup.found[ground.id].place, suite, each, listen)
    notes: tuple[str, ...] = ("pictures that are kept from before are not drawn again",)
    failed_count = len([c for c in setup.asked if c.failure is not None])
    if failed_count:
        notes += (f"{failed_count} pairs have no base",)
    return _drawing_cost(len(cells), pictures + len(shared), pace, workers, notes)


def bare_pictures(suite: Suite, noun: str, *, negative: bool) -> set[tuple[str, int]]:
    """What is drawn without the word, (prompt, seed): embeddings of one noun share it."""
    found: set[tuple[str, int]] = set()
    for prompt in suite.prompts:
        texts = [prompt.text]
        if prompt.has_slot:
            empty, own = fill(prompt, "empty"), [fill(prompt, "class", noun)] if noun else []
            texts = (own or [empty]) if negative else [empty, *own]
        found |= {(text, seed) for text in texts for seed in suite.seeds}
    return found


def _drawing_cost(
    runs: int, pictures: int, pace: Pace, workers: int, notes: tuple[str, ...]
) -> Cost:
    return _cost(
        runs=runs, workers=workers, pace=pace, likely=pictures * pace.picture, notes=notes,
        learned=0, checked=0, looked=0, drawn=pictures * pace.steps * pace.guided,
        pictures=pictures, disk=pictures * pace.picture_bytes, at_most=False,
    )  # fmt: skip


def plan_sweep(
    sweep: Sweep,
    each: EvalRequest,
    *,
    home: Path,
    width: int = 1,
    workers: int = 1,
    listen: Listener = silent,
) -> Cost:
    """The cost of learning every trial and scoring it; nothing that is there is left out."""
    requests = [trial.request for trial in sweep.trials]
    training = plan_training(requests, home=home, width=width, workers=workers, listen=listen)
    settled, _ = _settled(requests, home, silent)
    ground = find_ground(settled[0], home)
    pictures, shared, suite = 0, set(), None
    for request in settled:
        name = each.suite or sweep.suite or default_suite(ground.family.id, request.kind)
        suite = load_suite(name)
        pictures += len(suite.prompts) * len(suite.seeds)
        shared |= bare_pictures(suite, request.class_noun, negative=bool(request.negative))
    assert suite is not None
    pace = time_drawing(ground.place, suite, each, listen)
    scoring = _drawing_cost(len(settled), pictures + len(shared), pace, workers, ())
    return together(training, scoring)


def together(first: Cost, then: Cost) -> Cost:
    """One after the other, of the same runs."""
    added = ("learned", "checked", "looked", "drawn", "pictures", "disk", "seconds",
             "seconds_low", "seconds_high")  # fmt: skip
    total = {name: getattr(first, name) + getattr(then, name) for name in added}
    memory = [m for m in (first.memory, then.memory) if m is not None]
    return replace(first, **total, memory=max(memory, default=None))
