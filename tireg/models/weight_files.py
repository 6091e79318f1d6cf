"""Weights looked at in their safetensors files, without loading them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.errors import BaseError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLES = 64
HEADER_LIMIT = 100_000_000

# How numpy reads each safetensors dtype; bf16 are the upper halves of fp32.
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a safetensors file: byte ``start`` of the file, ``numel`` numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    numel: int


def weight_files(part: Path) -> list[Path]:
    """The safetensors files of one component, in order: the plain ones, else the fp16 variant."""
    found = sorted(part.glob("*.safetensors"))
    plain = [path for path in found if "." not in path.name.removesuffix(".safetensors")]
    return plain or [path for path in found if ".fp16" in path.name]


def tensors_of(path: Path) -> list[StoredTensor]:
    """The header of a safetensors file. BaseError where it is not one."""
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if not 2 <= length <= min(size - 8, HEADER_LIMIT):
                raise ValueError("its header is longer than the file")
            header = json.loads(handle.read(length))
        header.pop("__metadata__", None)
        return [_entry(name, entry, 8 + length, size) for name, entry in header.items()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, struct.error) as error:
        raise BaseError(f"{path} cannot be read: {error}", hint="download it again") from error


def _entry(name: str, entry: dict[str, Any], begin: int, size: int) -> StoredTensor:
    shape = tuple(int(side) for side in entry["shape"])
    start, end = (begin + int(offset) for offset in entry["data_offsets"])
    numel = 1
    for side in shape:
        numel *= side
    if not begin <= start <= end <= size or numel * ITEM_BYTES.get(entry["dtype"], 1) > end - start:
        raise ValueError(f"'{name}' does not lie in the file")
    return StoredTensor(name, str(entry["dtype"]), shape, start, numel)


def stored_dtype(files: Iterable[Path]) -> str:
    """The widest kind of number in the files: float32, bfloat16 or float16."""
    kinds = {tensor.dtype for path in files for tensor in tensors_of(path)}
    if kinds & {"F64", "F32"}:
        return "float32"
    return "bfloat16" if "BF16" in kinds else "float16"


def digest_of(half: bytes, numel: int) -> bytes:
    """Digest of one tensor: how many numbers it has, and (some of) them in fp16.

    Neither name nor shape count: tools name the same weight differently, and keep the same
    matrix as a linear layer or as a convolution of size one.
    """
    return hashlib.sha256(b"%d:" % numel + half).digest()


def sampled_digest(files: Sequence[Path], *, prefix: str = "") -> str | None:
    """sha256 over up to 64 evenly spaced values of every tensor, rounded to fp16.

    Only tensors whose names begin with ``prefix`` count; None where there are none.
    """
    import numpy as np

    digests = []
    for path in files:
        chosen = [tensor for tensor in tensors_of(path) if tensor.name.startswith(prefix)]
        if not chosen:
            continue
        data = np.memmap(path, dtype=np.uint8, mode="r")
        digests += [digest_of(_sample(data, tensor), tensor.numel) for tensor in chosen]
    if not digests:
        return None
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def _sample(data: NDArray[np.uint8], tensor: StoredTensor) -> bytes:
    import numpy as np

    count = min(SAMPLES, tensor.numel)
    chosen = np.arange(count) * tensor.numel // max(count, 1)
    item = ITEM_BYTES.get(tensor.dtype, 1)
    places = tensor.start + chosen[:, None] * item + np.arange(item)
    raw = np.ascontiguousarray(data[places]).tobytes()
    kind = NUMPY.get(tensor.dtype)
    if kind is None:
        return tensor.dtype.encode() + raw
    values = np.frombuffer(raw, kind)
    if tensor.dtype == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):
        return values.astype("<f2").tobytes()
