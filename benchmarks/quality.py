"""Quality against cost on `shapes`: every method, and the stock recipe, read by the oracle.

    python -m benchmarks.quality [--methods NAME …] [--concepts NAME …] [--seeds N] [--samples N]
                                 [--cache DIR] [--out FILE]

A cell is one concept learned by one method with one seed from five pictures, then drawn; the
oracle reads each sample: the concept is there (fidelity), the background asked for is there
(prompt), both at once. Every method draws the same prompts and seeds, so that differences are
paired. A finished cell is kept under --cache and not computed again; a cell is known by its
method's whole recipe. One thread: set OMP_NUM_THREADS=1; two of these with different --concepts
share a cache.

The cost of a cell is counted at the denoiser: samples with a gradient, and samples looked at
without one (validation and probes), which cost about half. Previews are not counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.concepts import TOKEN, prompts
from tireg.domain.recipes import Recipe
from tireg.domain.statistics import clustered_mean
from tireg.models import bases
from tireg.models.sampler import Draw, DrawSettings, draw
from tireg.shapes import base_path
from tireg.shapes.concepts import CONCEPTS, Concept, concept
from tireg.shapes.oracle import read
from tireg.store.registry import Registry
from tireg.workflows.making import png_bytes
from tireg.workflows.progress import Event, Notice
from tireg.workflows.train import TrainRequest, train
from tireg.workflows.vectors import unpack_vectors

STOCK = Recipe(
    method="classic", vectors=1, steps=3000, batch=4, learning_rate=2e-3, rate_unit="absolute",
    schedule="constant", weight_decay=1e-2, average_last=0.0, snr_gamma=0.0, timesteps="uniform",
)  # fmt: skip
METHODS: dict[str, Recipe] = {
    "stock": STOCK,
    "classic": Recipe(method="classic", snr_gamma=5.0),
    "classic, gamma 1": Recipe(method="classic", snr_gamma=1.0),
    "directional": Recipe(method="directional", snr_gamma=5.0),
    "directional, gamma 1": Recipe(method="directional", snr_gamma=1.0),
    "cross, gamma 1": Recipe(method="cross", snr_gamma=1.0, anchor=1e-5),
    "directional, gamma 1, paired": Recipe(method="directional", snr_gamma=1.0, paired_noise=True),
    "stock, a tenth": STOCK.model_copy(update={"steps": 300}),
}
# Hues, two-tone objects, styles; the pairs with four vectors for every method, stock included.
CELLS: dict[str, int | None] = {
    "lime-star": None,
    "orange-square": None,
    "yellow-purple-square": 4,
    "green-blue-cross": 4,
    "orange-tint": None,
    "lime-tint": None,
}
MEASURES = ("fidelity", "prompt", "both")


@dataclass
class Meter:
    """Counts what is looked at through the denoiser, without a gradient, while a run learns."""

    looked: int = 0
    counting: bool = True

    def listen(self, event: Event | Notice) -> None:
        """Previews are drawn after the run; they are not its cost."""
        if isinstance(event, Event):
            self.counting = not event.task.startswith("drawing previews")

    def see(self, module: Any, _inputs: Any, output: Any) -> None:
        """A forward hook on every module; only the denoiser's own call counts."""
        denoiser = type(module).__name__ == "UNet2DConditionModel"
        if denoiser and self.counting and not output[0].requires_grad:
            self.looked += len(output[0])


@contextmanager
def metered() -> Iterator[Meter]:
    """A meter on every denoiser of this process."""
    from torch.nn.modules.module import register_module_forward_hook

    meter = Meter()
    handle = register_module_forward_hook(meter.see)
    try:
        yield meter
    finally:
        handle.remove()


def measure(base: bases.Base, taught: Concept, word: str, count: int) -> dict[str, list[int]]:
    """Draw ``count`` samples and let the oracle read them: 1 where right, per measure."""
    asked = prompts(taught, word, count)
    family = base.family
    side = family.resolution
    settings = DrawSettings(family.sampler, family.steps, family.guidance, side, side, 32)
    draws = [Draw(text, 1000 + i) for i, (text, _) in enumerate(asked)]
    readings = [read(picture) for _, picture in draw(base.pipe, draws, settings)]
    held = [int(taught.holds(reading)) for reading in readings]
    grounds = zip(readings, asked, strict=True)
    right = [int(reading.background == ground) for reading, (_, ground) in grounds]
    both = [a & b for a, b in zip(held, right, strict=True)]
    return {"fidelity": held, "prompt": right, "both": both}


def recipe_for(method: str, taught: Concept, seed: int) -> Recipe:
    """The method's recipe for this concept. The stock script starts from one word only."""
    recipe = METHODS[method]
    start = taught.noun if method.startswith("stock") else taught.initializer
    changes: dict[str, Any] = {"init": start, "seed": seed}
    vectors = CELLS.get(taught.name)
    if vectors is not None:
        changes["vectors"] = vectors
    return recipe.model_copy(update=changes)


def run_cell(taught: Concept, recipe: Recipe, samples: int) -> dict[str, Any]:
    """Learn, draw, read."""
    from torch import get_num_threads

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, metered() as meter:
        home, pictures = Path(folder) / "home", Path(folder) / "pictures"
        pictures.mkdir()
        for number, picture in enumerate(taught.pictures(5)):
            (pictures / f"{number}.png").write_bytes(png_bytes(picture))
        request = TrainRequest(
            [pictures], "shapes", "concept", TOKEN, taught.kind, recipe, taught.noun
        )
        record = train(request, home=home, listen=meter.listen).record
        stored, training = record.file("embedding"), record.training
        assert stored is not None
        assert training is not None
        with Registry.open(home) as registry:
            rows = unpack_vectors(record, registry.objects.read(stored.sha256))
    base = bases.open_base(base_path(), device="cpu")
    bases.load(base.pipe, {TOKEN: rows}, family=base.family)
    return {
        "looked": meter.looked,
        "seconds": training.seconds,
        "all_seconds": time.monotonic() - began,
        "steps": training.steps,
        "threads": get_num_threads(),
        **measure(base, taught, TOKEN, samples),
    }


def cell(cache: Path, method: str, name: str, seed: int, samples: int) -> dict[str, Any] | None:
    """A finished cell from the cache, else computed now; None where it failed to learn."""
    from tireg.errors import TrainingFailedError

    taught = concept(name)
    recipe = recipe_for(method, taught, seed)
    known = json.dumps([name, recipe.resolved().model_dump(mode="json"), samples], sort_keys=True)
    path = cache / f"{hashlib.sha256(known.encode()).hexdigest()[:24]}.json"
    if not path.exists():
        try:
            found = run_cell(taught, recipe, samples)
        except TrainingFailedError as error:
            found = {"failed": error.message}
        held = {"cell": json.loads(known), **found}
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(held))
        temporary.rename(path)
    result: dict[str, Any] = json.loads(path.read_text())
    if "failed" in result:
        return None
    result["trained"] = result["steps"] * recipe.batch
    return result


def table(found: dict[tuple[str, str, int], dict[str, Any] | None], methods: list[str]) -> str:
    """Quality against cost per method, the paired differences, and every cell."""
    lines = [
        "The three rates are shares of samples, 0 to 1. `trained` are samples with a gradient,",
        "`looked` samples without (validation and probes), `cost` their sum with those counted",
        "half, as the work is; means over cells. The default recipe is marked *. The stock recipe",
        "starts from one word, since its script takes one, and is never given mirrored pictures,",
        "which would teach it two-tone objects both ways round.",
        "",
        "| method | " + " | ".join(MEASURES) + " | trained | looked | cost | seconds |",
    ]
    lines.append("|---|" + "---|" * 7)
    for method in methods:
        cells = [c for (m, _, _), c in found.items() if m == method]
        done = [c for c in cells if c is not None]
        rates = [np.mean([np.mean(c[m]) if c else 0.0 for c in cells]) for m in MEASURES]
        trained, looked, seconds = (
            np.mean([c[k] for c in done]) for k in ("trained", "looked", "seconds")
        )
        cost = trained + looked / 2
        lines.append(
            f"| {_marked(method)} | " + " | ".join(f"{r:.3f}" for r in rates)
            + f" | {trained:.0f} | {looked:.0f} | {cost:.0f} | {seconds:.0f} |"
        )  # fmt: skip
    if "stock" in methods:
        lines += ["", *_differences(found, methods)]
    return "\n".join([*lines, "", *_cells(found, methods)])


def _marked(method: str) -> str:
    """The method's name, with a star where its recipe is the default one."""
    return f"{method} *" if METHODS[method].resolved() == Recipe().resolved() else method


def _differences(
    found: dict[tuple[str, str, int], dict[str, Any] | None], methods: list[str]
) -> list[str]:
    """Difference to the stock recipe, paired by concept, seed, prompt and noise."""
    lines = ["| less stock | measure | difference | 95% interval | cost / stock |", "|---|" * 1]
    lines[1] = "|---|---|---|---|---|"
    for method in methods:
        if method == "stock":
            continue
        for part in MEASURES:
            clusters, costs = [], []
            for (m, name, seed), other in found.items():
                stock = found.get(("stock", name, seed))
                if m != method or stock is None:
                    continue
                theirs = np.array(stock[part], dtype=float)
                ours = np.array(other[part] if other else np.zeros(len(theirs)), dtype=float)
                clusters.append(ours - theirs)
                if other:
                    costs.append((other["trained"] + other["looked"] / 2) / stock["trained"])
            if len(clusters) < 2:
                continue
            got = clustered_mean(np.stack(clusters))
            lines.append(
                f"| {method} | {part} | {got.value:+.3f} | {got.low:+.3f} to {got.high:+.3f} "
                f"| {np.mean(costs):.3f} |"
            )
    return lines


def _cells(
    found: dict[tuple[str, str, int], dict[str, Any] | None], methods: list[str]
) -> list[str]:
    lines = ["| method | concept | seed | " + " | ".join(MEASURES) + " | steps | cost |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for (method, name, seed), c in sorted(found.items(), key=lambda kv: methods.index(kv[0][0])):
        if c is None:
            lines.append(f"| {method} | {name} | {seed} | learned nothing | | | | |")
            continue
        rates = " | ".join(f"{np.mean(c[m]):.2f}" for m in MEASURES)
        cost = c["trained"] + c["looked"] / 2
        lines.append(f"| {method} | {name} | {seed} | {rates} | {c['steps']} | {cost:.0f} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--concepts", nargs="+", default=list(CELLS), choices=sorted(CONCEPTS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--cache", type=Path, default=Path("build/quality"))
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    found = {}
    for seed in range(options.seeds):
        for method in options.methods:
            for name in options.concepts:
                got = cell(options.cache, method, name, seed, options.samples)
                found[method, name, seed] = got
                said = "learned nothing" if got is None else " ".join(
                    f"{m} {np.mean(got[m]):.2f}" for m in MEASURES
                )  # fmt: skip
                print(f"{method:16} {name:22} seed {seed}: {said}", file=sys.stderr, flush=True)
    text = table(found, options.methods)
    print(text)
    if options.out:
        command = " ".join(["python -m benchmarks.quality", *sys.argv[1:]])
        options.out.write_text(
            f"# Quality against cost on `shapes`\n\nMade by `{command}`.\n\n{text}\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
