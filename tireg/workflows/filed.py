"""An embedding named on the command line: is it one of the registry's, or a file?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tireg.errors import FileRefusedError, InputError, RefError
from tireg.store.registry import Registry

if TYPE_CHECKING:
    from tireg.dialects import FileReading, ReadEmbedding
    from tireg.store.rows import Version

SUFFIXES = (".safetensors", ".pt", ".bin", ".png", ".pti", ".sft", ".pth", ".ckpt")


def recorded(registry: Registry, ref: str) -> Version | None:
    """The version that ``ref`` names; None where it is a file or a folder instead.

    What looks like a path is one. Any other word is looked for in the registry first, so that a
    folder of pictures beside the user does not hide the embedding learned from them. Raises
    RefError for what is neither.
    """
    path = Path(ref).expanduser()
    if "/" in ref or path.suffix.lower() in SUFFIXES:
        return None
    try:
        return registry.resolve(ref)
    except RefError:
        if path.exists():
            return None
        raise


def read_one(path: Path, *, token: str | None = None) -> tuple[FileReading, ReadEmbedding]:
    """The one embedding of a file or folder.

    Raises FileRefusedError where it is refused, and InputError where it holds none or several.
    """
    from tireg.dialects import read_path, refusal

    readings = read_path(path, token=token)
    found = [(reading, embedding) for reading in readings for embedding in reading.embeddings]
    refused = [reading for reading in readings if reading.refused is not None]
    if not found and refused:
        raise refusal(refused[0])
    if not found:
        raise FileRefusedError(f"'{path}' holds no embedding", hint=f"tireg inspect '{path}'")
    if len(found) > 1:
        raise InputError(
            f"'{path}' holds {len(found)} embeddings, and one is meant",
            hint=f"tireg import '{path}' takes them all",
        )
    return found[0]
