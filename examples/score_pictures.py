"""Score pictures that another tool made, in tireg's frame: python examples/score_pictures.py REF

REF is a word whose training pictures the others are to be like. Here "another tool" is the plain
pipeline with the class noun; put your LoRA or DreamBooth model in its place.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import torch
from diffusers import DiffusionPipeline

from tireg.domain.suites import fill, load_suite
from tireg.shapes import base_path
from tireg.store.home import registry_home
from tireg.store.registry import Registry
from tireg.workflows.evaluate import EvalRequest, evaluate

SUITE = "shapes-quick"


def main() -> None:
    """Draw the suite's prompts, list them in a manifest, print the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ref")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()
    with Registry.open(registry_home(), create=False) as registry:
        noun = registry.resolve(given.ref).record.class_noun or "object"
    pipe = DiffusionPipeline.from_pretrained(base_path())
    pipe.set_progress_bar_config(disable=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        for prompt in load_suite(SUITE).prompts:
            if not prompt.has_slot:
                continue
            for condition in ("token", "class"):
                text = fill(prompt, "class", noun)
                for seed in range(given.seeds):
                    file = f"{prompt.id}-{condition}-{seed}.png"
                    noise = torch.Generator().manual_seed(seed)
                    drawn = pipe(text, num_inference_steps=given.steps, generator=noise)
                    drawn.images[0].save(folder / file)
                    rows.append((file, condition, prompt.id, seed))
        manifest = folder / "manifest.csv"
        with manifest.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("file", "condition", "prompt", "seed"))
            writer.writerows(rows)
        asked = EvalRequest(given.ref, suite=SUITE, images=folder, manifest=manifest)
        done = evaluate(asked, home=registry_home())
    for score in done.run.scores:
        value = "unscored" if score.value is None else f"{score.value:.3f}"
        print(f"{score.metric:28} {value}  {score.unscored or ''}")


if __name__ == "__main__":
    main()
