"""Measure which base a base is: per text encoder, from the weights themselves."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tireg.domain.fingerprints import EncoderFingerprint, Fingerprint
from tireg.domain.model import canonical_json
from tireg.models.bases import Base, TextEncoder
from tireg.models.tokens import TokenRows, original_tokenizer, table_weight

ANCHORS = 512
PROJECTIONS = 16
SAMPLES_PER_TENSOR = 64

# The parts of a text encoder's config that change what it computes.
ARCHITECTURE = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_heads",
    "num_layers",
    "d_model",
    "d_ff",
    "d_kv",
    "hidden_act",
    "dense_act_fn",
    "feed_forward_proj",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "max_position_embeddings",
    "projection_dim",
    "vocab_size",
)


def measure(base: Base) -> Fingerprint:
    """The fingerprint of an open base: every text encoder, and a sample of the denoiser.

    Weights are rounded to fp16 before hashing, so that fp32 and fp16 files of one model agree.
    """
    encoders = tuple(_measure_encoder(encoder) for encoder in base.encoders.values())
    denoiser = getattr(base.pipe, base.family.denoiser)
    return Fingerprint(encoders=encoders, denoiser_sha256=_sampled_hash(denoiser))


def _measure_encoder(encoder: TextEncoder) -> EncoderFingerprint:
    table_module = encoder.model.get_input_embeddings()
    wrapped = isinstance(table_module, TokenRows)
    table = table_weight(table_module).detach()
    config = encoder.model.config.to_dict()
    architecture = {key: config[key] for key in ARCHITECTURE if key in config}
    layers = hashlib.sha256()
    for name, tensor in _layers(encoder.model, table_module.table if wrapped else table_module):
        layers.update(name.encode() + _half_bytes(tensor))
    return EncoderFingerprint(
        key=encoder.key,
        width=table.shape[1],
        rows=table.shape[0],
        table_sha256=hashlib.sha256(_half_bytes(table)).hexdigest(),
        layers_sha256=layers.hexdigest(),
        config_sha256=hashlib.sha256(canonical_json(architecture)).hexdigest(),
        tokenizer_sha256=tokenizer_hash(encoder.tokenizer),
        sketch=base64.b64encode(sketch(table)).decode("ascii"),
    )


def _layers(model: Any, table: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight but the token table, by the end of its name: class wrappers rename fronts."""
    own = {id(p) for p in table.parameters()}
    named = [(_tail(n), p) for n, p in model.named_parameters() if id(p) not in own]
    yield from sorted((item for item in named if "rows" not in item[0]), key=lambda item: item[0])


def _tail(name: str) -> str:
    return name.removeprefix("text_model.")


def _half_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().to("cpu", torch.float16).contiguous().numpy().tobytes()


def sketch(table: torch.Tensor) -> bytes:
    """512 seeded rows of a token table [rows, width] x 16 seeded Gaussian projections, fp16.

    The cosine between two sketches' rows estimates that between the tables' rows, so how far
    a fine-tune has moved is known without either model at hand.
    """
    rng = np.random.Generator(np.random.PCG64(20_240_607))
    rows = rng.choice(len(table), size=ANCHORS, replace=len(table) < ANCHORS)
    projection = rng.standard_normal((table.shape[1], PROJECTIONS)).astype(np.float32)
    anchors = table[torch.from_numpy(rows)].to("cpu", torch.float16).double().numpy()
    return bytes(
        (anchors @ projection.astype(np.float64) / PROJECTIONS**0.5).astype("<f2").tobytes()
    )


def tokenizer_hash(tokenizer: Any) -> str:
    """sha256 of what a tokenizer does: vocabulary, merges and special tokens."""
    original = original_tokenizer(tokenizer)
    backend = getattr(original, "backend_tokenizer", None)
    if backend is None:
        return hashlib.sha256(canonical_json(original.get_vocab())).hexdigest()
    data = json.loads(backend.to_str())
    kept = {"model": data.get("model"), "added": data.get("added_tokens")}
    return hashlib.sha256(canonical_json(kept)).hexdigest()


def _sampled_hash(model: torch.nn.Module) -> str:
    """sha256 over up to 64 evenly spaced values of every weight, fp16."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.named_parameters(), key=lambda item: item[0]):
        flat = tensor.detach().reshape(-1)
        step = max(1, flat.numel() // SAMPLES_PER_TENSOR)
        digest.update(f"{name}{tuple(tensor.shape)}".encode() + _half_bytes(flat[::step]))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
