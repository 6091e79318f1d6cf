"""Build the built-in base from nothing, or go on from weights that exist.

    python -m tireg.shapes.builder [--out DIR] [--from WEIGHTS] [--device cpu] [--stages a,b]

Stages, in order: ``data``, ``clip``, ``vae``, ``latents``, ``unet``, ``scorer``, ``assemble``.
Each goes on where it was interrupted and is skipped once it is done. ``clip`` and ``vae`` need
only ``data``, ``scorer`` too, so on two cores they can run in two processes side by side. What is
built can be measured with ``python -m tireg.shapes.evaluate --weights DIR``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from tireg.errors import InputError, TiregError
from tireg.shapes.builder_run import Run
from tireg.shapes.builder_sizes import PRESETS, Sizes, with_steps

OUT = Path("build/shapes")
STAGES = ("data", "clip", "vae", "latents", "unet", "scorer", "assemble")


def build(run: Run, stages: Sequence[str] = STAGES) -> None:
    """Run the named stages of a build in their order.

    Raises :class:`~tireg.errors.InputError` for an unknown stage.
    """
    from tireg.shapes.builder_clip import build_clip
    from tireg.shapes.builder_data import make_data, make_tokenizer

    unknown = sorted(set(stages) - set(STAGES))
    if unknown:
        raise InputError(f"there is no stage {unknown[0]!r}; stages are {', '.join(STAGES)}")
    run.folder.mkdir(parents=True, exist_ok=True)
    data = make_data(run.folder, run.sizes)
    tokenizer = make_tokenizer(run.folder / "tokenizer")
    if "clip" in stages:
        build_clip(run, data, tokenizer)
    if "vae" in stages or "latents" in stages:
        from tireg.shapes.builder_vae import build_latents, build_vae

        build_vae(run, data)
        if "latents" in stages:
            build_latents(run, data)
    if "unet" in stages:
        from tireg.shapes.builder_unet import build_unet

        build_unet(run, data, tokenizer)
    if "scorer" in stages:
        from tireg.shapes.builder_scorer import build_scorer

        build_scorer(run, data, tokenizer)
    if "assemble" in stages:
        from tireg.shapes.builder_unet import assemble

        assemble(run, tokenizer)


def _settings(parts: Sequence[str]) -> dict[str, str]:
    pairs = [part.partition("=") for part in parts]
    return {name: value for name, _, value in pairs}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of the builder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tireg.shapes.builder", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder to build in ({OUT})")
    parser.add_argument("--from", dest="start", type=Path, help="weights folder to go on from")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--stages", default=",".join(STAGES), help="stages, separated by commas")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="full")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="change a size")
    given = parser.parse_args(arguments)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        sizes: Sizes = with_steps(PRESETS[given.preset], _settings(given.set))
        build(Run(given.out, sizes, given.device, given.start), given.stages.split(","))
    except TiregError as error:
        print(f"error: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
