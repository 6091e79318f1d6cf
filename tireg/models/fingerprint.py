"""Measure which base a base is: per text encoder, from the files of its folder.

Text encoders are read from their files, never from an open pipeline: what was opened in bf16
or given new rows is measured as it lies on disk. The UNet or transformer is sampled out of its
files without being loaded, and the VAE is not read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tireg.domain import sketches
from tireg.domain.families import Encoder, Family
from tireg.domain.fingerprints import EncoderFingerprint, Fingerprint
from tireg.domain.model import canonical_json
from tireg.errors import BaseError
from tireg.models.bases import Base
from tireg.models.tokens import original_tokenizer, table_weight
from tireg.models.weight_files import digest_of, sampled_digest, stored_dtype, weight_files

# The parts of a text encoder's config that change what it computes.
ARCHITECTURE = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_heads",
    "num_layers",
    "d_model",
    "d_ff",
    "d_kv",
    "hidden_act",
    "hidden_activation",
    "dense_act_fn",
    "feed_forward_proj",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "rms_norm_eps",
    "rope_theta",
    "sliding_window",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
    "max_position_embeddings",
)

# What a text encoder does is read off these; changing one changes every fingerprint.
PROMPTS = (
    "a photo of a cat",
    "a dog running on a beach",
    "two people talking in a street",
    "an old man with a grey beard",
    "a red car in the snow",
    "a bowl of fruit on a wooden table",
    "a castle on a hill at night",
    "a portrait of a young woman",
    "an oil painting of a harbour",
    "a pencil sketch of a horse",
    "a small blue circle left of a large green square",
    "three yellow stars on a black background",
    "a watercolour of mountains",
    "a forest in autumn",
    "the inside of a modern kitchen",
    "a close picture of an eye",
    "an astronaut riding a bicycle",
    "a city seen from above",
    "a white teapot",
    "a wooden toy train",
    "a plate of noodles with chopsticks",
    "a stained glass window",
    "a knitted scarf with stripes",
    "a bird on a branch",
    "a robot reading a book",
    "a field of flowers under a cloudy sky",
    "a black and white photograph of a bridge",
    "a cartoon of a smiling sun",
    "a low polygon model of a fox",
    "a crowded market",
    "blurry, low quality, bad anatomy",
    "the word hello written on a wall",
)


def measure(base: Base) -> Fingerprint:
    """The fingerprint of an open base, measured on the files it was opened from."""
    tokenizers = {key: encoder.tokenizer for key, encoder in base.encoders.items()}
    return measure_folder(base.folder, base.family, tokenizers)


def measure_folder(
    folder: Path, family: Family, tokenizers: Mapping[str, Any] | None = None
) -> Fingerprint:
    """The fingerprint of a diffusers folder: every text encoder, and a sample of the denoiser.

    Weights are rounded to fp16 before anything else, so that fp32 and fp16 files of one model
    agree. ``tokenizers`` by encoder key spares loading those. Takes the memory of one text
    encoder at a time. Raises BaseError where an encoder cannot be read.
    """
    encoders: list[EncoderFingerprint] = []
    for row in family.encoders:
        if not (folder / row.component).is_dir() and encoders:
            continue  # SD3 without its T5
        tokenizer = (tokenizers or {}).get(row.key)
        if tokenizer is None:
            tokenizer = load_tokenizer(folder, row)
        encoders.append(measure_encoder(row.key, load_encoder(folder, row), tokenizer))
    files = weight_files(folder / family.denoiser)
    return Fingerprint(
        encoders=tuple(encoders), denoiser_sha256=sampled_digest(files) if files else None
    )


def load_encoder(folder: Path, row: Encoder) -> Any:
    """One text encoder of a folder, in the numbers its files hold. Raises BaseError."""
    import transformers
    from transformers.utils import logging

    kind = getattr(transformers, row.model_class, None)
    if kind is None:
        raise BaseError(f"tireg cannot open a {row.model_class}, so '{folder}' is not measured")
    files = weight_files(folder / row.component)
    if not files:
        raise BaseError(
            f"the base '{folder}' has no safetensors weights in {row.component}/",
            hint="use a revision with safetensors weights",
        )
    variant = "fp16" if ".fp16" in files[0].name else None
    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        return kind.from_pretrained(
            folder / row.component,
            dtype=getattr(torch, stored_dtype(files)),
            use_safetensors=True,
            local_files_only=True,
            variant=variant,
        ).eval()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise _unreadable(folder, row.component, error) from error
    finally:
        logging.set_verbosity(verbosity)


def load_tokenizer(folder: Path, row: Encoder) -> Any:
    """The tokenizer of one text encoder of a folder. Raises BaseError."""
    import transformers

    kind = getattr(transformers, row.tokenizer_class, transformers.AutoTokenizer)
    try:
        return kind.from_pretrained(folder / row.tokenizer, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _unreadable(folder, row.tokenizer, error) from error


def _unreadable(folder: Path, part: str, error: Exception) -> BaseError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return BaseError(f"{part}/ of the base '{folder}' cannot be read: {reason}")


def measure_encoder(key: str, model: Any, tokenizer: Any) -> EncoderFingerprint:
    """What one text encoder is; ``model`` is as loaded, on the CPU, with no rows added.

    A projection behind the encoder is left out: families that share an encoder differ in it.
    """
    module = model.get_input_embeddings()
    table = table_weight(module).detach()
    own = {id(p) for p in module.parameters()}
    layers = sorted(
        digest_of(half_bytes(weight), weight.numel())
        for name, weight in model.named_parameters()
        if id(weight) not in own and not _behind(name)
    )
    settings = model.config.get_text_config().to_dict()
    architecture = {name: settings[name] for name in ARCHITECTURE if name in settings}
    return EncoderFingerprint(
        key=key,
        width=table.shape[1],
        rows=table.shape[0],
        table_sha256=hashlib.sha256(half_bytes(table)).hexdigest(),
        layers_sha256=hashlib.sha256(b"".join(layers)).hexdigest(),
        config_sha256=hashlib.sha256(canonical_json(architecture)).hexdigest(),
        tokenizer_sha256=tokenizer_hash(tokenizer),
        sketch=sketches.pack(table_sketch(table)),
        behaviour=sketches.pack(behaviour_sketch(model, tokenizer)),
    )


def _behind(name: str) -> bool:
    return name.split(".")[0] in ("text_projection", "lm_head", "logit_scale")


def half_bytes(tensor: torch.Tensor) -> bytes:
    """A tensor's numbers in order, rounded to fp16."""
    return tensor.detach().to("cpu", torch.float16).contiguous().numpy().tobytes()


def table_sketch(table: torch.Tensor) -> Any:
    """512 seeded rows of a token table [rows, width] x 16 projections: [512, 16] fp16."""
    chosen = table.detach()[torch.from_numpy(sketches.anchors(len(table)))]
    return sketches.project(chosen.to("cpu", torch.float16).numpy())


def tokenizer_hash(tokenizer: Any) -> str:
    """sha256 of what a tokenizer makes of text: its entries and numbers, and its merges."""
    original = original_tokenizer(tokenizer)
    kept: dict[str, Any] = {"entries": original.get_vocab()}
    backend = getattr(original, "backend_tokenizer", None)
    if backend is not None:
        model = json.loads(backend.to_str()).get("model", {})
        merges = model.get("merges") or []
        kept["merges"] = [m if isinstance(m, str) else " ".join(m) for m in merges]
        if isinstance(model.get("vocab"), list):
            kept["scores"] = [score for _, score in model["vocab"]]
    return hashlib.sha256(canonical_json(kept)).hexdigest()


def behaviour_sketch(model: Any, tokenizer: Any) -> Any:
    """The states of :func:`behaviour_states`, projected: [32, 16] fp16."""
    return sketches.project(behaviour_states(model, tokenizer).numpy())


@torch.inference_mode()
def behaviour_states(model: Any, tokenizer: Any) -> torch.Tensor:
    """The last state of each of the 32 prompts, after all layers: [32, width] fp32.

    Computed in fp32 from weights rounded to fp16. The state is that of the prompt's last token,
    which has read the whole prompt in encoders of every kind.
    """
    lists = [original_tokenizer(tokenizer)(prompt)["input_ids"] for prompt in PROMPTS]
    longest = max(len(ids) for ids in lists)
    ids = torch.tensor([line + [0] * (longest - len(line)) for line in lists])
    mask = torch.tensor([[1] * len(line) + [0] * (longest - len(line)) for line in lists])
    with _in_fp32(model):
        output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    states = getattr(output, "last_hidden_state", None)
    if states is None:
        states = output.hidden_states[-1]
    ends = torch.tensor([len(line) - 1 for line in lists])
    last: torch.Tensor = states[torch.arange(len(lists)), ends].float()
    return last


@contextmanager
def _in_fp32(model: Any) -> Iterator[None]:
    """Let ``model`` compute in fp32, one block of it at a time, whatever its numbers are kept in.

    A text encoder of 5 billion weights so needs the memory of its file, not twice that.
    """
    weight = table_weight(model.get_input_embeddings())
    # T5 holds its table twice over; both modules read the same weight.
    tables = [m for m in model.modules() if getattr(m, "weight", None) is weight]
    blocks = list(_outermost_blocks(model))
    inside = {id(p) for block in [*tables, *blocks] for p in block.parameters()}
    outside = [p for p in model.parameters() if id(p) not in inside]
    kept = [(p, p.data) for p in outside]
    handles = [table.register_forward_hook(_rounded_rows) for table in tables]
    for block in blocks:
        waiting: list[tuple[nn.Parameter, torch.Tensor]] = []
        handles.append(block.register_forward_pre_hook(_widener(waiting)))
        handles.append(block.register_forward_hook(_restorer(waiting)))
    for parameter in outside:
        parameter.data = parameter.data.half().float()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for parameter, data in kept:
            parameter.data = data


def _rounded_rows(table: Any, args: tuple[torch.Tensor], _out: torch.Tensor) -> torch.Tensor:
    """What the table gives, rounded to fp16 before Gemma's tables scale it."""
    rows = nn.functional.embedding(args[0], table.weight).half().float()
    return rows * torch.as_tensor(getattr(table, "embed_scale", 1.0)).float()


def _widener(waiting: list[tuple[nn.Parameter, torch.Tensor]]) -> Any:
    def widen(block: nn.Module, _args: Any) -> None:
        for parameter in block.parameters():
            waiting.append((parameter, parameter.data))
            parameter.data = parameter.data.half().float()

    return widen


def _restorer(waiting: list[tuple[nn.Parameter, torch.Tensor]]) -> Any:
    def restore(_block: nn.Module, _args: Any, _out: Any) -> None:
        while waiting:
            parameter, data = waiting.pop()
            parameter.data = data

    return restore


def _outermost_blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The members of the module's lists of blocks, without lists inside those."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _outermost_blocks(child)


def file_sha256(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
