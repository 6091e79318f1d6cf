"""``tireg train``: learn a word from pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tireg.cli.console import out
from tireg.cli.fanning import fan_of, fan_options
from tireg.cli.fleet import learn_fleet
from tireg.cli.listening import listening
from tireg.domain.concepts import KINDS

if TYPE_CHECKING:
    from tireg.workflows.fanning import Fan

PATH = click.Path(path_type=Path)
METHODS = click.Choice(["classic", "directional", "cross"])
PICKS = click.Choice(["balanced", "faithful", "editable"])
# Options that are knobs of the recipe; left out where they are not given.
KNOBS = (
    "init", "init_from", "method", "vectors", "steps", "max_steps", "batch", "accumulate", "lr",
    "rate_unit", "schedule", "resolution", "buckets", "crops", "flip", "seed",
)  # fmt: skip
KEEPING = ("save_every", "samples_every", "tensorboard")


class Steps(click.ParamType[int | str]):
    """A number of steps, or auto."""

    name = "N|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """The number, or the word."""
        if value == "auto" or isinstance(value, int):
            return str(value) if value == "auto" else int(value)
        try:
            return int(value)
        except ValueError:
            self.fail(f"'{value}' is neither a number of steps nor 'auto'", param, ctx)


OPTIONS = (
    click.option("--base", required=True, help="Folder, file, Hub id or name from `tireg bases`."),
    click.option("--base-config", help="Folder or Hub id of configs, for a single-file base."),
    click.option("--name", default="", help="Name in the registry."),
    click.option("--token", default="", help="The word to type in prompts, such as '<my-cat>'."),
    click.option("--kind", type=click.Choice(KINDS), help="What is to be learned."),
    click.option("--class", "class_noun", default="", help="Ordinary word for it [the --init]."),
    click.option("--init", help="Words to start from, 'auto' (by the pictures) or 'random'."),
    click.option("--init-from", metavar="REF|FILE", help="Embedding to start from."),
    click.option("--method", type=METHODS, help="How rows move."),
    click.option("--vectors", type=int, help="Rows behind the token."),
    click.option("--steps", type=Steps(), help="Optimiser steps [auto: until it stops to help]."),
    click.option("--max-steps", type=int, help="The most steps of an automatic run."),
    click.option("--batch", type=int, help="Pictures per step."),
    click.option("--accumulate", type=int, help="Passes a step is split into, to save memory."),
    click.option("--lr", type=float, help="Largest move in a step, in lengths of ordinary rows."),
    click.option(
        "--rate-unit", type=click.Choice(["words", "absolute"]), help="What --lr is counted in."
    ),
    click.option(
        "--schedule", type=click.Choice(["constant", "linear", "cosine"]), help="How it falls."
    ),
    click.option("--resolution", type=int, help="Side of the training pictures [the family's]."),
    click.option("--buckets", is_flag=True, default=None, help="Keep the pictures' shapes."),
    click.option("--crops", type=int, help="Random crops of each picture [1: its middle]."),
    click.option("--flip", is_flag=True, default=None, help="Also learn from mirrored pictures."),
    click.option("--templates", type=PATH, help="File of prompts with {token}, one per line."),
    click.option("--negative", is_flag=True, default=None, help="Learn what to keep out."),
    click.option("--license", help="Licence of the result [the base's]."),
    click.option("--seed", type=int, help="Of every random choice."),
    click.option("--recipe", type=PATH, help="YAML file of knobs."),
    click.option("--encoder", help="Scoring encoder of the probe: MODEL:TAG or a folder."),
    click.option("--variants", is_flag=True, help="Keep faithful, balanced and editable rows."),
    click.option("--pick", type=PICKS, default="balanced", help="Which becomes the version."),
    click.option("--resume", is_flag=True, help="Go on where this very run was stopped."),
    click.option("--resume-anyway", is_flag=True, help="Also on another device or version."),
    click.option("--keep-anyway", is_flag=True, help="Record it even if nothing was learned."),
    click.option("--save-every", type=click.IntRange(0), default=0, help="Checkpoint steps."),
    click.option("--samples-every", type=click.IntRange(0), default=0, help="Sample strip steps."),
    click.option("--tensorboard", type=PATH, help="Folder for TensorBoard's events."),
    click.option(
        "--memory", type=click.Choice(["auto", "low", "fast"]), default="auto",
        help="low: less memory, slower.",
    ),
    click.option("--device", default="auto", help="auto, cpu, cuda or mps."),
    click.option("--dtype", default="auto", help="auto, fp32, bf16 or fp16."),
)  # fmt: skip


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``command`` with every option of a training run."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("pictures", nargs=-1, type=PATH)
@with_options
@click.option("--fleet", type=PATH, help="Learn every concept of a file or folder, side by side.")
@click.option(
    "--fleet-width", type=click.IntRange(1), help="How many at the same time [by memory]."
)
@fan_options
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.pass_context
def train(
    ctx: click.Context,
    /,
    fleet: Path | None,
    fleet_width: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Learn a word from PICTURES and record it as the next version of its name.

    PICTURES are files, a folder, or one concept file (concept.yaml) that also says token and kind.
    With --fleet there are none: a file of concepts, or a folder with a folder for each, says all.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.train import train
    from tireg.workflows.views import describe_version

    fan = fan_of(options)
    check_given(fleet, fleet_width, fan, options)
    if fleet is not None:
        ctx.exit(learn_fleet(fleet, fleet_width, fan, *parts(options), as_json=as_json))
    with listening() as listen:
        version = train(request(options), home=registry_home(), listen=listen)
    if as_json:
        out.json(describe_version(version))
        return
    where = "the negative prompt" if version.record.negative else "prompts"
    out.text(f"{version.name}@{version.version}: type {version.record.token} in {where}")
    out.hint(f"tireg eval {version.name}")


def check_given(fleet: Path | None, width: int | None, fan: Fan, options: dict[str, Any]) -> None:
    """UsageError for pictures beside a fleet, for neither, and for what a fleet cannot share."""
    if fleet is None and not options["pictures"]:
        raise click.UsageError("Missing argument 'PICTURES...'.")
    if fleet is None and width is not None:
        raise click.UsageError("--fleet-width is for --fleet.")
    if fleet is None and (fan.jobs is not None or fan.ray is not None):
        raise click.UsageError("--jobs and --ray are for --fleet.")
    if fleet is not None and options["pictures"]:
        raise click.UsageError("Pictures and --fleet do not go together.")
    if fleet is not None and (options["name"] or options["token"]):
        raise click.UsageError("--name and --token are for one concept; a fleet's file says them.")


def request(options: dict[str, Any]) -> Any:
    """The TrainRequest for the options as click gives them."""
    from tireg.workflows.recipes import read_recipe

    given, recipe, knobs = parts(options)
    return replace(given, recipe=read_recipe(recipe, knobs))


def parts(options: dict[str, Any]) -> tuple[Any, Path | None, dict[str, Any]]:
    """A TrainRequest of the default recipe, the recipe file, and the knobs that were typed."""
    from tireg.workflows.learning import Keeping
    from tireg.workflows.train import TrainRequest

    knobs = {name: options.pop(name) for name in KNOBS}
    keeping = Keeping(**{name: options.pop(name) for name in KEEPING})
    options["resume"] = options["resume"] or options["resume_anyway"]
    recipe = options.pop("recipe")
    return TrainRequest(keeping=keeping, **options), recipe, knobs
