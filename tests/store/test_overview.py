"""Counts, history, differences, duplicates and hashes."""

from __future__ import annotations

import pytest

from tests.store import make
from tireg.domain.recipes import Recipe
from tireg.errors import InputError, RefError
from tireg.store.adding import Item
from tireg.store.overview import Difference
from tireg.store.registry import Registry


def test_stats(registry: Registry) -> None:
    registry.add(*make.record(seed="one"), tags=["x", "y"])
    registry.add(*make.record(seed="two"))
    registry.add(*make.record("dog", license=None), tags=["x"])
    registry.add(*make.record("gone"))
    registry.remove("gone")
    registry.add_run(*make.run(make.record(seed="one")[0]))
    stats = registry.stats()
    assert (stats.embeddings, stats.versions, stats.trashed, stats.runs) == (2, 3, 1, 1)
    assert stats.objects == 9
    assert stats.bytes == sum(p.stat().st_size for _, p in registry.objects.all())
    assert stats.kinds == {"object": 2}
    assert stats.licenses == {"apache-2.0": 1, None: 1}
    assert stats.tags == {"x": 2, "y": 1}
    assert (stats.bases, stats.concepts) == (1, 3)
    assert stats.database_bytes > 0


def test_history(registry: Registry) -> None:
    registry.add(*make.record())
    registry.tag("my-cat", ["red"])
    registry.rename("my-cat", "cat")
    registry.add(*make.record("dog"))
    registry.remove("cat")
    events = registry.history()
    assert [e.verb for e in events] == ["rm", "add", "rename", "tag", "add"]
    assert all(e.who for e in events)
    assert events[2].detail == "from my-cat"
    assert [e.verb for e in registry.history("cat")] == ["rm", "rename", "tag", "add"]
    assert len(registry.history(limit=2)) == 2
    registry.gc()
    assert registry.history()[0].verb == "gc"
    with pytest.raises(RefError):
        registry.history("cat")


def test_diff(registry: Registry) -> None:
    registry.add(*make.record(seed="one", recipe=Recipe(steps=100)))
    registry.add(*make.record(seed="two", recipe=Recipe(steps=200), author=None))
    found = {d.field: d for d in registry.diff("my-cat@1", "my-cat@2")}
    assert found["recipe.steps"] == Difference("recipe.steps", 100, 200)
    assert found["author"] == Difference("author", "someone", None)
    assert "tensor_hash" in found
    assert "token" not in found
    assert registry.diff("my-cat@1", "my-cat@1") == []


def test_duplicates_and_dedupe(registry: Registry) -> None:
    record, objects = make.record("a")
    registry.add(record, objects)
    registry.add(record, {}, name="b")
    registry.add(record, {}, name="c", aliases=["best"])
    registry.add(*make.record("other"))
    groups = registry.duplicates()
    assert [[f.name for f in group] for group in groups] == [["a", "b", "c"]]
    assert [f.name for f in registry.dedupe(dry_run=True)] == ["b"]
    assert registry.count() == 4
    assert [f.name for f in registry.dedupe()] == ["b"], "what has an alias stays"
    assert registry.count() == 3
    assert registry.dedupe() == []
    registry.restore("b")
    assert registry.count() == 4


def test_lookup_of_every_form(registry: Registry) -> None:
    record, objects = make.foreign("easy", "source")
    hashes = {
        "autov3": "0xABCDEF012345",
        "blake3": "cd" * 32,
        "crc32": "DEADBEEF",
        "checksum": "1a2b",
        "autov1": "12345678",
    }
    registry.add(record, objects, hashes=hashes)
    registry.add_many([Item(*make.foreign("other", "o"), hashes={"checksum": "1a2b"})])
    file = record.files[0].sha256
    for text, form in {
        file: "sha256",
        file.upper(): "sha256",
        file[:10]: "autov2",
        f"0x{file[:12]}": "a1111",
        record.sha256: "record",
        record.tensor_hash[:16]: "sha256" if record.tensor_hash == file else "tensors",
        make.sha("source"): "source",
        "abcdef012345": "autov3",
        "CDCDCDCDCD": "blake3",
        "deadbeef": "crc32",
        "12345678": "autov1",
        record.files[1].sha256: "preview",
    }.items():
        matches = registry.lookup(text)
        assert {m.found.name for m in matches} == {"easy"}, text
        assert form in {m.form for m in matches}, text
    assert {m.found.name for m in registry.lookup("1A2B")} == {"easy", "other"}
    assert registry.lookup("f" * 64) == []
    registry.remove("easy")
    assert registry.lookup(file)[0].found.trashed is not None
    for bad in ("", "xyz", "abc", "g" * 10, "a" * 65):
        with pytest.raises(InputError, match="not a hash"):
            registry.lookup(bad)


def test_plain_tables_and_views_are_useful(registry: Registry) -> None:
    registry.add(*make.record(tags=("b", "a")))
    registry.add(*make.record("copy", tensor_hash=make.record()[0].tensor_hash))
    registry.add_run(*make.run(make.record(tags=("b", "a"))[0]))
    registry.add(*make.record("gone"))
    registry.remove("gone")
    db = registry.store.db
    library = list(db["library"].rows)
    assert [(r["name"], r["tags"]) for r in library] == [("my-cat", "a, b"), ("copy", None)]
    assert {r["metric"] for r in db["score_table"].rows} == {"fidelity", "leakage"}
    assert next(iter(db["duplicates"].rows))["members"] == "my-cat@1, copy@1"
    assert [r["name"] for r in db["trash"].rows] == ["gone"]
    pictures = [r["picture"] for r in db["lineage"].rows if r["name"] == "my-cat"]
    assert pictures == ["my-cat0.png", "my-cat1.png"]
