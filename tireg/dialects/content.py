"""What a file holds, before and after tireg understands it."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, get_args

from tireg.dialects import limits
from tireg.domain.tensors import ITEM_BYTES, DType, Tensor, tensor_hash
from tireg.errors import FileRefusedError

FLOATS: frozenset[str] = frozenset(get_args(DType))


@dataclass(frozen=True)
class RawTensor:
    """A tensor as its container declares it; ``read`` gives its bytes in row-major order.

    ``dtype`` is a tag such as ``fp32``, ``bf16`` or ``int64``. ``read`` may raise
    FileRefusedError, and is called only for tensors that belong to an embedding.
    """

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], bytes] = field(repr=False, compare=False)

    @property
    def width(self) -> int:
        """The last dimension; 1 for a scalar."""
        return self.shape[-1] if self.shape else 1

    @property
    def looks_like_vectors(self) -> bool:
        """True for one or two dimensions of floating-point numbers, none of them empty."""
        return self.dtype in FLOATS and len(self.shape) in (1, 2) and 0 not in self.shape


Tree: TypeAlias = Any
"""What a container holds: dicts, lists, strings, numbers, None and RawTensor."""


@dataclass(frozen=True)
class ReadEmbedding:
    """One embedding out of a file.

    ``token`` is the word its maker meant, ``trigger`` what users of that tool type, ``name`` a
    readable name. ``tensors`` maps encoder keys to [vectors, width]. ``families`` are ids of
    the catalogue, most likely first; empty where none is known. ``negative`` and ``kind`` are
    None where the file does not say.
    """

    token: str
    trigger: str
    name: str
    tensors: Mapping[str, Tensor]
    families: tuple[str, ...] = ()
    kind: str | None = None
    negative: bool | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def tensor_hash(self) -> str:
        """Identity of the vectors, the same for every dialect (64 hex digits)."""
        return tensor_hash(self.tensors)

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``inspect --json``."""
        return {
            "token": self.token,
            "trigger": self.trigger,
            "name": self.name,
            "kind": self.kind,
            "negative": self.negative,
            "encoders": {
                key: {"vectors": t.vectors, "width": t.width, "dtype": t.dtype}
                for key, t in self.tensors.items()
            },
            "families": list(self.families),
            "tensor_hash": self.tensor_hash,
        }


@dataclass(frozen=True)
class FileReading:
    """What one file, or one folder that belongs together, turned out to be.

    ``refused`` is None, or one sentence; then ``embeddings`` is empty. ``sha256`` is that of
    the file (of the first file of a two-file SDXL pair), None where it could not be read.
    """

    path: Path
    dialect: str
    sha256: str | None
    embeddings: tuple[ReadEmbedding, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refused: str | None = None
    files: tuple[Path, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain data: the object that ``inspect --json`` prints for this file."""
        return {
            "path": printable_path(self.path),
            "dialect": self.dialect,
            "sha256": self.sha256,
            "embeddings": [embedding.as_json() for embedding in self.embeddings],
            "metadata": dict(self.metadata),
            "warnings": list(self.warnings),
            "refused": self.refused,
        }


def to_tensor(raw: RawTensor, what: str) -> Tensor:
    """The vectors of ``raw`` as [vectors, width], read, bounded and finite.

    ``what`` names the tensor in messages. Raises FileRefusedError.
    """
    if raw.dtype not in FLOATS:
        raise FileRefusedError(f"{what} holds {raw.dtype} values, which no embedding has")
    if len(raw.shape) not in (1, 2) or 0 in raw.shape:
        raise FileRefusedError(
            f"{what} has the shape {list(raw.shape)}; an embedding is [vectors, width]"
        )
    shape = (1, raw.shape[0]) if len(raw.shape) == 1 else (raw.shape[0], raw.shape[1])
    if shape[0] > limits.VECTORS:
        raise FileRefusedError(
            f"{what} has {shape[0]} rows: that is a whole token table, not an embedding"
        )
    if shape[1] not in limits.WIDTHS:
        raise FileRefusedError(f"{what} has vectors of width {shape[1]}, which no encoder has")
    dtype: DType = next(tag for tag in get_args(DType) if tag == raw.dtype)
    if shape[0] * shape[1] * ITEM_BYTES[dtype] > limits.TENSOR_BYTES:
        raise FileRefusedError(f"{what} of shape {list(shape)} is too large for an embedding")
    tensor = Tensor(dtype, shape, raw.read())
    if not tensor.all_finite():
        raise FileRefusedError(f"{what} holds NaN or infinite numbers")
    return tensor


def hidden_character(text: str) -> str | None:
    """The first character that a terminal or a reader could be fooled by, or None.

    Control characters, line breaks, bidirectional and other format controls, lone surrogates.
    """
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
            return character
    return None


def printable(text: object, longest: int = 80) -> str:
    """``text`` for a message: hidden characters written as escapes, and cut to ``longest``."""
    words = str(text)
    cut = words[:longest]
    shown = "".join(_visible(character) for character in cut)
    return shown + "…" if len(words) > longest else shown


def quoted(text: object, longest: int = 80) -> str:
    """:func:`printable` text in quotation marks."""
    return f"'{printable(text, longest)}'"


def printable_path(path: Path) -> str:
    """The path as text that any encoder takes; bytes that are no UTF-8 become escapes."""
    return "".join(
        _visible(character) if _surrogate(character) else character for character in str(path)
    )


def _surrogate(character: str) -> bool:
    return unicodedata.category(character) == "Cs"


def _visible(character: str) -> str:
    if hidden_character(character) is None:
        return character
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def check_token(token: str, where: str) -> str:
    """``token`` itself, where it can be shown and typed; FileRefusedError where it cannot."""
    hidden = hidden_character(token)
    if hidden is not None:
        raise FileRefusedError(
            f"{where} is {quoted(token)}: it hides the character "
            f"{_visible(hidden)}, which can fool a terminal or a reader"
        )
    if not token.strip():
        raise FileRefusedError(f"{where} is empty")
    if len(token) > limits.TOKEN_CHARACTERS:
        raise FileRefusedError(
            f"{where} is {len(token)} characters long; at most {limits.TOKEN_CHARACTERS} are read"
        )
    return token


MOST_VALUES = 20_000


def plain(value: Tree) -> Any:
    """``value`` as JSON-safe data: hidden characters escaped, odd numbers as text.

    Tensors become their dtype and shape. Line breaks and tabs stay. What is nested deeper than
    four levels, or beyond 20,000 values, is named by its type.
    """
    return _plain(value, 4, [MOST_VALUES])


def _plain(value: Tree, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else "a very large number"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return "".join(c if c in "\n\t" else _visible(c) for c in value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, RawTensor):
        return f"{value.dtype} tensor {list(value.shape)}"
    if depth > 0 and left[0] > 0 and isinstance(value, dict):
        items = list(value.items())[: left[0]]
        return {printable(key, 200): _plain(item, depth - 1, left) for key, item in items}
    if depth > 0 and left[0] > 0 and isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1, left) for item in value[: left[0]]]
    return f"a {type(value).__name__}"


def article(tree: Tree) -> str:
    """What kind of value ``tree`` is, for a message."""
    return "nothing" if tree is None else f"a value of type {type(tree).__name__}"


def rows_of(raw: RawTensor, start: int, count: int) -> RawTensor:
    """Rows ``start`` to ``start + count`` of a [n, width] tensor."""
    if len(raw.shape) == 1:
        return raw

    def read() -> bytes:
        data = raw.read()
        row = len(data) // raw.shape[0]
        return data[start * row : (start + count) * row]

    return RawTensor(raw.dtype, (count, raw.shape[1]), read)
