"""Every hash by which tools and sites name an embedding file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tireg.dialects.files import CHUNK, Source, open_source
from tireg.domain.tensors import Tensor


@dataclass(frozen=True)
class Hashes:
    """Hashes of one file, lower-case hex.

    ``autov2`` is the first 10 digits of the SHA-256. ``autov3`` is the first 12 digits of the
    SHA-256 of a safetensors file's data without its header, None for other files. ``short`` is
    A1111's 12 digits of the SHA-256.
    """

    sha256: str
    autov2: str
    autov3: str | None
    blake3: str
    short: str


def file_hashes(path: Path | str) -> Hashes:
    """All hashes of a file, read once. Raises FileRefusedError where it cannot be read."""
    with open_source(Path(path)) as source:
        return hashes_of(source)


def hashes_of(source: Source) -> Hashes:
    """All hashes of an opened file."""
    from blake3 import blake3

    from tireg.dialects.safetensors_file import looks_like_safetensors

    whole, other = hashlib.sha256(), blake3()
    source.handle.seek(0)
    while data := source.handle.read(CHUNK):
        whole.update(data)
        other.update(data)
    sha256 = whole.hexdigest()
    autov3 = None
    if looks_like_safetensors(source.read(0, min(source.size, 16))):
        start = 8 + int.from_bytes(source.read(0, 8), "little")
        autov3 = _sha256_from(source, start)[:12] if start <= source.size else None
    return Hashes(sha256, sha256[:10], autov3, other.hexdigest(), sha256[:12])


def _sha256_from(source: Source, start: int) -> str:
    digest = hashlib.sha256()
    source.handle.seek(start)
    while data := source.handle.read(CHUNK):
        digest.update(data)
    return digest.hexdigest()


def webui_checksum(tensors: Mapping[str, Tensor]) -> str | None:
    """A1111's 4-digit vector checksum, of which there are only 65,536.

    None for embeddings of several encoders, for which A1111 has none, and for values so large
    that A1111 itself fails on them. The rule is ``Embedding.checksum`` of
    stable-diffusion-webui.
    """
    if len(tensors) != 1:
        return None
    import numpy as np

    (tensor,) = tensors.values()
    with np.errstate(over="ignore"):
        values = tensor.to_fp32().reshape(-1) * np.float32(100)
    if not np.isfinite(values).all():
        return None
    # Only 16 bits are kept in the end, and no higher bit ever flows down into them. A float32
    # beyond 2**40 is a whole multiple of 2**16, so its low bits are zero.
    values[np.abs(values) >= 2.0**40] = 0
    result = 0
    for term in ((values.astype(np.int64) * 997) & 0xFFFF).tolist():
        result = ((result * 281) ^ term) & 0xFFFF
    return f"{result:04x}"
