"""One concept learned by several processes, as typed in a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT, RunCli, RunProcess
from tests.training.test_processes import start_two
from tests.workflows.test_resume import checkpoints, log_of, vectors
from tests.workflows.test_train import options
from tireg.errors import ConfigError
from tireg.store.registry import Registry
from tireg.workflows.fleet import train_fleet

LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
          "--main_process_port", "0", "-m", "tireg"]  # fmt: skip
STEPS = 40


def command(base: Path, pictures: Path, batch: int) -> list[str]:
    given = options(base, steps=STEPS, batch=batch, resolution=32, method="directional")
    return ["train", str(pictures), *given, "--device", "cpu", "--save-every", "1"]


def test_stopped_and_resumed_they_learn_what_one_learns_with_the_batch_of_both(
    tiny_sd1: Path, pictures: Path, tmp_path: Path, home: Path, run_cli: RunCli
) -> None:
    """``accelerate launch``, Ctrl-C in the middle, the same command again with --resume."""
    given = [sys.executable, *LAUNCH, *command(tiny_sd1, pictures, 1)]
    with subprocess.Popen(
        given, cwd=ROOT, env=dict(os.environ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while checkpoints(home) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert said.count("--resume goes on") == 1
    assert said.count("error: interrupted; nothing half done was recorded") == 1
    assert not list((home / "records").glob("*.json"))
    again = subprocess.run(
        [*given, "--resume", "--json"],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    shown = json.loads(again.stdout)
    assert (shown["version"], shown["training"]["device"]) == (1, "2 x cpu")
    assert again.stderr.count("going on from step") == 1
    events = [line["event"] for line in log_of(home)]
    assert [e for e in events if e in ("begin", "resume", "end")] == ["begin", "resume", "end"]
    whole = tmp_path / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIREG_HOME", str(whole))
        run_cli(*command(tiny_sd1, pictures, 2), code=0)
    expected = vectors(whole)
    assert np.linalg.norm(vectors(home) - expected) <= 1e-5 * np.linalg.norm(expected)
    recipes = []
    for folder in (home, whole):
        with Registry.open(folder) as registry:
            recipes.append(registry.resolve("ball").record.recipe)
    assert recipes[0] == recipes[1], "the recipe says what one process would need"
    keys = [path.name for folder in (home, whole) for path in (folder / "training").iterdir()]
    assert keys[0] == keys[1], "the same run, whoever makes it"


def test_what_is_wrong_is_said_once(tiny_sd1: Path, pictures: Path, home: Path) -> None:
    """A word that the vocabulary does not know is found when the base is open in both."""
    given = command(tiny_sd1, pictures, 1)
    given[given.index("--init") + 1] = "qzxqj"
    began = time.monotonic()
    codes, said = finish(start_two(["-m", "tireg", *given]))
    assert time.monotonic() - began < 60
    assert codes == [2, 2]
    assert said[0].count("error: the initial word 'qzxqj' is not in this base's vocabulary") == 1
    assert said[1] == ""
    assert not list((home / "records").glob("*.json"))


def test_a_process_that_dies_leaves_no_other_waiting(
    tiny_sd1: Path, pictures: Path, home: Path
) -> None:
    given = command(tiny_sd1, pictures, 1)
    given[given.index("--steps") + 1] = "100000"
    pair = start_two(["-m", "tireg", *given])
    while not checkpoints(home):
        assert pair[0].poll() is None
        time.sleep(0.02)
    pair[1].kill()
    began = time.monotonic()
    codes, said = finish(pair)
    assert time.monotonic() - began < 30
    assert codes == [1, -signal.SIGKILL]
    assert "error: another process of this run ended before its time" in said[0]
    assert "--resume goes on from the last save" in said[0]
    assert checkpoints(home) >= 1


def test_what_learns_no_single_concept_is_for_one_process(
    run_process: RunProcess, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_process("list", code=0, WORLD_SIZE="1", RANK="0")
    place = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    done = run_process("list", code=2, **place)
    assert "'tireg list' is for one process, and a launcher started 2" in done.stderr
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="a fleet is for one process"):
        train_fleet([], home=home)


def test_accelerate_that_started_one_of_two_is_refused(
    run_process: RunProcess, pictures: Path
) -> None:
    """As ``accelerate launch --cpu --num_processes 2`` does, without a word."""
    place = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_USE_CPU": "True",
             "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}  # fmt: skip
    done = run_process("train", pictures, *options("shapes"), code=2, **place)
    assert "started only one" in done.stderr
    assert "--multi_gpu --num_processes" in done.stderr


def finish(pair: list[subprocess.Popen[str]]) -> tuple[list[int], list[str]]:
    """Exit codes and what was said on stderr, by process; none may print on stdout."""
    told = [process.communicate(timeout=120) for process in pair]
    assert [out for out, _ in told] == ["", ""]
    return [process.returncode for process in pair], [err for _, err in told]
