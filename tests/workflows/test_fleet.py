"""A fleet from the command line: each concept its own version, failures apart, no work twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, RunCli
from tireg.store.registry import Registry
from tireg.workflows.vectors import unpack_vectors


@pytest.fixture
def folder(tmp_path: Path, pictures: Path) -> Path:
    """Three folders of concepts, one of them empty, and a file that speaks of all."""
    root = tmp_path / "fleet"
    for name, first in (("ball", 0), ("disc", 2)):
        (root / name).mkdir(parents=True)
        for path in sorted(pictures.iterdir())[first:]:
            (root / name / path.name).write_bytes(path.read_bytes())
    (root / "empty").mkdir()
    (root / "concepts.yaml").write_text(
        "defaults: {kind: object, init: cat, steps: 3, batch: 1, resolution: 32}\n"
        "concepts:\n"
        "  - ball\n"
        "  - {path: disc, token: <round>, seed: 4, vectors: 1, lr: 0.05}\n"
    )
    return root


def fleet(path: Path, base: Path, *more: str) -> list[str]:
    return ["train", "--fleet", str(path), "--base", str(base), "--keep-anyway", *more]


def rows(home: Path, ref: str) -> np.ndarray:
    with Registry.open(home) as registry:
        record = registry.resolve(ref).record
        stored = record.file("embedding")
        assert stored is not None
        (found,) = unpack_vectors(record, registry.objects.read(stored.sha256)).values()
    return found


def test_each_concept_becomes_the_version_that_a_single_run_makes(
    run_cli: RunCli, folder: Path, tiny_sd1: Path, home: Path
) -> None:
    result = run_cli(*fleet(folder / "concepts.yaml", tiny_sd1, "--json"), code=0)
    ball, disc = json.loads(result.stdout)
    assert [one["result"] for one in (ball, disc)] == ["trained", "trained"]
    assert (ball["record"]["token"], disc["record"]["token"]) == ("<ball>", "<round>")
    assert disc["record"]["recipe"]["learning_rate"] == 0.05
    run_cli(
        "train", folder / "disc", "--base", tiny_sd1, "--name", "alone", "--token", "<round>",
        "--kind", "object", "--init", "cat", "--steps", "3", "--batch", "1", "--resolution", "32",
        "--seed", "4", "--vectors", "1", "--lr", "0.05", "--keep-anyway", code=0,
    )  # fmt: skip
    ours, alone = rows(home, "disc"), rows(home, "alone")
    assert np.abs(ours - alone).max() / np.abs(alone).max() < 3e-5
    one, other = (json.loads(run_cli("show", n, "--json").stdout) for n in ("disc", "alone"))
    assert one.keys() == other.keys()
    assert one["training"].keys() == other["training"].keys()


def test_the_same_command_does_only_what_is_missing(
    run_cli: RunCli, folder: Path, tiny_sd1: Path
) -> None:
    given = fleet(folder / "concepts.yaml", tiny_sd1, "--json")
    run_cli(*given, code=0)
    again = json.loads(run_cli(*given, code=0).stdout)
    assert [one["result"] for one in again] == ["there", "there"]
    assert [one["record"]["version"] for one in again] == [1, 1]


def test_a_concept_that_fails_drops_out_with_its_reason(
    run_cli: RunCli, folder: Path, tiny_sd1: Path
) -> None:
    file = folder / "concepts.yaml"
    file.write_text(
        file.read_text()
        + "  - empty\n  - {path: ball, name: odd, init: zzqxw}\n"
        + "  - {path: disc, name: ball, token: <other>}\n  - {path: ball}\n"
    )
    result = run_cli(*fleet(file, tiny_sd1, "--fleet-width", "1", "--json"), code=1)
    found = json.loads(result.stdout)
    assert [one["result"] for one in found] == ["trained"] * 2 + ["failed"] * 4
    reasons = [one["error"] for one in found[2:]]
    for reason, words in zip(
        reasons, ("no picture", "zzqxw", "another concept of this fleet", "same run"), strict=True
    ):
        assert words in reason
    table = run_cli(*fleet(file, tiny_sd1), code=1)
    assert "no picture" in table.stdout
    assert "the same command" in table.stderr


def test_a_folder_of_folders_is_a_fleet(run_cli: RunCli, folder: Path, tiny_sd1: Path) -> None:
    (folder / "concepts.yaml").unlink()
    (folder / "empty").rmdir()
    knobs = ("--steps", "2", "--batch", "1", "--resolution", "32", "--kind", "object")
    result = run_cli(*fleet(folder, tiny_sd1, "--init", "cat", *knobs, "--json"), code=0)
    assert [one["concept"] for one in json.loads(result.stdout)] == ["ball", "disc"]


@pytest.mark.parametrize(
    ("text", "named"),
    [("concepts: [{path: ball, sead: 1}]", "did you mean 'seed'"),
     ("concept: [ball]", "lists no concepts"),
     ("default: {}\nconcepts: [ball]", "did you mean 'defaults'"),
     ("concepts: [{name: a}]", "has no path"),
     ("concepts: [{path: ball, steps: 0}]", "steps"),
     ("concepts: [{path: ball, kind: thing}]", "kind"),
     ("concepts: []", "concepts")],
)  # fmt: skip
def test_a_wrong_file_is_refused_before_any_work(
    text: str, named: str, run_cli: RunCli, folder: Path, tiny_sd1: Path
) -> None:
    (folder / "concepts.yaml").write_text(text)
    result = run_cli(*fleet(folder, tiny_sd1), code=2)
    assert named in result.stderr


def test_what_cannot_be_meant_for_many_is_refused(
    run_cli: RunCli, folder: Path, tiny_sd1: Path
) -> None:
    for more in (["--name", "x"], [str(folder / "ball")]):
        run_cli(*fleet(folder, tiny_sd1, *more), code=2)
    run_cli("train", "--base", str(tiny_sd1), code=2)


def test_ctrl_c_saves_all_and_the_same_command_goes_on(
    run_cli: RunCli, folder: Path, tiny_sd1: Path, home: Path
) -> None:
    given = fleet(folder / "concepts.yaml", tiny_sd1, "--steps", "400")
    with subprocess.Popen(
        [sys.executable, "-m", "tireg", *given], cwd=ROOT,
        env={**os.environ, "TIREG_HOME": str(home)}, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while process.poll() is None and len(events(home, "checkpoint")) < 4:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "the same command goes on" in told
    steps = {line["step"] for line in events(home, "checkpoint")}
    result = run_cli(*given, "--json", code=0)
    assert [one["result"] for one in json.loads(result.stdout)] == ["trained", "trained"]
    resumed = events(home, "resume")
    assert len(resumed) == 2
    assert all(line["step"] in steps for line in resumed)


def events(home: Path, what: str) -> list[dict[str, Any]]:
    """Lines of one kind from the logs of all runs."""
    lines = [
        json.loads(line)
        for path in (home / "training").glob("*/log.jsonl")
        for line in path.read_text().splitlines()
        if line.endswith("}")
    ]
    return [line for line in lines if line["event"] == what]
