"""Keeping the registry tidy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tireg.store.registry import Registry


def remove(home: Path, refs: Sequence[str]) -> list[tuple[str, int]]:
    """Move versions to the trash; a bare name means all its versions.

    All ``refs`` are looked up before the first is removed. Raises RefError for one that names
    nothing.
    """
    with Registry.open(home, create=False) as registry:
        found: list[tuple[str, int]] = []
        for ref in refs:
            version = registry.resolve(ref)
            if ref == version.name:
                numbers = [v.version for v in registry.versions(version.name) if not v.trashed]
            else:
                numbers = [version.version]
            found += [(version.name, n) for n in numbers if (version.name, n) not in found]
        for name, number in found:
            registry.remove(f"{name}@{number}")
    return found
