"""Tensors as views of stored numbers: every number of a view must be one of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tireg.dialects import limits
from tireg.dialects.content import RawTensor
from tireg.errors import FileRefusedError

ITEM_BYTES: dict[str, int] = {
    "fp64": 8,
    "fp32": 4,
    "fp16": 2,
    "bf16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
    "fp8": 1,
    "complex64": 8,
    "complex128": 16,
}


class BuildError(Exception):
    """A name was given arguments that no tool writes; the machine turns it into a refusal."""


@dataclass(frozen=True)
class Storage:
    """Numbers of one type that tensors are views of; ``read(offset, size)`` counts in bytes."""

    dtype: str
    numel: int
    read: Callable[[int, int], bytes] = field(repr=False, compare=False)


def checked_sizes(values: Any) -> tuple[int, ...]:
    """``values`` where they are a possible shape or strides. Raises BuildError."""
    if not isinstance(values, (tuple, list)) or len(values) > limits.DIMENSIONS:
        raise BuildError("gives a tensor an impossible shape")
    if not all(type(size) is int and 0 <= size < 2**40 for size in values):
        raise BuildError("gives a tensor an impossible shape")
    return tuple(values)


def view(
    storage: Storage, dtype: str, offset: Any, shape: tuple[int, ...], stride: tuple[int, ...]
) -> RawTensor:
    """A tensor over ``storage``; every number of it must be a number of its own."""
    item = ITEM_BYTES[dtype]
    held = storage.numel * ITEM_BYTES[storage.dtype] // item
    if type(offset) is not int or offset < 0 or len(shape) != len(stride):
        raise BuildError("places a tensor nowhere")
    numel = math.prod(shape)
    if numel == 0:
        return RawTensor(dtype, shape, lambda: b"")
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    if last >= held:
        raise BuildError("holds a tensor that reaches past its data")
    reach = 1
    for step, count in sorted((s, n) for n, s in zip(shape, stride, strict=True) if n > 1):
        if step < reach:
            raise BuildError(
                "holds a tensor whose strides make one stored number stand for many "
                f"({numel} numbers out of {held})"
            )
        reach = step * (count - 1) + reach
    return RawTensor(dtype, shape, lambda: _gather(storage, item, offset, shape, stride))


def _gather(
    storage: Storage, item: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> bytes:
    span = sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) + 1
    if span * item > limits.TENSOR_BYTES:
        raise FileRefusedError("its pickle spreads a tensor over too much data")
    data = storage.read(offset * item, span * item)
    if span == math.prod(shape) and _row_major(shape, stride):
        return data
    import numpy as np

    units = np.frombuffer(data, dtype=f"V{item}")
    steps = tuple(step * item for step in stride)
    return np.lib.stride_tricks.as_strided(units, shape, steps, writeable=False).tobytes()


def _row_major(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    wanted = 1
    for count, step in zip(reversed(shape), reversed(stride), strict=True):
        if count > 1 and step != wanted:
            return False
        wanted *= count
    return True


def row_strides(shape: tuple[int, ...], fortran: bool) -> tuple[int, ...]:
    """Strides of contiguous numbers, first dimension fastest where ``fortran``."""
    steps: list[int] = []
    reach = 1
    for count in shape if fortran else tuple(reversed(shape)):
        steps.append(reach)
        reach *= max(count, 1)
    return tuple(steps if fortran else reversed(steps))
