"""How workflows tell what they are doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """``done`` of ``total`` units of ``task``; ``note`` is what to show beside it."""

    task: str
    done: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class Notice:
    """A sentence the user should see."""

    text: str


Listener = Callable[[Event | Notice], None]


def silent(_: Event | Notice) -> None:
    """A listener that does not listen."""
