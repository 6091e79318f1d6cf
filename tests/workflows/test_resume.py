"""A run that is killed goes on where it was, and ends with the very same vectors."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, RunCli
from tests.workflows.test_train import options
from tireg.store.registry import Registry
from tireg.workflows.vectors import unpack_vectors

STEPS = 60


def command(base: Path, pictures: Path, *more: str) -> list[str]:
    given = options(base, steps=str(STEPS), batch="1", resolution="32", method="directional")
    return ["train", str(pictures), *given, "--save-every", "1", *more]


def log_of(home: Path) -> list[dict[str, Any]]:
    """Every line of the one run there is, in order."""
    (path,) = (home / "training").glob("*/log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def vectors(home: Path) -> np.ndarray:
    with Registry.open(home) as registry:
        record = registry.resolve("ball").record
        stored = record.file("embedding")
        assert stored is not None
        (rows,) = unpack_vectors(record, registry.objects.read(stored.sha256)).values()
    return rows


def killed(arguments: list[str], home: Path, after: int) -> bool:
    """Run and kill with SIGKILL once ``after`` more checkpoints are in the log; False if it ended
    before that."""
    seen = checkpoints(home)
    with subprocess.Popen(
        [sys.executable, "-m", "tireg", *arguments],
        cwd=ROOT, env={**os.environ, "TIREG_HOME": str(home)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while process.poll() is None:
            if checkpoints(home) >= seen + after:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return True
            time.sleep(0.005)
    return False


def checkpoints(home: Path) -> int:
    found = list((home / "training").glob("*/log.jsonl"))
    return found[0].read_text().count('"event": "checkpoint"') if found else 0


def assert_the_same_after_kills(
    base: Path, pictures: Path, tmp_path: Path, run_cli: RunCli, kills: int, seed: int
) -> None:
    """Kill a run ``kills`` times at random steps, then let it end; compare with an undisturbed."""
    chance = random.Random(seed)
    whole, home = tmp_path / "whole", tmp_path / "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIREG_HOME", str(whole))
        run_cli(*command(base, pictures), code=0)
        done = 0
        for _ in range(kills):
            done += killed(command(base, pictures, "--resume"), home, chance.randint(1, 12))
        patch.setenv("TIREG_HOME", str(home))
        run_cli(*command(base, pictures, "--resume"), code=0)
    assert done >= 1
    log = log_of(home)
    begun = [line for line in log if line["event"] in ("begin", "resume")]
    assert begun[0]["event"] == "begin"
    assert [line["event"] for line in begun[1:]] == ["resume"] * done
    assert all(line["step"] > 0 for line in begun[1:]), "none of them may start at 0"
    steps = [line["step"] for line in begun]
    assert steps == sorted(steps)
    assert np.array_equal(vectors(home), vectors(whole))


def test_killed_runs_end_with_the_same_vectors(
    tiny_sd1: Path, pictures: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    assert_the_same_after_kills(tiny_sd1, pictures, tmp_path, run_cli, kills=2, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_many_kills(
    seed: int, tiny_sd1: Path, pictures: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    assert_the_same_after_kills(tiny_sd1, pictures, tmp_path, run_cli, kills=6, seed=seed)


def test_ctrl_c_saves_and_says_how_to_go_on(tiny_sd1: Path, pictures: Path, home: Path) -> None:
    arguments = command(tiny_sd1, pictures)
    arguments[arguments.index("--steps") + 1] = "100000"
    arguments[arguments.index("--save-every") + 1] = "0"
    with subprocess.Popen(
        [sys.executable, "-m", "tireg", *arguments],
        cwd=ROOT, env=dict(os.environ), stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while not checkpoints(home):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume goes on" in said
    last = log_of(home)[-1]
    assert last["event"] == "checkpoint"
    assert last["step"] > 0
    assert not list((home / "records").glob("*.json"))


def test_a_finished_run_returns_at_once(
    tiny_sd1: Path, pictures: Path, home: Path, run_cli: RunCli
) -> None:
    given = ["train", str(pictures), *options(tiny_sd1)]
    run_cli(*given, "--resume", code=0)
    again = run_cli(*given, "--resume", code=0)
    assert "complete" in again.stderr
    assert "ball@1" in again.stdout
    run_cli(*given, code=0)
    rows = json.loads(run_cli("list", "--json").stdout)
    assert rows[0]["version"] == 2, "without --resume it is learned anew"
    assert not list((home / "training").glob("*/*.safetensors")), "nothing is left to resume"


def test_another_thread_count_is_refused_unless_asked_for(
    tiny_sd1: Path, pictures: Path, home: Path, run_cli: RunCli
) -> None:
    arguments = command(tiny_sd1, pictures, "--resume")
    assert killed(arguments, home, 3)
    (about,) = (home / "training").glob("*/run.json")
    data = json.loads(about.read_text())
    data["environment"]["threads"] = 99
    about.write_text(json.dumps(data))
    refused = run_cli(*arguments, code=2)
    assert "threads 99" in refused.stderr
    assert "--resume-anyway" in refused.stderr
    run_cli(*arguments, "--resume-anyway", code=0)
    assert log_of(home)[-1]["event"] == "end"


def test_a_damaged_checkpoint_is_one_sentence(
    tiny_sd1: Path, pictures: Path, home: Path, run_cli: RunCli
) -> None:
    arguments = command(tiny_sd1, pictures, "--resume")
    assert killed(arguments, home, 2)
    (path,) = (home / "training").glob("*/checkpoint.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    result = run_cli(*arguments)
    assert result.exit_code in (1, 2)
    assert "damaged" in result.stderr
    assert "without --resume" in result.stderr
    run_cli(*arguments[:-1], code=0)
