"""One text encoder of a base alone, asked what prompts mean with and without a new word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tireg.domain.families import Encoder, Family
from tireg.errors import BaseError
from tireg.models.bases import load
from tireg.models.fingerprint import load_encoder, load_tokenizer
from tireg.models.single_file import PLACES, encoder_of_file
from tireg.models.tokens import (
    detach_rows,
    is_ordinary_word,
    original_tokenizer,
    table_weight,
    word_ids,
)
from tireg.models.weight_files import tensors_of

FULL_PRECISION_BELOW = 1_500_000_000
"""Encoders of fewer weights than this compute in fp32; larger ones as their files hold them."""


@dataclass
class TextProbe:
    """A text encoder in memory without the rest of its pipeline.

    ``pipe`` stands in for the pipeline: it has this encoder and its tokenizer, nothing else, so a
    word is put in by the same code as into a real one.
    """

    family: Family
    row: Encoder
    pipe: Any

    @property
    def model(self) -> Any:
        """The encoder."""
        return getattr(self.pipe, self.row.component)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer as it is now, with or without the word."""
        return getattr(self.pipe, self.row.tokenizer)

    def put(self, token: str, rows: np.ndarray) -> None:
        """Load a word's rows [n, width]. BaseError where the width is another."""
        load(self.pipe, {token: {self.row.key: rows}}, family=self.family)

    def take_out(self) -> None:
        """Take the word out again."""
        detach_rows(self.model)
        del self.model.tireg_loaded
        setattr(self.pipe, self.row.tokenizer, original_tokenizer(self.tokenizer))

    @torch.inference_mode()
    def states(self, prompt: str) -> list[torch.Tensor]:
        """Everything the encoder says of one prompt: ids, states after every layer, pooled."""
        longest = self.row.max_length or 77
        ids = self.tokenizer(prompt, truncation=True, max_length=longest, return_tensors="pt")
        output = self.model(input_ids=ids["input_ids"], output_hidden_states=True)
        found = [ids["input_ids"], *output.hidden_states]
        pooled = (getattr(output, name, None) for name in ("pooler_output", "text_embeds"))
        return found + [tensor for tensor in pooled if tensor is not None]

    def features(self, prompts: Sequence[str]) -> np.ndarray:
        """Unit-norm features [n, width] float64: the last layer's state at the last token.

        That token has read the whole prompt in encoders of every kind.
        """
        rows = []
        longest = self.row.max_length or 77
        for prompt in prompts:
            ids = self.tokenizer(prompt, truncation=True, max_length=longest, return_tensors="pt")
            with torch.inference_mode():
                output = self.model(input_ids=ids["input_ids"], output_hidden_states=True)
            rows.append(output.hidden_states[-1][0, -1].double().numpy())
        stacked = np.stack(rows)
        unit: np.ndarray = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
        return unit

    def table(self) -> np.ndarray:
        """The token table [rows, width], fp32."""
        weight: np.ndarray = (
            table_weight(self.model.get_input_embeddings()).detach().float().numpy()
        )
        return weight

    def word_rows(self, words: Sequence[str]) -> np.ndarray:
        """The rows [m, width] of those words that are whole in the vocabulary."""
        found = [word_ids(self.tokenizer, word) for word in words]
        return self.table()[sorted({ids[0] for ids in found if len(ids) == 1})]

    def is_word(self, token: str) -> bool:
        """Whether the vocabulary has ``token`` as one whole entry."""
        return is_ordinary_word(self.tokenizer, token)

    def whole_words(self) -> dict[int, str]:
        """The vocabulary's whole words of two letters or more, by row."""
        found = {}
        for entry, number in original_tokenizer(self.tokenizer).get_vocab().items():
            whole = entry.endswith("</w>") or entry.startswith("▁")
            word = entry.removesuffix("</w>").removeprefix("▁")
            if whole and len(word) > 1 and word.isalpha():
                found[int(number)] = word
        return found


def open_probe(folder: Path, family: Family, key: str) -> TextProbe:
    """The encoder ``key`` of a diffusers folder. BaseError where it cannot be read.

    Neither the denoiser nor the VAE is opened.
    """
    row = family.encoder(key)
    if row is None:
        raise KeyError(key)
    return _probe(family, row, load_encoder(folder, row), load_tokenizer(folder, row))


def open_file_probe(path: Path, family: Family, key: str, config: Path | None) -> TextProbe:
    """The encoder ``key`` of a checkpoint in one file. BaseError where it cannot be read.

    Of SD1, SD2 and SDXL it is in the file. The files of other families come without, and it is
    that of ``config``, the diffusers folder whose configs go with the file.
    """
    row = family.encoder(key)
    if row is None:
        raise KeyError(key)
    if family.id in PLACES:
        return _probe(family, row, *encoder_of_file(path, family, key, config))
    own = ("text_encoder", "conditioner.", "cond_stage_model.")
    if any(tensor.name.startswith(own) for tensor in tensors_of(path)):
        raise BaseError(
            f"the text encoders inside '{path.name}' are in a layout that is not read alone",
            hint="--base with the diffusers folder of the model",
        )
    if config is None:
        raise BaseError(
            f"'{path.name}' holds no text encoders; those of a {family.title} file come with its "
            "configs",
            hint="--base-config FOLDER",
        )
    return _probe(family, row, load_encoder(config, row), load_tokenizer(config, row))


def _probe(family: Family, row: Encoder, model: Any, tokenizer: Any) -> TextProbe:
    if sum(p.numel() for p in model.parameters()) < FULL_PRECISION_BELOW:
        model = model.float()
    model.requires_grad_(False)
    parts: Mapping[str, Any] = {row.component: model, row.tokenizer: tokenizer}
    return TextProbe(family, row, SimpleNamespace(**parts))


def differing(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    """Whether any two tensors differ in a single bit."""
    return len(one) != len(other) or any(
        a.shape != b.shape or not torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )
