"""Hand out work: in this process, to processes of this machine, or to a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.errors import ConfigError
from tireg.workflows.progress import Event, Listener, Notice

if TYPE_CHECKING:
    from tireg.fanout import Engine, Failure, Settled, Tick, Unit

WORKS = {
    "learn concepts": "tireg.workflows.fleet_units:learn_concepts",
    "evaluate": "tireg.workflows.many_units:evaluate_cell",
    "draw baselines": "tireg.workflows.many_units:draw_baselines",
    "read files": "tireg.workflows.importing_units:read_files",
    "measure a base": "tireg.workflows.bases_units:measure_base",
}
"""Every function that a worker can be told to run; nothing else can be."""

NOTE_CHARACTERS = 100


@dataclass(frozen=True)
class Fan:
    """Who does the work: ``jobs`` processes of this machine, or the Ray cluster at ``ray``."""

    jobs: int | None = None
    ray: str | None = None

    @property
    def wide(self) -> bool:
        """Whether several units are done at a time."""
        return self.ray is not None or (self.jobs or 1) > 1


def engine_for(fan: Fan, *, gpu: bool = True) -> Engine:
    """The engine. ConfigError where both a number of processes and a cluster are asked for."""
    from tireg.fanout import InProcess, Processes

    if fan.ray is not None:
        if fan.jobs is not None:
            raise ConfigError(
                "--jobs is for this machine and --ray for a cluster", hint="give one of them"
            )
        from tireg.fanout.ray_engine import RayTasks

        return RayTasks(fan.ray, gpu=gpu)
    return Processes(fan.jobs) if fan.jobs is not None and fan.jobs > 1 else InProcess()


def results_folder(home: Path) -> Path:
    """Where results of units are kept until, and in short after, they are recorded."""
    return home / "cache" / "results"


def fan_out(
    units: Sequence[Unit],
    *,
    engine: Engine,
    home: Path,
    task: str,
    listen: Listener,
    keep: bool = True,
) -> Iterator[Settled]:
    """Every unit once, as it is over; with ``keep`` what is here from before is not done again.

    Ctrl-C ends the workers and says how much is kept, for the same command to go on from.
    """
    from tireg.fanout import Results, Shop
    from tireg.fanout.engines import run_units

    def show(tick: Tick) -> None:
        note = tick.note
        if len(note) > NOTE_CHARACTERS:
            note = f"{note[: NOTE_CHARACTERS - 1]}…"
        listen(Event(task, tick.done, tick.total, note))

    results = Results(results_folder(home)) if keep else None
    shop = Shop(WORKS, home / "cache", results, show)
    total = len({unit.key for unit in units})
    done = 0
    try:
        for over in run_units(engine, units, shop):
            done += over.made is not None
            yield over
    except KeyboardInterrupt:
        if keep:
            listen(Notice(f"{task}: {done} of {total} are done and kept; the same command goes on"))
        raise


def failure_line(label: dict[str, Any], failure: Failure) -> dict[str, Any]:
    """A failed unit as a row: what it was, why it failed, what to do."""
    if failure.trace and os.environ.get("TIREG_DEBUG") == "1":
        return {**label, "error": failure.message, "hint": failure.hint, "trace": failure.trace}
    return {**label, "error": failure.message, "hint": failure.hint}
