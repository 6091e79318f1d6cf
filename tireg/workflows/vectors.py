"""The vectors of a recorded version: to bytes and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tireg.domain.records import Record, TensorInfo
from tireg.errors import CorruptError

if TYPE_CHECKING:
    import numpy as np

FILE_NAME = "learned_embeds.safetensors"
MEDIA_TYPE = "application/x-safetensors"


def pack_vectors(token: str, tensors: Mapping[str, np.ndarray]) -> bytes:
    """One safetensors file of fp32 rows [n, width] per encoder.

    For one encoder the key is the token, which is what diffusers' own loader reads; for
    several it is the encoder key.
    """
    from safetensors.numpy import save

    if len(tensors) == 1:
        return bytes(save({token: next(iter(tensors.values()))}, {"format": "pt"}))
    return bytes(save(dict(tensors), {"format": "pt", "token": token}))


def unpack_vectors(record: Record, data: bytes) -> dict[str, np.ndarray]:
    """The rows by encoder key. CorruptError if the bytes are not what the record describes."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(data)
    except (SafetensorError, ValueError) as error:
        raise CorruptError(f"the vectors of '{record.name}' cannot be read") from error
    wanted = {info.encoder: info for info in record.tensors}
    if len(wanted) == 1 and len(found) == 1:
        found = {next(iter(wanted)): next(iter(found.values()))}
    shapes = {key: (info.vectors, info.width) for key, info in wanted.items()}
    if {key: value.shape for key, value in found.items()} != shapes:
        raise CorruptError(
            f"the vectors of '{record.name}' are not those of its record", hint="tireg verify"
        )
    return {key: value.astype("float32") for key, value in found.items()}


def describe(tensors: Mapping[str, np.ndarray]) -> tuple[TensorInfo, ...]:
    """What a record says about rows."""
    return tuple(
        TensorInfo(encoder=key, vectors=value.shape[0], width=value.shape[1], dtype="fp32")
        for key, value in tensors.items()
    )
