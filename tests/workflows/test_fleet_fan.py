"""A fleet divided among workers: the same vectors for any number of them, one unit lost at most."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, RunCli
from tests.workflows.test_fleet import events, fleet, folder, rows
from tireg.domain.recipes import Recipe
from tireg.fanout import Desk, Made
from tireg.fanout.units import find_work
from tireg.store.registry import Registry
from tireg.workflows import fanning
from tireg.workflows.fleet_fan import unit_size
from tireg.workflows.fleet_units import learn_concepts, request_as_json, request_of
from tireg.workflows.train import TrainRequest

__all__ = ["folder"]
WORK = "learn concepts"


def test_the_work_can_be_found() -> None:
    assert find_work(fanning.WORKS, WORK) is learn_concepts


def test_a_request_travels_whole() -> None:
    given = TrainRequest(
        (Path("/pictures").resolve(),), "shapes", name="a", token="<a>", kind="style",
        recipe=Recipe(vectors=3, steps=5), templates=("one {token}",), keep_anyway=True,
    )  # fmt: skip
    again = request_of(json.loads(json.dumps(request_as_json(given))))
    assert again == given
    assert again.recipe.model_fields_set == {"vectors", "steps"}


@pytest.mark.parametrize(
    ("count", "batch", "size"), [(4, 4, 1), (16, 4, 2), (100, 4, 8), (100, 64, 1)]
)
def test_units_follow_the_concepts_alone(count: int, batch: int, size: int) -> None:
    request = TrainRequest((Path("p"),), "shapes", recipe=Recipe(batch=batch))
    assert unit_size([request] * count) == size


def test_the_vectors_do_not_depend_on_the_workers(
    run_cli: RunCli, folder: Path, tiny_sd1: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for jobs in ("1", "2"):
        own = home.with_name(f"home-{jobs}")
        monkeypatch.setenv("TIREG_HOME", str(own))
        result = run_cli(
            *fleet(folder / "concepts.yaml", tiny_sd1, "--jobs", jobs, "--json"), code=0
        )
        told = json.loads(result.stdout)
        assert [(one["concept"], one["result"]) for one in told] == [
            ("ball", "trained"), ("disc", "trained"),
        ]  # fmt: skip
        assert told[1]["record"]["recipe"]["learning_rate"] == 0.05
        found.append([rows(own, name) for name in ("ball", "disc")])
        again = json.loads(
            run_cli(*fleet(folder / "concepts.yaml", tiny_sd1, "--jobs", jobs, "--json")).stdout
        )
        assert [one["result"] for one in again] == ["there", "there"]
        assert not list((own / "training").rglob("*.safetensors"))
        assert not list((own / "cache" / "results").rglob("result.json"))
    for one, two in zip(*found, strict=True):
        assert np.array_equal(one, two)
    monkeypatch.setenv("TIREG_HOME", str(home))
    run_cli(*fleet(folder / "concepts.yaml", tiny_sd1), code=0)
    for name, there in zip(("ball", "disc"), found[0], strict=True):
        assert np.abs(rows(home, name) - there).max() / np.abs(there).max() < 3e-5


def test_a_concept_that_fails_in_a_worker_harms_no_other(
    run_cli: RunCli, folder: Path, tiny_sd1: Path
) -> None:
    file = folder / "concepts.yaml"
    file.write_text(file.read_text() + "  - empty\n  - {path: ball, name: odd, init: zzqxw}\n")
    given = fleet(file, tiny_sd1, "--jobs", "2", "--fleet-width", "3", "--json")
    found = json.loads(run_cli(*given, code=1).stdout)
    assert [one["result"] for one in found] == ["trained", "trained", "failed", "failed"]
    assert "no picture" in found[2]["error"]
    assert "zzqxw" in found[3]["error"]
    again = json.loads(run_cli(*given, code=1).stdout)
    assert [one["result"] for one in again] == ["there", "there", "failed", "failed"]


def test_jobs_are_for_fleets(run_cli: RunCli, folder: Path, tiny_sd1: Path) -> None:
    result = run_cli("train", folder / "ball", "--base", tiny_sd1, "--jobs", "2", code=2)
    assert "--fleet" in result.stderr


def test_workers_that_are_killed_go_on_from_their_checkpoints(
    run_cli: RunCli, folder: Path, tiny_sd1: Path, home: Path, tmp_path: Path
) -> None:
    """They are killed once one has saved; their units are handed out again and go on."""
    more = ("--steps", "60", "--jobs", "2", "--json")
    given = fleet(folder / "concepts.yaml", tiny_sd1, *more)
    killed: list[int] = []
    over = threading.Event()
    killer = threading.Thread(target=kill_one, args=(home, killed, over))
    killer.start()
    result = run_cli(*given, code=0)
    over.set()
    killer.join()
    assert killed, "no worker was seen in time"
    assert [one["result"] for one in json.loads(result.stdout)] == ["trained", "trained"]
    assert [line for line in events(home, "resume") if line["step"] > 0]
    whole = tmp_path / "whole"
    undisturbed = subprocess.run(
        [sys.executable, "-m", "tireg", *fleet(folder / "concepts.yaml", tiny_sd1,
         "--steps", "60", "--fleet-width", "1")], cwd=ROOT,
        env={**os.environ, "TIREG_HOME": str(whole)}, capture_output=True, check=False,
    )  # fmt: skip
    assert undisturbed.returncode == 0, undisturbed.stderr
    for name in ("ball", "disc"):
        assert np.array_equal(rows(home, name), rows(whole, name)), name


def kill_one(home: Path, killed: list[int], over: threading.Event) -> None:
    """SIGKILL for the worker processes once one has saved a state of its run."""
    import multiprocessing

    while not over.wait(0.02):
        if not [line for line in events(home, "checkpoint") if line["step"] >= 5]:
            continue
        # All of them: nothing tells from outside which one has the run that was saved.
        for child in multiprocessing.active_children():
            if child.pid is not None and child.name.startswith("tireg-worker"):
                os.kill(child.pid, signal.SIGKILL)
                killed.append(child.pid)
        if killed:
            return


def test_a_machine_without_the_files_gets_them(
    run_cli: RunCli, folder: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A desk without the shared cache, as on another machine of a cluster."""
    from tireg.workflows import fleet_fan
    from tireg.workflows.fanning import Fan
    from tireg.workflows.fleet import look_over
    from tireg.workflows.fleet_file import read_fleet

    (folder / "ball" / "picture0.txt").write_text("a {token} on blue")
    request = TrainRequest((), "shapes", keep_anyway=True)
    file = folder / "concepts.yaml"
    file.write_text(file.read_text().replace("init: cat", "init: circle"))
    requests = read_fleet(file, request, knobs={"steps": 2})
    ended, left, ground = look_over(requests, home, None, lambda _: None)
    assert not ended
    assert ground is not None
    work = fleet_fan._Apart(home, Fan(ray="auto"), ground, lambda _: None, ended)
    work.divide(left, None, 2)
    ((unit, part),) = work.units.values()
    assert part == (0, 1)
    given = json.loads(json.dumps(unit.given))
    for told in given["requests"]:
        told["pictures"] = ["/not/here"]
    monkeypatch.setenv("TIREG_HOME", str(tmp_path / "theirs"))
    read: Mapping[str, Path] = unit.files
    desk = Desk(tmp_path / "desk", None, lambda sha: read[sha].read_bytes(), lambda _: None)
    made: Made = learn_concepts(given, desk)
    lines: list[dict[str, Any]] = made.record["ended"]
    assert [line["status"] for line in lines] == ["trained", "trained"]
    assert [line["parcel"]["run"] for line in lines] == [
        json.loads((path / "run.json").read_text())["run"]
        for line in lines
        for path in [tmp_path / "theirs" / "training" / _key(line)[:32]]
    ]
    assert [_key(line) for line in lines] == [left[0][1], left[1][1]]
    with Registry.open(home) as registry:
        version = work._record(work.requests[0], lines[0]["parcel"], made, registry)
    assert version.record.token == "<ball>"
    assert rows(home, "ball").shape[0] == 2


def _key(line: dict[str, Any]) -> str:
    from tireg.workflows.run_folder import RunFolder

    return RunFolder(Path(), line["parcel"]["run"]).key


def test_a_killed_fleet_goes_on_to_the_same_vectors(
    folder: Path, tiny_sd1: Path, home: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle, the same command again; no worker besides."""
    given = fleet(folder / "concepts.yaml", tiny_sd1, "--steps", "60")
    whole = tmp_path / "whole"
    with subprocess.Popen(
        [sys.executable, "-m", "tireg", *given], cwd=ROOT,
        env={**os.environ, "TIREG_HOME": str(home)}, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while process.poll() is None and len(events(home, "checkpoint")) < 6:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it was over before it was killed"
    for own in (home, whole):
        done = subprocess.run(
            [sys.executable, "-m", "tireg", *given], cwd=ROOT, capture_output=True, text=True,
            env={**os.environ, "TIREG_HOME": str(own)}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    resumed = events(home, "resume")
    assert len(resumed) == 2
    assert all(0 < line["step"] < 60 for line in resumed)
    assert not events(whole, "resume")
    for name in ("ball", "disc"):
        assert np.array_equal(rows(home, name), rows(whole, name)), name
