"""The sd-concepts-library as records without vectors: found by name, type and token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.store import make
from tireg.domain.records import Source
from tireg.store.adding import Item
from tireg.store.names import clean_name
from tireg.store.registry import Registry
from tireg.store.search import Query


def item_of(entry: dict[str, Any]) -> Item:
    """What the list says of one concept, with no vectors and no files."""
    name = clean_name(entry["model_name"])
    record, _ = make.foreign(name, entry["model_name"])
    changes = {
        "token": entry["token"] or "*",
        "kind": entry["concept_type"] if entry["concept_type"] in ("object", "style") else None,
        "files": (),
        "source": Source(how="pulled", where=f"sd-concepts-library/{entry['model_name']}"),
    }
    return Item(record.model_copy(update=changes), {}, name, collision="suffix")


@pytest.fixture
def entries(shared_dir: Path, registry: Registry) -> list[dict[str, Any]]:
    """The list, all of it in the registry."""
    path = shared_dir / "realworld" / "concepts" / "models.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    outcomes = registry.add_many(item_of(entry) for entry in found)
    assert all(outcome.added for outcome in outcomes)
    return found


def test_every_concept_is_found(registry: Registry, entries: list[dict[str, Any]]) -> None:
    assert registry.count() == len(entries) == 762
    for entry in entries:
        name = clean_name(entry["model_name"])
        found = registry.search(Query(words=f'"{name}"', limit=None)).rows
        assert name in [row.name for row in found], name
        # The beginning of a word is enough, as people type it.
        found = registry.search(Query(words=name[: max(4, len(name) // 2)], limit=None)).rows
        assert name in [row.name for row in found], name
        if any(letter.isalnum() for letter in entry["token"]):
            found = registry.search(Query(words=entry["token"], limit=None)).rows
            assert name in [r.name for r in found if r.token == entry["token"]], entry["token"]


def test_by_type(registry: Registry, entries: list[dict[str, Any]]) -> None:
    for kind in ("object", "style"):
        wanted = {clean_name(e["model_name"]) for e in entries if e["concept_type"] == kind}
        by_filter = registry.search(Query(kind=kind, limit=None)).rows
        assert {row.name for row in by_filter} == wanted
        by_word = registry.search(Query(words=kind, limit=None)).rows
        assert wanted <= {row.name for row in by_word}
    styles = registry.search(Query(words="anime", kind="style", limit=None)).rows
    assert styles
    assert all(row.kind == "style" for row in styles)
    assert registry.verify().ok
