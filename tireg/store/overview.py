"""Looking over the registry: counts, history, differences, duplicates, hashes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tireg.errors import InputError
from tireg.store.core import Store
from tireg.store.finding import find_embedding, found_where
from tireg.store.insert import refresh_embedding
from tireg.store.rows import Event, Found, Version


@dataclass(frozen=True)
class Stats:
    """Counts outside the trash; ``bytes`` is what distinct objects take, trash included.

    The tables map a name (null: not known) to a number of embeddings, most first.
    """

    embeddings: int
    versions: int
    trashed: int
    runs: int
    bases: int
    concepts: int
    objects: int
    bytes: int
    database_bytes: int
    kinds: dict[str | None, int]
    families: dict[str | None, int]
    licenses: dict[str | None, int]
    tags: dict[str | None, int]


def stats(store: Store, *, top: int = 10) -> Stats:
    """Counts over the whole registry; at most ``top`` entries per table."""
    with store.reading() as db:

        def one(sql: str) -> int:
            return int(db.execute(sql).fetchone()[0] or 0)

        def table(column: str) -> dict[str | None, int]:
            rows = db.execute(
                f"SELECT {column}, count(*) AS n FROM embeddings WHERE updated IS NOT NULL"
                f" GROUP BY {column} ORDER BY n DESC, {column} LIMIT ?",
                [top],
            )
            return dict(rows.fetchall())

        objects = "(SELECT sha256, bytes FROM files UNION SELECT sha256, bytes FROM run_files)"
        tags = db.execute(
            "SELECT t.tag, count(*) AS n FROM tags t JOIN embeddings e ON e.id = t.embedding_id"
            " WHERE e.updated IS NOT NULL GROUP BY t.tag ORDER BY n DESC, t.tag LIMIT ?",
            [top],
        ).fetchall()
        pages = one("PRAGMA page_count") * one("PRAGMA page_size")
        return Stats(
            embeddings=one("SELECT count(*) FROM embeddings WHERE updated IS NOT NULL"),
            versions=one("SELECT count(*) FROM versions WHERE trashed IS NULL"),
            trashed=one("SELECT count(*) FROM versions WHERE trashed IS NOT NULL"),
            runs=one("SELECT count(*) FROM runs"),
            bases=one("SELECT count(*) FROM bases"),
            concepts=one("SELECT count(*) FROM concepts"),
            objects=one(f"SELECT count(*) FROM {objects}"),
            bytes=one(f"SELECT sum(bytes) FROM {objects}"),
            database_bytes=pages,
            kinds=table("kind"),
            families=table("family"),
            licenses=table("license"),
            tags=dict(tags),
        )


def history(store: Store, ref: str | None = None, *, limit: int = 100) -> list[Event]:
    """Who changed what, the newest first; of one embedding or of the whole registry."""
    with store.reading() as db:
        where, values = "", []
        if ref is not None:
            where, values = "WHERE embedding_id = ?", [find_embedding(db, ref)[0]]
        rows = db.execute(
            f"SELECT at, who, verb, name, version, detail FROM events {where}"
            " ORDER BY id DESC LIMIT ?",
            [*values, limit],
        ).fetchall()
    return [Event(*row) for row in rows]


@dataclass(frozen=True)
class Difference:
    """One field (``recipe.steps``) that two records do not share; null: not there."""

    field: str
    left: Any
    right: Any


def diff(left: Version, right: Version) -> list[Difference]:
    """Where two versions differ, in the order of the record's fields.

    The training curve is left out: it is a list of measurements and always differs.
    """
    a, b = _flat(left.record.model_dump(mode="json")), _flat(right.record.model_dump(mode="json"))
    a["tags"], b["tags"] = list(left.tags), list(right.tags)
    a["notes"], b["notes"] = left.notes, right.notes
    names = [*a, *(name for name in b if name not in a)]
    return [
        Difference(name, a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)
    ]


def _flat(data: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(data, dict):
        return {prefix: data}
    flat: dict[str, Any] = {}
    for key, value in data.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if name != "training.curve":
            flat.update(_flat(value, name))
    return flat


def duplicates(store: Store) -> list[list[Found]]:
    """Groups of versions outside the trash with equal tensors, the oldest of each first."""
    with store.reading() as db:
        hashes = db.execute(
            "SELECT tensor_hash FROM versions WHERE trashed IS NULL GROUP BY tensor_hash"
            " HAVING count(*) > 1 ORDER BY min(id)"
        ).fetchall()
        where = "v.tensor_hash = ? AND v.trashed IS NULL"
        return [found_where(db, where, [tensor_hash]) for (tensor_hash,) in hashes]


def dedupe(store: Store, *, dry_run: bool = False) -> list[Found]:
    """Throw away all but the oldest of versions with equal tensors; what went (undoable).

    A version with an alias or a score of its own stays.
    """
    if dry_run:
        with store.reading() as db:
            return _surplus(store, _spared(db))
    with store.writing() as change:
        gone = _surplus(store, _spared(change.db))
        for version in gone:
            change.db.execute(
                "UPDATE versions SET trashed = ? WHERE id = ?", [change.at, version.id]
            )
            change.event("rm", version.embedding_id, version.name, version.version, "duplicate")
        for embedding_id in {version.embedding_id for version in gone}:
            refresh_embedding(change.db, embedding_id)
            change.touch(embedding_id)
    return gone


def _spared(db: Any) -> set[int]:
    rows = db.execute(
        "SELECT v.id FROM versions v WHERE EXISTS (SELECT 1 FROM aliases a"
        " WHERE a.embedding_id = v.embedding_id AND a.version = v.version)"
        " OR EXISTS (SELECT 1 FROM runs r WHERE r.record_sha = v.record_sha)"
    )
    return {version_id for (version_id,) in rows}


def _surplus(store: Store, spared: set[int]) -> list[Found]:
    return [v for group in duplicates(store) for v in group[1:] if v.id not in spared]


@dataclass(frozen=True)
class Match:
    """A version that a hash belongs to, and which form of hash it is."""

    found: Found
    form: str


def lookup(store: Store, text: str) -> list[Match]:
    """Every version a hash belongs to, trash included (``found.trashed`` tells).

    Understood are record and tensor hashes, the sha256 of the embedding file, of the file it
    was imported from and of its previews; the beginnings of these (AutoV2: 10 digits, A1111:
    12); and the forms that were handed in: AutoV3, BLAKE3, CRC32, AutoV1, A1111's 4-digit
    checksum. Raises InputError when it is no hash.
    """
    value = text.strip().lower().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-f]{4,64}", value):
        raise InputError(
            f"'{text}' is not a hash", hint="give 4 to 64 hex digits, such as an AutoV2 hash"
        )
    matches: list[Match] = []
    with store.reading() as db:
        if len(value) >= 8:
            until = value + "g"
            for form, where in (
                ("record", "v.record_sha >= ? AND v.record_sha < ?"),
                ("tensors", "v.tensor_hash >= ? AND v.tensor_hash < ?"),
                ("source", "v.source_sha >= ? AND v.source_sha < ?"),
            ):
                matches += [Match(f, form) for f in found_where(db, where, [value, until])]
            rows = db.execute(
                "SELECT DISTINCT version_id, role FROM files WHERE sha256 >= ? AND sha256 < ?",
                [value, until],
            ).fetchall()
            form = {10: "autov2", 12: "a1111"}.get(len(value), "sha256")
            for version_id, role in rows:
                name = form if role == "embedding" else role
                matches += [Match(f, name) for f in found_where(db, "v.id = ?", [version_id])]
        prefix = value + ("g" if len(value) >= 8 else "")
        condition = "value >= ? AND value < ?" if len(value) >= 8 else "value = ? AND value = ?"
        rows = db.execute(
            f"SELECT DISTINCT version_id, form FROM hashes WHERE {condition}",
            [value, prefix],
        ).fetchall()
        for version_id, name in rows:
            matches += [Match(f, name) for f in found_where(db, "v.id = ?", [version_id])]
    return list(dict.fromkeys(matches))
