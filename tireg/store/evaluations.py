"""Evaluation runs: immutable files, proven by the hash their row holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tireg.errors import RefError
from tireg.store.core import Store
from tireg.store.finding import proven_bytes

if TYPE_CHECKING:
    from tireg.domain.scores import Run


def runs(store: Store, record_sha: str) -> list[Run]:
    """Every run about a record, oldest first."""
    from tireg.domain.model import read_document
    from tireg.domain.scores import Run

    return [read_document(Run, raw, name="a run") for raw in run_files(store, record_sha)]


def run_files(store: Store, record_sha: str) -> list[bytes]:
    """The JSON of every run about a record, oldest first, each proven by its hash."""
    with store.reading() as db:
        rows = db.execute(
            "SELECT run_id, sha256 FROM runs WHERE record_sha = ? ORDER BY created, run_id",
            [record_sha],
        ).fetchall()
    return [_bytes(store, run_id, sha) for run_id, sha in rows]


def run(store: Store, prefix: str) -> Run:
    """The one run whose id begins with ``prefix``; RefError for none or several."""
    text = prefix.strip().lower()
    with store.reading() as db:
        rows = db.execute(
            "SELECT run_id, sha256 FROM runs WHERE run_id >= ? AND run_id < ? LIMIT 2",
            [text, text + "g"],
        ).fetchall()
    if len(text) < 6 or not rows:
        raise RefError(f"there is no run '{prefix}'", hint="give 6 or more digits of its id")
    if len(rows) > 1:
        raise RefError(f"'{prefix}' begins the id of several runs", hint="give more digits")
    return _read(store, *rows[0])


def _read(store: Store, run_id: str, sha: str) -> Run:
    from tireg.domain.model import read_document
    from tireg.domain.scores import Run

    return read_document(Run, _bytes(store, run_id, sha), name=f"the run {run_id[:12]}")


def _bytes(store: Store, run_id: str, sha: str) -> bytes:
    return proven_bytes(store, store.run_path(run_id), sha, what=f"the run {run_id[:12]}")
