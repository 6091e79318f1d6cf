"""Put embeddings into a live diffusers pipeline, from the registry or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.errors import InputError
from tireg.store.home import registry_home
from tireg.store.registry import Registry
from tireg.workflows.filed import read_one, recorded
from tireg.workflows.vectors import unpack_vectors

if TYPE_CHECKING:
    import numpy as np


def load(pipe: Any, ref: str | Path, *, token: str | None = None) -> str:
    """Load an embedding into ``pipe`` and return the token to type in prompts.

    ``ref`` is a registry reference (``name``, ``name@2``, ``name@best``), an embedding file of
    any dialect tireg reads, or a folder that holds one embedding. ``token`` overrides the word
    to type. ``pipe`` may be of any family of the catalogue or build on one (image-to-image,
    inpainting, ControlNet, AnimateDiff). Embeddings loaded before stay; ``tireg.unload(pipe)``
    takes all of them out and leaves the pipeline as it was, bit for bit. Raises RefError,
    FileRefusedError, or BaseError when the pipeline has no encoder for it or of another width.
    """
    from tireg.models import bases

    known = None if isinstance(ref, Path) else _from_registry(ref)
    found, rows = known or _from_file(Path(ref).expanduser(), token)
    word = token or found
    bases.load(pipe, {word: rows})
    return word


def _from_registry(ref: str) -> tuple[str, dict[str, np.ndarray]] | None:
    with Registry.open(registry_home(), create=False) as registry:
        version = recorded(registry, ref)
        if version is None:
            return None
        stored = version.record.file("embedding")
        if stored is None:
            raise InputError(f"'{ref}' has no vectors", hint="tireg verify")
        data = registry.objects.read(stored.sha256)
    return version.record.token, unpack_vectors(version.record, data)


def _from_file(path: Path, token: str | None) -> tuple[str, dict[str, np.ndarray]]:
    embedding = read_one(path, token=token)[1]
    return embedding.token, {key: t.to_fp32() for key, t in embedding.tensors.items()}
