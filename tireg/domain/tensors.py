"""Embedding tensors as plain data: raw bytes with a dtype tag, encoder keys, one hash.

Numpy has no bfloat16, so a tensor is kept as the bytes that its file held and a tag; arithmetic
goes through ``to_fp32``. Encoder keys are one vocabulary for every dialect: what OneTrainer calls
``t5`` and ComfyUI ``t5xxl`` is ``t5xxl`` here.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from tireg.errors import FileRefusedError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float32Array: TypeAlias = NDArray[np.float32]

DType = Literal["fp64", "fp32", "fp16", "bf16"]
DTYPES: tuple[DType, ...] = get_args(DType)
ITEM_BYTES: dict[DType, int] = {"fp64": 8, "fp32": 4, "fp16": 2, "bf16": 2}
NUMPY_NAMES: dict[DType, str] = {"fp64": "<f8", "fp32": "<f4", "fp16": "<f2"}

# Every encoder a catalogued family has, with the width of its token vectors.
ENCODER_WIDTHS: dict[str, int] = {
    "clip_l": 768,
    "clip_h": 1024,
    "clip_g": 1280,
    "bert": 1280,
    "t5xxl": 4096,
    "umt5xxl": 4096,
    "pile_t5xl": 2048,
    "llama": 4096,
    "gemma2_2b": 2304,
    "t5gemma_2b": 2304,
    "qwen3_4b": 2560,
    "gemma3_4b": 2560,
    "qwen25_3b": 2048,
    "qwen25_7b": 3584,
    "qwen3_8b": 4096,
    "mistral_small": 5120,
    "shapes": 128,
}

# Names that other tools use for the same encoders.
ENCODER_ALIASES: dict[str, str] = {
    "clip-l": "clip_l",
    "clip-g": "clip_g",
    "clip-h": "clip_h",
    "clipl": "clip_l",
    "clipg": "clip_g",
    "cliph": "clip_h",
    "clip_vit_l": "clip_l",
    "clip_bigg": "clip_g",
    "t5": "t5xxl",
    "t5-xxl": "t5xxl",
    "t5_xxl": "t5xxl",
    "t5xxl_fp16": "t5xxl",
    "umt5": "umt5xxl",
    "umt5_xxl": "umt5xxl",
    "pile_t5_xl": "pile_t5xl",
    "pile_t5": "pile_t5xl",
    "llama31_8b": "llama",
    "llama3_8b": "llama",
    "llama3": "llama",
    "gemma": "gemma2_2b",
    "gemma2": "gemma2_2b",
    "t5gemma": "t5gemma_2b",
    "gemma3": "gemma3_4b",
    "qwen25": "qwen25_7b",
    "qwen2vl_7b": "qwen25_7b",
    "qwen3": "qwen3_4b",
    "mistral": "mistral_small",
    "mistral3_24b": "mistral_small",
}

OUTPUT_SUFFIX = "_out"


def canonical_key(name: str) -> str | None:
    """The encoder key that ``name`` means, or None where it names no encoder.

    ``t5`` gives ``t5xxl``; ``clip_l_out`` (a vector added to the encoder's output) keeps its
    suffix and gives ``clip_l_out``.
    """
    lowered = name.strip().lower()
    stem = lowered.removesuffix(OUTPUT_SUFFIX)
    found = stem if stem in ENCODER_WIDTHS else ENCODER_ALIASES.get(stem)
    if found is None:
        return None
    return found + OUTPUT_SUFFIX if stem != lowered else found


def encoder_of(key: str) -> str:
    """The encoder of a tensor key: ``t5xxl_out`` belongs to ``t5xxl``."""
    return key.removesuffix(OUTPUT_SUFFIX)


def is_output_key(key: str) -> bool:
    """True for vectors that are added to an encoder's output instead of its token table."""
    return key.endswith(OUTPUT_SUFFIX)


def keys_of_width(width: int) -> list[str]:
    """Encoder keys whose token vectors have ``width`` numbers, most usual first."""
    return [key for key, value in ENCODER_WIDTHS.items() if value == width]


@dataclass(frozen=True, repr=False)
class Tensor:
    """``vectors`` rows of ``width`` numbers, as the raw little-endian bytes of their file.

    ``dtype`` is ``fp64``, ``fp32``, ``fp16`` or ``bf16``. Raises FileRefusedError where the
    bytes do not fit the shape.
    """

    dtype: DType
    shape: tuple[int, int]
    data: bytes

    def __post_init__(self) -> None:
        rows, width = self.shape
        if rows < 1 or width < 1:
            raise FileRefusedError(f"A tensor of shape {list(self.shape)} holds no vectors.")
        wanted = rows * width * ITEM_BYTES[self.dtype]
        if len(self.data) != wanted:
            raise FileRefusedError(
                f"A {self.dtype} tensor of shape {list(self.shape)} needs {wanted} bytes "
                f"and has {len(self.data)}."
            )

    def __repr__(self) -> str:
        return f"Tensor({self.dtype}, {self.shape[0]}x{self.shape[1]})"

    @property
    def vectors(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Numbers in one row."""
        return self.shape[1]

    def to_fp32(self) -> Float32Array:
        """The values as a new float32 array of shape (vectors, width)."""
        import numpy as np

        if self.dtype == "bf16":
            half = np.frombuffer(self.data, dtype="<u2").astype("<u4")
            return (half << 16).view("<f4").astype(np.float32).reshape(self.shape)
        raw = np.frombuffer(self.data, dtype=NUMPY_NAMES[self.dtype])
        # A number too large for fp32 becomes infinite here; ``all_finite`` finds it.
        with np.errstate(over="ignore"):
            return raw.astype(np.float32).reshape(self.shape)

    def all_finite(self) -> bool:
        """True where no value is NaN or infinite as fp32."""
        import numpy as np

        return bool(np.isfinite(self.to_fp32()).all())

    def as_dtype(self, dtype: DType) -> Tensor:
        """The same values in another dtype, rounded to nearest even; itself where equal."""
        if dtype == self.dtype:
            return self
        import numpy as np

        if self.dtype == "fp64" and dtype != "bf16":
            wide = np.frombuffer(self.data, dtype="<f8")
            with np.errstate(over="ignore"):
                return Tensor(dtype, self.shape, wide.astype(NUMPY_NAMES[dtype]).tobytes())
        return from_fp32(self.to_fp32(), dtype)


def from_fp32(values: object, dtype: DType = "fp32") -> Tensor:
    """A Tensor from an array of shape (n, width) or (width,), cast to ``dtype``.

    bf16 rounds to nearest even, as torch does. Raises InputError for any other number of
    dimensions.
    """
    import numpy as np

    array = np.asarray(values, dtype=np.float32)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"An embedding tensor is [vectors, width], not {list(array.shape)}.")
    shape = (int(array.shape[0]), int(array.shape[1]))
    if dtype == "bf16":
        bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
        rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        # Rounding up may carry a NaN's mantissa into infinity: keep NaN a NaN.
        half = np.where(np.isnan(array), np.uint32(0x7FC0), rounded >> np.uint32(16))
        return Tensor("bf16", shape, half.astype("<u2").tobytes())
    with np.errstate(over="ignore"):
        return Tensor(dtype, shape, array.astype(NUMPY_NAMES[dtype]).tobytes())


def tensor_hash(tensors: Mapping[str, Tensor | Float32Array]) -> str:
    """SHA-256 (64 hex digits) of what an embedding holds, whatever file it lies in.

    Over each tensor's width, count and little-endian fp32 bytes, sorted. Key names are left out,
    because dialects disagree on them. Raises InputError for no tensors.
    """
    if not tensors:
        raise InputError("An embedding without tensors has no hash.")
    parts = []
    for value in tensors.values():
        tensor = value if isinstance(value, Tensor) else from_fp32(value)
        head = struct.pack("<QQ", tensor.width, tensor.vectors)
        values = tensor.data if tensor.dtype == "fp32" else tensor.to_fp32().astype("<f4").tobytes()
        parts.append(head + values)
    digest = hashlib.sha256()
    for part in sorted(parts):
        digest.update(part)
    return digest.hexdigest()
