"""Tiny pipelines written as one safetensors file in the layout of Stability's own code.

The names are those that diffusers' converters read, taken backwards.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip


def write_file(pipe: Any, path: Path, *, marks: tuple[str, ...] = ()) -> Path:
    """Write an SD1 or SDXL pipeline as one file; ``marks`` are names of empty tensors besides."""
    import torch
    from safetensors.torch import save_file

    tensors = {
        f"model.diffusion_model.{unet_name(name, pipe.unet)}": weight
        for name, weight in pipe.unet.state_dict().items()
    }
    for name, weight in pipe.vae.state_dict().items():
        old = vae_name(name, len(pipe.vae.config.block_out_channels))
        square = ".attn_1." in old and weight.ndim == 2
        tensors[f"first_stage_model.{old}"] = weight[:, :, None, None] if square else weight
    xl = hasattr(pipe, "text_encoder_2")
    prefix = "conditioner.embedders.0" if xl else "cond_stage_model"
    for name, weight in pipe.text_encoder.state_dict().items():
        tensors[f"{prefix}.transformer.text_model.{name.removeprefix('text_model.')}"] = weight
    if xl:
        tensors |= open_clip(pipe.text_encoder_2, "conditioner.embedders.1.model.")
    tensors |= {mark: torch.zeros(0) for mark in marks}
    save_file({name: weight.contiguous().clone() for name, weight in tensors.items()}, path)
    return path


def unet_name(name: str, unet: Any) -> str:
    """A UNet weight's name in the original code."""
    per_block = unet.config.layers_per_block + 1
    for new, old in UNET_ENDS.items():
        if name.startswith(f"{new}."):
            return old + name.removeprefix(new)
    found = re.match(r"(down|up)_blocks\.(\d+)\.(\w+?)\.(\d+)\.(.*)", name)
    if found:
        way, part, rest = found[1], found[3], found[5]
        block, layer = int(found[2]), int(found[4])
        if part == "downsamplers":
            return f"input_blocks.{(block + 1) * per_block}.0.op{rest.removeprefix('conv')}"
        if part == "upsamplers":
            place = 2 if hasattr(unet.up_blocks[block], "attentions") else 1
            return f"output_blocks.{(block + 1) * per_block - 1}.{place}.{rest}"
        number = block * per_block + layer + (1 if way == "down" else 0)
        stem = f"{'input' if way == 'down' else 'output'}_blocks.{number}"
        return f"{stem}.1.{rest}" if part == "attentions" else f"{stem}.0.{resnet_name(rest)}"
    found = re.match(r"mid_block\.(\w+?)\.(\d+)\.(.*)", name)
    assert found, name
    if found[1] == "attentions":
        return f"middle_block.1.{found[3]}"
    return f"middle_block.{2 * int(found[2])}.{resnet_name(found[3])}"


def resnet_name(rest: str) -> str:
    part, _, kind = rest.partition(".")
    return f"{RESNET[part]}.{kind}"


def vae_name(name: str, blocks: int) -> str:
    """A VAE weight's name in the original code."""
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.conv", r"down.\1.downsample.conv", name)
    up = re.search(r"up_blocks\.(\d+)", name)
    if up:
        name = name.replace(up[0], f"up.{blocks - 1 - int(up[1])}")
        name = re.sub(r"resnets\.(\d+)", r"block.\1", name)
        name = name.replace("upsamplers.0.conv", "upsample.conv")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
        name = re.sub(r"to_([qkv])\.", r"\1.", name).replace("to_out.0", "proj_out")
    return name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def open_clip(model: Any, prefix: str) -> dict[str, torch.Tensor]:
    """A projected CLIP in open_clip's naming: q, k and v in one matrix, the projection turned."""
    import torch

    weights = {n.removeprefix("text_model."): w for n, w in model.state_dict().items()}
    found = {
        "positional_embedding": weights["embeddings.position_embedding.weight"],
        "token_embedding.weight": weights["embeddings.token_embedding.weight"],
        "ln_final.weight": weights["final_layer_norm.weight"],
        "ln_final.bias": weights["final_layer_norm.bias"],
        "text_projection": weights["text_projection.weight"].T,
    }
    for name, weight in weights.items():
        layer = re.match(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$", name)
        if not layer:
            continue
        stem = f"transformer.resblocks.{layer[1]}."
        if layer[2] in OPEN_CLIP:
            found[f"{stem}{OPEN_CLIP[layer[2]]}.{layer[3]}"] = weight
        elif layer[2] == "self_attn.q_proj":
            three = [weights[name.replace("q_proj", f"{p}_proj")] for p in "qkv"]
            found[f"{stem}attn.in_proj_{layer[3]}"] = torch.cat(three)
    return {prefix + name: weight for name, weight in found.items()}
