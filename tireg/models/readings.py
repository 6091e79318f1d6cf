"""Prompts of a training run as each text encoder reads them: tokenised once, checked, kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tireg.errors import TokenError
from tireg.models.bases import Base, TextEncoder


@dataclass(frozen=True)
class Reading:
    """T prompts for one encoder: token ids [T, length], mask [T, length] with 0 for padding."""

    ids: torch.Tensor
    mask: torch.Tensor


Readings = dict[str, Reading]


def read_prompts(base: Base, prompts: Sequence[str], token: str) -> Readings:
    """What each encoder of ``base`` gets for ``prompts``, by encoder key.

    Texts are prepared and padded as the family's diffusers pipeline does by default, so that a
    word is learned in the prompts that it is drawn with. Raises TokenError for a prompt that
    does not keep all rows of ``token``.
    """
    readings = {}
    for key, encoder in base.encoders.items():
        tokenizer = getattr(base.pipe, encoder.tokenizer_component)
        length = prompt_length(base.pipe, encoder)
        encoded = tokenizer(
            prepared(base.pipe, prompts),
            padding="max_length",
            max_length=length,
            truncation=True,
            return_tensors="pt",
        )
        readings[key] = Reading(
            encoded["input_ids"].to(base.device), encoded["attention_mask"].to(base.device)
        )
        check_rows(encoder, prompts, token, readings[key].ids)
        check_pooling(encoder, readings[key].ids)
    return readings


def check_pooling(encoder: TextEncoder, ids: torch.Tensor) -> None:
    """TokenError if a CLIP would pool at one of the new rows instead of the end token.

    It pools where the ids [T, length] are highest if its config says 2, as the first published
    ones do, and a new row has a higher id than the end token; else at the end token it names.
    """
    end = encoder.tokenizer.eos_token_id
    first = encoder.model.get_input_embeddings().first
    for module in encoder.model.modules():
        named = getattr(module, "eos_token_id", None)
        if named is None or end is None:
            continue
        at = ids.argmax(dim=-1) if named == 2 else (ids == named).int().argmax(dim=-1)
        if bool((ids.gather(1, at[:, None]) >= first).any()):
            raise TokenError(
                f"the encoder {encoder.key} would take a new row for the end of the prompt",
                hint="the base's tokenizer and text encoder do not fit together",
            )


def prompt_length(pipe: Any, encoder: TextEncoder) -> int:
    """Tokens in one prompt: all that a CLIP has, else what the pipeline asks for by default."""
    tokenizer = getattr(pipe, encoder.tokenizer_component)
    if type(encoder.model).__name__.startswith("CLIP"):
        return int(tokenizer.model_max_length)
    asked = int(default_of(pipe, "max_sequence_length", 0) or tokenizer.model_max_length)
    instruction = sana_instruction(pipe)
    # Sana counts the instruction before the prompt apart, and two special tokens only once.
    return asked + len(tokenizer.encode(instruction)) - 2 if instruction else asked


def prepared(pipe: Any, prompts: Sequence[str]) -> list[str]:
    """Prompts as the pipeline rewrites them before it tokenises: PixArt, Sana and Lumina 2 do."""
    found = list(prompts)
    if hasattr(pipe, "_text_preprocessing"):
        found = list(pipe._text_preprocessing(found, clean_caption=False))
    before = sana_instruction(pipe)
    if type(pipe).__name__ == "Lumina2Pipeline":
        before = f"{pipe.system_prompt} <Prompt Start> "
    return [before + prompt for prompt in found]


def sana_instruction(pipe: Any) -> str:
    """What Sana says to its language model before every prompt; empty for other pipelines."""
    return "\n".join(default_of(pipe, "complex_human_instruction", None) or [])


def default_of(pipe: Any, name: str, otherwise: Any) -> Any:
    """The default of an argument of the pipeline's call, ``otherwise`` where it has none such."""
    call: Callable[..., Any] = type(pipe).__call__
    found = inspect.signature(call).parameters.get(name)
    return otherwise if found is None or found.default is found.empty else found.default


def check_rows(encoder: TextEncoder, prompts: Sequence[str], token: str, ids: torch.Tensor) -> None:
    """TokenError unless every line of ``ids`` [T, length] holds all rows of the token, in order."""
    wrapper = encoder.model.get_input_embeddings()
    rows = torch.arange(len(wrapper.rows), device=ids.device) + wrapper.first
    for prompt, line in zip(prompts, ids, strict=True):
        new = line[line >= wrapper.first]
        if not torch.equal(new, rows):
            raise TokenError(
                f"the prompt '{prompt}' does not keep the whole of '{token}' "
                f"within {ids.shape[1]} tokens",
                hint="use fewer --vectors or shorter templates",
            )
