"""What can change about an embedding, as one small file: ``state/<id>.json``.

Together with the immutable records and runs these files are enough to make the database
again, down to the row ids.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field
from sqlite_utils import Database

from tireg.domain.fingerprints import HEX64, Fingerprint
from tireg.domain.model import Document, Part, canonical_json


class VersionState(Part):
    """One version: its numbers here, its record, its trash mark, its file's hashes."""

    id: int = Field(ge=1)
    version: int = Field(ge=1)
    record: str = Field(pattern=HEX64)
    added: str
    trashed: str | None = None
    hashes: dict[str, str] = Field(default_factory=dict, description="Form to value.")


class RemoteState(Part):
    """A place on the Hub this embedding is kept in step with."""

    repo: str
    revision: str
    record_sha: str
    synced: str


class State(Document):
    """One embedding's name and everything about it that may change."""

    format_version: Literal[1] = 1
    id: int = Field(ge=1)
    name: str
    token: str
    kind: str | None
    notes: str
    created: str
    next_version: int = Field(ge=2)
    tags: tuple[str, ...]
    aliases: dict[str, int]
    versions: tuple[VersionState, ...]
    remotes: tuple[RemoteState, ...]


class BaseState(Document):
    """One known base: ``bases/<key>.json``."""

    format_version: Literal[1] = 1
    id: str
    revision: str | None
    family: str
    fingerprint: Fingerprint | None
    license: str | None
    path: str | None
    added: str


class VerdictState(Part):
    """What an encoder of one base is to the target."""

    fingerprint: str
    encoder: str
    verdict: str
    cosine: float | None
    reason: str
    decided: str


class VerdictsState(Document):
    """Every verdict about one target: ``verdicts/<fingerprint key>.json``."""

    format_version: Literal[1] = 1
    target: str
    verdicts: tuple[VerdictState, ...]


def document_bytes(db: Database, name: str) -> bytes | None:
    """What the changeable file ``name`` (``state/17.json``) has to hold, by the database.

    None when no row speaks of it, so that it has to go.
    """
    folder, _, file = name.partition("/")
    stem = file.removesuffix(".json")
    if folder == "state":
        return state_bytes(db, int(stem))
    if folder == "bases":
        return base_bytes(db, stem)
    return verdict_bytes(db, stem)


def base_bytes(db: Database, key: str) -> bytes | None:
    """The file of one base."""
    row = db.execute(
        "SELECT id, revision, family, fingerprint, license, path, added FROM bases WHERE key = ?",
        [key],
    ).fetchone()
    if row is None:
        return None
    names = ("id", "revision", "family", "fingerprint", "license", "path", "added")
    data = dict(zip(names, row, strict=True))
    data["fingerprint"] = json.loads(row[3]) if row[3] else None
    return canonical_json({"format_version": 1, **data})


def verdict_bytes(db: Database, target: str) -> bytes | None:
    """The file of the verdicts about one target."""
    rows = db.execute(
        "SELECT fingerprint, encoder, verdict, cosine, reason, decided FROM verdicts"
        " WHERE target = ? ORDER BY fingerprint, encoder",
        [target],
    ).fetchall()
    if not rows:
        return None
    names = ("fingerprint", "encoder", "verdict", "cosine", "reason", "decided")
    verdicts = [dict(zip(names, row, strict=True)) for row in rows]
    return canonical_json({"format_version": 1, "target": target, "verdicts": verdicts})


def state_bytes(db: Database, embedding_id: int) -> bytes | None:
    """The state file of an embedding as the database has it now; None when it has no row."""
    row = db.execute(
        "SELECT name, token, kind, notes, created, next_version FROM embeddings WHERE id = ?",
        [embedding_id],
    ).fetchone()
    if row is None:
        return None
    name, token, kind, notes, created, next_version = row
    hashes: dict[int, dict[str, str]] = {}
    for version_id, form, value in db.execute(
        "SELECT h.version_id, h.form, h.value FROM versions v JOIN hashes h"
        " ON h.version_id = v.id WHERE v.embedding_id = ?",
        [embedding_id],
    ):
        hashes.setdefault(version_id, {})[form] = value
    versions = [
        {
            "id": v[0],
            "version": v[1],
            "record": v[2],
            "added": v[3],
            "trashed": v[4],
            "hashes": hashes.get(v[0], {}),
        }
        for v in db.execute(
            "SELECT id, version, record_sha, added, trashed FROM versions"
            " WHERE embedding_id = ? ORDER BY version",
            [embedding_id],
        )
    ]
    tags = db.execute("SELECT tag FROM tags WHERE embedding_id = ? ORDER BY tag", [embedding_id])
    aliases = db.execute(
        "SELECT alias, version FROM aliases WHERE embedding_id = ?", [embedding_id]
    )
    remotes = db.execute(
        "SELECT repo, revision, record_sha, synced FROM remotes WHERE embedding_id = ?"
        " ORDER BY repo",
        [embedding_id],
    )
    return canonical_json(
        {
            "format_version": 1,
            "id": embedding_id,
            "name": name,
            "token": token,
            "kind": kind,
            "notes": notes,
            "created": created,
            "next_version": next_version,
            "tags": [t for (t,) in tags],
            "aliases": dict(aliases.fetchall()),
            "versions": versions,
            "remotes": [
                {"repo": r[0], "revision": r[1], "record_sha": r[2], "synced": r[3]}
                for r in remotes
            ],
        }
    )
