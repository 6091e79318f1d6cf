"""The long form: a cluster of two nodes of which one is killed half-way; Ctrl-C and on again."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.workflows.cluster_run import request
from tests.workflows.evaluating import SUITE
from tests.workflows.many_words import many_words
from tireg.domain.scores import Run
from tireg.fanout import InProcess
from tireg.shapes import base_path
from tireg.store.registry import Registry
from tireg.workflows.fanning import Fan
from tireg.workflows.many import evaluate_many

WORDS = 40
START_SECONDS = 60.0

pytestmark = pytest.mark.soak
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'tireg[ray]'"
)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prompts, two seeds."""
    path = tmp_path_factory.mktemp("suite") / "small.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second base: the built-in one with a little noise on its token table."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(base_path(), tmp_path_factory.mktemp("bases") / "other"))
    file = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    generator = torch.Generator().manual_seed(3)
    for name, weight in tensors.items():
        if weight.ndim == 2:
            noise = torch.randn(weight.shape, generator=generator)
            tensors[name] = weight + 0.02 * weight.std() * noise
    save_file(tensors, file, {"format": "pt"})
    return folder


def numbers(home: Path) -> dict[tuple[str, str], tuple[Any, ...]]:
    """All of every run but when it was made and how long it took."""

    def told(run: Run) -> tuple[Any, ...]:
        return run.run_id, run.spec, run.scores, run.files, run.transfer, run.verdict

    with Registry.open(home) as registry:
        assert registry.verify().problems == []
        return {
            (row.name, run.spec.base): told(run)
            for row in registry.list()
            for run in registry.runs(registry.resolve(row.name).record_sha)
        }


def wait_for(what: Callable[[], object], seconds: float, of: str) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"{of} took more than {seconds:.0f} s"
        time.sleep(0.1)


def begun(home: Path) -> list[str]:
    path = home / "begun"
    return path.read_text().splitlines() if path.exists() else []


class Node:
    """One ``ray start``, with all processes under it."""

    def __init__(self, *args: str, env: dict[str, str], log: Path) -> None:
        command = ["-m", "ray.scripts.scripts", "start", *args, "--num-cpus=1", "--block",
                   "--disable-usage-stats", "--object-store-memory=100000000"]  # fmt: skip
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *command], env=env, stdout=out, stderr=out, start_new_session=True
            )

    def kill(self) -> None:
        """As if the plug was pulled."""
        for pid in [self.process.pid, *_below(self.process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(20)


def _below(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                child = int(stat.parent.name)
                found += [child, *_below(child)]
    return found


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, dict[str, str], Node]]:
    """Two nodes on this machine: the address, the environment of who joins, the second node."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        # Beyond the ports that Ray gives to workers.
        port = 20000 + server.getsockname()[1] % 10000
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "token",
           "RAY_AUTH_TOKEN": secrets.token_hex(16)}  # fmt: skip
    # A folder of its own, with a short name: Ray remembers clusters there, and its sockets' names
    # must not be long.
    folder = tempfile.mkdtemp(prefix="ray")
    first = Node(
        "--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false", env=env,
        log=tmp_path / "head.log",
    )  # fmt: skip
    address = f"127.0.0.1:{port}"
    try:
        told = tmp_path / "head.log"
        wait_for(lambda: "--block" in told.read_text(), START_SECONDS, "starting the cluster")
        second = Node(
            f"--address={address}", "--node-ip-address=127.0.0.2", env=env,
            log=tmp_path / "second.log",
        )  # fmt: skip
        told = tmp_path / "second.log"
        wait_for(lambda: "--block" in told.read_text(), START_SECONDS, "joining the cluster")
        yield address, env, second
        second.kill()
    finally:
        first.kill()
        shutil.rmtree(folder, ignore_errors=True)


@needs_ray
def test_a_node_that_is_killed_half_way_changes_no_result(
    tmp_path: Path, suite: Path, other: Path, cluster: tuple[str, dict[str, str], Node]
) -> None:
    address, env, second = cluster
    home = tmp_path / "cluster"
    words = many_words(home, WORDS)
    command = [sys.executable, "-m", "tests.workflows.cluster_run", home, suite, address,
               "shapes", other]  # fmt: skip
    run = subprocess.Popen(
        list(map(str, command)), env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for(lambda: len(begun(home)) > WORDS or run.poll() is not None, 1800, "the first half")
    second.kill()
    out, err = run.communicate(timeout=1800)
    assert run.returncode == 0, err
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == 2 * WORDS
    assert [one["error"] for one in told if one["error"]] == []
    attempts = {" ".join(one["pair"]): one["attempts"] for one in told}
    times = Counter(begun(home))
    assert sum(times.values()) == 2 * WORDS + sum(n - 1 for n in times.values() if n > 1)
    twice = {pair for pair, count in times.items() if count > 1}
    assert len(twice) <= 1, "the node had one processor, so at most one unit was cut off"
    assert twice <= {pair for pair, count in attempts.items() if count > 1}
    assert any(count > 1 for count in attempts.values()), "what the node had is handed out again"
    alone = tmp_path / "alone"
    many_words(alone, WORDS)
    evaluate_many(
        request(words, ["shapes", str(other)], suite, Fan()), home=alone, engine=InProcess()
    )
    assert numbers(home) == numbers(alone)
    assert len(numbers(home)) == 2 * WORDS
    again = subprocess.run(
        list(map(str, command)), env=env, cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert {json.loads(line)["attempts"] for line in again.stdout.splitlines()} == {0}
    # An address that was named gets the token only where the user says so.
    bare = {k: v for k, v in env.items() if not k.startswith("RAY_")} | {"TIREG_HOME": str(home)}
    refused = subprocess.run(
        [sys.executable, "-m", "tireg", "bases", "add", "shapes", "--ray", address],
        env=bare, cwd=ROOT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2, refused.stderr
    assert "wants a token" in refused.stderr


def test_an_evaluation_goes_on_after_ctrl_c(tmp_path: Path, suite: Path, other: Path) -> None:
    home = tmp_path / "interrupted"
    words = many_words(home, 6)
    command = [sys.executable, "-m", "tireg", "eval", *words, "--suite", str(suite), "--steps", "4",
               "--batch", "4", "--bases", "shapes", str(other), "--jobs", "2"]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TIREG_HOME": str(home)}
    first = subprocess.Popen(
        command, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: len(list((home / "runs").rglob("*.json"))) >= 3, 300, "three evaluations")
    os.killpg(first.pid, signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode not in (0, 1)
    assert "Traceback" not in err
    assert 3 <= len(numbers(home)) < 12
    kept = {path: path.stat().st_mtime_ns for path in (home / "runs").rglob("*.json")}
    second = subprocess.run(command, env=env, cwd=ROOT, text=True, capture_output=True, check=False)
    assert second.returncode == 0, second.stderr
    assert len(numbers(home)) == 12
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "what was there stayed"
    alone = tmp_path / "alone"
    many_words(alone, 6)
    env["TIREG_HOME"] = str(alone)
    subprocess.run(command[:-2], env=env, cwd=ROOT, capture_output=True, check=True)
    assert numbers(home) == numbers(alone)
