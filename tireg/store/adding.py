"""Bringing embeddings and their evaluations in: files first, then one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlite_utils import Database

from tireg.errors import NameInUseError, RefError, StoreError
from tireg.store.bases import ensure_base
from tireg.store.core import Change, Store, is_referenced
from tireg.store.files import Stage
from tireg.store.finding import found_where
from tireg.store.insert import (
    Digests,
    insert_embedding,
    insert_run,
    insert_version,
    refresh_embedding,
    refresh_headlines,
    set_hashes,
)
from tireg.store.names import check_alias, check_name, check_tag
from tireg.store.rows import BaseRow, Found

if TYPE_CHECKING:
    from tireg.domain.records import Record
    from tireg.domain.scores import Run

# Of a larger group each page of an index takes more of the new rows, so fewer pages are written
# per row (at 100,000 embeddings: 13 at 300, 9 at 900); a smaller one lets others write sooner.
GROUP = 900
# A group waits in memory, files and all; large ones make smaller groups.
GROUP_BYTES = 64 * 1024 * 1024
# Files that a record speaks of and that need not come along: training pictures are private, and
# a foreign original may be a pickle, which is never published.
STAYING_ROLES = ("picture", "original")
Collision = Literal["version", "new", "suffix"]


@dataclass(frozen=True)
class Item:
    """One embedding to add.

    ``objects`` maps the sha256 of a file the record names to its bytes; objects that are in
    the store already may be left out. ``hashes`` holds further hash forms of the embedding
    file (``autov3``, ``blake3``, ``crc32``, ``checksum``, …). ``collision`` says what a name
    in use means: another version of the same embedding unless it only repeats one
    (``version``), another one in any case (``new``), or a name with a hash suffix.
    """

    record: Record
    objects: Mapping[str, bytes] = field(default_factory=dict)
    name: str | None = None
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    collision: Collision = "version"


@dataclass(frozen=True)
class Outcome:
    """What became of one item: where it is now, and whether it is new."""

    found: Found
    added: bool


@dataclass(frozen=True)
class _Prepared:
    item: Item
    name: str
    digests: Digests

    @property
    def equality(self) -> tuple[object, ...]:
        """What two versions that repeat each other have in common."""
        record, digests = self.item.record, self.digests
        base = record.base
        return (
            record.tensor_hash,
            digests.recipe,
            digests.concept,
            base.id if base else None,
            base.revision if base else None,
            digests.fingerprint,
        )


def add_items(store: Store, items: Iterable[Item], *, group: int = GROUP) -> Iterator[Outcome]:
    """Add items in groups of ``group``, each group one change: whole or not at all.

    Yields an outcome per item, in order, once its group is durable.
    """
    for batch in _batches(items, group):
        yield from _add_group(store, batch)


def _batches(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    """At most ``count`` items at a time, fewer where their files are large."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += sum(len(data) for data in item.objects.values())
        if len(batch) >= count or size >= GROUP_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _add_group(store: Store, items: list[Item]) -> list[Outcome]:
    store.require_writable()
    stage = Stage()
    try:
        with store.reading():
            prepared = [_prepare(store, stage, item) for item in items]
    except BaseException:
        stage.discard()
        raise
    with store.writing(stage) as change:
        staged = {target for _, target in stage.waiting}
        for part in prepared:
            _check_objects(store, stage, staged, part)
        outcomes = [_place(change, part) for part in prepared]
        stage.keep_only(
            path
            for part, outcome in zip(prepared, outcomes, strict=True)
            for path in _paths(store, part)
            # Of what was here already only files that its rows speak of: they were damaged.
            if outcome.added or is_referenced(store, path.relative_to(store.home).as_posix())
        )
    return outcomes


def _paths(store: Store, part: _Prepared) -> Iterator[Path]:
    yield store.record_path(part.digests.record)
    for file in part.item.record.files:
        yield store.objects.path(file.sha256)


def _prepare(store: Store, stage: Stage, item: Item) -> _Prepared:
    record = item.record
    name = check_name(item.name if item.name is not None else record.name)
    for alias in item.aliases:
        check_alias(alias)
    for tag in item.tags:
        check_tag(tag)
    raw = record.canonical()
    sha = hashlib.sha256(raw).hexdigest()
    named = {f.sha256 for f in record.files}
    for object_sha, data in item.objects.items():
        if object_sha not in named:
            raise StoreError(f"the record of '{name}' does not name the object {object_sha[:12]}")
        store.objects.stage(stage, object_sha, data)
    path = store.record_path(sha)
    if not path.exists() or path.read_bytes() != raw:
        stage.add(path, raw)
    return _Prepared(item, name, Digests.of(record, sha))


def _check_objects(store: Store, stage: Stage, staged: set[Path], part: _Prepared) -> None:
    # Under the lock, so that a clean-up cannot take an object between this look and the commit.
    for file in part.item.record.files:
        path = store.objects.path(file.sha256)
        if path not in staged and not path.exists():
            if data := part.item.objects.get(file.sha256):
                stage.add(path, data)
                continue
            if file.role in STAYING_ROLES:
                continue
            raise StoreError(
                f"the object {file.sha256[:12]} ('{file.name}') of '{part.name}' was not given"
            )
    record = store.record_path(part.digests.record)
    if record not in staged and not record.exists():
        stage.add(record, part.item.record.canonical())


def _place(change: Change, part: _Prepared) -> Outcome:
    db, record, item = change.db, part.item.record, part.item
    name = part.name
    if item.collision == "suffix":
        name, known = _free_name(db, name, record.tensor_hash)
        if known is not None:
            return Outcome(known, False)
    row = db.execute(
        "SELECT id, token, kind, next_version FROM embeddings WHERE name = ?", [name]
    ).fetchone()
    if row is not None:
        _check_same(name, (row[1], row[2]), record)
        exact = item.collision == "new"
        if (equal := _equal(db, row[0], part, exact=exact)) is not None:
            return Outcome(_reuse(change, equal, item), False)
    if record.base is not None:
        ensure_base(change, BaseRow.of(record.base), part.digests.fingerprint)
    version_id, version = change.next_version_id(), 1
    if row is None:
        tags = sorted({*map(check_tag, item.tags), *_birth_tags(record.tags)})
        embedding_id = insert_embedding(
            db, name, version_id, record, part.digests, tags=tags, added=change.at
        )
    else:
        embedding_id, version = row[0], row[3]
    insert_version(
        db,
        embedding_id,
        version,
        record,
        part.digests,
        added=change.at,
        hashes=item.hashes,
        row_id=version_id,
    )
    if row is None:
        _set_aliases(change, embedding_id, version, item)
    else:
        db.execute(
            "UPDATE embeddings SET next_version = ?, kind = coalesce(kind, ?) WHERE id = ?",
            [version + 1, record.kind, embedding_id],
        )
        _label(change, embedding_id, version, item, born=record.tags)
        refresh_embedding(db, embedding_id)
    change.touch(embedding_id)
    change.event("add", embedding_id, name, version, record.source.how)
    found = Found(
        version_id, embedding_id, name, version, part.digests.record, record.tensor_hash, None
    )
    return Outcome(found, True)


def find_equal(db: Database, record: Record, name: str) -> Found | None:
    """The version under ``name`` that this record would only repeat, or None.

    Equal record, or equal tensors made by the same recipe from the same pictures on the same
    base; when it was made and how long it took do not matter.
    """
    row = db.execute("SELECT id FROM embeddings WHERE name = ?", [name]).fetchone()
    if row is None:
        return None
    prepared = _Prepared(Item(record), name, Digests.of(record, record.sha256))
    return _equal(db, row[0], prepared)


def _equal(
    db: Database, embedding_id: int, part: _Prepared, *, exact: bool = False
) -> Found | None:
    """The version that ``part`` repeats; with ``exact`` only the very same record counts."""
    if exact:
        same = [embedding_id, part.digests.record]
        found = found_where(db, "v.embedding_id = ? AND v.record_sha = ?", same)
        return found[0] if found else None
    found = found_where(
        db,
        "v.embedding_id = ? AND (v.record_sha = ? OR (v.tensor_hash = ? AND v.recipe_sha IS ?"
        " AND v.concept_sha IS ? AND v.base IS ? AND v.base_revision IS ?"
        " AND v.base_fingerprint IS ?))",
        [embedding_id, part.digests.record, *part.equality],
    )
    return next((f for f in found if f.trashed is None), found[0] if found else None)


def _check_same(name: str, known: tuple[str, str | None], record: Record) -> None:
    token, kind = known
    hint = "give another --name"
    if token != record.token:
        raise NameInUseError(
            f"'{name}' is already the embedding with the token '{token}', not '{record.token}'",
            hint=hint,
        )
    # A foreign file does not say its kind; that is no contradiction.
    if kind is not None and record.kind is not None and kind != record.kind:
        raise NameInUseError(
            f"'{name}' (token '{token}') is already of the kind {kind}, not {record.kind}",
            hint=hint,
        )


def _reuse(change: Change, found: Found, item: Item) -> Found:
    """The version is here: take it out of the trash if need be, give it what is new."""
    if found.trashed is not None:
        change.db.execute("UPDATE versions SET trashed = NULL WHERE id = ?", [found.id])
        change.event("restore", found.embedding_id, found.name, found.version, "added again")
    set_hashes(change.db, found.id, item.hashes)
    _label(change, found.embedding_id, found.version, item, born=())
    refresh_embedding(change.db, found.embedding_id)
    change.touch(found.embedding_id)
    return Found(
        found.id,
        found.embedding_id,
        found.name,
        found.version,
        found.record_sha,
        found.tensor_hash,
        None,
    )


def _label(
    change: Change, embedding_id: int, version: int, item: Item, *, born: tuple[str, ...]
) -> None:
    _set_aliases(change, embedding_id, version, item)
    for tag in {*map(check_tag, item.tags), *_birth_tags(born)}:
        change.db.execute("INSERT OR IGNORE INTO tags VALUES (?, ?)", [tag, embedding_id])


def _set_aliases(change: Change, embedding_id: int, version: int, item: Item) -> None:
    for alias in item.aliases:
        change.db.execute(
            "INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)",
            [embedding_id, check_alias(alias), version],
        )


def _birth_tags(tags: Iterable[str]) -> Iterator[str]:
    """The usable ones among the tags of a record, which may come from anywhere."""
    for tag in tags:
        try:
            yield check_tag(tag.replace(",", " "))
        except RefError:
            continue


def _free_name(db: Database, name: str, tensor_hash: str) -> tuple[str, Found | None]:
    """``name``, or it with a hash suffix if taken; and the version with equal tensors there."""
    for candidate in (name, *(f"{name[:90]}-{tensor_hash[:n]}" for n in (8, 12, 16, 24, 32))):
        row = db.execute("SELECT id FROM embeddings WHERE name = ?", [candidate]).fetchone()
        if row is None:
            return candidate, None
        same = found_where(
            db,
            "v.embedding_id = ? AND v.tensor_hash = ? AND v.trashed IS NULL",
            [row[0], tensor_hash],
        )
        if same:
            return candidate, same[0]
    raise NameInUseError(f"'{name}' and every suffix of it are in use", hint="give a --name")


def add_run(store: Store, run: Run, objects: Mapping[str, bytes]) -> bool:
    """Keep one evaluation run; False if it is here already.

    Raises RefError when no version here has the record the run is about.
    """
    store.require_writable()
    raw = run.canonical()
    stage = Stage()
    try:
        with store.reading():
            named = {f.sha256: f.name for f in run.files}
            for sha, data in objects.items():
                if sha not in named:
                    raise StoreError(f"run {run.run_id[:12]} does not name the object {sha[:12]}")
                store.objects.stage(stage, sha, data)
            stage.add(store.run_path(run.run_id), raw)
    except BaseException:
        stage.discard()
        raise
    with store.writing(stage) as change:
        db = change.db
        if db.execute("SELECT 1 FROM runs WHERE run_id = ?", [run.run_id]).fetchone():
            stage.keep_only([])
            return False
        found = found_where(db, "v.record_sha = ?", [run.record])
        if not found:
            raise RefError(
                f"no embedding here has the record {run.record[:12]} that this run is about",
                hint="tireg list",
            )
        staged = {target for _, target in stage.waiting}
        for sha, name in named.items():
            path = store.objects.path(sha)
            if path in staged or path.exists():
                continue
            if sha not in objects:
                raise StoreError(
                    f"the object {sha[:12]} ('{name}') of run {run.run_id[:12]} was not given"
                )
            # It lay here unused when it was looked for, and a clean-up took it since.
            stage.add(path, objects[sha])
        insert_run(db, run, hashlib.sha256(raw).hexdigest())
        refresh_headlines(db, run.record)
        first = found[0]
        change.event("eval", first.embedding_id, first.name, first.version, run.run_id)
    return True
