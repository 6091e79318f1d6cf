"""Train, measure, keep and share textual-inversion embeddings.

``tireg.load(pipeline, path)`` gives a diffusers pipeline the words of an embedding file, and
``tireg.unload(pipeline)`` takes them away again. Everything else is the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tireg.models.bases import load, unload

__version__ = "0.1.0"

__all__ = ["__version__", "load", "unload"]

_LAZY = {"load": "tireg.models.bases", "unload": "tireg.models.bases"}


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
