"""Benchmarks run: their quickest form, with a small stand-in for the peer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.train_step import BARS, Figures, figures, judge, ratios

ROOT = Path(__file__).resolve().parents[2]

# It takes the options that matter, refuses an old diffusers and writes a checkpoint at the end.
PEER = """
import argparse, pathlib, torch
from diffusers.utils import check_min_version
check_min_version("999.0")
parser = argparse.ArgumentParser()
parser.add_argument("--max_train_steps", type=int)
parser.add_argument("--output_dir", type=pathlib.Path)
given, _ = parser.parse_known_args()
row = torch.nn.Parameter(torch.ones(64))
adam = torch.optim.AdamW([row])
for _ in range(given.max_train_steps):
    row.square().sum().backward()
    adam.step()
folder = given.output_dir / f"checkpoint-{given.max_train_steps}"
folder.mkdir(parents=True)
(folder / "state.bin").write_bytes(bytes(1234))
"""


def test_training_steps_of_both_sides_are_timed(tmp_path: Path) -> None:
    script, out = tmp_path / "peer.py", tmp_path / "out.json"
    script.write_text(PEER, encoding="utf-8")
    command = ["--models", "tiny", "--steps", "2", "--rounds", "1", "--peer", str(script)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train_step", *command, "--json", str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (model,) = json.loads(out.read_text(encoding="utf-8"))["models"]
    assert model["peer"]["checkpoint"] == 1234
    assert model["tireg"]["steps"] == model["peer"]["steps"] == 2
    assert 0 < model["peer"]["step"] < model["tireg"]["step"]
    # One row of 32 numbers: what is needed to resume is at most five rows and 32 kB.
    assert 0 < model["tireg"]["checkpoint"] <= 5 * 32 * 4 + 32 * 1024
    assert model["tireg"]["peak"] > 50e6
    assert done.stdout.count("not measured") == len(BARS)


def test_a_peer_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = subprocess.run(
        [sys.executable, "-m", "benchmarks.train_step", "--peer", str(tmp_path / "none.py")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert missing.returncode == 2
    assert "none.py" in missing.stderr


def test_warm_steps_are_not_counted() -> None:
    wall = [10.0, 19.0, 20.0, 22.0, 25.0]  # two warm ones, then steps of 1, 2 and 3
    result = {"wall": wall, "cpu": wall, "peak": 7, "checkpoint": 3, "once": 1.0}
    counted = figures([result], warm=2)
    assert (counted.step, counted.steps, counted.peak) == (2.0, 3, 7)


@pytest.mark.parametrize(
    ("step", "peak", "busy", "missed"),
    [(3.1, 0.8, False, False), (2.6, 0.8, False, True), (2.6, 0.8, True, False),
     (3.1, 0.9, True, True)],
)  # fmt: skip
def test_bars_are_missed_where_they_are(step: float, peak: float, busy: bool, missed: bool) -> None:
    ours = Figures(step=1.0, cpu=1.0, peak=peak, checkpoint=1.0, once=1.0, steps=1)
    peer = Figures(step=step, cpu=step, peak=1.0, checkpoint=2.0, once=0.0, steps=1)
    shares = ratios(peer, ours)
    reports = [{"model": name, "ratios": shares} for name in ("medium", "sd15")]
    lines, failed = judge(reports, busy)
    assert failed is missed
    assert sum("missed" in line for line in lines) == int(missed)
