"""``tireg.load`` and ``tireg.unload`` on a live pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tireg
from tests.conftest import RunCli
from tireg.errors import FileRefusedError, RefError


@pytest.fixture
def trained(run_cli: RunCli, tiny_sd1: Path, pictures: Path) -> str:
    run_cli(
        "train", pictures, "--base", tiny_sd1, "--name", "ball", "--token", "<ball>",
        "--init", "cat", "--kind", "object", "--steps", "2", "--batch", "2",
        "--resolution", "64", code=0,
    )  # fmt: skip
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
