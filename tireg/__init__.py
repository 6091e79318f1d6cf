"""Train, measure, keep and share textual-inversion embeddings.

``tireg.load(pipeline, ref)`` gives a live diffusers pipeline a learned word, from the registry or
from an embedding file, and ``tireg.unload(pipeline)`` takes all of them away again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tireg.models.bases import unload
    from tireg.workflows.loading import load

__version__ = "0.1.0"

__all__ = ["__version__", "load", "unload"]

_LAZY = {"load": "tireg.workflows.loading", "unload": "tireg.models.bases"}


def __getattr__(name: str) -> object:
    """Import the public names on first use (PEP 562), so that ``import tireg`` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'tireg' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
