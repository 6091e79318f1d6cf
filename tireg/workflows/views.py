"""Recorded embeddings as plain data, for tables and for --json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.store.registry import Registry

if TYPE_CHECKING:
    from tireg.store.rows import About, Version


PAGE = 50


def list_embeddings(home: Path, *, everything: bool = False) -> dict[str, Any]:
    """The embeddings outside the trash, newest first, each by its newest version; light.

    ``rows`` is one page of 50 unless ``everything`` is asked for; ``total`` counts them all.
    """
    with Registry.open(home, create=False) as registry:
        found = registry.list(limit=None if everything else PAGE)
        total = registry.count() if len(found) == PAGE and not everything else len(found)
    rows = [
        {
            "name": row.name,
            "version": row.version,
            "token": row.token,
            "kind": row.kind,
            "negative": row.negative,
            "vectors": row.vectors,
            "tensor_hash": row.tensor_hash,
            "base": row.base,
            "family": row.family,
            "created": row.created,
            "scores": dict(row.scores),
        }
        for row in found
    ]
    return {"rows": rows, "total": total}


def list_trash(home: Path) -> list[dict[str, Any]]:
    """Every version in the trash, the last thrown away first."""
    with Registry.open(home, create=False) as registry:
        return [
            {
                "name": version.name,
                "version": version.version,
                "tensor_hash": version.tensor_hash,
                "trashed": version.trashed,
            }
            for version in registry.trash()
        ]


def show_embedding(home: Path, ref: str) -> dict[str, Any]:
    """All there is to know about one version: its record, its runs, where its files lie.

    Raises RefError when ``ref`` names nothing.
    """
    with Registry.open(home, create=False) as registry:
        version, raw_runs = registry.raw(ref)
        record, runs = json.loads(version.record), [json.loads(raw) for raw in raw_runs]
        files = [
            {**file, "path": str(registry.objects.path(file["sha256"]))}
            for file in (*record["files"], *(f for run in runs for f in run["files"]))
        ]
    return describe(version, record, runs, files)


def describe_version(version: Version) -> dict[str, Any]:
    """A version just made, as :func:`show_embedding` would show it without its paths."""
    record = version.record.model_dump(mode="json")
    return describe(version, record, [], record["files"])


def describe(
    version: About,
    record: dict[str, Any],
    runs: list[dict[str, Any]],
    files: list[dict[str, Any]],
) -> dict[str, Any]:
    """One version as the object that ``show --json`` prints; scores are the latest run's."""
    head = {
        "name": version.name,
        "version": version.version,
        "token": record["token"],
        "kind": record["kind"],
        "tensor_hash": record["tensor_hash"],
        "base": record["base"]["id"] if record["base"] else None,
        "record_sha256": version.record_sha,
        "aliases": list(version.aliases),
        "tags": list(version.tags),
        "notes": version.notes,
        "base_details": record["base"],
        "recipe": record["recipe"],
        "scores": runs[-1]["scores"] if runs else [],
        "accuracy": runs[-1].get("accuracy", []) if runs else [],
        "runs": [_run_head(run) for run in runs],
        "files": files,
        "record_format_version": record["format_version"],
    }
    return {**head, **{k: v for k, v in record.items() if k not in (*head, "format_version")}}


def _run_head(run: dict[str, Any]) -> dict[str, Any]:
    """What identifies a run, without its scores."""
    spec = run["spec"]
    return {
        "run_id": run["run_id"],
        "base": spec["base"],
        "suite": spec["suite"],
        "seeds": spec["seeds"],
        "created": run["created"],
        "seconds": run["seconds"],
    }
