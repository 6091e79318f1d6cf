"""The schema, as numbered steps that are never edited once released.

``PRAGMA user_version`` holds the number of the last step. Each step runs in one transaction
that starts by taking the write lock and reading the number again, because two processes may
open an old registry at once (``sqlite_utils.Migrations`` decides before its transaction).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

from tireg.errors import SchemaTooNewError
from tireg.store import schema
from tireg.store.texts import refresh_text

APPLICATION_ID = 0x74697265  # "tire", so that file(1) and we know the database as ours

Step = Callable[[Database], None]


def version_of(db: Database) -> int:
    """The number of the last migration applied; 0 for a blank database."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_version(db: Database, home: Path) -> int:
    """:func:`version_of`, or SchemaTooNewError where a newer tireg has been here."""
    number = version_of(db)
    if number > len(STEPS):
        raise SchemaTooNewError(
            f"the registry at '{home}' has schema {number}; this tireg knows up to {len(STEPS)}",
            hint="pip install --upgrade tireg",
        )
    return number


def migrate(db: Database, home: Path, *, upto: int | None = None) -> list[Path]:
    """Apply what is pending; the copies of the database kept before each step.

    A blank database (number 0) is filled without a copy.
    """
    copies = []
    blank = version_of(db) == 0
    last = len(STEPS) if upto is None else upto
    while (number := check_version(db, home)) < last:
        if not blank:
            copies.append(keep_copy(db, home, number))
        with db.atomic():
            # A write that changes nothing: it takes the lock, so that the number read next
            # cannot change under us.
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            if version_of(db) != number:
                continue
            STEPS[number](db)
            db.execute(f"PRAGMA user_version = {number + 1}")
    return copies


def keep_copy(db: Database, home: Path, number: int) -> Path:
    """A consistent copy of the database under ``backups/``, named by schema and time."""
    folder = home / "backups"
    folder.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    target = folder / f"registry-schema{number}-{stamp}.db"
    copy = Database(str(target), execute_plugins=False)
    try:
        db.conn.backup(copy.conn)
    finally:
        copy.close()
    return target


def _run(script: tuple[str, ...]) -> Step:
    def step(db: Database) -> None:
        for statement in script:
            db.execute(statement)

    return step


def _search(db: Database) -> None:
    for statement in schema.SEARCH:
        db.execute(statement)
    for (embedding_id,) in db.execute("SELECT id FROM embeddings ORDER BY id").fetchall():
        refresh_text(db, embedding_id)


STEPS: tuple[Step, ...] = (
    _run(schema.CORE),
    _search,
    _run(schema.COMPATIBILITY),
    _run(schema.LEANER),
    _run(schema.BY_ENCODERS),
)
