"""Fingerprints: the same for every copy of a base, another for every other base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tinypipes import build_sd1
from tireg.domain import sketches
from tireg.domain.fingerprints import Fingerprint
from tireg.errors import BaseError
from tireg.models import bases
from tireg.models.fingerprint import (
    behaviour_sketch,
    load_encoder,
    load_tokenizer,
    measure,
    measure_folder,
    table_sketch,
    tokenizer_hash,
)


@pytest.fixture(scope="module")
def one(tiny_sd1: Path) -> Fingerprint:
    return measure_folder(tiny_sd1, bases.identify(tiny_sd1))


def edit_weights(path: Path, change: object) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, path, {"format": "pt"})


def test_fp16_variant_files_give_the_same_fingerprint(one: Fingerprint, tmp_path: Path) -> None:
    half = measure(bases.open_base(build_sd1(tmp_path / "h", dtype="float16", variant="fp16")))
    assert half == one
    assert half.same_as(one)
    assert half.identity == one.identity


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_how_it_was_opened_does_not_matter(one: Fingerprint, tiny_sd1: Path, dtype: str) -> None:
    base = bases.open_base(tiny_sd1, device="cpu", dtype=dtype)
    bases.load(base.pipe, {"<x>": {"clip_l": np.ones((2, 32), np.float32)}})
    assert measure(base) == one


def test_another_seed_is_another_base(one: Fingerprint, tmp_path: Path) -> None:
    folder = build_sd1(tmp_path / "other", seed=1)
    other = measure_folder(folder, bases.identify(folder))
    assert other.encoders[0].table_sha256 != one.encoders[0].table_sha256
    assert other.encoders[0].layers_sha256 != one.encoders[0].layers_sha256
    assert other.encoders[0].tokenizer_sha256 == one.encoders[0].tokenizer_sha256
    assert other.denoiser_sha256 != one.denoiser_sha256


def test_every_encoder_of_a_family_is_measured(tiny_sdxl: Path) -> None:
    found = measure_folder(tiny_sdxl, bases.identify(tiny_sdxl))
    assert [(e.key, e.width) for e in found.encoders] == [("clip_l", 32), ("clip_g", 48)]
    assert len({e.tokenizer_sha256 for e in found.encoders}) == 1
    for encoder in found.encoders:
        assert sketches.unpack(encoder.sketch).shape == (512, 16)  # type: ignore[union-attr]
        assert encoder.behaviour is not None
        assert sketches.unpack(encoder.behaviour).shape == (32, 16)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("token_embedding", {"table_sha256", "sketch", "behaviour"}),
        ("layers.1.self_attn.q_proj.weight", {"layers_sha256", "behaviour"}),
    ],
)
def test_a_changed_weight_shows_where_it_is(
    one: Fingerprint, tiny_sd1: Path, tmp_path: Path, name: str, changed: set[str]
) -> None:
    folder = Path(shutil.copytree(tiny_sd1, tmp_path / "copy"))

    def change(tensors: dict[str, torch.Tensor]) -> None:
        (key,) = [k for k in tensors if name in k]
        tensors[key] += 0.05

    edit_weights(folder / "text_encoder" / "model.safetensors", change)
    other = measure_folder(folder, bases.identify(folder))
    before, after = one.encoders[0].model_dump(), other.encoders[0].model_dump()
    assert {k for k in before if before[k] != after[k]} == changed
    assert other.denoiser_sha256 == one.denoiser_sha256


def test_names_of_weights_do_not_matter(one: Fingerprint, tiny_sd1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sd1, tmp_path / "copy"))

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for key in list(tensors):
            weight = tensors.pop(key)
            tensors[f"z.{key}"] = weight[..., None, None] if weight.ndim == 2 else weight

    edit_weights(folder / "unet" / "diffusion_pytorch_model.safetensors", rename)
    assert measure_folder(folder, bases.identify(folder)).denoiser_sha256 == one.denoiser_sha256


def test_a_changed_denoiser_is_another(one: Fingerprint, tiny_sd1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sd1, tmp_path / "copy"))
    edit_weights(
        folder / "unet" / "diffusion_pytorch_model.safetensors",
        lambda tensors: tensors["conv_in.bias"].add_(0.1),
    )
    other = measure_folder(folder, bases.identify(folder))
    assert other.denoiser_sha256 != one.denoiser_sha256
    assert other.encoders == one.encoders
    assert not other.same_as(one)


def test_no_denoiser_is_unknown_not_equal(one: Fingerprint, tiny_sd1: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sd1, tmp_path / "copy"))
    shutil.rmtree(folder / "unet")
    found = measure_folder(folder, bases.identify(folder))
    assert found.denoiser_sha256 is None
    assert found.encoders == one.encoders


@pytest.mark.parametrize("content", [b"", b"\xff" * 8 + b"{}", b"\x02" + b"\x00" * 7 + b"[]"])
def test_a_broken_weight_file_is_one_sentence(
    tiny_sd1: Path, tmp_path: Path, content: bytes
) -> None:
    folder = Path(shutil.copytree(tiny_sd1, tmp_path / "copy"))
    (folder / "text_encoder" / "model.safetensors").write_bytes(content)
    with pytest.raises(BaseError, match="cannot be read"):
        measure_folder(folder, bases.identify(folder))


def test_a_word_more_is_another_tokenizer(tiny_sd1: Path, tmp_path: Path) -> None:
    row = bases.identify(tiny_sd1).encoders[0]
    tokenizer = load_tokenizer(tiny_sd1, row)
    before = tokenizer_hash(tokenizer)
    tokenizer.add_tokens(["<new>"])
    assert tokenizer_hash(tokenizer) != before


def test_measuring_leaves_the_model_as_it_was(tiny_sd1: Path) -> None:
    row = bases.identify(tiny_sd1).encoders[0]
    model = load_encoder(tiny_sd1, row).to(torch.bfloat16)
    before = {n: p.clone() for n, p in model.named_parameters()}
    behaviour_sketch(model, load_tokenizer(tiny_sd1, row))
    after = dict(model.named_parameters())
    assert all(
        torch.equal(before[n], after[n]) and after[n].dtype == before[n].dtype for n in before
    )
    assert not model.get_input_embeddings()._forward_hooks
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_fingerprint_is_small_and_keeps_its_form(one: Fingerprint) -> None:
    text = one.model_dump_json()
    assert len(text) < 25_000
    assert Fingerprint.model_validate(json.loads(text)) == one


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_a_sketch_follows_the_cosine_between_tables(strength: float) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(4000, 256, generator=generator)
    moved = table + strength * torch.randn(table.shape, generator=generator)
    true = torch.cosine_similarity(table, moved, dim=-1).mean().item()
    a, b = (table_sketch(t).astype(float) for t in (table, moved))
    assert abs(sketches.cosine(a, b) - true) < 0.03
