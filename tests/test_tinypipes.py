"""The tiny pipelines are real: diffusers opens them, words are tokens, pictures come out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tinypipes import ORDINARY_WORDS, REAL_MERGES, build_sd1, build_sd15_real, clip_vocabulary


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_opens_and_draws(family: str, request: pytest.FixtureRequest) -> None:
    from diffusers import DiffusionPipeline

    folder: Path = request.getfixturevalue(f"tiny_{family}")
    pipeline = DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    assert (
        type(pipeline).__name__
        == json.loads((folder / "model_index.json").read_text())["_class_name"]
    )
    picture = pipeline("a photo of a cat", num_inference_steps=2, height=64, width=64).images[0]
    assert picture.size == (64, 64)
    low, high = picture.convert("L").getextrema()
    assert low < high, "a constant picture means the numbers went wrong"


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_tokenizers_know_words_and_specials(family: str, request: pytest.FixtureRequest) -> None:
    from transformers import CLIPTokenizer

    folder: Path = request.getfixturevalue(f"tiny_{family}")
    for part in folder.glob("tokenizer*"):
        tokenizer = CLIPTokenizer.from_pretrained(part)
        config = json.loads(
            (folder / part.name.replace("tokenizer", "text_encoder") / "config.json").read_text()
        )
        assert len(tokenizer) == config["vocab_size"]
        for name in ("bos", "eos", "pad"):
            assert getattr(tokenizer, f"{name}_token_id") == config[f"{name}_token_id"]
        ids = tokenizer("a photo of a cat", padding="max_length").input_ids
        assert len(ids) == 77
        assert ids[0] == tokenizer.bos_token_id
        assert ids[6] == tokenizer.eos_token_id
        assert set(ids[7:]) == {tokenizer.pad_token_id}
        for word in ORDINARY_WORDS:
            assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1, word
        assert len(tokenizer("<my-cat>", add_special_tokens=False).input_ids) > 1


def test_whole_vocabulary_has_the_real_ids() -> None:
    vocabulary, _ = clip_vocabulary(REAL_MERGES, ())
    known = {
        "!": 0,
        "!</w>": 256,
        "cat</w>": 2368,
        "<|startoftext|>": 49406,
        "<|endoftext|>": 49407,
    }
    assert {token: vocabulary[token] for token in known} == known


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    file = "unet/diffusion_pytorch_model.safetensors"
    once, again, other = (
        (build_sd1(tmp_path / name, seed=seed) / file).read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert once == again
    assert once != other


@pytest.mark.soak
def test_real_architecture_opens(tmp_path: Path) -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    folder = build_sd15_real(tmp_path / "sd15")
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float16)
    assert sum(p.numel() for p in pipeline.unet.parameters()) == 859_520_964
    assert sum(p.numel() for p in pipeline.text_encoder.parameters()) == 123_060_480
    assert sum(p.numel() for p in pipeline.vae.parameters()) == 83_653_863
