"""``tireg plan``: what something will cost, before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tireg.cli.console import out
from tireg.cli.fanning import ManyValues
from tireg.cli.listening import listening
from tireg.cli.train import PATH, check_given, parts, with_options

if TYPE_CHECKING:
    from tireg.workflows.evaluate import EvalRequest
    from tireg.workflows.planning import Cost
    from tireg.workflows.sweep_file import Sweep

WORKERS = click.option(
    "--workers", type=click.IntRange(1, 10_000), default=1, metavar="N",
    help="Reckon with N workers as fast as this machine.",
)  # fmt: skip
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one object.")


@click.group()
def plan() -> None:
    """Say what a training run, a fleet, a sweep or an evaluation will cost. Records nothing.

    Samples and pictures are counted; time is reckoned from a few real steps and pictures.
    """


@plan.command("train")
@click.argument("pictures", nargs=-1, type=PATH)
@with_options
@click.option("--fleet", type=PATH, help="Every concept of a file or folder.")
@click.option("--fleet-width", type=click.IntRange(1), help="How many at the same time [8].")
@WORKERS
@AS_JSON
def plan_train(
    fleet: Path | None, fleet_width: int | None, workers: int, as_json: bool, **options: Any
) -> None:
    """What `tireg train` will cost with these words and options."""
    from tireg.store.home import registry_home
    from tireg.workflows.fanning import Fan
    from tireg.workflows.planning import plan_training

    check_given(fleet, fleet_width, Fan(), options)
    requests = _requests(fleet, options)
    width = 1 if fleet is None else (fleet_width or min(8, len(requests)))
    with listening() as listen:
        cost = plan_training(
            requests, home=registry_home(), width=width, workers=workers, listen=listen
        )
    say(cost, as_json=as_json)


def _requests(fleet: Path | None, options: dict[str, Any]) -> list[Any]:
    from tireg.cli.train import request
    from tireg.workflows.fleet_file import read_fleet

    if fleet is None:
        return [request(options)]
    given, recipe, knobs = parts(options)
    return read_fleet(fleet, given, recipe=recipe, knobs=knobs)


@plan.command("sweep")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--base", default="", help="Base to learn on [the file's].")
@click.option("--suite", help="Suite to score on [the file's].")
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="auto", help="auto, fp32, bf16 or fp16.")
@WORKERS
@AS_JSON
def plan_sweep(file: Path, workers: int, as_json: bool, **options: Any) -> None:
    """What `tireg sweep FILE` will cost where nothing of it is there."""
    from tireg.cli.sweep import read

    asked, each, _ = read(file, {**options, "encoders": (), "fleet_width": None})
    say_sweep(asked, each, workers, as_json=as_json)


def say_sweep(asked: Sweep, each: EvalRequest, workers: int, *, as_json: bool) -> None:
    """Print the cost of a sweep."""
    from tireg.store.home import registry_home
    from tireg.workflows.planning import plan_sweep

    with listening() as listen:
        cost = plan_sweep(
            asked, each, home=registry_home(), width=min(8, len(asked.trials)), workers=workers,
            listen=listen,
        )  # fmt: skip
    say(cost, as_json=as_json)


@plan.command("eval", cls=ManyValues)
@click.argument("refs", nargs=-1, required=True)
@click.option("--suite", help="Suite by name or YAML file [by family and kind].")
@click.option("--bases", multiple=True, metavar="BASE...", help="As for tireg eval.")
@click.option("--steps", type=click.IntRange(1, 1000), help="Sampling steps.")
@click.option("--size", type=click.IntRange(8, 4096), help="Side of the pictures in pixels.")
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="auto", help="auto, fp32, bf16 or fp16.")
@WORKERS
@AS_JSON
def plan_eval(
    refs: tuple[str, ...], bases: tuple[str, ...], workers: int, as_json: bool, **options: Any
) -> None:
    """What `tireg eval REFS --bases …` will cost."""
    from tireg.store.home import registry_home
    from tireg.workflows.evaluate import EvalRequest
    from tireg.workflows.planning import plan_evaluation

    with listening() as listen:
        cost = plan_evaluation(
            refs, bases, EvalRequest("", **options), home=registry_home(), workers=workers,
            listen=listen,
        )  # fmt: skip
    say(cost, as_json=as_json)


def say(cost: Cost, *, as_json: bool) -> None:
    """Print a cost."""
    if as_json:
        out.json(cost.as_json())
        return
    parts = {
        "to learn": cost.learned, "to check": cost.checked, "to look": cost.looked,
        "to draw": cost.drawn,
    }  # fmt: skip
    told = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
    most = "at most " if cost.at_most else ""
    out.pairs(
        {
            "runs": f"{cost.runs:,}",
            "denoiser samples": f"{most}{cost.samples:,}: {told}",
            "pictures": f"{cost.pictures:,}",
            "disk": f"about {size(cost.disk)}",
            "memory": f"about {size(cost.memory)} a worker" if cost.memory else None,
            "time": f"{most}about {span(cost.seconds)} ({span(cost.seconds_low)} to "
            f"{span(cost.seconds_high)}) on {cost.workers} "
            f"worker{'s' if cost.workers > 1 else ''}",
        }
    )
    for note in cost.notes:
        out.note(note)
    out.note("time is an estimate from a few steps and pictures made just now; nothing is recorded")


def size(count: int) -> str:
    """Bytes for people."""
    for unit, power in (("GB", 3), ("MB", 2), ("kB", 1)):
        if count >= 1000**power:
            return f"{count / 1000**power:.1f} {unit}"
    return f"{count} bytes"


def span(seconds: float) -> str:
    """A time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
