"""Light rows for lists: the columns of one table, with tags and headline scores beside them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database

from tireg.store.rows import Row

COLUMNS = (
    "e.id, e.name, e.version, e.token, e.kind, e.tensor_hash, e.record_sha, e.base, e.family,"
    " e.license, e.vectors, e.negative, e.updated"
)


def make_rows(db: Database, found: Sequence[tuple[object, ...]]) -> list[Row]:
    """:class:`Row` objects of rows of :data:`COLUMNS`, with tags and scores looked up."""
    tags: dict[object, list[str]] = {}
    scores: dict[object, dict[str, float | None]] = {}
    # SQLite takes at most 32,766 marks in one statement.
    for start in range(0, len(found), 10_000):
        part = found[start : start + 10_000]
        marks = ", ".join("?" * len(part))
        for embedding_id, word in db.execute(
            f"SELECT embedding_id, tag FROM tags WHERE embedding_id IN ({marks}) ORDER BY tag",
            [row[0] for row in part],
        ):
            tags.setdefault(embedding_id, []).append(word)
        for record_sha, metric, value in db.execute(
            f"SELECT record_sha, metric, value FROM headlines WHERE record_sha IN ({marks})",
            [row[6] for row in part],
        ):
            scores.setdefault(record_sha, {})[metric] = value
    return [_row(row, tuple(tags.get(row[0], ())), scores.get(row[6], {})) for row in found]


def _row(values: tuple, tags: tuple[str, ...], scores: dict[str, float | None]) -> Row:  # type: ignore[type-arg]
    (_, name, version, token, kind, tensor_hash, record_sha, *rest) = values
    base, family, license_name, vectors, negative, created = rest
    return Row(
        name=name,
        version=version,
        token=token,
        kind=kind,
        tensor_hash=tensor_hash,
        record_sha=record_sha,
        base=base,
        family=family,
        license=license_name,
        vectors=vectors,
        negative=bool(negative),
        created=created,
        tags=tags,
        scores=scores,
    )
