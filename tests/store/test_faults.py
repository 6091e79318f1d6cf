"""Full disk, closed folder, damaged, foreign and future databases: a sentence, never silence."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.store import make
from tests.store.compare import assert_rebuilds
from tireg.errors import ConfigError, CorruptError, StoreError, TiregError
from tireg.store.doctor import examine
from tireg.store.rebuilding import rebuild
from tireg.store.registry import Registry
from tireg.store.search import Query


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB, mounted; skips where mounting is not allowed."""
    spot = tmp_path / "disk"
    spot.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("there is no mount command here to make a small disk with")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(spot)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield spot
    subprocess.run(["umount", str(spot)], check=True)


def test_full_disk(small_disk: Path, tmp_path: Path) -> None:
    home = small_disk / "home"
    with Registry.open(home) as registry:
        kept = []

        def fill() -> None:
            for number in range(1000):
                record, objects = make.record(f"n{number}", size=100_000)
                registry.add(record, objects)
                kept.append(record)

        with pytest.raises(StoreError, match=r"disk of .* is full") as caught:
            fill()
        assert "free some space" in caught.value.hint
        assert len(kept) > 3
        assert {r.name for r in registry.list(limit=None)} == {r.name for r in kept}
        for record in kept:
            assert registry.resolve(record.name).record == record
    shutil.copytree(home, tmp_path / "copy")
    with Registry.open(tmp_path / "copy") as registry:
        assert [p.message for p in registry.verify().problems] == []
    assert_rebuilds(tmp_path / "copy", tmp_path)


def test_full_disk_for_every_kind_of_write(small_disk: Path) -> None:
    home = small_disk / "home"
    with Registry.open(home) as registry:
        record, objects = make.record()
        registry.add(record, objects)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        run, sheet = make.run(record)
        for call in (
            lambda: registry.add(*make.record("other", size=50_000)),
            lambda: registry.add_run(run, sheet),
            lambda: registry.note("my-cat", "x" * 100_000),
            lambda: registry.objects.put(b"x" * 100_000),
        ):
            with pytest.raises(StoreError, match="full"):
                call()
        assert registry.resolve("my-cat").notes == ""
        filler.unlink()
        registry.note("my-cat", "there is room again")
        assert registry.add_run(run, sheet)
        assert registry.verify().ok


def test_a_file_size_limit_is_told_as_a_full_disk(home: Path) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record())
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
        try:
            with pytest.raises(StoreError, match="full"):
                registry.add(*make.record("big", size=50_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [r.name for r in registry.list()] == ["my-cat"]
        assert registry.add(*make.record("big", size=50_000)).added
        assert registry.verify().ok


@pytest.fixture
def closed_home(tmp_path: Path) -> Iterator[Path]:
    """A registry on a disk that is mounted read-only (root may write to any folder)."""
    home, spot = tmp_path / "home", tmp_path / "closed"
    with Registry.open(home) as registry:
        registry.add(*make.record())
    spot.mkdir()
    for options in (["--bind", str(home), str(spot)], ["-o", "remount,bind,ro", str(spot)]):
        if (
            not shutil.which("mount")
            or subprocess.run(["mount", *options], capture_output=True, check=False).returncode
        ):
            subprocess.run(["umount", str(spot)], capture_output=True, check=False)
            pytest.skip("a folder cannot be mounted read-only here")
    yield spot
    subprocess.run(["umount", str(spot)], check=True)


def test_read_only_folder_can_be_read(closed_home: Path) -> None:
    with Registry.open(closed_home, create=False) as registry:
        assert [r.name for r in registry.list()] == ["my-cat"]
        assert registry.resolve("my-cat").version == 1
        assert registry.search(Query(words="cat")).rows
        assert registry.verify().ok
        with pytest.raises(StoreError, match="for reading only"):
            registry.tag("my-cat", ["x"])
    with pytest.raises(TiregError) as caught, Registry.open(closed_home) as registry:
        registry.tag("my-cat", ["x"])
    assert isinstance(caught.value, ConfigError)
    assert "writable" in caught.value.hint or "permissions" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError) as caught:
        Registry.open(tmp_path / "file" / "home")
    assert "TIREG_HOME" in caught.value.hint


@pytest.mark.parametrize("create", [True, False])
def test_not_a_database(home: Path, create: bool) -> None:
    home.mkdir()
    (home / "registry.db").write_bytes(b"this is a text file, and a long one at that" * 50)
    with pytest.raises(CorruptError, match="is not a database") as caught:
        Registry.open(home, create=create)
    assert caught.value.hint == "tireg doctor --rebuild"


def test_an_empty_file_becomes_a_database(home: Path) -> None:
    home.mkdir()
    (home / "registry.db").touch()
    with Registry.open(home) as registry:
        assert registry.add(*make.record()).added


def test_damaged_pages_are_told_and_rebuilt(home: Path, tmp_path: Path) -> None:
    with Registry.open(home) as registry:
        for number in range(30):
            registry.add(*make.record(f"n{number}", notes="words " * 50))
    path = home / "registry.db"
    whole = path.read_bytes()
    told = 0
    for page in range(1, len(whole) // 4096, 3):
        broken = bytearray(whole)
        broken[page * 4096 : page * 4096 + 4096] = b"\xa5" * 4096
        path.write_bytes(broken)
        report = examine(home)
        if not report.ok:
            told += 1
            assert report.problems[0].hint in ("tireg doctor --rebuild", "tireg doctor --repair")
        else:
            # A free page: nothing was lost.
            assert_rebuilds(home, tmp_path)
    assert told > 10
    path.write_bytes(whole[:8192])
    assert not examine(home).ok
    result = rebuild(home)
    assert result.problems == []
    with Registry.open(home) as registry:
        assert registry.count() == 30
        assert registry.verify().ok


def test_a_table_that_is_gone(home: Path) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record())
        registry.store.db["tags"].drop()
        with pytest.raises(CorruptError, match="lacks a part"):
            registry.list()


def test_locked_too_long(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tireg.store.database.BUSY_SECONDS", 0.2)
    with Registry.open(home) as first, Registry.open(home) as second:
        first.store.db.begin()
        first.store.lock()
        with pytest.raises(StoreError, match="is busy") as caught:
            second.add(*make.record())
        assert "wait" in caught.value.hint
        first.store.db.rollback()
        assert second.add(*make.record()).added
        assert second.verify().ok


def test_opening_and_listing_need_no_torch(home: Path) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record())
    code = (
        "import sys; from tireg.store.registry import Registry, Query\n"
        "with Registry.open(create=False) as r: print(len(r.search(Query(words='cat')).rows))\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'open_clip', 'huggingface_hub', 'scipy',"
        " 'PIL', 'tireg.domain.records', 'tireg.store.adding'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:2] == ["1", "[]"]
