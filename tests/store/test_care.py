"""Verify, gc and doctor: each kind of damage is found, named and, where possible, repaired."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.store import make
from tests.store.compare import assert_rebuilds
from tireg.errors import CorruptError, RefError
from tireg.store.adding import Item
from tireg.store.doctor import examine, repair
from tireg.store.files import remove
from tireg.store.registry import Registry


@pytest.fixture
def filled(registry: Registry) -> Registry:
    """Three embeddings, a run, an alias, a base."""
    registry.add_many(Item(*make.record(f"n{n}"), tags=("x",)) for n in range(3))
    registry.add_run(*make.run(make.record("n0")[0]))
    registry.alias("n0", "best")
    return registry


def troubles(registry: Registry) -> list[tuple[str, str]]:
    """What verify finds, as (trouble, file)."""
    return [(p.trouble, p.about) for p in registry.verify().problems]


def test_a_sound_registry(filled: Registry) -> None:
    report = filled.verify()
    assert report.ok
    assert (report.embeddings, report.versions, report.runs, report.objects) == (3, 3, 1, 7)
    assert report.bytes == sum(p.stat().st_size for _, p in filled.objects.all())


def test_changed_and_missing_files(filled: Registry) -> None:
    record = make.record("n1")[0]
    key = record.files[0].sha256
    path = filled.objects.path(key)
    relative = f"objects/{key[:2]}/{key[2:]}"
    path.write_bytes(b"other")
    problem = filled.verify().problems[0]
    assert (problem.trouble, problem.about) == ("changed", relative)
    assert problem.message == "'n1.safetensors' of 'n1@1' has changed"
    assert problem.grave
    path.unlink()
    assert troubles(filled) == [("missing", relative)]
    filled.add(*make.record("n1"))
    assert filled.verify().ok, "importing it again heals it"
    (filled.home / "records" / f"{record.sha256}.json").unlink()
    run = make.run(make.record("n0")[0])[0]
    (filled.home / "runs" / f"{run.run_id}.json").write_text("{}")
    assert troubles(filled) == [
        ("missing", f"records/{record.sha256}.json"),
        ("changed", f"runs/{run.run_id}.json"),
    ]


def test_orphans_and_leftovers(filled: Registry) -> None:
    key = filled.objects.put(b"of nobody")
    (filled.home / "records" / f"{'a' * 64}.json").write_text("{}")
    (filled.home / "state" / "99.json").write_text("{}")
    temporary = filled.home / "records" / ".tmp-1-x"
    temporary.write_text("x")
    assert troubles(filled) == [
        ("orphaned", f"objects/{key[:2]}/{key[2:]}"),
        ("orphaned", f"records/{'a' * 64}.json"),
        ("orphaned", "state/99.json"),
    ], "a young temporary file may be in use"
    old = time.time() - 7200
    os.utime(temporary, (old, old))
    assert ("leftover", "records/.tmp-1-x") in troubles(filled)
    assert not any(p.grave for p in filled.verify().problems)
    would = filled.gc(dry_run=True)
    did = filled.gc()
    assert (would.files, would.bytes) == (did.files, did.bytes) == (4, 9 + 2 + 2 + 1)
    assert filled.verify().ok
    assert filled.count() == 3


def test_gc_empties_the_trash(filled: Registry, tmp_path: Path) -> None:
    filled.remove("n0")
    filled.remove("n1")
    would = filled.gc(dry_run=True)
    assert would.versions == ("n0@1", "n1@1")
    assert filled.count() == 1
    assert filled.restore("n1")
    objects = dict(filled.objects.all())
    collected = filled.gc()
    assert collected.versions == ("n0@1",)
    # Vectors, preview, record, state, run and its sheet; the state goes with the row.
    assert collected.files == 5
    assert len(objects) - len(dict(filled.objects.all())) == 3
    with pytest.raises(RefError):
        filled.resolve("n0", trashed=True)
    assert filled.verify().ok
    assert filled.gc() == type(collected)((), 0, 0)
    assert_rebuilds(filled.home, tmp_path)


def test_gc_keeps_what_was_thrown_away_lately(filled: Registry) -> None:
    filled.remove("n0")
    assert filled.gc(older_than="2020-01-01T00:00:00Z").versions == ()
    assert filled.gc(older_than="2999-01-01T00:00:00Z").versions == ("n0@1",)


def test_gc_keeps_shared_objects(registry: Registry) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    registry.add(record, {}, name="twin")
    registry.add_run(*make.run(record))
    registry.remove("my-cat")
    registry.gc()
    assert registry.verify().ok
    assert registry.resolve("twin").record == record
    assert len(registry.runs(record.sha256)) == 1


def _no_state(registry: Registry) -> None:
    (registry.home / "state" / "2.json").unlink()


def _old_state(registry: Registry) -> None:
    (registry.home / "state" / "2.json").write_text('{"format_version":1}')


def _no_base(registry: Registry) -> None:
    for path in (registry.home / "bases").iterdir():
        path.unlink()


def _no_words(registry: Registry) -> None:
    registry.store.db.execute("DELETE FROM words WHERE rowid = 1")
    registry.store.db.conn.commit()


@pytest.mark.parametrize("damage", [_no_state, _old_state, _no_base, _no_words])
def test_doctor_repairs_copies(
    filled: Registry, tmp_path: Path, damage: Callable[[Registry], None]
) -> None:
    damage(filled)
    report = examine(filled.home)
    assert [p.trouble for p in report.problems] == ["stale"]
    assert report.problems[0].hint == "tireg doctor --repair"
    repaired = repair(filled.home)
    assert len(repaired.done) == 1
    assert repaired.report.ok
    assert_rebuilds(filled.home, tmp_path)


def test_doctor_cannot_make_objects(filled: Registry) -> None:
    filled.objects.path(make.record("n1")[0].files[0].sha256).unlink()
    repaired = repair(filled.home)
    assert repaired.done == ()
    assert [p.trouble for p in repaired.report.problems] == ["missing"]
    assert "import or pull it again" in repaired.report.problems[0].hint


def test_doctor_explains_what_cannot_be_opened(home: Path) -> None:
    assert examine(home).ok
    assert not home.exists()
    with Registry.open(home) as registry:
        registry.add(*make.record())
    (home / "registry.db").unlink()
    problem = examine(home).problems[0]
    assert problem.trouble == "database"
    assert "is missing, but records are there" in problem.message
    assert problem.hint == "tireg doctor --rebuild"
    with pytest.raises(CorruptError):
        Registry.open(home)
    assert not (home / "registry.db").exists(), "no empty database may hide the records"


def test_doctor_finishes_what_a_killed_process_began(filled: Registry) -> None:
    stray = filled.home / "records" / f"{'b' * 64}.json"
    stray.write_text("{}")
    (filled.home / "state" / "1.json").write_text("{}")
    (filled.home / "journal.json").write_text(
        f'{{"format_version": 1, "documents": ["state/1.json", "state/9.json"],'
        f' "files": ["records/{"b" * 64}.json"]}}'
    )
    repaired = repair(filled.home)
    assert repaired.done == ("undid what a killed process had begun",)
    assert repaired.report.ok
    assert not stray.exists()


@pytest.mark.parametrize("text", ["", '{"docum', "[]", '{"format_version": 1}'])
def test_a_cut_off_journal_is_harmless(filled: Registry, text: str) -> None:
    (filled.home / "journal.json").write_text(text)
    filled.tag("n0", ["after"])
    assert not (filled.home / "journal.json").exists()
    assert filled.verify().ok


def test_a_hostile_journal_touches_nothing_outside(filled: Registry, tmp_path: Path) -> None:
    victim = tmp_path / "victim.json"
    victim.write_text("precious")
    (filled.home / "journal.json").write_text(
        '{"format_version": 1, "documents": ["state/../../victim.json", "/etc/x.json"],'
        f' "files": ["../victim.json", "{victim}", "records/../../victim.json"]}}'
    )
    filled.tag("n0", ["after"])
    assert victim.read_text() == "precious"


def test_a_writer_that_ends_leaves_the_journal_of_the_next_one(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tireg.store import core

    other = filled.home / f"journal-{'a' * 16}.json"
    seen: list[Path] = []

    def next_writer_began(path: Path) -> bool:
        # The lock is free from the commit on: here the next writer has taken it.
        if path.name.startswith("journal") and not seen:
            seen.append(path)
            other.write_text('{"format_version": 1, "documents": [], "files": []}')
        return remove(path)

    monkeypatch.setattr(core, "remove", next_writer_began)
    filled.tag("n0", ["after"])
    assert seen[0] != other
    assert not seen[0].exists()
    assert other.exists()
    filled.tag("n0", ["later"])
    assert not other.exists()
