"""Every dialect is written as its tool accepts it, and comes back bit for bit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.dialects.layouts import rows
from tireg.dialects import (
    DIALECTS,
    Extra,
    ReadEmbedding,
    losses,
    make_embedding,
    read_path,
    read_strict,
    webui_checksum,
    write,
)
from tireg.domain.tensors import DTYPES, DType, from_fp32
from tireg.errors import InputError

WIDTHS: dict[str, dict[str, int]] = {
    "sd1": {"clip_l": 768},
    "sd2": {"clip_h": 1024},
    "sdxl": {"clip_l": 768, "clip_g": 1280},
    "sd3": {"clip_l": 768, "clip_g": 1280, "t5xxl": 4096},
    "flux1": {"clip_l": 768, "t5xxl": 4096},
    "sana": {"gemma2_2b": 2304},
    "wan": {"umt5xxl": 4096},
    "ldm": {"bert": 1280},
    "shapes": {"shapes": 128},
}


def embedding(
    family: str, count: int = 3, dtype: DType = "fp32", token: str = "<my-cat>"
) -> ReadEmbedding:
    tensors = {key: from_fp32(rows(count, w), dtype) for key, w in WIDTHS[family].items()}
    return make_embedding(token, tensors, family=family, kind="subject", negative=True)


def holds_all(dialect: str, item: ReadEmbedding) -> bool:
    try:
        return not losses(dialect, item)
    except InputError:
        return False


PAIRS = [(d, f) for d in DIALECTS for f in WIDTHS if holds_all(d, embedding(f))]


@pytest.mark.parametrize(("dialect", "family"), PAIRS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip_is_bit_exact(dialect: str, family: str, dtype: DType, tmp_path: Path) -> None:
    item = embedding(family, dtype=dtype)
    record = json.dumps({"format_version": 1, "note": "ü\n"})
    write(dialect, tmp_path / "out", item, extra=Extra(record=record, author="me"))
    (reading,) = read_path(tmp_path / "out")
    (back,) = reading.embeddings
    assert reading.warnings == ()
    assert (back.token, back.name, back.kind, back.negative) == (
        "<my-cat>",
        "my-cat",
        "subject",
        True,
    )
    assert back.families == (family,)
    assert back.tensors == item.tensors
    assert back.tensor_hash == item.tensor_hash


def test_pairs_are_what_the_tools_can_hold() -> None:
    able = {family: {d for d, f in PAIRS if f == family} for family in WIDTHS}
    assert able["sd1"] == set(DIALECTS)
    assert able["sdxl"] == {"diffusers", "webui", "comfyui", "invokeai", "kohya", "onetrainer"}
    assert able["flux1"] == {"diffusers", "comfyui", "onetrainer"}
    assert able["ldm"] == {"diffusers", "original"}


def test_loss_is_told_and_asked_for(tmp_path: Path) -> None:
    item = embedding("flux1")
    assert losses("webui", item) == [
        "the t5xxl vectors (3 of width 4096) are left out: webui files do not hold them"
    ]
    with pytest.raises(InputError, match="--lossy"):
        write("webui", tmp_path / "a.safetensors", item)
    assert not (tmp_path / "a.safetensors").exists()
    (path,) = write("webui", tmp_path / "a.safetensors", item, lossy=True)
    assert list(read_strict(path).embeddings[0].tensors) == ["clip_l"]
    with pytest.raises(InputError, match="cannot hold an embedding for umt5xxl"):
        losses("kohya", embedding("wan"))
    with pytest.raises(InputError, match="no dialect called"):
        losses("gimp", item)


def test_wrong_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        write("kohya", tmp_path / "a.pt", embedding("sd1"))


def test_same_bytes_every_time(tmp_path: Path) -> None:
    for dialect in DIALECTS:
        for folder in ("a", "b"):
            write(dialect, tmp_path / folder / dialect, embedding("sd1"))
    for file in (tmp_path / "a").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_modelspec(tmp_path: Path) -> None:
    (path,) = write(
        "comfyui", tmp_path / "a.safetensors", embedding("sdxl"), extra=Extra(license="MIT")
    )
    with safe_open(path, "np") as file:
        told = file.metadata()
    raw = path.read_bytes()
    data = raw[8 + int.from_bytes(raw[:8], "little") :]
    assert told["modelspec.sai_model_spec"] == "1.0.1"
    assert told["modelspec.architecture"] == "stable-diffusion-xl-v1-base/textual-inversion"
    assert told["modelspec.hash_sha256"] == "0x" + hashlib.sha256(data).hexdigest()
    assert told["modelspec.resolution"] == "1024x1024"
    assert told["modelspec.license"] == "MIT"
    assert told["modelspec.trigger_phrase"] == "<my-cat>"
    assert told["modelspec.is_negative_embedding"] == "true"


# The acceptance rules of the other tools, restated from their sources (field notes, table A).


def a1111_vector(data: dict[str, Any]) -> dict[str, torch.Tensor] | torch.Tensor:
    """modules/textual_inversion/textual_inversion.py, create_embedding_from_data."""
    if "string_to_param" in data:
        params = data["string_to_param"]
        params = getattr(params, "_parameters", params)
        assert len(params) == 1
        return next(iter(params.values()))  # type: ignore[no-any-return]
    if "clip_g" in data and "clip_l" in data:
        return {"clip_g": data["clip_g"], "clip_l": data["clip_l"]}
    assert len(data) == 1
    vector = next(iter(data.values()))
    return vector.unsqueeze(0) if vector.dim() == 1 else vector  # type: ignore[no-any-return]


def invokeai_base(data: dict[str, Any]) -> str | None:
    """The width probe of InvokeAI's textual inversion configs."""
    if "string_to_token" in data:
        width = next(iter(data["string_to_param"].values())).shape[-1]
    elif "emb_params" in data:
        width = data["emb_params"].shape[-1]
    elif "clip_g" in data:
        width = data["clip_g"].shape[-1]
    else:
        width = next(iter(data.values())).shape[0]
    return {768: "sd-1", 1024: "sd-2", 1280: "sdxl"}.get(width)


def comfyui_vector(data: dict[str, Any], key: str, size: int) -> torch.Tensor:
    """comfy/sd1_clip.py, load_embed."""
    found = data[key] if key in data else next(iter(data.values()))
    assert found.shape[-1] == size
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a1111_accepts(tmp_path: Path, suffix: str) -> None:
    item = embedding("sd1")
    (path,) = write("webui", tmp_path / f"my-cat{suffix}", item, extra=Extra(step=7))
    data = load_file(path) if suffix == ".safetensors" else torch.load(path, weights_only=True)
    vector = a1111_vector(data)
    assert isinstance(vector, torch.Tensor)
    np.testing.assert_array_equal(vector.numpy(), rows(3, 768))
    both = a1111_vector(load_file(write("webui", tmp_path / "xl", embedding("sdxl"))[0]))
    assert isinstance(both, dict)
    assert sum(part.shape[-1] for part in both.values()) == 2048


def test_invokeai_accepts(tmp_path: Path) -> None:
    wanted = {"sd1": "sd-1", "sd2": "sd-2", "sdxl": "sdxl"}
    for family, base in wanted.items():
        (path,) = write("invokeai", tmp_path / family, embedding(family))
        assert invokeai_base(load_file(path)) == base


def test_comfyui_accepts_every_encoder(tmp_path: Path) -> None:
    for family in ("sd1", "sdxl", "sd3", "flux1", "sana", "wan"):
        (path,) = write("comfyui", tmp_path / family, embedding(family))
        for key, width in WIDTHS[family].items():
            vector = comfyui_vector(load_file(path), key, width)
            np.testing.assert_array_equal(vector.numpy(), rows(3, width))


def test_kohya_and_onetrainer_keys(tmp_path: Path) -> None:
    wanted = {
        ("kohya", "sd1"): {"emb_params"},
        ("kohya", "sdxl"): {"clip_l", "clip_g"},
        ("onetrainer", "sd1"): {"emp_params"},
        ("onetrainer", "sd3"): {"clip_l", "clip_g", "t5"},
        ("onetrainer", "sana"): {"gemma"},
    }
    for (dialect, family), keys in wanted.items():
        (path,) = write(dialect, tmp_path / dialect / family, embedding(family))
        assert set(load_file(path)) == keys


def test_the_original_tool_accepts(tmp_path: Path) -> None:
    (path,) = write("original", tmp_path / "my-cat.pt", embedding("sd1"))
    with torch.serialization.safe_globals([torch.nn.ParameterDict]):
        data = torch.load(path, weights_only=True)
    assert isinstance(data["string_to_param"], torch.nn.ParameterDict)
    assert data["string_to_token"]["*"].item() == 265
    vectors = data["string_to_param"]["*"].detach().numpy()
    np.testing.assert_array_equal(vectors, rows(3, 768))


def test_a1111_checksum() -> None:
    """Four digits by A1111's own formula, applied to torch's numbers."""
    item = embedding("sd1")
    result = 0
    for value in torch.from_numpy(rows(3, 768)).reshape(-1) * 100:
        result = (result * 281 ^ int(value) * 997) & 0xFFFFFFFF
    assert webui_checksum(item.tensors) == f"{result & 0xFFFF:04x}"
    assert webui_checksum(embedding("sdxl").tensors) is None


def test_copies_in_different_dialects_have_one_identity(tmp_path: Path) -> None:
    item = embedding("sd1")
    found = set()
    for dialect in DIALECTS:
        for path in write(dialect, tmp_path / dialect, item):
            reading = read_strict(path)
            found.add((reading.embeddings[0].tensor_hash, reading.sha256))
    assert len({tensor for tensor, _ in found}) == 1
    assert len({file for _, file in found}) == len(DIALECTS)


NAMES_TO_TYPE = [
    ("gasai yuno", "gasai yuno", "gasai_yuno", "gasai yuno"),
    ("cat (v2) [b], {x}", "cat _v2_ _b_, _x", "cat_v2_b_x", "cat _v2_ _b_, _x"),
    ("Käse", "Käse", "Käse", "K_se"),
    ("猫", "猫", "猫", "embedding"),
]


@pytest.mark.parametrize(("name", "webui", "comfyui", "invokeai"), NAMES_TO_TYPE)
def test_files_have_names_that_can_be_typed(
    tmp_path: Path, name: str, webui: str, comfyui: str, invokeai: str
) -> None:
    """What ComfyUI and InvokeAI take for a name in a prompt, by their own rules."""
    import re

    for tool, stem in {"webui": webui, "comfyui": comfyui, "invokeai": invokeai}.items():
        (path,) = write(tool, tmp_path, replace(embedding("sd1"), name=name))
        assert path.stem == stem
    typed = f"embedding:{comfyui}, a photo"
    word = typed.removeprefix("embedding:").split()[0].strip(",")
    assert word == comfyui
    assert re.findall(r"<[a-zA-Z0-9., _-]+>", f"a photo of <{invokeai}>") == [f"<{invokeai}>"]
