"""From token ids to what a denoiser takes: one function per way of conditioning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from tireg.errors import BaseError
from tireg.models import conditioning_flow as flow
from tireg.models.bases import Base
from tireg.models.readings import Readings, read_prompts

Way = Callable[[Base, Readings, torch.Tensor, tuple[int, int]], dict[str, Any]]


class Conditioning:
    """Prompts of one training run, tokenised once; encoded anew as the rows change.

    ``prompts`` are T texts that hold the token. Calling it with indices [b] and the pictures'
    (height, width) in pixels gives the keyword arguments of the denoiser for those prompts,
    the same numbers as the pipeline's own ``encode_prompt``, and differentiable in the rows.
    """

    def __init__(self, base: Base, prompts: Sequence[str], token: str) -> None:
        if base.family.pipeline not in WAYS:
            raise BaseError(
                f"training for {base.family.title} is not supported", hint="tireg bases --families"
            )
        self.base = base
        self.way = WAYS[base.family.pipeline]
        self.readings = read_prompts(base, prompts, token)

    def __call__(self, index: torch.Tensor, size: tuple[int, int]) -> dict[str, Any]:
        """Keyword arguments for the denoiser: states [b, length, width] and more."""
        return self.way(self.base, self.readings, index, size)


def one_encoder(
    base: Base, readings: Readings, index: torch.Tensor, size: tuple[int, int]
) -> dict[str, Any]:
    """SD1 and SD2: the last states of the one encoder."""
    (encoder,) = base.encoders.values()
    states: torch.Tensor = encoder.model(readings[encoder.key].ids[index])[0]
    return {"encoder_hidden_states": states.to(base.dtype)}


def two_encoders(
    base: Base, readings: Readings, index: torch.Tensor, size: tuple[int, int]
) -> dict[str, Any]:
    """SDXL: last but one hidden states of both encoders side by side, pooled of the second."""
    states = []
    pooled = torch.empty(0)
    for key, encoder in base.encoders.items():
        out = encoder.model(readings[key].ids[index], output_hidden_states=True)
        states.append(out.hidden_states[-2])
        pooled = out[0]
    # The pictures are told to be uncropped and of their own size: what is asked for later.
    height, width = map(float, size)
    times = torch.tensor([[height, width, 0.0, 0.0, height, width]] * len(index))
    added = {
        "text_embeds": pooled.to(base.dtype),
        "time_ids": times.to(base.device, base.dtype),
    }
    return {
        "encoder_hidden_states": torch.cat(states, dim=-1).to(base.dtype),
        "added_cond_kwargs": added,
    }


WAYS: dict[str, Way] = {
    "StableDiffusionPipeline": one_encoder,
    "StableDiffusionXLPipeline": two_encoders,
    "StableDiffusion3Pipeline": flow.sd3,
    "FluxPipeline": flow.flux,
    "ChromaPipeline": flow.chroma,
    "PixArtSigmaPipeline": flow.pixart,
    "AuraFlowPipeline": flow.auraflow,
    "Lumina2Pipeline": flow.lumina2,
    "SanaPipeline": flow.sana,
}


@torch.inference_mode()
def pooled_text(base: Base, prompts: Sequence[str]) -> np.ndarray:
    """Unit-norm features [n, width] of prompts as the base's first text encoder sees them.

    The last state at the end token, which has read the whole prompt.
    """
    encoder = next(iter(base.encoders.values()))
    tokenizer = getattr(base.pipe, encoder.tokenizer_component)
    encoded = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    ids = encoded["input_ids"].to(base.device)
    states = encoder.model(ids, output_hidden_states=True).hidden_states[-1].float()
    ends = (ids == tokenizer.eos_token_id).int().argmax(dim=-1)
    features = states[torch.arange(len(ids), device=ids.device), ends]
    unit: np.ndarray = torch.nn.functional.normalize(features, dim=-1).cpu().double().numpy()
    return unit
