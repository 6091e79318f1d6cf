"""How well nameless concepts of `shapes` are learned, by the oracle's reading of samples.

    python -m benchmarks.concepts [--concepts NAME …] [--seeds N] [--samples N] [--out FILE]

Each concept is learned from five pictures with the default recipe and drawn on every
background it can be seen on. Prints a line per run: seconds of training, how often the concept is
in the picture with the token and with the class noun alone, and how often the background asked
for is right. One thread: set OMP_NUM_THREADS=1 and run two at once on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tireg.domain.recipes import Recipe
from tireg.models import bases
from tireg.models.sampler import Draw, DrawSettings, draw
from tireg.shapes import base_path
from tireg.shapes.concepts import CONCEPTS, Concept, concept
from tireg.shapes.oracle import read
from tireg.shapes.world import SHAPES
from tireg.store.registry import Registry
from tireg.workflows.making import png_bytes
from tireg.workflows.train import TrainRequest, train
from tireg.workflows.vectors import unpack_vectors

DEFAULT = ("lime-star", "orange-tint", "yellow-purple-square")
TOKEN = "<concept>"
HEAD = f"{'concept':22} {'seed':>4} {'train':>6} {'token':>6} {'noun':>6} {'ground':>6} {'both':>6}"


@dataclass(frozen=True)
class Rates:
    """Shares of samples, 0 to 1."""

    concept: float
    background: float
    both: float


def prompts(taught: Concept, word: str, count: int) -> list[tuple[str, str]]:
    """``count`` prompts and the background each asks for."""
    grounds = taught.backgrounds()
    asked = [grounds[i % len(grounds)] for i in range(count)]
    if taught.kind == "object":
        return [(f"a photo of a {word} on a {ground} background", ground) for ground in asked]
    styled = "a photo of a {} on a {} background in the style of {}"
    plain = "a {2} photo of a {0} on a {1} background"
    form = styled if word == TOKEN else plain
    return [(form.format(SHAPES[i % 6], ground, word), ground) for i, ground in enumerate(asked)]


def measure(base: bases.Base, taught: Concept, word: str, count: int) -> Rates:
    """Draw ``count`` samples and let the oracle read them."""
    asked = prompts(taught, word, count)
    family = base.family
    side = family.resolution
    settings = DrawSettings(family.sampler, family.steps, family.guidance, side, side, 32)
    draws = [Draw(text, 1000 + i) for i, (text, _) in enumerate(asked)]
    readings = [read(picture) for _, picture in draw(base.pipe, draws, settings)]
    held = np.array([taught.holds(reading) for reading in readings])
    grounds = zip(readings, asked, strict=True)
    right = np.array([reading.background == ground for reading, (_, ground) in grounds])
    return Rates(float(held.mean()), float(right.mean()), float((held & right).mean()))


def learn(taught: Concept, seed: int) -> tuple[dict[str, np.ndarray], float]:
    """The rows that the default recipe learns, and the seconds the loop took."""
    with tempfile.TemporaryDirectory() as folder:
        home, pictures = Path(folder) / "home", Path(folder) / "pictures"
        pictures.mkdir()
        for number, picture in enumerate(taught.pictures(5)):
            (pictures / f"{number}.png").write_bytes(png_bytes(picture))
        recipe = Recipe(init=taught.initializer, seed=seed)
        request = TrainRequest([pictures], "shapes", "concept", TOKEN, taught.kind, recipe)
        record = train(request, home=home).record
        stored = record.file("embedding")
        assert stored is not None
        assert record.training is not None
        with Registry.open(home) as registry:
            rows = unpack_vectors(record, registry.objects.read(stored.sha256))
    return rows, record.training.seconds


def run(names: Sequence[str], seeds: int, samples: int) -> list[str]:
    """A line per concept and seed, then each concept's mean; printed as they come."""
    lines = [HEAD]
    print(HEAD, flush=True)
    base = bases.open_base(base_path(), device="cpu")
    for name in names:
        taught = concept(name)
        noun = measure(base, taught, taught.noun, samples)
        found = []
        for seed in range(seeds):
            rows, seconds = learn(taught, seed)
            bases.load(base.pipe, {TOKEN: rows}, family=base.family)
            rates = measure(base, taught, TOKEN, samples)
            bases.unload(base.pipe)
            found.append((seconds, rates))
            lines.append(line(name, str(seed), seconds, rates, noun))
            print(lines[-1], flush=True)
        means = [np.mean([getattr(r, part) for _, r in found]) for part in Rates.__annotations__]
        lines.append(line(name, "mean", float(np.mean([s for s, _ in found])), Rates(*means), noun))
        print(lines[-1], flush=True)
    return lines


def line(name: str, seed: str, seconds: float, rates: Rates, noun: Rates) -> str:
    """One row of the table."""
    return (
        f"{name:22} {seed:>4} {seconds:5.0f}s {rates.concept:6.2f} {noun.concept:6.2f} "
        f"{rates.background:6.2f} {rates.both:6.2f}"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", nargs="+", default=DEFAULT, choices=sorted(CONCEPTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    began = time.monotonic()
    lines = run(options.concepts, options.seeds, options.samples)
    print(f"{time.monotonic() - began:.0f} s in all")
    if options.out:
        command = " ".join(["python -m benchmarks.concepts", *sys.argv[1:]])
        text = "\n".join(lines)
        options.out.write_text(
            f"# Nameless concepts on `shapes`\n\nMade by `{command}`.\n\n```\n{text}\n```\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
