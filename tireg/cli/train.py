"""``tireg train``: learn a word from pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tireg.cli.console import out
from tireg.cli.listening import listening
from tireg.domain.concepts import KINDS

RECIPE_OPTIONS = ("vectors", "steps", "batch", "lr", "resolution", "seed", "method")


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--base", required=True, help="Folder, Hub id, or a name from `tireg bases`.")
@click.option("--name", required=True, help="Name in the registry.")
@click.option("--token", required=True, help="The word to type in prompts, such as '<my-cat>'.")
@click.option("--init", default="", help="Ordinary words to start from, such as cat.")
@click.option("--class", "class_noun", default="", help="Class noun to compare with [the --init].")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What is to be learned.")
@click.option("--method", type=click.Choice(["classic", "directional"]), help="How rows move.")
@click.option("--vectors", type=int, help="Rows behind the token.")
@click.option("--steps", type=int, help="Optimiser steps.")
@click.option("--batch", type=int, help="Pictures per step.")
@click.option("--lr", type=float, help="Largest move in a step, in lengths of an ordinary row.")
@click.option("--resolution", type=int, help="Side of the training pictures [the family's].")
@click.option("--seed", type=int, help="Of every random choice.")
@click.option("--recipe", type=click.Path(path_type=Path), help="YAML file of knobs.")
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="auto", help="auto, fp32, bf16 or fp16.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
def train(as_json: bool, **options: Any) -> None:
    """Learn a word from PICTURES (files or folders) and record it as the next version of NAME."""
    from tireg.store.home import registry_home
    from tireg.workflows.recipes import read_recipe
    from tireg.workflows.train import TrainRequest, train
    from tireg.workflows.views import describe_version

    knobs = {name: options.pop(name) for name in RECIPE_OPTIONS}
    recipe = read_recipe(options.pop("recipe"), knobs, init=options.pop("init"))
    with listening() as listen:
        request = TrainRequest(recipe=recipe, **options)
        version = train(request, home=registry_home(), listen=listen)
    if as_json:
        out.json(describe_version(version))
        return
    out.text(f"{version.name}@{version.version} learned: type {version.record.token} in prompts")
    out.hint(f"tireg eval {version.name}")
