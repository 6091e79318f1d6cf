"""The registry: one object with every verb, thin over the modules beside it."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tireg.store import database
from tireg.store.core import Store
from tireg.store.faults import translated
from tireg.store.finding import find, found_where, load, raw_version
from tireg.store.home import registry_home
from tireg.store.objects import Objects
from tireg.store.rows import Added, BaseRow, Event, Found, RawVersion, Remote, Row, Verdict, Version
from tireg.store.search import Page, Query, search

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tireg.domain.records import Record
    from tireg.domain.scores import Run
    from tireg.store.adding import Item, Outcome
    from tireg.store.features import Features
    from tireg.store.gc import Collected
    from tireg.store.looks import Near
    from tireg.store.overview import Difference, Match, Stats
    from tireg.store.verifying import Report


class Registry:
    """An open registry. Use it as a context manager, in one thread.

    Failures of the database and the disk are StoreError, CorruptError or ConfigError, each
    one sentence with the way out. References (``ref``) are ``name``, ``name@3``,
    ``name@best``, ``name@latest``, or 8 or more hex digits of a record's or tensor hash; one
    that means nothing is RefError.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._features: Features | None = None

    @classmethod
    def open(cls, home: Path | None = None, *, create: bool = True) -> Registry:
        """Open the registry in ``home`` (default: :func:`registry_home`).

        With ``create`` it is made where it is missing. Without, it is for looking: nothing
        is created, and a home that is empty or not there is an empty registry; writing is
        still possible where the database exists and its folder is writable. An older schema
        is migrated, a copy kept. Nothing is verified here: that is :meth:`verify`'s.
        """
        home = registry_home() if home is None else home
        with translated(home):
            if create:
                home.mkdir(parents=True, exist_ok=True)
                return cls(Store(home, database.open_writable(home), writable=True))
            db, writable = database.open_readable(home)
            return cls(Store(home, db, writable=writable))

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; the object is of no use afterwards."""
        self.store.db.close()

    @property
    def home(self) -> Path:
        """The folder of the registry."""
        return self.store.home

    @property
    def objects(self) -> Objects:
        """Files by sha256."""
        return self.store.objects

    # Bringing in

    def add(
        self,
        record: Record,
        objects: Mapping[str, bytes],
        *,
        name: str | None = None,
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        hashes: Mapping[str, str] | None = None,
        again: bool = False,
    ) -> Added:
        """Keep one embedding: its files, its record, then its rows, all or nothing.

        ``objects`` maps sha256 to bytes for files the record names and that are not here yet.
        A name in use gets another version if token and kind match, else NameInUseError. A
        record that only repeats a version (see :meth:`find_equal`) gives that one back, unless
        ``again`` asks for another version all the same.
        """
        from tireg.store.adding import Collision, Item

        mode: Collision = "new" if again else "version"
        item = Item(record, objects, name, tuple(aliases), tuple(tags), hashes or {}, mode)
        outcome = self.add_many([item])[0]
        return Added(load(self.store, outcome.found), outcome.added)

    def add_many(self, items: Iterable[Item]) -> builtins.list[Outcome]:
        """Keep many, in groups of a few hundred, each whole or not at all."""
        return builtins.list(self.adding(items))

    def adding(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """As :meth:`add_many`, giving each outcome as soon as it is durable."""
        from tireg.store.adding import add_items

        return add_items(self.store, items)

    def find_equal(self, record: Record, name: str) -> Version | None:
        """The version under ``name`` that ``record`` would only repeat."""
        from tireg.store.adding import find_equal

        with self.store.reading() as db:
            found = find_equal(db, record, name)
        return load(self.store, found) if found else None

    def add_run(self, run: Run, objects: Mapping[str, bytes]) -> bool:
        """Keep one evaluation; False if it is here already."""
        from tireg.store.adding import add_run

        return add_run(self.store, run, objects)

    def add_base(self, base: BaseRow) -> None:
        """Remember a base, or what is new about it."""
        from tireg.store.bases import add_base

        add_base(self.store, base)

    def add_verdicts(self, verdicts: Iterable[Verdict]) -> None:
        """Remember compatibility verdicts between fingerprints."""
        from tireg.store.bases import add_verdicts

        add_verdicts(self.store, verdicts)

    # Finding

    def find(self, ref: str, *, trashed: bool = False) -> Found:
        """The version ``ref`` means, without its record."""
        with self.store.reading() as db:
            return find(db, ref, trashed=trashed)

    def resolve(self, ref: str, *, trashed: bool = False) -> Version:
        """The version ``ref`` means, its record proven by its hash."""
        return load(self.store, self.find(ref, trashed=trashed))

    def raw(self, ref: str) -> tuple[RawVersion, builtins.list[bytes]]:
        """The version ``ref`` means and its runs as JSON, proven by their hashes, not parsed.

        For looking: it costs a third of :meth:`resolve`.
        """
        from tireg.store.evaluations import run_files

        found = self.find(ref)
        return raw_version(self.store, found), run_files(self.store, found.record_sha)

    def versions(self, name: str, *, trashed: bool = False) -> builtins.list[Version]:
        """Every version of an embedding, oldest first."""
        found = self.find(name, trashed=trashed)
        where = "v.embedding_id = ?" + ("" if trashed else " AND v.trashed IS NULL")
        with self.store.reading() as db:
            every = found_where(db, where, [found.embedding_id])
        return [load(self.store, version) for version in every]

    def equal_tensors(self, tensor_hash: str) -> builtins.list[Found]:
        """Every version outside the trash with these tensors, under whatever name."""
        with self.store.reading() as db:
            return found_where(db, "v.tensor_hash = ? AND v.trashed IS NULL", [tensor_hash])

    def same_token(self, token: str, name: str) -> builtins.list[str]:
        """Up to five other embeddings that are typed with the same token as ``name``."""
        from tireg.store.search import same_token

        with self.store.reading() as db:
            return same_token(db, token, name)

    def list(self, *, limit: int | None = 50, sort: str = "created") -> builtins.list[Row]:
        """Embeddings outside the trash, newest first; ``limit`` None gives all."""
        return self.search(Query(limit=limit, sort=sort)).rows

    def search(self, query: Query) -> Page:
        """One page of what matches words and filters; see :class:`Query`."""
        return search(self.store, query)

    def trash(self) -> builtins.list[Found]:
        """Every version in the trash, the last thrown away first."""
        with self.store.reading() as db:
            every = found_where(db, "v.trashed IS NOT NULL", [])
        return sorted(every, key=lambda v: v.trashed or "", reverse=True)

    @property
    def features(self) -> Features:
        """Features of previews and vectors, by which looks are compared."""
        from tireg.store.features import Features

        if self._features is None:
            self._features = Features(self.store)
        return self._features

    def put_vectors(self, several: Mapping[str, Mapping[str, NDArray[np.float32]]]) -> None:
        """Index vectors ``[n, width]`` by tensor hash and encoder key, for :meth:`near`."""
        from tireg.store.features import put_vectors

        put_vectors(self.features, several)

    def missing_vectors(self, ref: str) -> builtins.list[Found]:
        """Versions with an encoder of ``ref``'s whose vectors are not indexed there yet."""
        from tireg.store.looks import missing_vectors

        return missing_vectors(self.store, self.features, ref)

    def preview_bases(self) -> builtins.list[str | None]:
        """The bases of embeddings that have a preview; None for those made on an unknown one."""
        from tireg.store.looks import preview_bases

        return preview_bases(self.store)

    def like(
        self,
        space: str,
        feature: NDArray[np.float32],
        *,
        limit: int = 20,
        filters: Query | None = None,
    ) -> builtins.list[Near]:
        """Embeddings whose preview looks most like ``feature`` ``[d]`` of that space."""
        from tireg.store.looks import like

        return like(self.store, self.features, space, feature, limit=limit, filters=filters)

    def near(
        self, ref: str, *, limit: int = 20, filters: Query | None = None
    ) -> builtins.list[Near]:
        """Embeddings whose vectors point most nearly the way those of ``ref`` do."""
        from tireg.store.looks import near

        return near(self.store, self.features, ref, limit=limit, filters=filters)

    def lookup(self, text: str) -> builtins.list[Match]:
        """Every version a hash of any form belongs to."""
        from tireg.store.overview import lookup

        return lookup(self.store, text)

    def count(self) -> int:
        """How many embeddings are outside the trash."""
        with self.store.reading() as db:
            sql = "SELECT count(*) FROM embeddings WHERE updated IS NOT NULL"
            return int(db.execute(sql).fetchone()[0])

    def runs(self, record_sha: str) -> builtins.list[Run]:
        """Every evaluation of a record, oldest first."""
        from tireg.store.evaluations import runs

        return runs(self.store, record_sha)

    def run(self, run_id: str) -> Run:
        """The evaluation whose id begins with ``run_id`` (6 or more digits)."""
        from tireg.store.evaluations import run

        return run(self.store, run_id)

    def bases(self) -> builtins.list[BaseRow]:
        """The known bases."""
        from tireg.store.bases import bases

        return bases(self.store)

    def verdicts(self, *, target: str | None = None) -> builtins.list[Verdict]:
        """The known compatibility verdicts."""
        from tireg.store.bases import verdicts

        return verdicts(self.store, target=target)

    def remotes(self, ref: str) -> builtins.list[Remote]:
        """Where the embedding is also kept."""
        from tireg.store.changing import remotes

        return remotes(self.store, ref)

    # Changing

    def remove(self, ref: str) -> builtins.list[Found]:
        """Put one version (``name@3``) or a whole embedding (``name``) in the trash."""
        from tireg.store.changing import remove

        return remove(self.store, ref)

    def restore(self, ref: str) -> builtins.list[Found]:
        """Undo :meth:`remove`."""
        from tireg.store.changing import restore

        return restore(self.store, ref)

    def rename(self, ref: str, name: str) -> None:
        """Give an embedding another name."""
        from tireg.store.changing import rename

        rename(self.store, ref, name)

    def tag(self, ref: str, tags: Iterable[str]) -> tuple[str, ...]:
        """Add tags; all of the embedding's tags afterwards."""
        from tireg.store.changing import tag

        return tag(self.store, ref, tags)

    def untag(self, ref: str, tags: Iterable[str]) -> tuple[str, ...]:
        """Take tags away; the remaining ones."""
        from tireg.store.changing import untag

        return untag(self.store, ref, tags)

    def alias(self, ref: str, name: str) -> Found:
        """Let ``name`` mean the version ``ref``."""
        from tireg.store.changing import alias

        return alias(self.store, ref, name)

    def unalias(self, ref: str, name: str) -> None:
        """Forget an alias."""
        from tireg.store.changing import unalias

        unalias(self.store, ref, name)

    def note(self, ref: str, text: str) -> None:
        """Replace the embedding's notes."""
        from tireg.store.changing import note

        note(self.store, ref, text)

    def set_remote(self, ref: str, remote: Remote) -> None:
        """Remember where the embedding is also kept."""
        from tireg.store.changing import set_remote

        set_remote(self.store, ref, remote)

    # Looking after

    def verify(self) -> Report:
        """Re-hash every file, find what is missing, changed or orphaned."""
        from tireg.store.verifying import verify

        return verify(self.store)

    def gc(self, *, older_than: str | None = None, dry_run: bool = False) -> Collected:
        """Empty the trash for good and remove files that belong to nothing."""
        from tireg.store.gc import collect

        return collect(self.store, older_than=older_than, dry_run=dry_run)

    def stats(self, *, top: int = 10) -> Stats:
        """Counts over the whole registry."""
        from tireg.store.overview import stats

        return stats(self.store, top=top)

    def history(self, ref: str | None = None, *, limit: int = 100) -> builtins.list[Event]:
        """Who changed what, newest first."""
        from tireg.store.overview import history

        return history(self.store, ref, limit=limit)

    def diff(self, left: str, right: str) -> builtins.list[Difference]:
        """Where two versions differ."""
        from tireg.store.overview import diff

        return diff(self.resolve(left), self.resolve(right))

    def duplicates(self) -> builtins.list[builtins.list[Found]]:
        """Groups of versions with equal tensors."""
        from tireg.store.overview import duplicates

        return duplicates(self.store)

    def dedupe(self, *, dry_run: bool = False) -> builtins.list[Found]:
        """Throw away all but the oldest of versions with equal tensors (undoable)."""
        from tireg.store.overview import dedupe

        return dedupe(self.store, dry_run=dry_run)
