"""Search by looks and by vectors: from the nearest features back to embeddings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tireg.errors import StoreError
from tireg.store.core import Store
from tireg.store.features import Features, rows_space
from tireg.store.finding import find, found_where
from tireg.store.listing import COLUMNS, make_rows
from tireg.store.rows import Found, Row
from tireg.store.search import Query, conditions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Near:
    """An embedding and how near it is: cosine -1..1; ``key`` is the preview or tensor hash."""

    row: Row
    cosine: float
    key: str


def like(
    store: Store,
    features: Features,
    space: str,
    query: NDArray[np.float32],
    *,
    limit: int = 20,
    filters: Query | None = None,
) -> list[Near]:
    """Embeddings whose preview looks most like ``query`` ``[d]``, the best preview of each."""
    return _nearest(store, features, {space: query}, "preview", limit, filters or Query())


def near(
    store: Store,
    features: Features,
    ref: str,
    *,
    limit: int = 20,
    filters: Query | None = None,
) -> list[Near]:
    """Embeddings whose vectors point most nearly the same way as those of ``ref``.

    Compared are mean rows, encoder by encoder and only within the same encoder and width;
    with several encoders in common the mean of their cosines counts. The embedding itself
    and versions with equal tensors are left out.
    """
    with store.reading() as db:
        found = find(db, ref)
        tensors = db.execute(
            "SELECT encoder, width FROM tensors WHERE version_id = ? ORDER BY encoder", [found.id]
        ).fetchall()
    queries = {}
    for encoder, width in tensors:
        space = rows_space(encoder, width)
        vector = features.vector(space, found.tensor_hash)
        if vector is not None:
            queries[space] = vector
    if not queries:
        raise StoreError(f"the vectors of '{found.ref}' are not indexed", hint="tireg doctor")
    several = _nearest(store, features, queries, "tensors", limit + 1, filters or Query())
    return [n for n in several if n.key != found.tensor_hash][:limit]


def preview_bases(store: Store) -> list[str | None]:
    """The bases of embeddings outside the trash that have a preview; None for an unknown one."""
    with store.reading() as db:
        rows = db.execute(
            "SELECT DISTINCT v.base FROM versions v WHERE v.trashed IS NULL AND EXISTS"
            " (SELECT 1 FROM files f WHERE f.version_id = v.id AND f.role = 'preview')"
            " ORDER BY v.base"
        ).fetchall()
    return [base for (base,) in rows]


def missing_vectors(store: Store, features: Features, ref: str) -> list[Found]:
    """One version for each tensor hash that has an encoder of ``ref``'s and is not indexed."""
    with store.reading() as db:
        version = find(db, ref)
        spaces = db.execute(
            "SELECT encoder, width FROM tensors WHERE version_id = ?", [version.id]
        ).fetchall()
        missing: dict[str, Found] = {}
        for encoder, width in spaces:
            known = features.known(rows_space(encoder, width))
            found = found_where(
                db,
                "v.trashed IS NULL AND EXISTS (SELECT 1 FROM tensors t WHERE t.version_id = v.id"
                " AND t.encoder = ? AND t.width = ?)",
                [encoder, width],
            )
            missing |= {v.tensor_hash: v for v in found if v.tensor_hash not in known}
    return list(missing.values())


def _nearest(
    store: Store,
    features: Features,
    queries: dict[str, NDArray[np.float32]],
    what: str,
    limit: int,
    filters: Query,
) -> list[Near]:
    best: dict[int, Near] = {}
    # Keys in the trash, filtered out or of the same embedding take places; so look further
    # until there are enough or nothing is left.
    wanted = max(4 * limit, 64)
    while True:
        ranked = _ranked(features, queries, wanted)
        best = _embeddings(store, ranked, what, filters)
        if len(best) >= limit or len(ranked) < wanted:
            break
        wanted *= 8
    return sorted(best.values(), key=lambda n: (-n.cosine, n.row.name))[:limit]


def _ranked(
    features: Features, queries: dict[str, NDArray[np.float32]], wanted: int
) -> dict[str, float]:
    if len(queries) == 1:
        ((space, query),) = queries.items()
        return dict(features.nearest(space, query, wanted))
    # With several encoders every row counts: the best mean need not be near the top of any.
    cosines: dict[str, list[float]] = {}
    for space, query in queries.items():
        for key, cosine in features.nearest(space, query, sys.maxsize):
            cosines.setdefault(key, []).append(cosine)
    means = {key: sum(values) / len(values) for key, values in cosines.items()}
    return dict(sorted(means.items(), key=lambda pair: -pair[1])[:wanted])


def _embeddings(
    store: Store, ranked: dict[str, float], what: str, filters: Query
) -> dict[int, Near]:
    with store.reading() as db:
        limits = conditions(db, replace(filters, words=""))
        if limits.impossible:
            return {}
        best: dict[int, tuple[float, str, tuple[object, ...]]] = {}
        for keys in _chunks(list(ranked)):
            marks = ", ".join("?" * len(keys))
            if what == "preview":
                source = (
                    "files k CROSS JOIN versions v ON v.id = k.version_id"
                    " CROSS JOIN embeddings e ON e.id = v.embedding_id AND e.version_id = v.id"
                )
                column = f"k.sha256 IN ({marks}) AND k.role = 'preview'"
                key_column = "k.sha256"
            else:
                source = (
                    "versions k CROSS JOIN embeddings e ON e.id = k.embedding_id"
                    " AND e.version_id = k.id"
                )
                column, key_column = f"k.tensor_hash IN ({marks})", "k.tensor_hash"
            found = db.execute(
                f"SELECT {COLUMNS}, {key_column} FROM {source} WHERE {column}"
                f" AND {' AND '.join(limits.sql)}",
                [*keys, *limits.values],
            ).fetchall()
            for row in found:
                cosine = ranked[row[-1]]
                if row[0] not in best or cosine > best[row[0]][0]:
                    best[row[0]] = (cosine, row[-1], row[:-1])
        rows = make_rows(db, [row for _, _, row in best.values()])
    return {
        embedding_id: Near(row, cosine, key)
        for (embedding_id, (cosine, key, _)), row in zip(best.items(), rows, strict=True)
    }


def _chunks(keys: list[str], size: int = 5000) -> Iterator[list[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
