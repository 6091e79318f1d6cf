"""A base by its Hub id: from the local cache when offline, at one commit."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import RunProcess
from tireg.errors import BaseError
from tireg.hub.fetch import is_repo_id, needed_files
from tireg.workflows.places import find_base

REPO = "stable-diffusion-v1-5/stable-diffusion-v1-5"
COMMIT = "f" * 40


@pytest.fixture
def cached(tiny_sd1: Path, tmp_path: Path) -> Path:
    """A Hub cache that holds a tiny pipeline under the real repository's name."""
    cache = tmp_path / "hf-home"
    repo = cache / "hub" / f"models--{REPO.replace('/', '--')}"
    shutil.copytree(tiny_sd1, repo / "snapshots" / COMMIT)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    return cache


def test_the_readme_example_trains_on_a_hub_id(
    cached: Path, pictures: Path, run_process: RunProcess
) -> None:
    run_process(
        "train", pictures, "--base", REPO, "--name", "my-cat", "--token", "<my-cat>",
        "--init", "cat", "--kind", "subject", "--steps", "2", "--resolution", "64",
        "--keep-anyway", code=0, HF_HOME=str(cached),
    )  # fmt: skip
    shown = json.loads(run_process("show", "my-cat", "--json", code=0).stdout)
    assert shown["base"] == REPO
    assert shown["base_details"]["revision"] == COMMIT
    assert shown["base_details"]["family"] == "sd1"


def test_a_hub_id_that_is_not_here_says_so_at_once(
    pictures: Path, run_process: RunProcess, home: Path
) -> None:
    done = run_process(
        "train", pictures, "--base", "someone/something", "--name", "x", "--token", "<x>",
        "--init", "cat", "--kind", "object", code=2,
    )  # fmt: skip
    assert "someone/something" in done.stderr
    assert "next: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (home / "records").exists() or not any((home / "records").iterdir())


def test_only_what_is_needed_is_fetched() -> None:
    repository = [
        "README.md",
        "model_index.json",
        "v1-5-pruned.safetensors",
        "v1-5-pruned.ckpt",
        "safety_checker/model.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
    ]
    wanted = needed_files(repository)
    assert "unet/diffusion_pytorch_model.safetensors" in wanted
    assert "vae/diffusion_pytorch_model.fp16.safetensors" in wanted
    assert "tokenizer/merges.txt" in wanted
    for left in ("v1-5-pruned", "safety_checker", "non_ema", ".bin", "README"):
        assert not [name for name in wanted if left in name]
    assert "unet/diffusion_pytorch_model.fp16.safetensors" not in wanted


def test_names_that_are_no_base_are_refused(tmp_path: Path) -> None:
    assert is_repo_id("a/b")
    assert not is_repo_id("../b")
    with pytest.raises(BaseError, match="there is no base 'shape'") as error:
        find_base("shape")
    assert "shapes" in error.value.hint
    file = tmp_path / "model.ckpt"
    file.write_bytes(b"x")
    with pytest.raises(BaseError, match="pickle"):
        find_base(str(file))
    with pytest.raises(BaseError, match="not on this machine"):
        find_base("nobody/nothing")


def test_a_folder_is_called_by_its_name(tiny_sd1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_sd1.parent)
    place = find_base(tiny_sd1.name)
    assert place.id == tiny_sd1.name
    assert place.folder == Path(os.path.realpath(tiny_sd1))
