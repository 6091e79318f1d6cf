"""From what a user types to one version: ``name``, ``name@3``, ``name@best``, a hash."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from tireg.errors import CorruptError, RefError
from tireg.store.core import Store
from tireg.store.rows import Found, RawVersion, Version

if TYPE_CHECKING:
    from tireg.domain.records import Record

_HASH = re.compile(r"[0-9a-f]{8,64}")
_COLUMNS = "v.id, v.embedding_id, e.name, v.version, v.record_sha, v.tensor_hash, v.trashed"
_FROM = "FROM versions v JOIN embeddings e ON e.id = v.embedding_id"


def find(db: Database, ref: str, *, trashed: bool = False) -> Found:
    """The one version that ``ref`` means; RefError when there is none, or several.

    A trashed version is found only with ``trashed``.
    """
    ref = unicodedata.normalize("NFC", ref.strip())
    name, _, label = ref.partition("@")
    row = db.execute("SELECT id, version FROM embeddings WHERE name = ?", [name]).fetchone()
    if row is None:
        found = _by_hash(db, ref) if not label else None
        if found is None:
            raise _unknown(db, ref, name)
    else:
        found = _by_label(db, row[0], name, label, trashed=trashed)
    if found.trashed is not None and not trashed:
        raise RefError(f"'{found.ref}' is in the trash", hint=f"tireg restore {found.ref}")
    return found


def find_embedding(db: Database, ref: str) -> tuple[int, str]:
    """The id and name of the embedding ``ref`` belongs to, in the trash or not."""
    found = find(db, ref, trashed=True)
    return found.embedding_id, found.name


def load(store: Store, found: Found) -> Version:
    """The full version, its record read and proven."""
    return Version(
        record=read_record(store, found.record_sha, about=found.ref), **_about(store, found)
    )


def raw_version(store: Store, found: Found) -> RawVersion:
    """The same with the record's JSON as it lies on disk, proven but not parsed."""
    raw = record_bytes(store, found.record_sha, about=found.ref)
    return RawVersion(record=raw, **_about(store, found))


def _about(store: Store, found: Found) -> dict[str, Any]:
    """All that the database says of a version."""
    with store.reading() as db:
        notes, created, added = db.execute(
            "SELECT e.notes, v.created, v.added FROM versions v JOIN embeddings e"
            " ON e.id = v.embedding_id WHERE v.id = ?",
            [found.id],
        ).fetchone()
        tags = db.execute(
            "SELECT tag FROM tags WHERE embedding_id = ? ORDER BY tag", [found.embedding_id]
        ).fetchall()
        aliases = db.execute(
            "SELECT alias FROM aliases WHERE embedding_id = ? AND version = ? ORDER BY alias",
            [found.embedding_id, found.version],
        ).fetchall()
    return {
        "name": found.name,
        "version": found.version,
        "record_sha": found.record_sha,
        "aliases": tuple(a for (a,) in aliases),
        "tags": tuple(t for (t,) in tags),
        "notes": notes,
        "created": created,
        "added": added,
        "trashed": found.trashed,
    }


def read_record(store: Store, sha: str, *, about: str) -> Record:
    """The record, its file proven by its hash."""
    from tireg.domain.model import read_document
    from tireg.domain.records import Record

    return read_document(
        Record, record_bytes(store, sha, about=about), name=f"the record of '{about}'"
    )


def record_bytes(store: Store, sha: str, *, about: str) -> bytes:
    """The record file's JSON, proven by its hash."""
    return proven_bytes(store, store.record_path(sha), sha, what=f"the record of '{about}'")


def proven_bytes(store: Store, path: Path, sha: str, *, what: str) -> bytes:
    """A file's bytes; CorruptError where it is gone or its hash is another."""
    try:
        with store.reading():
            raw = path.read_bytes()
    except CorruptError as error:
        raise CorruptError(f"{what} is missing from '{path}'", hint="tireg verify") from error
    if hashlib.sha256(raw).hexdigest() != sha:
        raise CorruptError(f"{what} at '{path}' has changed", hint="tireg verify")
    return raw


def found_where(db: Database, where: str, values: list[object]) -> list[Found]:
    """Versions by a condition on ``v`` (versions) and ``e`` (embeddings), oldest first."""
    rows = db.execute(f"SELECT {_COLUMNS} {_FROM} WHERE {where} ORDER BY v.id", values)
    return [Found(*row) for row in rows.fetchall()]


def _by_label(db: Database, embedding_id: int, name: str, label: str, *, trashed: bool) -> Found:
    versions = found_where(db, "v.embedding_id = ?", [embedding_id])
    live = [v for v in versions if v.trashed is None]
    if label in ("", "latest"):
        choice = live or (versions if trashed else [])
        if not choice:
            raise RefError(f"'{name}' is in the trash", hint=f"tireg restore {name}")
        return max(choice, key=lambda v: v.version)
    number: int | None = int(label) if label.isascii() and label.isdigit() else None
    if number is None:
        row = db.execute(
            "SELECT version FROM aliases WHERE embedding_id = ? AND alias = ?",
            [embedding_id, label],
        ).fetchone()
        number = row[0] if row else None
    for version in versions:
        if version.version == number:
            return version
    aliases = db.execute(
        "SELECT alias FROM aliases WHERE embedding_id = ? ORDER BY alias", [embedding_id]
    ).fetchall()
    known = [f"@{v.version}" for v in live] + [f"@{a}" for (a,) in aliases]
    raise RefError(
        f"'{name}' has no version '{label}'", hint=f"it has {', '.join(known) or 'none left'}"
    )


def _by_hash(db: Database, ref: str) -> Found | None:
    text = ref.lower().removeprefix("0x")
    if not _HASH.fullmatch(text):
        return None
    for column in ("record_sha", "tensor_hash"):
        found = found_where(db, f"v.{column} >= ? AND v.{column} < ?", [text, text + "g"])
        if len({getattr(f, column) for f in found}) > 1:
            names = ", ".join(f.ref for f in found[:5])
            raise RefError(f"'{ref}' begins the hash of several: {names}", hint="give more digits")
        if found:
            return next((f for f in found if f.trashed is None), found[0])
    return None


def _unknown(db: Database, ref: str, name: str) -> RefError:
    # Names are compared with the first letters in common, or all of a small registry; a
    # hundred thousand names would take longer than the command itself.
    start = name[:2].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = db.execute(
        "SELECT name FROM embeddings WHERE version IS NOT NULL"
        " AND name LIKE ? ESCAPE '\\' LIMIT 2000",
        [start + "%"],
    ).fetchall()
    rows += db.execute(
        "SELECT name FROM embeddings WHERE version IS NOT NULL LIMIT 2000"
    ).fetchall()
    close = difflib.get_close_matches(name, sorted({n for (n,) in rows}), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else "tireg list shows what is there"
    return RefError(f"no embedding is called '{ref}'", hint=hint)
