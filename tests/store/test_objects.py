"""Files by hash: whole or not at all, and proven when read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.make import sha
from tireg.errors import CorruptError, StoreError
from tireg.store.files import MANY, Stage, write_whole
from tireg.store.registry import Registry


def test_put_and_read(registry: Registry, tmp_path: Path) -> None:
    key = registry.objects.put(b"bytes")
    assert key == sha(b"bytes")
    path = registry.objects.path(key)
    assert path == registry.home / "objects" / key[:2] / key[2:]
    assert registry.objects.read(key) == b"bytes"
    assert registry.objects.put(b"bytes") == key
    (tmp_path / "file").write_bytes(b"from a file")
    assert registry.objects.read(registry.objects.put_file(tmp_path / "file")) == b"from a file"
    assert {s for s, _ in registry.objects.all()} == {key, sha(b"from a file")}
    assert list(registry.objects.temporaries()) == []


def test_changed_and_missing_objects_are_told(registry: Registry) -> None:
    key = registry.objects.put(b"bytes")
    registry.objects.path(key).write_bytes(b"bytez")
    with pytest.raises(CorruptError, match="has changed"):
        registry.objects.read(key)
    assert registry.objects.put(b"bytes") == key
    assert registry.objects.read(key) == b"bytes", "putting again heals it"
    registry.objects.path(key).unlink()
    with pytest.raises(CorruptError, match="is missing"):
        registry.objects.read(key)


@pytest.mark.parametrize("key", ["../../../etc/passwd", "", "ab", "g" * 64, "A" * 64])
def test_only_a_hash_is_a_key(registry: Registry, key: str) -> None:
    with pytest.raises(StoreError):
        registry.objects.path(key)


@pytest.mark.parametrize("count", [1, MANY, 3 * MANY])
def test_stage_places_all(tmp_path: Path, count: int) -> None:
    stage = Stage()
    for number in range(count):
        stage.add(tmp_path / "new" / f"{number % 3}" / str(number), str(number).encode())
    assert [p for p in tmp_path.rglob("*") if p.is_file() and p.name[0] != "."] == []
    stage.sync()
    stage.place()
    files = {p.name: p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {str(n): str(n) for n in range(count)}


def test_discarded_stage_leaves_nothing(tmp_path: Path) -> None:
    stage = Stage()
    stage.add(tmp_path / "a", b"a")
    stage.add(tmp_path / "b", b"b")
    stage.keep_only([tmp_path / "b"])
    assert len(list(tmp_path.iterdir())) == 1
    stage.discard()
    assert list(tmp_path.iterdir()) == []


def test_write_whole_replaces(tmp_path: Path) -> None:
    write_whole(tmp_path / "x", b"1")
    write_whole(tmp_path / "x", b"2")
    assert (tmp_path / "x").read_bytes() == b"2"
    assert len(list(tmp_path.iterdir())) == 1
