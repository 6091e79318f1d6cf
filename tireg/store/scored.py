"""Which versions were evaluated, found without reading a record."""

from __future__ import annotations

from tireg.store.core import Store
from tireg.store.finding import found_where
from tireg.store.rows import Found


def scored(store: Store) -> list[Found]:
    """Every version outside the trash that has an evaluation, by name and number."""
    where = "v.trashed IS NULL AND v.record_sha IN (SELECT record_sha FROM runs)"
    with store.reading() as db:
        found = found_where(db, where, [])
    return sorted(found, key=lambda version: (version.name, version.version))
