"""Labels, notes, names and the trash."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store import make
from tests.store.compare import assert_rebuilds
from tireg.errors import NameInUseError, RefError, StoreError
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow, Remote, Verdict
from tireg.store.search import Query


def found(registry: Registry, words: str) -> list[str]:
    """Names that a search for the words gives."""
    return [r.name for r in registry.search(Query(words=words)).rows]


def test_tags_notes_and_words(registry: Registry, tmp_path: Path) -> None:
    registry.add(*make.record())
    assert registry.tag("my-cat", ["soft", "red", "soft"]) == ("red", "soft")
    assert registry.untag("my-cat@1", ["red", "never"]) == ("soft",)
    registry.note("my-cat", "sits on a zeppelin")
    assert registry.resolve("my-cat").notes == "sits on a zeppelin"
    assert found(registry, "soft") == found(registry, "zeppelin") == ["my-cat"]
    assert found(registry, "red") == []
    registry.note("my-cat", "")
    assert found(registry, "zeppelin") == []
    for bad in ("", "a,b", "x\ny"):
        with pytest.raises(RefError):
            registry.tag("my-cat", [bad])
    assert registry.verify().ok
    assert_rebuilds(registry.home, tmp_path)


def test_aliases(registry: Registry, tmp_path: Path) -> None:
    registry.add(*make.record(seed="one"))
    registry.add(*make.record(seed="two"))
    registry.alias("my-cat@1", "best")
    assert registry.resolve("my-cat@best").version == 1
    registry.alias("my-cat", "best")
    assert registry.resolve("my-cat@best").version == 2
    registry.unalias("my-cat", "best")
    with pytest.raises(RefError, match="no alias 'best'"):
        registry.unalias("my-cat", "best")
    for reserved in ("latest", "7", "a@b"):
        with pytest.raises(RefError):
            registry.alias("my-cat", reserved)
    registry.alias("my-cat@1", "old")
    registry.remove("my-cat@1")
    registry.gc()
    with pytest.raises(RefError, match="no version 'old'"):
        registry.resolve("my-cat@old")
    assert_rebuilds(registry.home, tmp_path)


def test_rename(registry: Registry, tmp_path: Path) -> None:
    registry.add(*make.record())
    registry.add(*make.record("dog"))
    registry.rename("my-cat", "tiger")
    assert registry.resolve("tiger").record.name == "my-cat"
    assert found(registry, "tiger") == ["tiger"]
    with pytest.raises(RefError):
        registry.resolve("my-cat")
    with pytest.raises(NameInUseError, match="token '<dog>'"):
        registry.rename("tiger", "dog")
    registry.rename("tiger", "tiger")
    with pytest.raises(RefError):
        registry.rename("tiger", "a/b")
    assert_rebuilds(registry.home, tmp_path)


def test_trash_and_back(registry: Registry, tmp_path: Path) -> None:
    registry.add(*make.record(seed="one"))
    registry.add(*make.record(seed="two"))
    assert [f.ref for f in registry.remove("my-cat")] == ["my-cat@1", "my-cat@2"]
    assert registry.list() == []
    assert registry.count() == 0
    assert found(registry, "my-cat") == []
    assert registry.verify().ok
    assert_rebuilds(registry.home, tmp_path)
    assert [f.ref for f in registry.restore("my-cat@2")] == ["my-cat@2"]
    assert [v.version for v in registry.versions("my-cat")] == [2]
    assert [v.version for v in registry.versions("my-cat", trashed=True)] == [1, 2]
    registry.restore("my-cat")
    assert found(registry, "my-cat") == ["my-cat"]
    with pytest.raises(RefError, match="not in the trash"):
        registry.restore("my-cat")
    assert_rebuilds(registry.home, tmp_path)


def test_a_name_in_the_trash_is_kept_until_gc(registry: Registry) -> None:
    registry.add(*make.record())
    registry.remove("my-cat")
    with pytest.raises(NameInUseError):
        registry.add(*make.record(seed="two", token="<else>"))
    registry.gc()
    assert registry.add(*make.record(seed="two", token="<else>")).version.version == 1


def test_bases_verdicts_and_remotes(registry: Registry, tmp_path: Path) -> None:
    registry.add_base(BaseRow("base/two", "sd1", path="/models/two"))
    registry.add_base(BaseRow("base/two", "sd1", fingerprint=make.fingerprint("two")))
    registry.add_base(BaseRow("base/three", "sd1", path="relative"))
    two = next(b for b in registry.bases() if b.id == "base/two")
    assert two.path == "/models/two"
    assert two.fingerprint == make.fingerprint("two")
    assert [b.id for b in registry.bases()] == ["base/three", "base/two"]
    assert registry.bases()[0].path is None
    verdict = Verdict("a" * 64, "b" * 64, "clip_l", "near", 0.98, "close rows")
    registry.add_verdicts([verdict])
    assert registry.verdicts(target="a" * 64)[0].cosine == 0.98
    assert registry.verdicts(target="c" * 64) == []
    assert len(registry.verdicts()) == 1
    registry.add(*make.record())
    registry.set_remote("my-cat", Remote("me/my-cat", "f" * 40, "a" * 64))
    registry.set_remote("my-cat", Remote("me/my-cat", "e" * 40, "a" * 64))
    assert [r.revision for r in registry.remotes("my-cat")] == ["e" * 40]
    assert registry.verify().ok
    assert_rebuilds(registry.home, tmp_path)


def test_looking_creates_nothing(home: Path) -> None:
    for _ in range(2):
        with Registry.open(home, create=False) as registry:
            assert registry.list() == []
            assert registry.count() == 0
            assert registry.search(Query(words="x")).rows == []
            assert registry.verify().ok
            assert registry.duplicates() == []
            assert registry.stats().embeddings == 0
            assert registry.history() == []
            with pytest.raises(RefError):
                registry.resolve("x")
            with pytest.raises(StoreError, match="for reading only"):
                registry.add(*make.record())
        assert not any(home.iterdir()) if home.exists() else True
        home.mkdir(exist_ok=True)
