"""Single-file SD2 and SDXL checkpoints: text encoders in open_clip's naming."""

from __future__ import annotations

from pathlib import Path

import torch

from tests import tinypipes
from tireg.models.fingerprint import measure_encoder
from tireg.models.single_file import clip_tokenizer, measure_file

WIDTH = 64


def text_model(activation: str, seed: int) -> torch.nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    with tinypipes._seeded(seed):
        config = CLIPTextConfig(
            vocab_size=49408, hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=WIDTH,
            num_hidden_layers=2, num_attention_heads=1, hidden_act=activation,
        )  # fmt: skip
        # The numbers of the file are fp16, so the model to compare with has them, too.
        model: torch.nn.Module = CLIPTextModel(config).eval().half().float()
        return model


def bare(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Its weights by transformers' names, without the outer prefix, as fp16."""
    state = model.state_dict()
    return {name.removeprefix("text_model."): weight.half() for name, weight in state.items()}


def open_clip_names(model: torch.nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """The same weights as open_clip calls them: query, key and value in one matrix."""
    weights = bare(model)
    named = {
        "token_embedding.weight": weights["embeddings.token_embedding.weight"],
        "positional_embedding": weights["embeddings.position_embedding.weight"],
        "ln_final.weight": weights["final_layer_norm.weight"],
        "ln_final.bias": weights["final_layer_norm.bias"],
        "text_projection": torch.eye(WIDTH).half(),
    }
    parts = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc",
             "mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj"}  # fmt: skip
    for layer in range(2):
        here, there = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            for ours, theirs in parts.items():
                named[f"{there}{theirs}.{kind}"] = weights[f"{here}{ours}.{kind}"]
            three = [weights[f"{here}self_attn.{x}_proj.{kind}"] for x in "qkv"]
            named[f"{there}attn.in_proj_{kind}"] = torch.cat(three)
    return {prefix + name: weight.contiguous() for name, weight in named.items()}


def test_sd2_in_one_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = text_model("gelu", 1)
    weights = open_clip_names(model, "cond_stage_model.model.")
    weights["model.diffusion_model.input_blocks.0.0.weight"] = torch.ones(4, 4)
    save_file(weights, tmp_path / "two.safetensors")
    family, found = measure_file(tmp_path / "two.safetensors")
    assert family == "sd2"
    assert found.encoders == (measure_encoder("clip_h", model, clip_tokenizer()),)
    assert found.denoiser_sha256 is not None


def test_sdxl_in_one_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    small, big = text_model("quick_gelu", 2), text_model("gelu", 3)
    weights = open_clip_names(big, "conditioner.embedders.1.model.")
    prefix = "conditioner.embedders.0.transformer.text_model."
    weights |= {prefix + name: weight for name, weight in bare(small).items()}
    weights["model.diffusion_model.input_blocks.0.0.weight"] = torch.ones(4, 4)
    save_file(weights, tmp_path / "xl.safetensors")
    family, found = measure_file(tmp_path / "xl.safetensors")
    assert family == "sdxl"
    by_key = {encoder.key: encoder for encoder in found.encoders}
    assert list(by_key) == ["clip_l", "clip_g"]
    for key, model in (("clip_l", small), ("clip_g", big)):
        wanted = measure_encoder(key, model, clip_tokenizer())
        assert by_key[key].table_sha256 == wanted.table_sha256
        assert by_key[key].layers_sha256 == wanted.layers_sha256
        assert by_key[key] == wanted
