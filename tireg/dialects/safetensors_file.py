"""Safetensors files, parsed by bounded code of our own.

The safetensors library accepts duplicate keys and cannot give bf16 to numpy, so the header is
read here. Layout: 8 bytes little-endian header length, JSON header, tensor data
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tireg.dialects import limits
from tireg.dialects.content import RawTensor, printable, quoted
from tireg.dialects.files import Source
from tireg.errors import FileRefusedError

DTYPES: dict[str, tuple[str, int]] = {
    "F64": ("fp64", 8),
    "F32": ("fp32", 4),
    "F16": ("fp16", 2),
    "BF16": ("bf16", 2),
    "F8_E4M3": ("fp8", 1),
    "F8_E5M2": ("fp8", 1),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U64": ("uint64", 8),
    "U32": ("uint32", 4),
    "U16": ("uint16", 2),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
TAGS: dict[str, str] = {"fp64": "F64", "fp32": "F32", "fp16": "F16", "bf16": "BF16"}


@dataclass(frozen=True)
class SafetensorsFile:
    """Tensors by key, the string metadata, and where the data begins (bytes)."""

    tensors: dict[str, RawTensor]
    metadata: dict[str, str]
    data_start: int


def looks_like_safetensors(head: bytes) -> bool:
    """True where the first bytes are a header length and a JSON object."""
    return len(head) >= 10 and head[8:].lstrip()[:1] == b"{" and head[5:8] == b"\0\0\0"


def read_safetensors(source: Source) -> SafetensorsFile:
    """Parse the header; tensor bytes are read later. Raises FileRefusedError."""
    length = int.from_bytes(source.read(0, 8), "little")
    if length > limits.SAFETENSORS_HEADER:
        raise FileRefusedError(f"its safetensors header claims {length} bytes, which is too many")
    if 8 + length > source.size:
        raise FileRefusedError(
            f"its safetensors header claims {length} bytes and the file has only "
            f"{source.size - 8}: it is cut short"
        )
    header = _parse_header(source.read(8, length))
    start = 8 + length
    metadata = _metadata(header.pop("__metadata__", {}))
    if len(header) > limits.SAFETENSORS_TENSORS:
        raise FileRefusedError(f"it declares {len(header)} tensors, which is too many")
    spans: list[tuple[int, int, str]] = []
    tensors: dict[str, RawTensor] = {}
    for key, entry in header.items():
        dtype, shape, begin, end = _entry(key, entry)
        spans.append((begin, end, key))
        tensors[key] = RawTensor(dtype, shape, _reader(source, start + begin, end - begin))
    _check_spans(sorted(spans), source.size - start)
    return SafetensorsFile(tensors, metadata, start)


def _reader(source: Source, offset: int, size: int) -> Any:
    return lambda: source.read(offset, size)


def _parse_header(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except UnicodeDecodeError as error:
        raise FileRefusedError("its safetensors header is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise FileRefusedError("its safetensors header is not valid JSON") from error
    if not isinstance(header, dict):
        raise FileRefusedError("its safetensors header is not a JSON object")
    return header


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise FileRefusedError(
            f"its safetensors header has the key {quoted(twice)} twice; readers would "
            "disagree on what it holds"
        )
    return found


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise FileRefusedError("its safetensors metadata is not a table of strings")
    return value


def _entry(key: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    name = printable(key)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise FileRefusedError(f"the safetensors entry {name!r} is not a tensor description")
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    known = DTYPES.get(dtype) if isinstance(dtype, str) else None
    if known is None:
        raise FileRefusedError(f"the tensor {name!r} has the unknown type {quoted(dtype)}")
    if not _sizes(shape) or len(shape) > limits.DIMENSIONS:
        raise FileRefusedError(f"the tensor {name!r} has an impossible shape")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise FileRefusedError(f"the tensor {name!r} has impossible data offsets")
    if math.prod(shape) * known[1] != offsets[1] - offsets[0]:
        raise FileRefusedError(
            f"the tensor {name!r} of shape {shape} needs {math.prod(shape) * known[1]} bytes "
            f"and has {offsets[1] - offsets[0]}"
        )
    return known[0], tuple(shape), offsets[0], offsets[1]


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < 2**48 for item in value
    )


def _check_spans(spans: list[tuple[int, int, str]], size: int) -> None:
    position = 0
    for begin, end, key in spans:
        if begin < position:
            raise FileRefusedError(f"the data of tensor {quoted(key)} overlaps another's")
        if begin > position:
            raise FileRefusedError(f"there are unused bytes before tensor {quoted(key)}")
        position = end
    if position > size:
        raise FileRefusedError("its tensor data is cut short")
    if position < size:
        raise FileRefusedError(f"there are {size - position} bytes after its last tensor")


def build_safetensors(
    tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]], metadata: Mapping[str, str]
) -> bytes:
    """A safetensors file of ``{key: (dtype tag, shape, bytes)}``, keys sorted.

    ``modelspec.hash_sha256`` (``0x`` and the SHA-256 of the tensor bytes) is added where the
    metadata names a ModelSpec version.
    """
    header: dict[str, Any] = {}
    data = b""
    for key in sorted(tensors):
        dtype, shape, raw = tensors[key]
        offsets = [len(data), len(data) + len(raw)]
        header[key] = {"dtype": TAGS[dtype], "shape": list(shape), "data_offsets": offsets}
        data += raw
    told = dict(metadata)
    if "modelspec.sai_model_spec" in told:
        told["modelspec.hash_sha256"] = "0x" + hashlib.sha256(data).hexdigest()
    if told:
        header = {"__metadata__": dict(sorted(told.items())), **header}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    # Aligned data can be mapped as numbers; the format's own writer pads in the same way.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data
