"""Two at once, step by step: each test stops one at the worst moment and lets the other act."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.store import make
from tests.store.compare import assert_rebuilds
from tireg.errors import CorruptError, StoreError, TiregError
from tireg.store import core, database, rebuilding
from tireg.store.core import Change, Store, journals
from tireg.store.files import Stage
from tireg.store.rebuilding import Rebuilt, rebuild
from tireg.store.registry import Registry

# Opens and writes in every home whose path it is given, at the same time as its neighbours.
OPENER = """
import json, sys
from pathlib import Path
from tests.store import make
from tireg.store.registry import Registry
number = sys.argv[1]
for line in sys.stdin:
    home = Path(line.strip())
    try:
        with Registry.open(home, create=False) as looking:
            seen = len(looking.list())
        with Registry.open(home) as registry:
            registry.add(*make.record(f"by{number}"))
        print(json.dumps([seen, ""]), flush=True)
    except Exception as error:
        print(json.dumps([0, repr(error)]), flush=True)
"""


def names(registry: Registry) -> set[str]:
    """The names of all embeddings."""
    return {row.name for row in registry.list(limit=None)}


def hidden(home: Path) -> list[str]:
    """Databases under other names, half made or forgotten."""
    return [path.name for path in home.glob(".registry.db-*")]


@contextmanager
def killed_before_commit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A writer inside ends where its files are in place and its rows are not committed.

    As after SIGKILL nothing is tidied up.
    """

    class Killed(BaseException):
        pass

    whole = Change.publish

    def publish(change: Change) -> None:
        whole(change)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Change, "publish", publish)
        patch.setattr(Store, "_undo", lambda _: None)
        with pytest.raises(Killed):
            yield


def before_the_lock(monkeypatch: pytest.MonkeyPatch, act: object) -> None:
    """Call ``act`` when the next change has looked around and not yet taken the lock."""
    whole = Store.writing
    assert callable(act)

    def writing(store: Store, stage: Stage | None = None) -> AbstractContextManager[Change]:
        monkeypatch.setattr(Store, "writing", whole)
        act()
        return whole(store, stage)

    monkeypatch.setattr(Store, "writing", writing)


def test_several_open_a_new_home_at_once(tmp_path: Path) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(number)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for turn in range(8):
        home = tmp_path / f"home{turn}"
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write(f"{home}\n")
            opener.stdin.flush()
        for opener in openers:
            assert opener.stdout is not None
            seen, complaint = json.loads(opener.stdout.readline())
            assert complaint == ""
            assert 0 <= seen < len(openers)
        with Registry.open(home) as registry:
            assert names(registry) == {f"by{n}" for n in range(4)}, "nobody's database was lost"
            assert registry.verify().ok
        assert hidden(home) == []
    for opener in openers:
        opener.communicate()
        assert opener.returncode == 0


def test_of_two_that_create_the_later_takes_what_is_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = database.build

    def build(path: Path, folder: Path) -> None:
        whole(path, folder)
        monkeypatch.setattr(database, "build", whole)
        with Registry.open(home) as faster:
            faster.add(*make.record("theirs"))

    monkeypatch.setattr(database, "build", build)
    with Registry.open(home) as registry:
        assert names(registry) == {"theirs"}
        registry.add(*make.record("ours"))
        assert registry.verify().ok
    assert hidden(home) == []


@pytest.mark.parametrize("create", [True, False])
def test_opening_waits_for_a_rebuild(
    home: Path, monkeypatch: pytest.MonkeyPatch, create: bool
) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record())
    found: list[object] = []

    def look() -> None:
        try:
            with Registry.open(home, create=create) as registry:
                found.append(names(registry))
        except TiregError as error:
            found.append(error)

    looker = threading.Thread(target=look)
    whole = rebuilding._set_aside

    def set_aside(folder: Path) -> Path | None:
        kept = whole(folder)
        assert not (home / database.FILE).exists(), "here one who opens finds no database"
        looker.start()
        looker.join(0.2)
        assert looker.is_alive(), found
        return kept

    monkeypatch.setattr(rebuilding, "_set_aside", set_aside)
    rebuild(home)
    looker.join()
    assert found == [{"my-cat"}]


@pytest.mark.parametrize("create", [True, False])
def test_a_rebuild_that_was_killed_is_not_waited_for_long(
    home: Path, monkeypatch: pytest.MonkeyPatch, create: bool
) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record())
    (home / database.FILE).rename(home / ".registry.db-12345-rebuild")
    monkeypatch.setattr(database, "REBUILD_WAITS", 2)
    with pytest.raises(CorruptError, match="is missing, but records are there") as caught:
        Registry.open(home, create=create)
    assert caught.value.hint == "tireg doctor --rebuild"
    assert rebuild(home).embeddings == 1
    with Registry.open(home, create=create) as registry:
        assert names(registry) == {"my-cat"}


def test_a_rebuild_undoes_what_a_killed_writer_began(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, objects = make.record("half")
    with Registry.open(home) as registry:
        registry.add(*make.record())
        registry.tag("my-cat", ["before"])
        with killed_before_commit(monkeypatch):
            registry.add(half, objects)
        with killed_before_commit(monkeypatch):
            registry.tag("my-cat", ["never"])
    assert journals(home), "the killed writer left its journal"
    assert "never" in (home / "state" / "1.json").read_text(), "and its files"
    result = rebuild(home)
    assert (result.embeddings, result.problems) == (1, [])
    assert journals(home) == []
    with Registry.open(home) as registry:
        assert names(registry) == {"my-cat"}
        assert registry.resolve("my-cat").tags == ("before",)
        assert registry.verify().ok
    assert_rebuilds(home, tmp_path)


def test_a_rebuild_waits_for_a_writer_under_way(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record())
        results: list[Rebuilt] = []
        rebuilder = threading.Thread(target=lambda: results.append(rebuild(home)))
        whole = Stage.place

        def place(stage: Stage) -> None:
            whole(stage)
            monkeypatch.setattr(Stage, "place", whole)
            assert journals(home)
            rebuilder.start()
            rebuilder.join(0.2)
            assert rebuilder.is_alive(), "nothing is rebuilt while the files say more than the rows"

        monkeypatch.setattr(Stage, "place", place)
        registry.add(*make.record("late"))
        rebuilder.join()
        assert results[0].embeddings == 2
        assert results[0].problems == []
        with pytest.raises(StoreError, match="was replaced"):
            registry.tag("late", ["lost"])
    with Registry.open(home) as registry:
        assert names(registry) == {"my-cat", "late"}
        assert registry.verify().ok
    assert journals(home) == []
    assert_rebuilds(home, tmp_path)


def test_a_rebuild_of_a_damaged_database_keeps_the_journals_of_later_writers(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record())
    for end in ("-wal", "-shm"):
        (home / f"{database.FILE}{end}").unlink(missing_ok=True)
    (home / database.FILE).write_bytes(b"no database" * 1000)
    text = '{"format_version": 1, "documents": [], "files": []}'
    stale, later = (home / f"journal-{letter * 16}.json" for letter in "ab")
    stale.write_text(text)
    whole = rebuilding._set_aside

    def set_aside(folder: Path) -> Path | None:
        later.write_text(text)
        return whole(folder)

    monkeypatch.setattr(rebuilding, "_set_aside", set_aside)
    assert rebuild(home).embeddings == 1
    assert journals(home) == [later]


def test_a_cleanup_before_an_evaluation_is_saved_takes_nothing_from_it(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    run, sheets = make.run(record)
    for data in sheets.values():
        registry.objects.put(data)
    taken: list[int] = []

    def clean() -> None:
        with Registry.open(registry.home) as other:
            taken.append(other.gc().files)

    # What lies here unused need not be written again; then it is gone.
    before_the_lock(monkeypatch, clean)
    assert registry.add_run(run, sheets)
    assert taken == [len(sheets)]
    assert registry.verify().ok
    assert registry.runs(record.sha256) == [run]
    assert_rebuilds(registry.home, tmp_path)


def test_a_cleanup_before_an_embedding_is_added_takes_nothing_from_it(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    registry.remove("my-cat")
    taken: list[tuple[str, ...]] = []

    def clean() -> None:
        with Registry.open(registry.home) as other:
            taken.append(other.gc().versions)

    before_the_lock(monkeypatch, clean)
    assert registry.add(record, objects).added
    assert taken == [("my-cat@1",)]
    assert registry.verify().ok
    assert registry.resolve("my-cat").record == record
    assert_rebuilds(registry.home, tmp_path)


def test_an_evaluation_saved_before_a_cleanup_keeps_its_files(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    run, sheets = make.run(record)

    def save() -> None:
        with Registry.open(registry.home) as other:
            assert other.add_run(run, sheets)

    # The clean-up has begun; which files belong to nothing it asks only under the lock.
    before_the_lock(monkeypatch, save)
    assert registry.gc().files == 0
    assert registry.verify().ok
    assert registry.runs(record.sha256) == [run]


def test_of_two_that_save_the_same_evaluation_one_is_told_it_is_here(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    run, sheets = make.run(record)

    def save() -> None:
        with Registry.open(registry.home) as other:
            assert other.add_run(run, sheets)

    before_the_lock(monkeypatch, save)
    assert not registry.add_run(run, sheets)
    assert registry.verify().ok
    assert core.journals(registry.home) == []
