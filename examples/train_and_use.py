"""Learn a word and use it in a pipeline of your own: python examples/train_and_use.py OUT.png

Everything runs on the built-in base; give another with --base.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from diffusers import DiffusionPipeline

import tireg
from tireg.domain.recipes import Recipe
from tireg.shapes import base_path
from tireg.store.home import registry_home
from tireg.workflows.demo import write_pictures
from tireg.workflows.train import TrainRequest, train


def main() -> None:
    """Train on five pictures, draw one with the word and one after it is taken out again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", default="shapes")
    parser.add_argument("--steps", type=int, help="fixed number of steps [until it stops to help]")
    given = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder))
        recipe = Recipe(init="star", steps=given.steps or "auto")
        version = train(
            TrainRequest(
                [Path(folder)], given.base, "example-star", "<example-star>", "object", recipe,
                keep_anyway=True,
            ),
            home=registry_home(),
        )  # fmt: skip
    print(f"learned {version.name}@{version.version}: type {version.record.token}")

    place = base_path() if given.base == "shapes" else given.base
    pipe = DiffusionPipeline.from_pretrained(place)
    pipe.set_progress_bar_config(disable=True)
    token = tireg.load(pipe, f"{version.name}@{version.version}")
    picture = pipe(f"a photo of a {token} on a blue background", num_inference_steps=12).images[0]
    picture.save(given.out)
    tireg.unload(pipe)
    print(f"wrote {given.out}; the pipeline is as it was")


if __name__ == "__main__":
    main()
