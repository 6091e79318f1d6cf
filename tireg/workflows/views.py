"""Recorded embeddings as plain data, for tables and for --json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tireg.domain.scores import Run
from tireg.store.registry import Registry
from tireg.store.rows import Version


def list_embeddings(home: Path) -> list[dict[str, Any]]:
    """Every embedding version in the registry, by name and number; light."""
    with Registry.open(home, create=False) as registry:
        return [
            {
                "name": row.name,
                "version": row.version,
                "token": row.token,
                "kind": row.kind,
                "vectors": row.vectors,
                "tensor_hash": row.tensor_hash,
                "base": row.base,
                "family": row.family,
                "created": row.created,
                "scores": dict(row.scores),
            }
            for row in registry.list()
        ]


def show_embedding(home: Path, ref: str) -> dict[str, Any]:
    """All there is to know about one version: its record, its runs, where its files lie.

    Raises RefError when ``ref`` names nothing.
    """
    with Registry.open(home, create=False) as registry:
        version = registry.resolve(ref)
        runs = registry.runs(version.record_sha)
        files = [
            {**f.model_dump(mode="json"), "path": str(registry.objects.path(f.sha256))}
            for f in (*version.record.files, *(f for run in runs for f in run.files))
        ]
    return describe_version(version, runs, files)


def describe_version(
    version: Version, runs: list[Run], files: list[dict[str, Any]]
) -> dict[str, Any]:
    """One version as the object that ``show --json`` prints."""
    record = version.record
    plain = record.model_dump(mode="json")
    latest = runs[-1] if runs else None
    head = {
        "name": version.name,
        "version": version.version,
        "token": record.token,
        "kind": record.kind,
        "tensor_hash": record.tensor_hash,
        "base": record.base.id if record.base else None,
        "record_sha256": version.record_sha,
        "aliases": list(version.aliases),
        "tags": list(version.tags),
        "base_details": plain["base"],
        "recipe": plain["recipe"],
        "scores": [s.model_dump(mode="json") for s in latest.scores] if latest else [],
        "runs": [run_head(run) for run in runs],
        "files": files,
    }
    rest = {k: v for k, v in plain.items() if k not in head and k not in ("format_version",)}
    return {**head, **rest, "record_format_version": record.format_version}


def run_head(run: Run) -> dict[str, Any]:
    """What identifies a run, without its scores."""
    return {
        "run_id": run.run_id,
        "base": run.spec.base,
        "suite": run.spec.suite.model_dump(mode="json"),
        "seeds": list(run.spec.seeds),
        "created": run.created,
        "seconds": run.seconds,
    }


def run_as_json(run: Run, name: str, version: int) -> dict[str, Any]:
    """A run as ``eval --json`` prints it."""
    return {
        "run_id": run.run_id,
        "embedding": {"name": name, "version": version, "tensor_hash": run.spec.embedding},
        "base": run.spec.base,
        "suite": run.spec.suite.model_dump(mode="json"),
        "scores": [score.model_dump(mode="json") for score in run.scores],
    }
