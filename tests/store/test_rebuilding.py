"""The database again from the files beside it: every row."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store import make
from tests.store.compare import rows
from tireg.errors import SchemaTooNewError, StoreError
from tireg.store.adding import Item
from tireg.store.rebuilding import rebuild
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow, Remote, Verdict
from tireg.store.search import Query


def everything(home: Path) -> dict[str, list[object]]:
    """A registry that uses every table; its rows."""
    with Registry.open(home) as registry:
        registry.add_many(
            Item(
                *make.record(f"n{n}", tags=("born",), concept=make.concept(str(n), "a caption")),
                aliases=("best",),
                tags=(f"t{n}",),
                hashes={"autov3": f"{n:012x}"},
            )
            for n in range(5)
        )
        registry.add(*make.record("n0", "again"))
        registry.add_many(
            [Item(*make.foreign("embeddings", str(n)), collision="suffix") for n in range(3)]
        )
        record = registry.resolve("n0@1").record
        registry.add_run(*make.run(record))
        registry.add_run(*make.run(record, base_id="base/two"))
        registry.add_run(*make.run(registry.resolve("n3").record))
        registry.add_base(BaseRow("shapes", "shapes", path="/x/shapes"))
        registry.add_verdicts([Verdict("a" * 64, "b" * 64, "clip_l", "near", 0.97, "why")])
        registry.set_remote("n1", Remote("me/n1", "c" * 40, record.sha256))
        registry.note("n1", "notes with ünïcode and 水彩")
        registry.rename("n2", "renamed")
        registry.remove("n3")
        registry.remove("n4")
        registry.gc()
        registry.remove("n0@2")
        registry.add(*make.record("last"))
        assert registry.verify().ok
        return rows(registry.store.db)


def test_every_row_comes_back(home: Path) -> None:
    before = everything(home)
    assert all(before[name] for name in before), "the comparison leaves no table out"
    result = rebuild(home)
    assert result.problems == []
    assert (result.embeddings, result.versions, result.runs) == (7, 8, 2)
    assert result.kept is not None
    assert (result.kept / "registry.db").exists()
    with Registry.open(home) as registry:
        assert rows(registry.store.db) == before
        assert registry.verify().ok
        assert registry.history()[0].verb == "rebuild"
        assert registry.add(*make.record("n0", "third")).version.version == 3
        assert registry.store.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("ends", [("",), ("", "-wal", "-shm")])
def test_a_lost_database_comes_back(home: Path, ends: tuple[str, ...]) -> None:
    before = everything(home)
    for end in ends:
        (home / f"registry.db{end}").unlink(missing_ok=True)
    result = rebuild(home)
    assert result.problems == []
    with Registry.open(home) as registry:
        assert rows(registry.store.db) == before


def test_unusable_files_are_named_and_the_rest_comes_back(home: Path) -> None:
    everything(home)
    record = make.record("n1", tags=("born",), concept=make.concept("1", "a caption"))[0]
    (home / "records" / f"{record.sha256}.json").write_text("{}")
    (home / "state" / "1.json").write_text('{"format_version": 9}')
    next(iter((home / "runs").glob("*.json"))).write_text("[]")
    result = rebuild(home)
    text = "\n".join(result.problems)
    assert f"the record {record.sha256[:12]} has changed" in text
    assert "'state/1.json' has format version 9" in text
    assert "does not hold an object" in text
    with Registry.open(home) as registry:
        names = {row.name for row in registry.list()}
    assert "last" in names
    assert not {"n0", "n1"} & names


def test_without_any_state_the_records_are_adopted(home: Path) -> None:
    with Registry.open(home) as registry:
        first = make.record(seed="one", created="2026-08-01T00:00:00Z", tags=("born",))
        registry.add(*first)
        registry.add(*make.record(seed="two", created="2026-08-02T00:00:00Z"))
        registry.add(*make.record("dog"))
    (home / "registry.db").unlink()
    for path in (home / "state").iterdir():
        path.unlink()
    result = rebuild(home)
    assert "no state file was found" in result.problems[0]
    with Registry.open(home) as registry:
        assert registry.resolve("my-cat@1").record == first[0]
        assert registry.resolve("my-cat").version == 2
        assert [r.name for r in registry.search(Query(tags=("born",))).rows] == ["my-cat"]
        assert {p.trouble for p in registry.verify().problems} == {"stale"}


def test_an_empty_home_can_be_rebuilt(home: Path) -> None:
    result = rebuild(home)
    assert (result.embeddings, result.kept) == (0, None)
    with Registry.open(home) as registry:
        assert registry.list() == []


def test_who_had_it_open_learns_of_it(home: Path) -> None:
    everything(home)
    with Registry.open(home) as early:
        rebuild(home)
        with pytest.raises(StoreError, match="was replaced"):
            early.tag("n1", ["lost"])
        with pytest.raises(StoreError, match="was replaced"):
            early.add(*make.record("lost"))
    with Registry.open(home) as registry:
        assert registry.verify().ok
        assert "lost" not in registry.resolve("n1").tags


def test_a_newer_database_is_not_rebuilt_over(home: Path) -> None:
    everything(home)
    with Registry.open(home) as registry:
        registry.store.db.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaTooNewError):
        rebuild(home)
    assert (home / "registry.db").exists()
    assert not list(home.glob(".registry.db-*"))
