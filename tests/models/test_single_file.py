"""A single-file checkpoint is measured like the folder it is a copy of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests import tinypipes
from tireg.errors import BaseError
from tireg.models.fingerprint import load_tokenizer, measure_encoder, tokenizer_hash
from tireg.models.single_file import clip_tokenizer, measure_file


def text_model(width: int = 64) -> torch.nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    with tinypipes._seeded(0):
        config = CLIPTextConfig(
            vocab_size=49408, hidden_size=width, intermediate_size=4 * width,
            num_hidden_layers=2, num_attention_heads=1, hidden_act="quick_gelu",
        )  # fmt: skip
        model: torch.nn.Module = CLIPTextModel(config).eval()
        return model


def test_sd1_in_one_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = text_model()
    prefix = "cond_stage_model.transformer.text_model."
    weights = {
        prefix + name.removeprefix("text_model."): weight.half()
        for name, weight in model.state_dict().items()
    }
    weights["model.diffusion_model.input_blocks.0.0.weight"] = torch.ones(4, 4)
    weights["first_stage_model.decoder.weight"] = torch.ones(4, 4)
    save_file(weights, tmp_path / "one.safetensors")
    family, found = measure_file(tmp_path / "one.safetensors")
    assert family == "sd1"
    assert found.encoders == (measure_encoder("clip_l", model, clip_tokenizer()),)
    weights["first_stage_model.decoder.weight"] += 1
    save_file(weights, tmp_path / "other-vae.safetensors")
    assert measure_file(tmp_path / "other-vae.safetensors")[1] == found
    weights["model.diffusion_model.input_blocks.0.0.weight"] += 1
    save_file(weights, tmp_path / "other-unet.safetensors")
    other = measure_file(tmp_path / "other-unet.safetensors")[1]
    assert other.encoders == found.encoders
    assert other.denoiser_sha256 != found.denoiser_sha256


def test_the_tokenizer_is_clips_own(tmp_path: Path) -> None:
    from tireg.domain.families import family

    tinypipes.write_tokenizer(tmp_path / "tokenizer", merges=tinypipes.REAL_MERGES, words=())
    real = load_tokenizer(tmp_path, family("sd1").encoders[0])
    assert tokenizer_hash(clip_tokenizer()) == tokenizer_hash(real)
    prompt = "a photo of a cathedral, Ünïcode!"
    assert clip_tokenizer()(prompt).input_ids == real(prompt).input_ids


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "a.ckpt").write_bytes(b"\x80\x02.")
    with pytest.raises(BaseError, match="pickle"):
        measure_file(tmp_path / "a.ckpt")
    save_file({"x": torch.ones(2)}, tmp_path / "b.safetensors")
    with pytest.raises(BaseError, match="not an SD1, SD2 or SDXL"):
        measure_file(tmp_path / "b.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"broken")
    with pytest.raises(BaseError, match="cannot be read"):
        measure_file(tmp_path / "c.safetensors")
