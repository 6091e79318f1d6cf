"""What the transformers of SD3, FLUX and their kin take, as their diffusers pipelines give it.

Each function gets indices [b] of the run's prompts and the pictures' (height, width) in pixels
and returns keyword arguments. What depends on the noisy picture alone (packing, positions of its
patches, the time) is given by :mod:`tireg.training.flow`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from tireg.models.bases import Base
from tireg.models.readings import Readings, default_of

# FLUX.1 dev was distilled with the strength of guidance as an input. At 1 it stands for the model
# without guidance, which is what learns from pictures (diffusers' train_dreambooth_flux.py).
GUIDANCE = 1.0


def sd3(
    base: Base, readings: Readings, index: torch.Tensor, size: tuple[int, int]
) -> dict[str, Any]:
    """SD3: both CLIPs side by side, padded to T5's width, then T5's states behind them.

    Without a T5 its place is taken by zeros, as the pipeline does.
    """
    states, pooled = [], []
    for key in ("clip_l", "clip_g"):
        out = base.encoders[key].model(readings[key].ids[index], output_hidden_states=True)
        states.append(out.hidden_states[-2])
        pooled.append(out[0])
    clips = torch.cat(states, dim=-1)
    if "t5xxl" in base.encoders:
        t5 = base.encoders["t5xxl"].model(readings["t5xxl"].ids[index])[0]
    else:
        length = int(default_of(base.pipe, "max_sequence_length", 256))
        width = int(base.pipe.transformer.config.joint_attention_dim)
        t5 = torch.zeros(len(index), length, width, device=clips.device, dtype=clips.dtype)
    clips = functional.pad(clips, (0, t5.shape[-1] - clips.shape[-1]))
    return {
        "encoder_hidden_states": torch.cat([clips, t5], dim=-2).to(base.dtype),
        "pooled_projections": torch.cat(pooled, dim=-1).to(base.dtype),
    }


def flux(
    base: Base, readings: Readings, index: torch.Tensor, size: tuple[int, int]
) -> dict[str, Any]:
    """FLUX.1: T5's states, and CLIP's pooled state, the only use it has for CLIP."""
    clip = base.encoders["clip_l"].model(readings["clip_l"].ids[index])
    states = base.encoders["t5xxl"].model(readings["t5xxl"].ids[index])[0]
    guided = base.pipe.transformer.config.guidance_embeds
    return {
        "encoder_hidden_states": states.to(base.dtype),
        "pooled_projections": clip.pooler_output.to(base.dtype),
        "txt_ids": torch.zeros(states.shape[1], 3, device=base.device, dtype=base.dtype),
        "guidance": torch.full((len(index),), GUIDANCE, device=base.device) if guided else None,
    }


def chroma(
    base: Base, readings: Readings, index: torch.Tensor, size: tuple[int, int]
) -> dict[str, Any]:
    """Chroma: T5's states; of the padding only the first token may be looked at."""
    reading = readings["t5xxl"]
    mask = reading.mask[index]
    states = base.encoders["t5xxl"].model(reading.ids[index], attention_mask=mask)[0]
    places = torch.arange(mask.shape[1], device=mask.device)[None]
    seen = (places <= mask.sum(dim=1, keepdim=True)).to(base.dtype)
    height, width = (side // (2 * base.pipe.vae_scale_factor) for side in size)
    patches = torch.ones(len(index), height * width, device=seen.device, dtype=seen.dtype)
    return {
        "encoder_hidden_states": states.to(base.dtype),
        "txt_ids": torch.zeros(states.shape[1], 3, device=base.device, dtype=base.dtype),
        "attention_mask": torch.cat([seen, patches], dim=1),
    }


def pixart(
    base: Base, readings: Readings, index: torch.Tensor, size: tuple[int, int]
) -> dict[str, Any]:
    """PixArt Sigma: T5's states and which of them are no padding."""
    return _masked(base, readings, index) | {
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None}
    }


def auraflow(
    base: Base, readings: Readings, index: torch.Tensor, size: tuple[int, int]
) -> dict[str, Any]:
    """AuraFlow: the encoder's states, those of padding set to zero."""
    found = _masked(base, readings, index)
    mask = found.pop("encoder_attention_mask")
    return {"encoder_hidden_states": found["encoder_hidden_states"] * mask[..., None]}


def lumina2(
    base: Base, readings: Readings, index: torch.Tensor, size: tuple[int, int]
) -> dict[str, Any]:
    """Lumina 2: Gemma's last but one states and which of them are no padding."""
    return _masked(base, readings, index, layer=-2)


def sana(
    base: Base, readings: Readings, index: torch.Tensor, size: tuple[int, int]
) -> dict[str, Any]:
    """Sana: Gemma's states of the first token and of the prompt, without the instruction."""
    found = _masked(base, readings, index)
    length = int(default_of(base.pipe, "max_sequence_length", 300))
    chosen = [0, *range(-length + 1, 0)]
    return {name: value[:, chosen] for name, value in found.items()}


def _masked(
    base: Base, readings: Readings, index: torch.Tensor, *, layer: int | None = None
) -> dict[str, torch.Tensor]:
    """States of the one encoder, last or of ``layer``, and the mask that it read with."""
    (encoder,) = base.encoders.values()
    reading = readings[encoder.key]
    mask = reading.mask[index]
    out = encoder.model(
        reading.ids[index], attention_mask=mask, output_hidden_states=layer is not None
    )
    states = out[0] if layer is None else out.hidden_states[layer]
    return {"encoder_hidden_states": states.to(base.dtype), "encoder_attention_mask": mask}
