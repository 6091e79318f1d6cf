"""An open registry of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tireg.store.registry import Registry


@pytest.fixture
def registry(home: Path) -> Iterator[Registry]:
    """A new registry in the test's home."""
    with Registry.open(home) as opened:
        yield opened
