"""From token ids to what a denoiser takes: one function per way of conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tireg.errors import BaseError, TokenError
from tireg.models.bases import Base


class Conditioning:
    """Prompts of one training run, tokenised once; encoded anew as the rows change.

    ``prompts`` are T texts that hold the token. Calling it with indices [b] and the pictures'
    (height, width) in pixels gives the keyword arguments of the denoiser for those prompts.
    """

    def __init__(self, base: Base, prompts: Sequence[str], token: str) -> None:
        self.base = base
        self.ids: dict[str, torch.Tensor] = {}
        for key, encoder in base.encoders.items():
            tokenizer = getattr(base.pipe, encoder.tokenizer_component)
            encoded = tokenizer(
                list(prompts),
                padding="max_length",
                max_length=tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            )
            self.ids[key] = encoded["input_ids"].to(base.device)
            self._check(tokenizer, encoder.model, prompts, token, self.ids[key])

    def _check(
        self, tokenizer: Any, encoder: Any, prompts: Sequence[str], token: str, ids: torch.Tensor
    ) -> None:
        """TokenError unless every prompt holds all rows of the token, in order."""
        wrapper = encoder.get_input_embeddings()
        rows = torch.arange(len(wrapper.rows), device=ids.device) + wrapper.first
        for prompt, line in zip(prompts, ids, strict=True):
            new = line[line >= wrapper.first]
            if not torch.equal(new, rows):
                raise TokenError(
                    f"the prompt '{prompt}' does not keep the whole of '{token}' "
                    f"within {tokenizer.model_max_length} tokens",
                    hint="use fewer --vectors or shorter templates",
                )

    def __call__(self, index: torch.Tensor, size: tuple[int, int]) -> dict[str, Any]:
        """Keyword arguments for the denoiser: states [b, length, width] and more."""
        kind = self.base.family.pipeline
        if kind == "StableDiffusionPipeline":
            return {"encoder_hidden_states": self._states(index)}
        if kind == "StableDiffusionXLPipeline":
            return self._xl(index, size)
        raise BaseError(f"training for {kind} is not supported", hint="tireg bases")

    def _states(self, index: torch.Tensor) -> torch.Tensor:
        (encoder,) = self.base.encoders.values()
        states: torch.Tensor = encoder.model(self.ids[encoder.key][index])[0]
        return states.to(self.base.dtype)

    def _xl(self, index: torch.Tensor, size: tuple[int, int]) -> dict[str, Any]:
        """SDXL: last but one hidden states of both encoders side by side, pooled of the second."""
        states = []
        pooled = torch.empty(0)
        for key, encoder in self.base.encoders.items():
            out = encoder.model(self.ids[key][index], output_hidden_states=True)
            states.append(out.hidden_states[-2])
            pooled = out[0]
        # The pictures are told to be uncropped and of their own size: what is asked for later.
        height, width = map(float, size)
        times = torch.tensor([[height, width, 0.0, 0.0, height, width]] * len(index))
        added = {
            "text_embeds": pooled.to(self.base.dtype),
            "time_ids": times.to(self.base.device, self.base.dtype),
        }
        return {
            "encoder_hidden_states": torch.cat(states, dim=-1).to(self.base.dtype),
            "added_cond_kwargs": added,
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
