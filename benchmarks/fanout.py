"""What handing out work costs: scaling on units that only wait, and the time of a true unit.

    python -m benchmarks.fanout [--quick] [--workers N …] [--units U] [--seconds S] [--no-ray]

Units that wait for S seconds use no processor, so that 4 workers can be had on any machine.
Workers are started beforehand, as a long run has them, by one unit each; what that takes is
printed beside it. Results are kept as a true run keeps them. One line per kind of worker and
number: the wall time, the ideal one (units x seconds / workers), their ratio, and what is over the
ideal per unit: (wall - ideal) x workers / units.

Then evaluations: words on the built-in base with `shapes-quick` in this process, the first (which
opens the models and draws what all share) and the others apart; and what they leave on the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tireg.fanout import Desk, Engine, Made, Processes, Results, Shop, make_unit
from tireg.fanout.engines import run_units

WORKS = {"wait": "benchmarks.fanout:wait"}
RESULT_BYTES = 50_000
"""About a contact sheet and the lines per picture of an evaluation."""


def wait(given: Mapping[str, Any], desk: Desk) -> Made:
    """A unit that uses no processor, and makes a file of its own."""
    time.sleep(given["seconds"])
    data = str(given["n"]).encode().ljust(RESULT_BYTES, b".")
    return Made({"n": given["n"]}, {hashlib.sha256(data).hexdigest(): data})


def timed(engine: Engine, units: int, seconds: float, workers: int) -> tuple[float, float]:
    """Seconds until every worker has done one unit, and seconds for ``units`` units then."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shop = Shop(WORKS, place / "cache", Results(place / "results"), lambda _: None)

        def run(first: int, count: int, each: float) -> float:
            todo = [
                make_unit("wait", {"n": n, "seconds": each}, label=str(n))
                for n in range(first, first + count)
            ]
            began = time.perf_counter()
            made = [over for over in run_units(engine, todo, shop) if over.made]
            wall = time.perf_counter() - began
            if len(made) != count:
                raise SystemExit(f"only {len(made)} of {count} units were made")
            return wall

        # Long enough that every worker is started before the first is free again.
        start = run(0, workers, 0.5) - 0.5
        return start, run(workers, units, seconds)


@contextmanager
def engines(kind: str, workers: int) -> Iterator[Engine]:
    """Workers of one kind, gone afterwards."""
    if kind == "processes":
        engine: Engine = Processes(workers)
        yield engine
        engine.close()
        return
    import ray

    from tireg.fanout.ray_engine import RayTasks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(
            address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False,
            logging_level="ERROR", object_store_memory=100 * 2**20,
        )  # fmt: skip
    yield RayTasks("auto")
    ray.shutdown()


def waiting(kinds: Sequence[str], numbers: Sequence[int], units: int, seconds: float) -> None:
    """One line per kind and number of workers."""
    print(f"{units} units that wait {seconds:g} s")
    for kind in kinds:
        for workers in numbers:
            with engines(kind, workers) as engine:
                start, wall = timed(engine, units, seconds, workers)
            ideal = units * seconds / workers
            over = (wall - ideal) * workers / units * 1000
            print(
                f"{kind:9} {workers} workers  started in {start:5.2f} s  wall {wall:6.2f} s  "
                f"ideal {ideal:6.2f} s  {over:5.1f} ms over per unit  {wall / ideal:.2f}x",
                flush=True,
            )


def evaluations(count: int) -> None:
    """The time of true units, and what they leave on the disk."""
    from tests.workflows.many_words import many_words
    from tireg.fanout import InProcess
    from tireg.workflows.evaluate import EvalRequest
    from tireg.workflows.many import ManyRequest, evaluate_many

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        names = many_words(home, count)
        clock = Clock(InProcess())
        each = EvalRequest(ref="", suite="shapes-quick", device="cpu")
        scored = evaluate_many(ManyRequest(names, (), each), home=home, engine=clock)
        if failed := [one.failure.message for one in scored if one.failure]:
            raise SystemExit(failed[0])
        first, *rest = clock.seconds
        pictures = list((home / "cache" / "pictures").rglob("*.png"))
        size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
        print(
            f"{count} evaluations on shapes with shapes-quick: the first {first:.2f} s, "
            f"each further one {median(rest):.2f} s, of which recording it in the registry "
            f"{median(clock.recording) * 1000:.0f} ms (medians)"
        )
        print(
            f"{len(pictures)} pictures in all, {size / count / 1000:.0f} kB on the disk for each "
            "evaluation"
        )


class Clock:
    """An engine that takes the time of every unit."""

    workers = 1

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seconds: list[float] = []
        self.recording: list[float] = []

    def run(self, units: Any, shop: Shop) -> Iterator[Any]:
        """As the engine does."""
        began = time.perf_counter()
        for over in self.engine.run(units, shop):
            made = time.perf_counter()
            yield over
            ended = time.perf_counter()
            self.seconds.append(ended - began)
            self.recording.append(ended - made)
            began = ended

    def close(self) -> None:
        """As the engine does."""
        self.engine.close()


def main(words: Sequence[str]) -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter units")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--units", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--no-ray", action="store_true")
    told = parser.parse_args(words)
    units = told.units or (8 if told.quick else 40)
    seconds = told.seconds or (0.1 if told.quick else 0.25)
    if units < 1 or seconds <= 0 or min(told.workers) < 1:
        parser.error("workers, units and seconds are above 0")
    kinds = ["processes"]
    if told.no_ray or importlib.util.find_spec("ray") is None:
        print(
            "Ray is left out" if told.no_ray else "Ray is not installed: pip install 'tireg[ray]'"
        )
    else:
        kinds.append("ray")
    waiting(kinds, [2] if told.quick else told.workers, units, seconds)
    evaluations(2 if told.quick else 4)


if __name__ == "__main__":
    main(sys.argv[1:])
