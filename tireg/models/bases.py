"""Open a base from a local folder, and give a live pipeline new words.

A base here is a diffusers folder with safetensors weights. Which pipeline class to use comes
from the family catalogue, never from code named in the folder; weights that would need
unpickling are refused.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tireg.domain.families import Encoder, Family, families
from tireg.errors import BaseError, ConfigError, TokenError
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

WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
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
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.float32
    if name not in DTYPES:
        raise ConfigError(f"'{name}' is no dtype", hint=f"--dtype {', '.join(DTYPES)} or auto")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """The short name of a dtype: fp32, bf16 or fp16."""
    return next(name for name, value in DTYPES.items() if value == dtype)


def read_index(folder: Path) -> dict[str, Any]:
    """The folder's model_index.json; BaseError if it is no diffusers folder."""
    index = folder / "model_index.json"
    try:
        data = json.loads(index.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BaseError(
            f"'{folder}' is not a base: it has no model_index.json",
            hint="give a diffusers folder, a Hub id, or a name from `tireg bases`",
        ) from error
    except (OSError, ValueError) as error:
        raise BaseError(f"{index} cannot be read: {_first_line(error)}") from error
    if not isinstance(data, dict) or not isinstance(data.get("_class_name"), str):
        raise BaseError(f"{index} names no pipeline class")
    return data


def read_config(folder: Path, component: str) -> dict[str, Any]:
    """A component's config.json; BaseError if the folder is only half there."""
    path = folder / component / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaseError(
            f"the base '{folder}' is incomplete: {component}/config.json is missing or unreadable",
            hint="download it again",
        ) from error
    if not isinstance(data, dict):
        raise BaseError(f"{path} does not hold an object")
    return data


def identify(folder: Path) -> Family:
    """The family of a diffusers folder, by pipeline class, encoder width and activation.

    A folder whose class fits but whose width is in no row of the catalogue (a shrunken test
    model, say) belongs to the family whose first encoder has the same activation.
    """
    class_name = str(read_index(folder)["_class_name"])
    rows = [f for f in families() if f.pipeline == class_name and f.trainable]
    if not rows:
        known = ", ".join(sorted({f.pipeline for f in families() if f.trainable and f.pipeline}))
        raise BaseError(f"'{folder}' is a {class_name}, which tireg cannot use", hint=known)
    config = read_config(folder, rows[0].encoders[0].component)
    width, activation = config.get("hidden_size"), config.get("hidden_act", "quick_gelu")
    for key in (width, activation):
        for row in rows:
            if key in (row.encoders[0].width, row.encoders[0].activation):
                return row
    return rows[0]


def family_of_folder(folder: Path) -> Family:
    """The family of any diffusers folder, also of those tireg only measures and loads into.

    By pipeline class or its variants (inpainting, image-to-image, …), else by the classes of its
    text encoders; among rows alike, by width. BaseError where none has such encoders.
    """
    index = read_index(folder)
    name = str(index["_class_name"])
    present = {part: entry[1] for part, entry in index.items() if isinstance(entry, list) and entry}

    def has_encoders(row: Family) -> bool:
        return all(present.get(e.component) == e.model_class for e in row.encoders)

    stem = _family_stem(name)
    rows = [row for row in families() if row.pipeline == f"{stem}Pipeline" and has_encoders(row)]
    rows = rows or [row for row in families() if has_encoders(row)]
    if not rows:
        raise BaseError(
            f"'{folder}' is a {name}, whose text encoders tireg does not know",
            hint="tireg bases lists the families",
        )

    def distance(row: Family) -> tuple[int, int, int]:
        configs = [read_config(folder, e.component) for e in row.encoders]
        pairs = list(zip(row.encoders, configs, strict=True))
        widths = sum(c.get("hidden_size", c.get("d_model", e.width)) != e.width for e, c in pairs)
        acts = sum(c.get("hidden_act", e.activation) != e.activation for e, c in pairs)
        return (-len(pairs), widths, acts)

    return min(rows, key=distance)


def check_complete(folder: Path) -> None:
    """BaseError naming the first component whose files are missing or only pickles."""
    for name, entry in read_index(folder).items():
        if name.startswith("_") or not isinstance(entry, list) or not all(entry[:2]):
            continue
        part = folder / name
        if name in ("safety_checker", "feature_extractor", "image_encoder"):
            continue
        if not part.is_dir() or not any(part.iterdir()):
            raise BaseError(
                f"the base '{folder}' is incomplete: {name}/ is missing", hint="download it again"
            )
        weightless = name.startswith(("tokenizer", "scheduler"))
        if weightless or any(True for pattern in WEIGHTS for _ in part.glob(pattern)):
            continue
        if any(part.glob("*.bin")):
            raise BaseError(
                f"the base '{folder}' has {name}/ only as a pickle (.bin), which tireg never opens",
                hint="use a revision with safetensors weights",
            )
        raise BaseError(
            f"the base '{folder}' is incomplete: {name}/ has no weights", hint="download it again"
        )


def open_base(folder: Path, *, device: str = "auto", dtype: str = "auto") -> Base:
    """Load a diffusers folder into memory: frozen, in inference mode, on one device.

    Text encoders are kept in fp32 while training needs them so; see :func:`for_training`.
    Raises BaseError for a folder that is missing, incomplete, pickled or of an unknown family.
    """
    if not folder.is_dir():
        raise BaseError(f"the base '{folder}' does not exist", hint="tireg bases")
    family = identify(folder)
    check_complete(folder)
    on = pick_device(device)
    precision = pick_dtype(dtype, on)
    pipe = _load_pipeline(folder, family, precision)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False).eval()
    pipe.set_progress_bar_config(disable=True)
    try:
        pipe.to(on)
    except torch.OutOfMemoryError as error:
        raise ConfigError(f"'{folder}' does not fit on {on}", hint="--dtype bf16") from error
    encoders = {}
    for row in family.encoders:
        model, tokenizer = getattr(pipe, row.component), getattr(pipe, row.tokenizer)
        encoders[row.key] = TextEncoder(row.key, row.component, row.tokenizer, model, tokenizer)
    return Base(folder, family, pipe, encoders, on, precision)


def _load_pipeline(folder: Path, family: Family, dtype: torch.dtype) -> Any:
    import diffusers
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    kind = getattr(diffusers, str(family.pipeline))
    optional = dict.fromkeys(("safety_checker", "feature_extractor", "image_encoder"))
    extra: dict[str, Any] = {k: v for k, v in optional.items() if k in kind._optional_components}
    if "safety_checker" in extra:
        extra["requires_safety_checker"] = False
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    has_variant = any(folder.glob("unet/*.fp16.safetensors"))
    if has_variant and not (folder / "unet" / "diffusion_pytorch_model.safetensors").is_file():
        extra["variant"] = "fp16"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind.from_pretrained(
                folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, **extra
            )
    except Exception as error:  # third-party loaders raise anything; it becomes one sentence
        raise BaseError(
            f"the base '{folder}' cannot be opened: {_first_line(error)}", hint="download it again"
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


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
    stem = _family_stem(name)

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


def _family_stem(class_name: str) -> str:
    """The family's name in a pipeline class: ``Flux`` of ``FluxImg2ImgPipeline``."""
    stems = {row.pipeline.removesuffix("Pipeline") for row in families()}
    return max((stem for stem in stems if class_name.startswith(stem)), key=len, default="")
