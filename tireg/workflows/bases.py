"""Which bases are known here, and which families there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tireg.domain.families import families
from tireg.store.registry import Registry
from tireg.workflows.places import BUILT_IN


def known_bases(home: Path) -> list[dict[str, Any]]:
    """The built-in bases, then those used before."""
    rows = [
        {
            "id": name,
            "revision": None,
            "family": name,
            "license": entry.license,
            "where": "built in",
            "title": entry.title,
        }
        for name, entry in BUILT_IN.items()
    ]
    with Registry.open(home, create=False) as registry:
        rows += [
            {
                "id": row.id,
                "revision": row.revision,
                "family": row.family,
                "license": row.license,
                "where": row.path,
                "title": None,
            }
            for row in registry.bases()
            if row.id not in BUILT_IN
        ]
    return rows


def known_families() -> list[dict[str, Any]]:
    """The catalogue, most used first."""
    return [
        {
            "id": row.id,
            "title": row.title,
            "pipeline": row.pipeline,
            "encoders": ", ".join(f"{e.key} {e.width}" for e in row.encoders),
            "resolution": row.resolution,
            "sampler": row.sampler,
            "steps": row.steps,
            "guidance": row.guidance,
            "trainable": row.trainable,
            "diffusers_loads": row.diffusers_loads,
        }
        for row in families()
    ]
