"""Two processes learn what one learns with the batch of both; what one knows all know."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.training.pair import RECIPES, learn
from tireg.domain.launching import Launch, check_alone, check_launch, launched
from tireg.errors import ConfigError
from tireg.training.processes import Team, together


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, tiny_sd1: Path) -> tuple[Path, Path]:
    """Where two processes left what they learned, and the pictures they learned from."""
    from PIL import Image

    out, pictures = tmp_path_factory.mktemp("pair"), tmp_path_factory.mktemp("pictures")
    for number in range(5):
        cells = np.random.default_rng(number).integers(0, 256, (80, 96, 3)).astype(np.uint8)
        Image.fromarray(cells).save(pictures / f"{number}.png")
    together = start_two(["-m", "tests.training.pair", str(tiny_sd1), str(pictures), str(out)])
    for process in together:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
    return out, pictures


def start_two(arguments: list[str], **env: str) -> list[subprocess.Popen[str]]:
    """Two processes of Python in the environment that torchrun makes for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **env}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **place, "RANK": str(index), "LOCAL_RANK": str(index)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for index in (0, 1)
    ]  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_learn_what_one_learns_with_the_batch_of_both(
    name: str, pair: tuple[Path, Path], tiny_sd1: Path
) -> None:
    out, pictures = pair
    alone = learn(tiny_sd1, pictures, RECIPES[name], Team())
    (expected,) = (rows.numpy() for rows in alone.run.rows().values())
    (begin,) = (rows.numpy() for rows in alone.run.begin.values())
    first, second = (np.load(out / f"{name}-{index}.npy") for index in (0, 1))
    assert np.linalg.norm(expected - begin) > 1e-3 * np.linalg.norm(begin), "it has to have moved"
    assert np.linalg.norm(first - expected) <= 1e-5 * np.linalg.norm(expected)
    assert np.array_equal(first, second)
    said = [json.loads((out / f"{index}.json").read_text())[name] for index in (0, 1)]
    assert said[0] == said[1]
    assert said[0][:2] == [alone.step, alone.reason]
    assert said[0][2] == pytest.approx(alone.checks[-1].loss, rel=1e-4)


def test_what_one_knows_all_know(pair: tuple[Path, Path]) -> None:
    for index in (0, 1):
        said = json.loads((pair[0] / f"{index}.json").read_text())
        assert said["failing"] == "the second one fell, told: True"
        assert said["stopping"] is True
        assert said["order"] == "by 0"


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        ({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}, None),
        ({"WORLD_SIZE": "2"}, None),
        ({"WORLD_SIZE": "two", "RANK": "0"}, None),
        ({"WORLD_SIZE": "2", "RANK": "2"}, None),
        ({"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}, Launch(3, 4, 1)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, Launch(1, 2, 0)),
    ],
)
def test_places_are_read_as_launchers_tell_them(
    environment: dict[str, str], place: Launch | None
) -> None:
    assert launched(environment) == place


def test_too_few_started_is_refused() -> None:
    given = {"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "127.0.0.1"}
    with pytest.raises(ConfigError, match="started only one"):
        check_launch(given)
    check_launch({**given, "WORLD_SIZE": "2", "RANK": "0"})
    check_launch({"MASTER_ADDR": "127.0.0.1"})
    with pytest.raises(ConfigError, match="a fleet is for one process"):
        check_alone("a fleet", {"WORLD_SIZE": "2", "RANK": "0"})
    check_alone("a fleet", {"WORLD_SIZE": "1", "RANK": "0"})


def test_a_stray_world_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    with together() as team:
        assert team.count == 1
        assert team.main
        assert team.device("cuda:1") == "cuda:1"


def test_processes_without_a_place_to_meet_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ConfigError, match="not where they meet"), together():
        pass


@pytest.mark.parametrize(("batch", "count"), [(4, 2), (7, 3), (3, 3), (10, 4)])
def test_shares_are_all_samples_once(batch: int, count: int) -> None:
    shares = [Team(Launch(index, count, index)).share(batch) for index in range(count)]
    assert [i for first, last in shares for i in range(first, last)] == list(range(batch))


def test_every_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    team: Any = Team(Launch(5, 8, 1))
    assert team.device("auto") == team.device("cuda") == "cuda:1"
    assert team.device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="a single one, for 8 processes"):
        team.device("cuda:0")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert team.device("auto") == "cpu"
