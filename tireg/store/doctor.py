"""What is wrong with a registry and how to put it right, also where it cannot be opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tireg.errors import TiregError
from tireg.store import database
from tireg.store.core import Store, journals
from tireg.store.faults import translated
from tireg.store.insert import refresh_embedding, refresh_headlines
from tireg.store.verifying import Problem, Report, document_names, verify


@dataclass(frozen=True)
class Repaired:
    """What was put right, one sentence each, and what is left."""

    done: tuple[str, ...]
    report: Report


def examine(home: Path) -> Report:
    """Verify the registry of ``home``; one that cannot be opened is a problem like others."""
    try:
        with translated(home):
            db, writable = database.open_readable(home)
            store = Store(home, db, writable=writable)
    except TiregError as error:
        return Report(problems=[Problem("database", "registry.db", error.message, error.hint)])
    try:
        return verify(store)
    except TiregError as error:
        return Report(problems=[Problem("database", "registry.db", error.message, error.hint)])
    finally:
        db.close()


def repair(home: Path) -> Repaired:
    """Put right what can be made from the database: state files, the index, the headlines.

    Missing and changed objects cannot; they stay in the report.
    """
    with translated(home):
        db = database.open_writable(home)
    store = Store(home, db, writable=True)
    done = []
    try:
        if journals(home) and store.recover():
            done.append("undid what a killed process had begun")
        stale = [p for p in verify(store).problems if p.trouble == "stale"]
        files = [p.about for p in stale if p.about != "words"]
        with store.writing() as change:
            known = set(document_names(change.db))
            for about in files:
                if about in known:
                    change.touch_document(about)
            if files:
                done.append(f"wrote {len(files)} state files again")
            if len(files) != len(stale):
                change.db.execute("DELETE FROM words")
                rows = change.db.execute("SELECT id FROM embeddings ORDER BY id").fetchall()
                for (embedding_id,) in rows:
                    refresh_embedding(change.db, embedding_id)
                done.append(f"indexed the words of {len(rows)} embeddings again")
            for (sha,) in change.db.execute("SELECT DISTINCT record_sha FROM runs").fetchall():
                refresh_headlines(change.db, sha)
        return Repaired(tuple(done), verify(store))
    finally:
        db.close()
