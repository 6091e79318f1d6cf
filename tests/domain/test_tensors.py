"""Tensors as bytes: types of numbers, keys, and the hash that every dialect shares."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
import torch

from tireg.domain.tensors import (
    ENCODER_ALIASES,
    ENCODER_WIDTHS,
    Tensor,
    canonical_key,
    encoder_of,
    from_fp32,
    is_output_key,
    tensor_hash,
)
from tireg.errors import FileRefusedError, InputError

VALUES = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)


@pytest.mark.parametrize(
    ("dtype", "name"), [("fp64", "float64"), ("fp16", "float16"), ("bf16", "bfloat16")]
)
def test_rounding_is_that_of_torch(dtype: str, name: str) -> None:
    edge = np.array([[1 + 2**-9, 1 + 3 * 2**-9, 3.3895314e38, 1e-45, -0.0, 65504.0]], np.float32)
    for array in (VALUES, edge):
        mine = from_fp32(array, dtype)  # type: ignore[arg-type]
        theirs = torch.from_numpy(array.copy()).to(getattr(torch, name))
        assert mine.data == theirs.contiguous().view(torch.uint8).numpy().tobytes()
        np.testing.assert_array_equal(mine.to_fp32(), theirs.float().numpy())


def test_one_dimension_is_one_vector() -> None:
    assert from_fp32(VALUES[0]).shape == (1, 16)
    for bad in (VALUES[None], np.zeros((0, 4)), np.float32(1)):
        with pytest.raises(InputError, match="is \\[vectors, width\\]"):
            from_fp32(bad)


def test_bytes_must_fit_the_shape() -> None:
    with pytest.raises(FileRefusedError, match="needs 24 bytes and has 23"):
        Tensor("fp32", (2, 3), b"\0" * 23)
    with pytest.raises(FileRefusedError, match="holds no vectors"):
        Tensor("fp32", (0, 3), b"")


def test_not_finite_is_seen_in_every_type() -> None:
    for dtype in ("fp64", "fp32", "fp16", "bf16"):
        assert from_fp32(VALUES, dtype).all_finite()
        for bad in (np.nan, np.inf, -np.inf):
            assert not from_fp32(np.array([[1.0, bad]]), dtype).all_finite()
    assert not Tensor("fp64", (1, 1), struct.pack("<d", 1e300)).all_finite()


def test_fp64_keeps_its_bits_through_fp64() -> None:
    wide = Tensor("fp64", (1, 2), struct.pack("<dd", 1 / 3, 2 / 3))
    assert wide.as_dtype("fp64") is wide
    assert wide.as_dtype("fp16").data == np.array([1 / 3, 2 / 3]).astype("<f2").tobytes()


def test_hash_is_as_documented() -> None:
    parts = sorted(
        struct.pack("<QQ", array.shape[1], array.shape[0]) + array.astype("<f4").tobytes()
        for array in (VALUES, VALUES[:1, :8])
    )
    wanted = hashlib.sha256(b"".join(parts)).hexdigest()
    assert tensor_hash({"clip_l": VALUES, "clip_g": from_fp32(VALUES[:1, :8])}) == wanted


def test_hash_ignores_names_and_exact_widening_but_not_values() -> None:
    half = from_fp32(VALUES, "fp16")
    same = tensor_hash({"a": half})
    assert same == tensor_hash({"b": half.as_dtype("fp32")}) == tensor_hash({"c": half.to_fp32()})
    assert same != tensor_hash({"a": VALUES})
    assert tensor_hash({"a": VALUES}) != tensor_hash({"a": VALUES.reshape(6, 8)})
    with pytest.raises(InputError):
        tensor_hash({})


def test_keys_of_other_tools() -> None:
    assert canonical_key("t5") == canonical_key("T5XXL ") == "t5xxl"
    assert canonical_key("gemma_out") == "gemma2_2b_out"
    assert encoder_of("gemma2_2b_out") == "gemma2_2b"
    assert is_output_key("clip_l_out")
    assert canonical_key("<cat>") is None
    assert set(ENCODER_ALIASES.values()) <= set(ENCODER_WIDTHS)
    assert not set(ENCODER_ALIASES) & set(ENCODER_WIDTHS)
