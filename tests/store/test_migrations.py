"""The schema: from every earlier one, all or nothing, and newer ones refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlite_utils import Database

from tests.store import make
from tests.store.compare import assert_rebuilds, rows
from tireg.errors import SchemaTooNewError, StoreError
from tireg.store import database, migrations
from tireg.store.registry import Registry
from tireg.store.search import Query


def schema(db: Database) -> set[tuple[str, str]]:
    """Every object of the schema."""
    return set(db.execute("SELECT name, sql FROM sqlite_master").fetchall())


def old_home(home: Path, number: int) -> None:
    """A filled registry as it would look at schema ``number``."""
    with Registry.open(home) as registry:
        registry.add(*make.record(tags=("red",), concept=make.concept("x", "by the sea")))
        registry.add(*make.foreign("foreign", "f"))
        registry.remove("foreign")
    full = database.connect(home / "registry.db")
    older = Database(str(home / "older.db"), execute_plugins=False)
    migrations.migrate(older, home, upto=number)
    known = {name for (name,) in older.execute("SELECT name FROM sqlite_master")}
    for (table,) in full.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'words%'"
        " AND name NOT LIKE 'sqlite_%'"
    ).fetchall():
        if table not in known:
            continue
        older.execute(f"DELETE FROM {table}")
        for row in full.execute(f"SELECT * FROM {table}").fetchall():
            older.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    if number >= 2:
        for row in full.execute("SELECT rowid, * FROM words").fetchall():
            older.execute(
                "INSERT INTO words (rowid, name, token, tags, notes, about, captions, prompts)"
                f" VALUES ({', '.join('?' * 8)})",
                row,
            )
    older.conn.commit()
    older.close()
    full.close()
    (home / "older.db").replace(home / "registry.db")


@pytest.mark.parametrize("number", range(1, len(migrations.STEPS)))
def test_from_every_earlier_schema(home: Path, tmp_path: Path, number: int) -> None:
    with Registry.open(tmp_path / "blank") as blank:
        newest = schema(blank.store.db)
    old_home(home, number)
    with Registry.open(home) as registry:
        assert migrations.version_of(registry.store.db) == len(migrations.STEPS)
        assert schema(registry.store.db) == newest
        assert [r.name for r in registry.search(Query(words="sea")).rows] == ["my-cat"]
        assert [r.name for r in registry.search(Query(words="red")).rows] == ["my-cat"]
        assert registry.verify().ok
    assert_rebuilds(home, tmp_path)
    copies = sorted(p.name for p in (home / "backups").iterdir())
    assert [c[: len("registry-schemaN")] for c in copies] == [
        f"registry-schema{n}" for n in range(number, len(migrations.STEPS))
    ]
    copy = database.connect(home / "backups" / copies[0])
    assert migrations.version_of(copy) == number
    assert copy.execute("SELECT count(*) FROM embeddings").fetchone() == (2,)
    copy.close()


def test_a_blank_registry_needs_no_copies(registry: Registry) -> None:
    assert not (registry.home / "backups").exists()
    assert registry.store.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert registry.store.db.execute("PRAGMA synchronous").fetchone() == (2,)


@pytest.mark.parametrize("create", [True, False])
def test_newer_is_refused_and_left_alone(home: Path, create: bool) -> None:
    with Registry.open(home) as registry:
        registry.store.db.execute("PRAGMA user_version = 99")
        registry.store.db.conn.commit()
    before = (home / "registry.db").read_bytes()
    with pytest.raises(SchemaTooNewError, match="schema 99") as caught:
        Registry.open(home, create=create)
    assert "upgrade" in caught.value.hint
    assert (home / "registry.db").read_bytes() == before


def test_a_failing_step_leaves_the_old_schema(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record())
        before = rows(registry.store.db)

    def broken(db: Database) -> None:
        db.execute("CREATE TABLE half (x)")
        db.execute("INSERT INTO nowhere VALUES (1)")

    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, broken))
    monkeypatch.setattr(database, "STEPS", migrations.STEPS)
    with pytest.raises(StoreError, match="no such table"):
        Registry.open(home)
    db = database.connect(home / "registry.db")
    assert rows(db) == before
    assert migrations.version_of(db) == len(migrations.STEPS) - 1
    db.close()
    monkeypatch.undo()
    with Registry.open(home) as registry:
        assert registry.count() == 1
