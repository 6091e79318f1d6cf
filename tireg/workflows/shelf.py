"""Models that stay open from one piece of work to the next in the same process."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_shelf: ContextVar[dict[str, tuple[Hashable, Any, Any]] | None] = ContextVar("shelf", default=None)


@contextmanager
def shelf(kept: dict[str, tuple[Hashable, Any, Any]]) -> Iterator[None]:
    """While this lasts, :func:`kept_open` keeps the last model of each kind in ``kept``."""
    token = _shelf.set(kept)
    try:
        yield
    finally:
        _shelf.reset(token)


def kept_open(kind: str, told: Hashable, open_it: Callable[[], T]) -> T:
    """What ``open_it`` opens; on a shelf the last one of its ``kind``, if ``told`` is the same.

    Of a base the words are taken out by who put them in; its scheduler, which drawing replaces,
    is put back here.
    """
    kept = _shelf.get()
    if kept is None:
        return open_it()
    if kind not in kept or kept[kind][0] != told:
        kept.pop(kind, None)  # before the next is opened: two may not fit into memory
        found = open_it()
        kept[kind] = (told, found, getattr(getattr(found, "pipe", None), "scheduler", None))
    _, model, scheduler = kept[kind]
    if scheduler is not None:
        model.pipe.scheduler = type(scheduler).from_config(scheduler.config)
    opened: T = model
    return opened
