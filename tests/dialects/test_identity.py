"""The hashes by which other tools and sites name a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.dialects.layouts import L2, as_torch, safetensors_file, torch_file
from tireg.dialects import file_hashes, read_file, webui_checksum
from tireg.domain.tensors import from_fp32


def test_hashes_of_a_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "cat.safetensors"
    data = safetensors_file({"emb_params": L2})
    path.write_bytes(data)
    found = file_hashes(path)
    whole = hashlib.sha256(data).hexdigest()
    assert found.sha256 == whole == read_file(path).sha256
    assert (found.autov2, found.short) == (whole[:10], whole[:12])
    assert found.autov3 == hashlib.sha256(L2.tobytes()).hexdigest()[:12]


def test_other_files_have_no_autov3(tmp_path: Path) -> None:
    path = tmp_path / "cat.pt"
    path.write_bytes(torch_file({"<cat>": as_torch(L2)}))
    assert file_hashes(path).autov3 is None


def test_blake3_test_vector(tmp_path: Path) -> None:
    """The empty input of BLAKE3's published test vectors."""
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert file_hashes(path).blake3.startswith("af1349b9f5f9a1a6a0404dea36dcc949")


@pytest.mark.parametrize("scale", [0.01, 1, 1e4, 1e9, 1e15, 1e30])
def test_a1111s_checksum(scale: float) -> None:
    """As ``Embedding.checksum`` of stable-diffusion-webui reckons it, number by number."""
    rows = (np.random.default_rng(0).standard_normal((2, 768)) * scale).astype(np.float32)
    result = 0
    for value in (rows.reshape(-1) * 100).tolist():
        result = (result * 281 ^ int(value) * 997) & 0xFFFFFFFF
    assert webui_checksum({"clip_l": from_fp32(rows)}) == f"{result & 0xFFFF:04x}"


def test_what_a1111_has_no_checksum_for() -> None:
    one = from_fp32(np.ones((1, 4), np.float32))
    assert webui_checksum({"clip_l": one, "clip_g": one}) is None
    assert webui_checksum({"clip_l": from_fp32([[3e38, 1.0]])}) is None
