"""``tireg check`` as it is typed, on embeddings that come with the project."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.conftest import ROOT, RunCli

SHIPPED = ROOT / "registry" / "embeddings"


def shipped(name: str) -> Path:
    return SHIPPED / name / "learned_embeds.safetensors"


def test_a_good_word_exits_0(run_cli: RunCli) -> None:
    result = run_cli("check", shipped("lime-star"), "--base", "shapes", "--noun", "star", code=0)
    last = result.stdout.splitlines()[-1]
    assert last.endswith("<lime-star> on shapes: nothing wrong")
    assert "prompts without it keep every bit" in result.stdout
    assert "next: tireg import" in result.stderr


def test_an_overfitted_word_exits_1(run_cli: RunCli) -> None:
    args = ("check", shipped("lime-star-overfitted"), "--base", "shapes", "--noun", "star")
    data = json.loads(run_cli(*args, "--json", code=1).stdout)
    wrong = [f["check"] for f in data["findings"] if f["status"] == "wrong"]
    assert wrong == ["text collapse"]


def test_vectors_much_longer_than_words_are_doubted(run_cli: RunCli, tmp_path: Path) -> None:
    tensors = {name: 20 * rows for name, rows in load_file(shipped("lime-star")).items()}
    save_file(tensors, tmp_path / "long.safetensors")
    args = ("check", tmp_path / "long.safetensors", "--base", "shapes", "--json")
    (norm,) = [f for f in json.loads(run_cli(*args).stdout)["findings"] if f["check"] == "norm"]
    assert norm["status"] == "doubt"
    assert norm["value"] > 10


def test_damaged_numbers_exit_1(run_cli: RunCli, tmp_path: Path) -> None:
    tensors = load_file(shipped("lime-star"))
    (name,) = tensors
    tensors[name] = np.zeros_like(tensors[name])
    path = tmp_path / "zero.safetensors"
    save_file(tensors, path)
    result = run_cli("check", path, code=1)
    assert "are zero, which is no word" in result.stdout


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("nobody",), "nobody"),
        (("./missing.pt",), "missing.pt"),
        (("LIME", "--base", "some/base"), "some/base"),
        (("LIME", "--base", "shapes", "--suite", "magic"), "magic"),
    ],
)
def test_wrong_use(run_cli: RunCli, args: tuple[str, ...], named: str) -> None:
    given = [str(shipped("lime-star")) if arg == "LIME" else arg for arg in args]
    result = run_cli("check", *given, code=2)
    assert named in result.stderr.splitlines()[0]
    assert result.stdout == ""
