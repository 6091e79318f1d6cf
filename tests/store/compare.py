"""Every row of a registry's database, so that two can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlite_utils import Database

from tireg.store import database
from tireg.store.rebuilding import Rebuilt, fill

# History is what a rebuild may lose; the counter only counts writes.
LOST = ("events", "counters", "sqlite_sequence")


def rows(db: Database) -> dict[str, list[Any]]:
    """Table name to all of its rows, sorted; ids included."""
    names = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'words_%'"
    ).fetchall()
    return {
        name: sorted(db.execute(f"SELECT rowid, * FROM {name}").fetchall(), key=repr)
        if name == "words"
        else sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
        for (name,) in names
        if name not in LOST
    }


def rebuilt_rows(home: Path, folder: Path) -> tuple[dict[str, list[Any]], Rebuilt]:
    """The rows that a rebuild of ``home`` makes, in a database of its own in ``folder``."""
    path = folder / "again.db"
    path.unlink(missing_ok=True)
    database.build(path, folder)
    db = database.connect(path)
    try:
        result = Rebuilt()
        fill(db, home, result)
        return rows(db), result
    finally:
        db.close()
        path.unlink()


def assert_rebuilds(home: Path, folder: Path) -> None:
    """Fail unless the files of ``home`` give exactly the rows of its database."""
    db = database.connect(home / database.FILE)
    try:
        expected = rows(db)
    finally:
        db.close()
    found, result = rebuilt_rows(home, folder)
    assert result.problems == []
    assert found.keys() == expected.keys()
    for name, table in expected.items():
        assert found[name] == table, f"table {name} differs"
