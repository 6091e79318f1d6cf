"""Open a base from local files, and give a live pipeline new words.

A base here is a diffusers folder with safetensors weights, or a checkpoint in one safetensors
file. Which pipeline class to use comes from the family catalogue, never from code named in the
folder; weights that would need unpickling are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tireg.domain.families import Encoder, Family, families
from tireg.errors import BaseError, ConfigError, TokenError
from tireg.models.folders import (
    check_complete,
    family_of_folder,
    family_stem,
    identify,
    read_config,
    read_index,
)
from tireg.models.opening import load_file, load_folder
from tireg.models.tokens import (
    TokenRows,
    attach_rows,
    detach_rows,
    extend_tokenizer,
    is_ordinary_word,
    original_tokenizer,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "DTYPES", "Base", "TextEncoder", "check_complete", "check_new_word", "dtype_name",
    "family_of_folder", "family_of_pipeline", "identify", "load", "open_base", "pick_device",
    "pick_dtype", "read_config", "read_index", "unload",
]  # fmt: skip

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class TextEncoder:
    """One text encoder of an open base, with the names its pipeline knows it by."""

    key: str
    component: str
    tokenizer_component: str
    model: Any
    tokenizer: Any


@dataclass
class Base:
    """An open base: its pipeline in memory, its family, its text encoders by key."""

    folder: Path
    family: Family
    pipe: Any
    encoders: dict[str, TextEncoder]
    device: torch.device
    dtype: torch.dtype


def pick_device(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``: a device that is really there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.backends.mps.is_available():
            name = "mps"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"'{name}' is no device", hint="--device cpu, cuda or mps") from error
    missing = (device.type == "cuda" and not torch.cuda.is_available()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing or device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"the device '{name}' is not available here", hint="--device cpu")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto`` is bf16 on CUDA devices that have it, fp16 on other GPUs, else fp32."""
    if name == "auto":
        if device.type == "cuda":
            return (
                torch.bfloat16
                if torch.cuda.is_bf16_supported(including_emulation=False)
                else torch.float16
            )
        return torch.float32
    if name not in DTYPES:
        raise ConfigError(f"'{name}' is no dtype", hint=f"--dtype {', '.join(DTYPES)} or auto")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """The short name of a dtype: fp32, bf16 or fp16."""
    return next(name for name, value in DTYPES.items() if value == dtype)


def open_base(
    path: Path, *, device: str = "auto", dtype: str = "auto", config: Path | None = None
) -> Base:
    """Load a base into memory: frozen, in inference mode, on one device.

    ``path`` is a diffusers folder, or a checkpoint in one safetensors file. Such a file holds
    weights alone: ``config`` is a diffusers folder of the same architecture, whose configs and
    tokenizers are used; without it diffusers fetches them from the Hub. Raises BaseError for
    what is missing, incomplete, pickled or of an unknown family.
    """
    on = pick_device(device)
    precision = pick_dtype(dtype, on)
    if path.is_file():
        family, pipe = load_file(path, precision, config)
    elif path.is_dir():
        family = identify(path)
        check_complete(path)
        pipe = load_folder(path, family, precision)
    else:
        raise BaseError(f"the base '{path}' does not exist", hint="tireg bases")
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False).eval()
    pipe.set_progress_bar_config(disable=True)
    try:
        pipe.to(on)
    except torch.OutOfMemoryError as error:
        raise ConfigError(f"'{path}' does not fit on {on}", hint="--dtype bf16") from error
    encoders = {}
    for row in family.encoders:
        model, tokenizer = getattr(pipe, row.component), getattr(pipe, row.tokenizer)
        if model is not None and tokenizer is not None:  # SD3 also comes without its T5
            encoders[row.key] = TextEncoder(row.key, row.component, row.tokenizer, model, tokenizer)
    return Base(path, family, pipe, encoders, on, precision)


def check_new_word(base: Base, token: str) -> None:
    """TokenError if ``token`` is an ordinary word of any of the base's vocabularies."""
    for encoder in base.encoders.values():
        if is_ordinary_word(encoder.tokenizer, token):
            raise TokenError(
                f"'{token}' is an ordinary word of this base, which would lose its meaning",
                hint=f"choose a token like '<{token.strip('<>')}>'",
            )


def load(
    pipe: Any, words: Mapping[str, Mapping[str, np.ndarray]], *, family: Family | None = None
) -> dict[str, TokenRows]:
    """Put learned words into a live diffusers pipeline, beside those already loaded.

    ``words`` maps each token to its rows: encoder key to a [n, width] array. ``family`` is
    found from the pipeline where it is not given. Returns the wrapped embedding module per
    encoder key. Raises BaseError when the pipeline's family is unknown or lacks an encoder, or
    a width differs.
    """
    family = family or family_of_pipeline(pipe)
    wrappers: dict[str, TokenRows] = {}
    # Some pipelines lower their prompts before they encode them.
    lowered = hasattr(pipe, "_text_preprocessing")
    for row in family.encoders:
        encoder = getattr(pipe, row.component, None)
        tokenizer = getattr(pipe, row.tokenizer, None)
        if encoder is None or tokenizer is None:
            continue
        if not hasattr(tokenizer, "add_tokens"):
            raise BaseError(f"the {type(tokenizer).__name__} of this pipeline takes no new words")
        table = encoder.get_input_embeddings().weight
        merged = dict(getattr(encoder, "tireg_loaded", {}))
        for token, tensors in words.items():
            if row.key in tensors:
                rows = torch.from_numpy(tensors[row.key]).to(table.device, torch.float32)
                if rows.shape[1] != table.shape[1]:
                    raise BaseError(
                        f"'{token}' has rows of width {rows.shape[1]} and this base's {row.key} "
                        f"has {table.shape[1]}",
                        hint="use a base of the embedding's own family",
                    )
                merged[token] = rows
        if not merged:
            continue
        original = original_tokenizer(tokenizer)
        counts = {token: len(rows) for token, rows in merged.items()}
        clone = extend_tokenizer(original, counts, lowered=lowered)
        wrappers[row.key] = attach_rows(
            encoder, torch.cat(list(merged.values())), len(original), original.eos_token_id
        )
        encoder.tireg_loaded = merged
        setattr(pipe, row.tokenizer, clone)
    missing = [t for t, tensors in words.items() if not set(tensors) & set(wrappers)]
    if missing:
        raise BaseError(
            f"'{missing[0]}' has no rows for any encoder of a {family.id} base",
            hint="use a base of the embedding's own family",
        )
    return wrappers


def unload(pipe: Any) -> None:
    """Take every learned word out of ``pipe``: weights and tokenizers are the original objects."""
    for row in family_of_pipeline(pipe).encoders:
        encoder = getattr(pipe, row.component, None)
        if encoder is None or getattr(pipe, row.tokenizer, None) is None:
            continue
        detach_rows(encoder)
        if hasattr(encoder, "tireg_loaded"):
            del encoder.tireg_loaded
        setattr(pipe, row.tokenizer, original_tokenizer(getattr(pipe, row.tokenizer)))


def family_of_pipeline(pipe: Any) -> Family:
    """The family whose encoders a live pipeline has: same classes and components, best width.

    Pipelines that build on a family (image-to-image, inpainting, ControlNet, AnimateDiff) have
    its encoders. One whose own family is known by name may lack some: SD3 without its T5.
    """
    name = type(pipe).__name__
    stem = family_stem(name)

    def own(row: Family) -> bool:
        return row.pipeline == f"{stem}Pipeline"

    def present(row: Family) -> list[tuple[Encoder, Any]]:
        parts = [(e, getattr(pipe, e.component, None)) for e in row.encoders]
        return [(e, model) for e, model in parts if model is not None]

    def distance(row: Family) -> tuple[int, int, int, int, int]:
        parts = present(row)
        kinds = sum(type(m).__name__ != e.model_class for e, m in parts)
        widths = sum(m.get_input_embeddings().weight.shape[1] != e.width for e, m in parts)
        acts = sum(getattr(m.config, "hidden_act", None) != e.activation for e, m in parts)
        return (kinds, -len(parts), widths, int(not own(row)), acts)

    rows = [
        row for row in families()
        if len(present(row)) == len(row.encoders) or (own(row) and present(row))
    ]  # fmt: skip
    if not rows:
        raise BaseError(f"{name} has no text encoder tireg knows", hint="tireg bases")
    return min(rows, key=distance)
