"""Study (c): the metrics on embeddings that were really trained, against the oracle.

    python -m benchmarks.study_trained            # writes evals/studies/trained.md; half an hour
    python -m benchmarks.study_trained --quick    # two concepts, small suites; prints only

Each concept of `shapes` is learned twice from the same five pictures, four of which share their
background (for a style: their shape): by the default method, kept at several steps from none to
far too many, and by an over-strong recipe. Every stage is drawn and measured by the ordinary
evaluation, and the oracle reads what its pictures truly show. What is finished lies under --cache
and is not computed again, so a killed run goes on. One thread: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study_tables import Cell, page
from benchmarks.study_truth import Asked, truths
from tireg.domain.fingerprints import BaseRef
from tireg.domain.recipes import Recipe
from tireg.domain.records import Record, Source
from tireg.domain.scores import ReferenceSet, Sampling
from tireg.domain.suites import Suite, load_suite
from tireg.domain.tensors import tensor_hash
from tireg.metrics import METRICS, compute_all
from tireg.models.bases import Base, dtype_name, open_base
from tireg.shapes.concepts import CONCEPTS, Concept
from tireg.shapes.oracle import read
from tireg.shapes.world import SHAPES, named_color, render_many
from tireg.training.loop import Learning
from tireg.workflows.bases import fingerprint_if_any
from tireg.workflows.concept_input import Typed, load_concept, plan_concept
from tireg.workflows.drawing import Loaded, PictureCache, Shot
from tireg.workflows.looking import FeatureCache, Lookers, open_lookers, pixel_hash
from tireg.workflows.making import png_bytes
from tireg.workflows.measuring import Job, fingerprint_hash, measure_samples
from tireg.workflows.places import BUILT_IN, find_base
from tireg.workflows.progress import silent
from tireg.workflows.teaching import set_up
from tireg.workflows.train import TrainRequest
from tireg.workflows.vectors import describe

PAGE = Path(__file__).resolve().parent.parent / "evals" / "studies" / "trained.md"
TOKEN = "<concept>"
CHOSEN = (
    "lime-star", "orange-tint", "yellow-purple-square", "lime-tint", "green-blue-cross",
    "orange-square",
)  # fmt: skip
QUICK = ("lime-star", "orange-tint")
PICTURES = 5
VECTORS = {"pair": 4}
OVER = Recipe(steps=1000, vectors=8, learning_rate=0.6, schedule="constant", average_last=0.0)
RUNS: dict[str, tuple[Recipe, tuple[int, ...]]] = {
    "ordinary": (Recipe(steps=900), (0, 5, 10, 20, 60, 300, 900)),
    "over-strong": (OVER, (200, 1000)),
}
"""Recipe, and the steps whose rows are scored."""
QUICK_RUNS: dict[str, tuple[Recipe, tuple[int, ...]]] = {
    "ordinary": (Recipe(steps=150), (0, 10, 150)),
    "over-strong": (OVER.model_copy(update={"steps": 400}), (400,)),
}
Rows = dict[str, np.ndarray]


def make_asked(taught: Concept) -> Asked:
    """The concept with its pictures: four of five on one background, or with one shape."""
    number = sorted(CONCEPTS).index(taught.name)
    rng = np.random.default_rng([17, number])
    scenes = taught.scenes(PICTURES)
    same = sorted(CONCEPTS.values(), key=lambda c: c.name)
    others = [c for c in same if c.sort == taught.sort and c.name != taught.name][:2]
    if taught.kind == "style":
        shape = SHAPES[number % len(SHAPES)]
        scenes = [replace(s, shape=shape) for s in scenes[:-1]] + scenes[-1:]
        return Asked(taught, scenes, others, str(scenes[0].background), shape)
    background = str(scenes[0].background)
    usual = [
        replace(s, background=background, background_color=named_color(background, rng))
        for s in scenes[:-1]
    ]
    # Others of the class have the same shape and other colours.
    others = [replace(taught, color=o.color, second=o.second) for o in others]
    return Asked(taught, [*usual, scenes[-1]], others, background, str(taught.shape))


def learn(asked: Asked, recipe: Recipe, steps: Sequence[int], home: Path) -> dict[int, Rows]:
    """The rows at these steps of one run."""
    taught = asked.concept
    base = open_base(find_base("shapes").folder, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        for number, picture in enumerate(render_many(list(asked.scenes))):
            (Path(folder) / f"{number}.png").write_bytes(png_bytes(picture))
        typed = Typed(token=TOKEN, kind=taught.kind, name="concept", class_noun=taught.noun)
        concept = load_concept(
            plan_concept([Path(folder)], typed), resolution=base.family.resolution
        )
    request = TrainRequest(
        [], "shapes", "concept", TOKEN, taught.kind, recipe, taught.noun, device="cpu"
    )
    run, _, _ = set_up(request, concept, base, find_base("shapes"), home, silent)
    learning = Learning(run)
    kept: dict[int, Rows] = {}
    for moment in learning:
        if moment.step in steps:
            kept[moment.step] = {k: v.numpy().copy() for k, v in run.rows().items()}
    return kept


def recipe_of(taught: Concept, run: str, recipe: Recipe) -> Recipe:
    """The run's recipe for this concept, every default settled."""
    changes: dict[str, Any] = {"init": taught.initializer, "resolution": 32}
    if run == "ordinary" and taught.sort in VECTORS:
        changes["vectors"] = VECTORS[taught.sort]
    return recipe.model_copy(update=changes).resolved()


def learned(
    asked: Asked, recipe: Recipe, steps: Sequence[int], cache: Path
) -> tuple[str, dict[int, Rows]]:
    """A finished run's rows from the cache, else learned now; and what they are known by."""
    pixels = [pixel_hash(p) for p in render_many(list(asked.scenes))]
    told = [asked.concept.name, recipe.model_dump(mode="json"), list(steps), pixels]
    key = _key(told)
    path = cache / "rows" / f"{key}.npz"
    if not path.exists():
        found = learn(asked, recipe, steps, cache / "home")
        flat = {f"{s}/{k}": v for s, rows in found.items() for k, v in rows.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part.npz")
        np.savez(temporary, allow_pickle=False, **flat)
        temporary.replace(path)
    rows: dict[int, Rows] = {}
    with np.load(path, allow_pickle=False) as held:
        for name in held.files:
            step, encoder = name.split("/")
            rows.setdefault(int(step), {})[encoder] = held[name]
    return key, rows


@dataclass
class Bench:
    """What every evaluation shares."""

    base: Base
    lookers: Lookers
    fingerprint: str
    cache: Path

    @classmethod
    def open(cls, cache: Path) -> Bench:
        """The base and its scorer, from the checkout."""
        place = find_base("shapes")
        base = open_base(place.folder, device="cpu")
        home = cache / "home"
        home.mkdir(parents=True, exist_ok=True)
        ref = BaseRef(
            id="shapes",
            family=base.family.id,
            fingerprint=fingerprint_if_any(home, base.folder, base.family),
        )
        scorer = str(BUILT_IN["shapes"].scorer())
        lookers = open_lookers((), scorer, device=base.device, label="shapes-scorer")
        return cls(base, lookers, fingerprint_hash(ref), cache)

    def job(self, asked: Asked, rows: Rows, suite: Suite) -> Job:
        """The ordinary evaluation of these rows, of which nothing is recorded."""
        taught, family = asked.concept, self.base.family
        record = Record(
            name=taught.name, token=TOKEN, kind=taught.kind, class_noun=taught.noun,
            tensor_hash=tensor_hash(rows), tensors=describe(rows), files=(),
            source=Source(how="trained"), created="2000-01-01T00:00:00Z", tireg_version="0",
        )  # fmt: skip
        sampling = Sampling(
            sampler=suite.sampler or family.sampler, steps=suite.steps or family.steps,
            guidance=family.guidance if suite.guidance is None else suite.guidance,
            width=family.resolution, height=family.resolution,
            dtype=dtype_name(self.base.dtype), device="cpu", batch=16,
        )  # fmt: skip
        return Job(
            record=record,
            base=self.base,
            base_id="shapes",
            fingerprint=self.fingerprint,
            suite=suite,
            seeds=suite.seeds,
            sampling=sampling,
            lookers=self.lookers,
            word=Loaded(TOKEN, record.tensor_hash, rows),
            references=_shots(render_many(list(asked.scenes))),
            others=[_other(other, n) for n, other in enumerate(asked.others)],
            given=None,
            cache=PictureCache(self.cache / "pictures"),
            features=FeatureCache(self.cache / "features"),
            listen=silent,
        )


def _shots(pictures: np.ndarray) -> list[Shot]:
    def reader(picture: np.ndarray) -> Callable[[], np.ndarray]:
        return lambda: picture

    return [Shot(f"picture {n}", reader(picture)) for n, picture in enumerate(pictures, 1)]


def _other(concept: Concept, number: int) -> tuple[ReferenceSet, list[Shot]]:
    pictures = concept.pictures(PICTURES)
    shas = tuple(pixel_hash(p) for p in pictures)
    told = ReferenceSet(name=f"other-{number}", embedding=_key(list(shas)), pictures=shas)
    return told, _shots(pictures)


def _key(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def measured(bench: Bench, asked: Asked, rows: Rows, suite: Suite, told: object) -> dict[str, Any]:
    """Truths and metrics of one stage; from the cache if the same was measured before."""
    versions = [f"{m.name}@{m.version}" for m in METRICS.values()]
    path = bench.cache / "cells" / f"{_key([told, suite.sha256, versions])[:32]}.json"
    if not path.exists():
        job = bench.job(asked, rows, suite)
        samples, pictures = measure_samples(job)
        readings = {
            condition: {at: read(shot.read()) for at, shot in group.items()}
            for condition, group in pictures.items()
            if condition in ("token", "class")
        }
        found = {
            "truth": truths(asked, suite, readings),
            "metrics": {
                name: result.unscored or [result.value, result.difference_low, result.low]
                for name, result in compute_all(samples).items()
            },
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(found, indent=1))
        temporary.replace(path)
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def cells(names: Sequence[str], quick: bool, cache: Path) -> Iterator[Cell]:
    """Every stage of every concept, as it is finished."""
    bench = Bench.open(cache)
    for name in names:
        asked = make_asked(CONCEPTS[name])
        style = "-style" if asked.concept.kind == "style" else ""
        suite = load_suite(f"shapes{style}{'-quick' if quick else ''}")
        for run, (plain, steps) in (QUICK_RUNS if quick else RUNS).items():
            recipe = recipe_of(asked.concept, run, plain)
            key, rows = learned(asked, recipe, steps, cache)
            for step in steps:
                told = [key, step, asked.background, asked.shape, [repr(o) for o in asked.others]]
                found = measured(bench, asked, rows[step], suite, told)
                norm = np.mean([np.linalg.norm(r, axis=1).mean() for r in rows[step].values()])
                yield Cell(
                    name, asked.concept.sort, run, step, float(norm), **found,
                )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study, print its tables, keep the full form."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a short form that is not kept")
    parser.add_argument("--concepts", nargs="+", choices=sorted(CONCEPTS))
    parser.add_argument("--cache", type=Path, default=Path("build/study_trained"))
    options = parser.parse_args(arguments)
    started = time.monotonic()
    names = options.concepts or (QUICK if options.quick else CHOSEN)
    found = []
    for cell in cells(names, options.quick, options.cache):
        found.append(cell)
        seen = ", ".join(f"{t} {cell.truth[t]:.2f}" for t in ("fidelity", "following", "copying"))
        print(
            f"[{time.monotonic() - started:5.0f} s] {cell.concept} {cell.run} {cell.step}: {seen}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    text = page(found, "python -m benchmarks.study_trained")
    print(text)
    if not options.quick and not options.concepts:
        PAGE.write_text(text, encoding="utf-8")
        print(f"written to {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
