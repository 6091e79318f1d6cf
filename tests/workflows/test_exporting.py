"""``tireg export``: every tool's file, out of the registry or out of another tool's file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.conftest import RunCli
from tests.hub.words import keep
from tests.store import make
from tireg.dialects import DIALECTS, read_file
from tireg.domain.records import Record
from tireg.store.registry import Registry


def exported(run_cli: RunCli, *args: str | Path, code: int = 0) -> list[Path]:
    done = run_cli("export", *args, "--json", code=code)
    return [Path(text) for text in json.loads(done.stdout)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_tool_gets_the_same_vectors(
    dialect: str, run_cli: RunCli, home: Path, tmp_path: Path
) -> None:
    version = keep(home)
    (path,) = exported(run_cli, "my-cat", "--to", dialect, "--out", tmp_path / "out")
    reading = read_file(path)
    assert reading.dialect == dialect
    (embedding,) = reading.embeddings
    assert embedding.token == "<my-cat>"
    assert embedding.tensor_hash == version.record.tensor_hash


def test_all_makes_a_folder_for_each(run_cli: RunCli, home: Path, tmp_path: Path) -> None:
    keep(home)
    keep(home, "my-dog", 2, encoders=("clip_l", "clip_g"))
    paths = exported(run_cli, "my-cat", "--to", "all", "--out", tmp_path / "cat")
    assert {path.parent.name for path in paths} == set(DIALECTS)
    paths = exported(run_cli, "my-dog", "--to", "all", "--out", tmp_path / "dog")
    able = {"diffusers", "webui", "comfyui", "invokeai", "kohya", "onetrainer"}
    assert {path.parent.name for path in paths} == able
    told = run_cli("export", "my-dog", "--to", "all", "--out", tmp_path / "dog").stderr
    assert "png is left out: the clip_g vectors" in told
    assert "--lossy" in told
    paths = exported(run_cli, "my-dog", "--to", "all", "--out", tmp_path / "dog", "--lossy")
    assert {path.parent.name for path in paths} == set(DIALECTS)
    assert "need a folder" in run_cli(
        "export", "my-dog", "--to", "all", "--out", tmp_path / "a.pt", code=2
    ).stderr  # fmt: skip


def test_a_file_of_another_tool_goes_straight_out(run_cli: RunCli, tmp_path: Path) -> None:
    rows = np.random.default_rng(3).standard_normal((4, 768)).astype(np.float16)
    file = tmp_path / "easy.safetensors"
    save_file({"emb_params": rows}, file)
    (path,) = exported(run_cli, file, "--to", "diffusers", "--out", tmp_path / "out")
    back = load_file(path)
    assert back["easy"].dtype == np.float16
    assert np.array_equal(back["easy"], rows)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"nothing")
    assert "was refused" in run_cli("export", broken, "--to", "png", code=2).stderr


def test_a_folder_of_the_same_name_does_not_hide_a_word(
    run_cli: RunCli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(home)
    (tmp_path / "my-cat").mkdir()
    monkeypatch.chdir(tmp_path)
    assert exported(run_cli, "my-cat", "--out", tmp_path / "out")
    assert run_cli("compat", "my-cat", "sd1", code=0).stdout


def test_captions_stay_here(run_cli: RunCli, home: Path, tmp_path: Path) -> None:
    version = keep(home, concept=make.concept("my-cat", "my cat in our kitchen"))
    with Registry.open(home) as registry:
        kept = registry.resolve("my-cat").record.concept
    assert kept is not None
    assert kept.pictures[0].caption == "my cat in our kitchen"
    paths = exported(run_cli, "my-cat", "--to", "all", "--out", tmp_path / "out")
    assert not any(b"our kitchen" in path.read_bytes() for path in paths)
    told = read_file(tmp_path / "out" / "comfyui" / "my-cat.safetensors").metadata
    record = Record.model_validate_json(str(told["tireg.record"]))
    assert record.concept is not None
    assert len(record.concept.pictures) == len(kept.pictures)
    assert record.tensor_hash == version.record.tensor_hash
