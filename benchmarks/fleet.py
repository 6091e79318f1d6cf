"""What learning many concepts in one batch saves, against one run after another.

    python -m benchmarks.fleet [--quick] [--models NAME …] [--concepts N …] [--batch B]
                               [--rounds R] [--threads T] [--json FILE]

Both sides are in one process, on one open base, in fp32, with the same runs: one vector, the
default method, `--batch` pictures per step (1: what a fleet is for; a single run with a larger
batch has part of the gain already). A round times the fleet and then a single run, and so on in
turns; medians over rounds. What is timed is `tireg.training`: drawing the batch, loss, gradient,
the step of every optimiser, and the checks on fixed samples, of which there is one in every 25
steps. Opening the base, encoding pictures, probes and previews cost the same on both sides and
are not in it. Models have random weights and are made here (benchmarks/models.py).

One line per model and number of concepts: milliseconds that one concept's step takes alone and
in the fleet, the ratio of steps without checks, and last the ratio with them. Steps per second
of the whole are 1000 / fleet.

Exit code: 0, or 1 where a bar is missed; 2 for wrong input.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tireg.models.bases import Base
    from tireg.training.data import Bucket
    from tireg.training.fleet import Fleet
    from tireg.training.loop import Learning

NUMBERS = (1, 2, 4, 8, 16)
BARS = {("tiny", 8): 3.0, ("medium", 8): 1.4}
# A check follows every 25 steps of a run of the default length.
STEPS_OF_A_CHECK = 25
PROMPTS = ("a photo of a {}", "a picture of the {}", "a {} close up")


@dataclass(frozen=True)
class Line:
    """What was measured: seconds of one concept's step, and of its check, on both sides."""

    model: str
    concepts: int
    alone: float
    fleet: float
    check_alone: float
    check_fleet: float

    @property
    def steps(self) -> float:
        """How many times as many steps a fleet takes in the same time."""
        return self.alone / self.fleet

    @property
    def ratio(self) -> float:
        """The same with the checks among the steps."""
        alone = STEPS_OF_A_CHECK * self.alone + self.check_alone
        return alone / (STEPS_OF_A_CHECK * self.fleet + self.check_fleet)

    def text(self) -> str:
        """The line that is printed."""
        return (
            f"{self.model} N={self.concepts:<2}  alone {1e3 * self.alone:7.1f} ms  "
            f"fleet {1e3 * self.fleet:7.1f} ms  steps {self.steps:.1f}x  "
            f"with checks {self.ratio:.1f}x"
        )


def encode(base: Base, pictures: Path, side: int) -> Bucket:
    """The pictures of ``pictures`` as latents; all runs learn from the same."""
    import torch

    from tireg.training.data import encode_pictures
    from tireg.training.images import find_pictures, load_photos, to_tensor

    photos = load_photos(find_pictures([pictures]))
    every = torch.arange(len(PROMPTS))
    return encode_pictures(base, to_tensor(photos, side), [every] * len(photos))


def make_run(base: Base, bucket: Bucket, batch: int, number: int) -> Learning:
    """A run of its own seed, prompts and token, whose words are the only ones in ``base``."""
    from benchmarks.models import WORD
    from tireg.domain.recipes import Recipe
    from tireg.models import bases
    from tireg.models.conditioning import Conditioning
    from tireg.training.data import Data
    from tireg.training.loop import Learning, Run
    from tireg.training.objective import Objective
    from tireg.training.rows import start_rows, words_norm

    token = f"<word-{number}>"
    recipe = Recipe(
        steps=1_000_000,
        batch=batch,
        resolution=bucket.size[0],
        vectors=1,
        seed=number,
        average_last=0,
    )
    bases.unload(base.pipe)
    rows, scales = {}, {}
    for key, encoder in base.encoders.items():
        table = encoder.model.get_input_embeddings().weight
        rows[key] = start_rows(encoder.tokenizer, table, WORD, 1, seed=number).numpy()
        scales[key] = words_norm(encoder.tokenizer, table)
    wrappers = bases.load(base.pipe, {token: rows}, family=base.family)
    prompts = [prompt.format(token) for prompt in PROMPTS]
    objective = Objective(base, Conditioning(base, prompts, token), snr_gamma=recipe.snr_gamma)
    learning = Learning(Run(base, objective, Data((bucket,)), recipe, wrappers, scales))
    # What checks look at; the further parts are for the start and the end.
    learning.fixed = learning.fixed[:1]
    return learning


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(fleet: Fleet, model: str, rounds: int, steps: int) -> Line:
    """Time a fleet that has measured its beginning against its first run by itself."""
    names = list(fleet.members)
    together, alone = [], []
    for _ in range(rounds):
        fleet.round()  # the base has all words again, which is done once and not in every step
        together += [seconds(fleet.round) for _ in range(steps)]
        with fleet.seated(names[0]) as learning:
            learning.advance()
            alone += [seconds(learning.advance) for _ in range(steps)]
    checks_together, checks_alone = [], []
    for _ in range(max(1, rounds // 2)):
        checks_together.append(seconds(lambda: look(fleet)))
        with fleet.seated(names[0]) as learning:
            learning.piece = learning.recipe.batch
            checks_alone.append(seconds(lambda: learning._losses(learning.fixed)))
    count = len(names)
    return Line(
        model, count, median(alone), median(together) / count,
        median(checks_alone), median(checks_together) / count,
    )  # fmt: skip


def look(fleet: Fleet) -> None:
    """The fixed samples of every run, as a check looks at them."""
    for name in fleet.members:
        with fleet.seated(name) as learning:
            learning._losses(learning.fixed)


def benchmark(options: argparse.Namespace, folder: Path) -> list[Line]:
    """Build the models and print a line for each number of concepts."""
    import torch

    from benchmarks.models import SIZES, build, make_pictures
    from tireg.models.bases import open_base
    from tireg.training.fleet import Fleet

    torch.set_num_threads(options.threads)
    make_pictures(folder / "pictures")
    lines = []
    for model in options.models:
        size = SIZES[model]
        base = open_base(build(model, folder / model), device="cpu", dtype="fp32")
        print(f"{model}: {size.about}; {size.side} px, batch {options.batch} per concept, "
              f"{options.threads} threads", flush=True)  # fmt: skip
        bucket = encode(base, folder / "pictures", size.side)
        steps = max(2, size.steps // (8 if options.quick else 4))
        for number in options.concepts:
            fleet = Fleet(base)
            for one in range(number):
                fleet.add(str(one), make_run(base, bucket, options.batch, one))
            fleet.round()
            lines.append(measure(fleet, model, options.rounds, steps))
            print(lines[-1].text(), flush=True)
    return lines


def judge(lines: Sequence[Line]) -> bool:
    """Print a line for each bar that was measured; whether one is missed."""
    missed = False
    for line in lines:
        bar = BARS.get((line.model, line.concepts))
        if bar is not None:
            met = line.ratio >= bar
            missed = missed or not met
            word = "met" if met else "missed"
            print(f"bar: {line.model} N={line.concepts} >= {bar:g}: {word}, {line.ratio:.2f}")
    return missed


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; wrong input ends with code 2."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.fleet", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="under a minute: 8 concepts")
    parser.add_argument("--models", nargs="+", choices=["tiny", "medium"],
                        default=["tiny", "medium"])  # fmt: skip
    parser.add_argument("--concepts", nargs="+", type=int, metavar="N")
    parser.add_argument("--batch", type=int, default=1, help="pictures per concept and step")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    options.concepts = options.concepts or ([8] if options.quick else list(NUMBERS))
    options.rounds = options.rounds or (3 if options.quick else 5)
    if min([*options.concepts, options.batch, options.rounds, options.threads]) < 1:
        parser.error("numbers are 1 or more")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark as the command line says."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        lines = benchmark(options, Path(folder))
    if options.json:
        found = [asdict(line) | {"ratio": line.ratio} for line in lines]
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 1 if judge(lines) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
