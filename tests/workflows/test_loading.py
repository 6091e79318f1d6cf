"""``tireg.load`` and ``tireg.unload`` on a live pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import tireg
from tests.conftest import RunCli
from tireg.errors import FileRefusedError, InputError, RefError, TiregError

WIDTH = 32  # of the tiny pipelines' text encoder


def word(path: Path, token: str = "<ball>", seed: int = 0) -> Path:
    """An embedding file for the tiny SD1."""
    rows = np.random.default_rng(seed).standard_normal((2, WIDTH)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"tireg.token": token, "tireg.family": "sd1", "tireg.encoder": "clip_l"}
    save_file({"emb_params": rows}, path, told)
    return path


@pytest.fixture
def trained(run_cli: RunCli, tmp_path: Path) -> str:
    run_cli("import", word(tmp_path / "in" / "ball.safetensors"), "--name", "ball", code=0)
    return "ball"


def test_a_registry_name_loads_and_unloads(trained: str, tiny_sd1: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1)
    plain = {n: p.clone() for n, p in pipe.text_encoder.state_dict().items()}
    tokenizer, size = pipe.tokenizer, len(pipe.tokenizer)

    def states(prompt: str) -> torch.Tensor:
        with torch.no_grad():
            result: torch.Tensor = pipe.encode_prompt(prompt, "cpu", 1, False)[0]
        return result

    ordinary = states("a photo of a cat in a cathedral")
    token = tireg.load(pipe, trained)
    assert token == "<ball>"
    assert not torch.equal(states("a photo of a <ball>"), states("a photo of a cat"))
    assert torch.equal(states("a photo of a cat in a cathedral"), ordinary)
    assert pipe("a <ball>", num_inference_steps=1, height=64, width=64).images[0].size == (64, 64)
    tireg.unload(pipe)
    assert pipe.tokenizer is tokenizer
    assert len(pipe.tokenizer) == size
    after = pipe.text_encoder.state_dict()
    assert plain.keys() == after.keys()
    assert all(torch.equal(plain[n], after[n]) for n in plain)


def test_names_and_files_that_are_not_there(trained: str, tiny_sd1: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1)
    with pytest.raises(RefError):
        tireg.load(pipe, "nobody")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(FileRefusedError, match="broken"):
        tireg.load(pipe, broken)
    with pytest.raises(FileRefusedError, match="missing"):
        tireg.load(pipe, tmp_path / "missing.safetensors")


def test_a_folder_of_the_concepts_library(tiny_sd1: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    folder = tmp_path / "cat-toy"
    (folder / "concept_images").mkdir(parents=True)
    torch.save({"<cat-toy>": torch.randn(WIDTH)}, folder / "learned_embeds.bin")
    (folder / "token_identifier.txt").write_text("<cat-toy>")
    (folder / "type_of_concept.txt").write_text("object")
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1)
    plain = {n: p.clone() for n, p in pipe.text_encoder.state_dict().items()}
    with pytest.raises(TiregError, match=r"clip_l|unknown|encoder"):
        tireg.load(pipe, folder)
    word(folder / "learned_embeds.safetensors", "<cat-toy>")
    (folder / "learned_embeds.bin").unlink()
    assert tireg.load(pipe, folder) == "<cat-toy>"
    assert tireg.load(pipe, str(folder), token="<mine>") == "<mine>"
    tireg.unload(pipe)
    assert all(torch.equal(plain[n], w) for n, w in pipe.text_encoder.state_dict().items())


def test_folders_that_do_not_hold_one_embedding(tiny_sd1: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no embedding"):
        tireg.load(pipe, tmp_path / "none")
    word(tmp_path / "two" / "a.safetensors", "<a>", 1)
    word(tmp_path / "two" / "b.safetensors", "<b>", 2)
    with pytest.raises(InputError, match="holds 2 embeddings"):
        tireg.load(pipe, tmp_path / "two")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "learned_embeds.bin").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\n"
    )
    with pytest.raises(
        FileRefusedError, match=r"learned_embeds\.bin' was refused: it is a Git LFS"
    ):
        tireg.load(pipe, tmp_path / "bad")
