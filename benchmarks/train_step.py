"""What a training step costs, against another trainer's script on the same models.

    python -m benchmarks.train_step [--peer PATH] [--large] [--rounds N] [--models NAME …]
                                    [--threads N] [--steps N] [--json FILE]

PATH is diffusers' own `textual_inversion.py`, or a script that takes the same options. It is run
as it is, but for two things: its check of the diffusers version does nothing, and a CLIPTextModel
has the attribute `text_model` that transformers 5 took away. Models have random weights and are
made here; so are the pictures. `--large` adds the architecture of SD1.5 (9 GB of disk).

Each side runs in a process of its own, in turns (peer, tireg, peer, tireg, …), in fp32, with the
same pictures, batch, side and number of steps, one vector. For the peer a step is the time between
the ends of two optimiser steps, taken by torch's global hook on optimisers: so everything in its
loop counts, and a checkpoint is written only after the last step. For tireg a step is one turn of
`tireg.training.loop.Learning`: draw a batch, loss, gradient, optimiser. What tireg does once
(encoding the pictures) and its checks are not in a step; the encoding is printed beside it. Peak
memory is the most that the process ever held, from its start to its last step; on a GPU, the most
of the device's memory. A checkpoint is all that is written to resume. Median over all rounds.

Exit code: 0, or 1 where a bar is missed or a side failed, 2 for wrong input.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.train_sides import Task

ROOT = Path(__file__).resolve().parents[1]
# Where other work takes more of the machine than this, the bars for a busy one count.
BUSY_CORES = 0.5


class SideError(Exception):
    """One side did not finish; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Figures:
    """What was measured of one side: seconds and bytes. ``cpu`` is a step's processor time."""

    step: float
    cpu: float
    peak: float
    checkpoint: float
    once: float
    steps: int


@dataclass(frozen=True)
class Bar:
    """A ratio that is promised: at least ``limit`` for speed, at most for memory."""

    model: str
    what: str
    limit: float
    busy: float

    def line(self, ratio: float | None, busy: bool) -> tuple[str, bool]:
        """How it reads, and whether it is missed; without a ratio it is neither."""
        limit = self.busy if busy else self.limit
        sign = ">=" if self.what == "speed" else "<="
        name = f"bar: {self.model} {self.what} {sign} {limit:g}"
        if ratio is None:
            return f"{name}: not measured", False
        met = ratio >= limit if self.what == "speed" else ratio <= limit
        return f"{name}: {'met' if met else 'missed'}, {ratio:.2f}", not met


BARS = (
    Bar("medium", "speed", 3.0, 2.5),
    Bar("sd15", "speed", 1.5, 1.5),
    Bar("sd15", "memory", 0.85, 0.85),
)


def start(arguments: Sequence[str], threads: int, log: Path) -> None:
    """A Python process of this project; SideError with the end of its output if it fails."""
    # A process begins with the peak of the one that started it, so this one stays without torch.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    with log.open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=log.parent, env=environment, stdout=out, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise SideError("\n".join(end))


def measure(side: str, task: Task, folder: Path, threads: int) -> dict[str, Any]:
    """Run ``side`` in a process of its own; what it wrote is removed again."""
    file = folder / f"{side}.json"
    file.write_text(json.dumps(asdict(task)), encoding="utf-8")
    try:
        start(["benchmarks.train_sides", side, str(file)], threads, folder / f"{side}.log")
    finally:
        shutil.rmtree(task.out, ignore_errors=True)
    result: dict[str, Any] = json.loads(file.with_suffix(".result.json").read_text("utf-8"))
    if len(result["wall"]) != task.steps + task.warm:
        raise SideError(f"{side}: {len(result['wall'])} optimiser steps were seen, not "
                        f"{task.steps + task.warm}")  # fmt: skip
    return result


def figures(results: Sequence[Mapping[str, Any]], warm: int) -> Figures:
    """Medians over the counted steps of all rounds, and over rounds for the rest."""

    def lengths(name: str) -> list[float]:
        return [
            after - before
            for result in results
            for before, after in zip(
                result[name][warm - 1 : -1], result[name][warm:], strict=True
            )
        ]  # fmt: skip

    wall = lengths("wall")
    return Figures(
        step=median(wall),
        cpu=median(lengths("cpu")),
        peak=median(r["peak"] for r in results),
        checkpoint=median(r["checkpoint"] for r in results),
        once=median(r["once"] for r in results),
        steps=len(wall),
    )


def ratios(peer: Figures, ours: Figures) -> dict[str, float]:
    """``speed``: how many times faster ours is. ``memory``, ``checkpoint``: ours to the peer's."""
    return {
        "speed": peer.step / ours.step,
        "cpu": peer.cpu / ours.cpu,
        "memory": ours.peak / peer.peak,
        "checkpoint": ours.checkpoint / peer.checkpoint,
    }


def table(name: str, peer: Figures | None, ours: Figures) -> list[str]:
    """The lines of one model: peer, tireg, ratio."""
    rows = [
        ("step, s", "step", 1.0, "speed", "{:.2f} times faster"),
        ("step, s of processor", "cpu", 1.0, "cpu", "{:.2f} times less"),
        ("peak memory, MB", "peak", 1e-6, "memory", "{:.2f} of the peer's"),
        ("checkpoint, kB", "checkpoint", 1e-3, "checkpoint", "{:.6f} of the peer's"),
        ("encoding once, s", "once", 1.0, "", ""),
    ]
    shares = ratios(peer, ours) if peer else {}
    lines = [f"{name:22} {'peer':>12} {'tireg':>12}  ratio"]
    for label, attribute, unit, key, form in rows:
        left = f"{getattr(peer, attribute) * unit:12.3f}" if peer and key else f"{'-':>12}"
        right = f"{getattr(ours, attribute) * unit:12.3f}"
        share = form.format(shares[key]) if key in shares else ""
        lines.append(f"{label:22} {left} {right}  {share}".rstrip())
    return lines


def busy_seconds() -> float:
    """Seconds of work that all cores of this machine have done since it started; Linux."""
    try:
        values = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    ticks = [int(value) for value in values]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def compare(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Build a model, time both sides in turn, print the table; the raw results and figures."""
    from benchmarks.models import SIZES, WORD
    from benchmarks.train_sides import Task

    size = SIZES[name]
    model, pictures = folder / "model", folder / "pictures"
    print(f"\n{name}: {size.about}; {size.side} px, batch {size.batch}", flush=True)
    start(
        ["benchmarks.models", name, str(model), "--pictures", str(pictures)],
        options.threads, folder / "build.log",
    )  # fmt: skip
    task = Task(
        str(model), str(pictures), str(folder / "out"), size.side, size.batch,
        options.steps or size.steps, size.warm, WORD, str(options.peer or ""),
    )  # fmt: skip
    results: dict[str, list[dict[str, Any]]] = {"peer": [], "tireg": []}
    for _ in range(options.rounds):
        for side in ("peer", "tireg") if options.peer else ("tireg",):
            results[side].append(measure(side, task, folder, options.threads))
    ours = figures(results["tireg"], size.warm)
    peer = figures(results["peer"], size.warm) if options.peer else None
    one = results["tireg"][0]
    print(f"{one['device']}, fp32, threads {one['threads']}, {ours.steps} steps of each side")
    print("\n".join(table(name, peer, ours)), flush=True)
    return {
        "model": name,
        "device": one["device"],
        "threads": one["threads"],
        "tireg": asdict(ours),
        "peer": asdict(peer) if peer else None,
        "ratios": ratios(peer, ours) if peer else None,
        "raw": results,
    }


def others_busy(began: float, before: float) -> float:
    """Cores that other processes of this machine kept busy since then, on average."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = spent.ru_utime + spent.ru_stime + time.process_time()
    wall = time.monotonic() - began
    return max(0.0, (busy_seconds() - before - own) / wall)


def judge(reports: Sequence[Mapping[str, Any]], busy: bool) -> tuple[list[str], bool]:
    """A line for each bar, and whether any is missed."""
    known = {r["model"]: r["ratios"] for r in reports if r["ratios"]}
    lines = [bar.line(known.get(bar.model, {}).get(bar.what), busy) for bar in BARS]
    return [line for line, _ in lines], any(missed for _, missed in lines)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; wrong input ends with code 2."""
    from benchmarks.models import SIZES

    parser = argparse.ArgumentParser(
        prog="benchmarks.train_step", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--peer", type=Path, help="a script with textual_inversion.py's options")
    parser.add_argument("--large", action="store_true", help="also SD1.5's architecture")
    parser.add_argument("--models", nargs="+", choices=list(SIZES), help="only these")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=0, help="counted steps of each round")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    parser.add_argument("--json", type=Path, help="write everything that was measured")
    options = parser.parse_args(arguments)
    if options.peer:
        options.peer = options.peer.resolve()
        if not options.peer.is_file():
            parser.error(f"'{options.peer}' does not exist; give the path of textual_inversion.py")
    if min(options.rounds, options.threads) < 1 or options.steps < 0:
        parser.error("--rounds and --threads begin at 1, --steps at 0")
    options.models = options.models or ["tiny", "medium", *(["sd15"] if options.large else [])]
    return options


def main(arguments: Sequence[str]) -> int:
    """Time the models, print the tables and the bars; see the module for the exit code."""
    options = parse(arguments)
    began, before, reports = time.monotonic(), busy_seconds(), []
    for name in options.models:
        with tempfile.TemporaryDirectory(prefix="tireg-step-") as folder:
            try:
                reports.append(compare(name, options, Path(folder)))
            except SideError as error:
                print(f"{name}: a side failed:\n{error}", file=sys.stderr)
                return 1
    others = others_busy(began, before)
    lines, missed = judge(reports, others >= BUSY_CORES)
    print(f"\nother processes kept {others:.1f} of {os.cpu_count()} cores busy")
    if options.json:
        report = {"models": reports, "others_busy": others, "bars": lines}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return int(missed)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
