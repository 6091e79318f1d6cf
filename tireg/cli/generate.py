"""``tireg generate``: draw pictures with learned words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from tireg.cli.blocks import show_pictures
from tireg.cli.console import out
from tireg.cli.listening import listening


class Size(click.ParamType[tuple[int, int]]):
    """A side in pixels (512), or width x height (512x768)."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """(width, height); a usage error for anything else."""
        found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", str(value))
        sides = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if min(sides) < 8 or max(sides) > 8192:
            self.fail(f"'{value}' is no size; write 512 or 512x768", param, ctx)
        return sides


@click.command()
@click.argument("prompts", nargs=-1, required=True)
@click.option("--with", "refs", multiple=True, required=True, help="Embedding; may repeat.")
@click.option("--negative", default="", help="What to keep out.")
@click.option("--base", help="Base to draw on [the first embedding's].")
@click.option("--base-config", help="Folder or Hub id of configs, for a single-file base.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the first picture.")
@click.option("--count", type=click.IntRange(1, 10_000), default=1, help="Pictures per prompt.")
@click.option("--steps", type=click.IntRange(1, 1000), help="Sampling steps [the family's].")
@click.option("--guidance", type=click.FloatRange(0, 100), help="Guidance scale [the family's].")
@click.option("--sampler", help="Sampler [the family's].")
@click.option("--size", type=Size(), help="512 or 512x768 [the family's].")
@click.option("--batch", type=click.IntRange(1, 256), default=8, help="Pictures drawn at once.")
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="auto", help="auto, fp32, bf16 or fp16.")
@click.option("--out", "folder", type=click.Path(path_type=Path), default=Path("pictures"),
              show_default=True, help="Folder to write to.")  # fmt: skip
@click.option("--preview", is_flag=True, help="Show the pictures in the terminal, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the paths as JSON.")
def generate(as_json: bool, preview: bool, folder: Path, **options: Any) -> None:
    """Draw PROMPTS with the words of --with, one PNG per prompt and seed."""
    from tireg.store.home import registry_home
    from tireg.workflows.generate import GenerateRequest, generate

    with listening() as listen:
        request = GenerateRequest(out=folder, **options)
        paths = generate(request, home=registry_home(), listen=listen)
    if as_json:
        out.json([str(path) for path in paths])
        return
    for path in paths:
        out.text(str(path))
    if preview:
        show_pictures(paths)
