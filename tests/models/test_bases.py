"""Opening a base: what it is, what is missing, and nothing that runs code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tireg.errors import BaseError, ConfigError
from tireg.models import bases


@pytest.fixture
def copy(tiny_sd1: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_sd1, tmp_path / "base"))


def test_families_are_told_apart(tiny_sd1: Path, tiny_sd2: Path, tiny_sdxl: Path) -> None:
    found = [bases.identify(folder).id for folder in (tiny_sd1, tiny_sd2, tiny_sdxl)]
    assert found == ["sd1", "sd2", "sdxl"]


def test_an_open_base_is_frozen(tiny_sdxl: Path) -> None:
    base = bases.open_base(tiny_sdxl)
    assert list(base.encoders) == ["clip_l", "clip_g"]
    parts = [p for p in base.pipe.components.values() if isinstance(p, torch.nn.Module)]
    assert parts
    assert not any(w.requires_grad for part in parts for w in part.parameters())


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_component_is_named(copy: Path, part: str) -> None:
    shutil.rmtree(copy / part)
    with pytest.raises(BaseError, match=f"incomplete: {part}"):
        bases.open_base(copy)


def test_missing_weights_are_named(copy: Path) -> None:
    for file in (copy / "unet").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(BaseError, match="unet/ has no weights"):
        bases.open_base(copy)


def test_weights_that_are_only_pickles_are_refused(copy: Path) -> None:
    for file in (copy / "unet").glob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    with pytest.raises(BaseError, match="pickle"):
        bases.open_base(copy)


def test_truncated_weights_are_one_sentence(copy: Path) -> None:
    file = next((copy / "unet").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(BaseError, match="cannot be opened"):
        bases.open_base(copy)


def test_a_pipeline_of_another_kind_is_refused(copy: Path) -> None:
    index = copy / "model_index.json"
    data = json.loads(index.read_text())
    index.write_text(json.dumps({**data, "_class_name": "os.system"}))
    with pytest.raises(BaseError, match="cannot use"):
        bases.open_base(copy)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"_class_name": 3}', "\x00"])
def test_a_broken_index_is_refused(copy: Path, content: str) -> None:
    (copy / "model_index.json").write_text(content)
    with pytest.raises(BaseError):
        bases.open_base(copy)


def test_half_precision_variants_open(tmp_path: Path) -> None:
    from tests.tinypipes import build_sd1

    folder = build_sd1(tmp_path / "half", variant="fp16", dtype="float16")
    base = bases.open_base(folder)
    assert base.pipe.unet.dtype == base.pipe.text_encoder.dtype == torch.float32


@pytest.mark.parametrize(("device", "dtype"), [("gpu9", "auto"), ("cuda", "auto"), ("cpu", "fp8")])
def test_devices_and_dtypes_that_are_not_there(tiny_sd1: Path, device: str, dtype: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigError):
        bases.open_base(tiny_sd1, device=device, dtype=dtype)
