"""Bringing embeddings and runs in: versions, names, and all or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store import make
from tests.store.compare import assert_rebuilds, rows
from tireg.errors import NameInUseError, RefError, StoreError
from tireg.store.adding import Item, add_items
from tireg.store.files import Stage
from tireg.store.insert import refresh_embedding
from tireg.store.registry import Registry


def files(home: Path) -> set[str]:
    """Every file of the home but the database's own."""
    return {
        p.relative_to(home).as_posix()
        for p in home.rglob("*")
        if p.is_file() and not p.name.startswith("registry.db")
    }


def test_add_stores_everything(registry: Registry, tmp_path: Path) -> None:
    record, objects = make.record(tags=("red", "blue"), notes="first words")
    added = registry.add(record, objects, aliases=["best"], tags=["mine"])
    assert added.added
    version = added.version
    assert (version.name, version.version, version.ref) == ("my-cat", 1, "my-cat@1")
    assert version.record == record
    assert version.record_sha == record.sha256
    assert version.aliases == ("best",)
    assert version.tags == ("blue", "mine", "red")
    assert version.notes == "first words"
    assert registry.objects.read(record.files[0].sha256) == objects[record.files[0].sha256]
    raw = (registry.home / "records" / f"{record.sha256}.json").read_bytes()
    assert raw == record.canonical()
    assert (registry.home / "state" / "1.json").exists()
    assert [b.id for b in registry.bases()] == ["base/one"]
    assert registry.verify().ok
    assert_rebuilds(registry.home, tmp_path)


def test_versions_count_up_and_numbers_are_not_reused(registry: Registry) -> None:
    for number, seed in enumerate(("one", "two", "three"), start=1):
        assert registry.add(*make.record(seed=seed)).version.version == number
    registry.remove("my-cat@3")
    registry.gc()
    assert registry.add(*make.record(seed="four")).version.version == 4
    assert [v.version for v in registry.versions("my-cat")] == [1, 2, 4]


def test_equal_record_is_no_new_version(registry: Registry) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    again = registry.add(record, objects)
    assert not again.added
    assert again.version.version == 1
    # Trained again with the same outcome, another day and in another time.
    later = record.model_copy(update={"created": "2026-09-09T09:09:09Z"})
    repeated = registry.add(later, {})
    assert not repeated.added
    assert repeated.version.record_sha == record.sha256
    assert registry.find_equal(later, "my-cat") == repeated.version
    assert registry.find_equal(later, "other") is None
    assert registry.verify().ok, "the record that was not kept left no file"
    other_recipe, other_objects = make.record(seed="two")
    assert registry.add(other_recipe, other_objects).version.version == 2


def test_repeating_may_add_labels(registry: Registry) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    again = registry.add(record, {}, aliases=["best"], tags=["new"], hashes={"blake3": "AB" * 32})
    assert again.version.aliases == ("best",)
    assert again.version.tags == ("new",)
    assert registry.lookup("abababab")[0].form == "blake3"


def test_adding_again_takes_it_out_of_the_trash(registry: Registry) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    registry.remove("my-cat")
    again = registry.add(record, objects)
    assert not again.added
    assert again.version.trashed is None
    assert registry.count() == 1


def test_name_in_use_is_refused_with_the_token(registry: Registry) -> None:
    registry.add(*make.record())
    with pytest.raises(NameInUseError, match=r"'<my-cat>', not '<other>'") as caught:
        registry.add(*make.record(seed="two", token="<other>"))
    assert "--name" in caught.value.hint
    with pytest.raises(NameInUseError, match="kind object, not style"):
        registry.add(*make.record(seed="two", kind="style"))
    registry.add(*make.foreign("my-cat", "three", token="<my-cat>"))
    assert registry.verify().ok


def test_five_files_of_one_name_stay_five(registry: Registry) -> None:
    items = [Item(*make.foreign("embeddings", str(n)), collision="suffix") for n in range(5)]
    outcomes = registry.add_many(items)
    names = [o.found.name for o in outcomes]
    assert all(o.added for o in outcomes)
    assert len(set(names)) == 5
    assert names[0] == "embeddings"
    assert names[1] == f"embeddings-{items[1].record.tensor_hash[:8]}"
    again = registry.add_many(items)
    assert [o.found.name for o in again] == names
    assert not any(o.added for o in again)
    assert registry.count() == 5
    assert registry.verify().ok


def test_equal_tensors_under_another_name_are_linked(registry: Registry) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    registry.add(record, objects, name="copy")
    found = registry.equal_tensors(record.tensor_hash)
    assert [f.ref for f in found] == ["my-cat@1", "copy@1"]


def test_object_that_was_not_given_is_refused(registry: Registry) -> None:
    record, objects = make.record()
    objects.pop(record.files[1].sha256)
    before = files(registry.home)
    with pytest.raises(StoreError, match="was not given"):
        registry.add(record, objects)
    assert registry.count() == 0
    assert files(registry.home) == before
    registry.objects.put(b"preview of my-cat one")
    assert registry.add(record, objects).added


def test_wrong_and_unnamed_bytes_are_refused(registry: Registry) -> None:
    record, objects = make.record()
    before = files(registry.home)
    with pytest.raises(StoreError, match="another sha256"):
        registry.add(record, {**objects, record.files[0].sha256: b"evil"})
    with pytest.raises(StoreError, match="does not name"):
        registry.add(record, {**objects, make.sha(b"more"): b"more"})
    assert files(registry.home) == before


@pytest.mark.parametrize(
    "name", ["", "a@b", "a/b", "..", "-x", " x", "x\n", "a\x1b[31m", "x" * 101, "a\\b", "C:x"]
)
def test_names_that_cannot_be_typed_are_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RefError):
        registry.add(*make.record(), name=name)


def test_unusable_birth_tags_are_dropped(registry: Registry) -> None:
    record, objects = make.record(tags=("a,b", "", "\x1b", "fine"))
    assert registry.add(record, objects).version.tags == ("a b", "fine")


def test_raising_midway_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    registry.add(*make.record("kept"))
    before = files(registry.home)
    record, _ = make.record(seed="two", name="other")
    stage = Stage()
    path = registry.store.record_path(record.sha256)
    stage.add(path, record.canonical())

    def raise_midway() -> None:
        with registry.store.writing(stage) as change:
            change.db.execute("UPDATE embeddings SET notes = 'changed'")
            change.db.execute("INSERT INTO tags VALUES ('new', 1)")
            change.touch(1)
            change.publish()
            assert path.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        raise_midway()
    assert not path.exists()
    assert files(registry.home) == before
    assert registry.resolve("kept").notes == ""
    assert registry.resolve("kept").tags == ()
    assert registry.verify().ok
    assert_rebuilds(registry.home, tmp_path)


def test_one_bad_item_undoes_its_group_only(registry: Registry) -> None:
    items = [Item(*make.record(f"n{n}")) for n in range(6)]
    items[4] = Item(items[4].record, {})
    outcomes = registry.adding(items)
    with pytest.raises(StoreError, match="'n4'"):
        list(outcomes)
    assert registry.count() == 0
    with pytest.raises(StoreError, match="'n4'"):
        list(add_items(registry.store, items, group=3))
    assert sorted(r.name for r in registry.list()) == ["n0", "n1", "n2"]
    assert registry.verify().ok


def test_first_write_equals_a_refresh(registry: Registry) -> None:
    """What is written at once for a new embedding is what refreshing would make of it."""
    registry.add(*make.record(tags=("b", "a"), concept=make.concept("x", "a cat on a mat")))
    registry.add(*make.foreign("foreign", "f"))
    before = rows(registry.store.db)
    with registry.store.writing() as change:
        refresh_embedding(change.db, 1)
        refresh_embedding(change.db, 2)
    assert rows(registry.store.db) == before


def test_runs(registry: Registry, tmp_path: Path) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    first, sheet = make.run(record, created="2026-08-03T00:00:00Z")
    assert registry.add_run(first, sheet)
    assert not registry.add_run(first, sheet)
    elsewhere, sheet2 = make.run(
        record, base_id="base/two", created="2026-08-09T00:00:00Z", values={"fidelity": 0.2}
    )
    assert registry.add_run(elsewhere, sheet2)
    assert registry.runs(record.sha256) == [first, elsewhere]
    assert registry.run(first.run_id[:8]) == first
    assert registry.objects.read(first.files[0].sha256) in sheet.values()
    # The headline is of its own base, though the other run is newer.
    assert registry.list()[0].scores == {"fidelity": 0.7, "leakage": None}
    with pytest.raises(RefError, match="no embedding here"):
        registry.add_run(*make.run(make.record("never")[0]))
    with pytest.raises(RefError, match="there is no run"):
        registry.run("abcdef")
    third, _ = make.run(record, seed="third")
    with pytest.raises(StoreError, match="was not given"):
        registry.add_run(third, {})
    assert registry.verify().ok
    assert_rebuilds(registry.home, tmp_path)
