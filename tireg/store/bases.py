"""The bases known here, and what their encoders are to each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from sqlite_utils import Database

from tireg.domain.model import canonical_json
from tireg.errors import StoreError
from tireg.store.core import Change, Store
from tireg.store.objects import SHA
from tireg.store.rows import BaseRow, Verdict

if TYPE_CHECKING:
    from tireg.domain.fingerprints import Fingerprint

GOOD = ("exact", "near")


def fingerprint_key(fingerprint: Fingerprint) -> str:
    """What rows call a base's fingerprint: its identity, equal on every machine."""
    return fingerprint.identity


def base_key(base: BaseRow, fingerprint_sha: str | None = None) -> str:
    """The key of the row: a base is its id, its revision and its fingerprint.

    ``fingerprint_sha`` spares reckoning it where it is known.
    """
    print_sha = fingerprint_sha
    if print_sha is None and base.fingerprint is not None:
        print_sha = fingerprint_key(base.fingerprint)
    return hashlib.sha256(canonical_json([base.id, base.revision, print_sha])).hexdigest()


def ensure_base(change: Change, base: BaseRow, fingerprint_sha: str | None = None) -> None:
    """Make the base known; what is known of it already stays where ``base`` says nothing."""
    db, key = change.db, base_key(base, fingerprint_sha)
    found = db.execute("SELECT license, path, added FROM bases WHERE key = ?", [key]).fetchone()
    if found is not None:
        news = (base.license or found[0], base.path or found[1])
        if news == (found[0], found[1]):
            return
        db.execute("UPDATE bases SET license = ?, path = ? WHERE key = ?", [*news, key])
    else:
        if base.fingerprint is not None:
            base = _absorb_unmeasured(change, base)
        insert_base(db, replace(base, added=base.added or change.at))
    change.touch_document(f"bases/{key}.json")


def insert_base(db: Database, base: BaseRow) -> None:
    """The row of one base."""
    prints = base.fingerprint
    db.execute(
        "INSERT INTO bases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            base_key(base),
            base.id,
            base.revision,
            base.family,
            fingerprint_key(prints) if prints else None,
            canonical_json(prints.model_dump(mode="json")).decode() if prints else None,
            base.license,
            base.path,
            base.added,
        ],
    )


def add_base(store: Store, base: BaseRow) -> None:
    """Remember a base. ``path`` is kept as an absolute path when it is one on this machine."""
    if base.path is not None and not PurePath(base.path).is_absolute():
        base = replace(base, path=None)
    with store.writing() as change:
        ensure_base(change, base)


def bases(store: Store) -> list[BaseRow]:
    """Every known base, by id, the newest of the same id first."""
    from tireg.domain.fingerprints import Fingerprint

    with store.reading() as db:
        rows = db.execute(
            "SELECT id, family, revision, fingerprint, license, path, added FROM bases"
            " ORDER BY id, added DESC"
        ).fetchall()
    return [
        BaseRow(
            id=r[0],
            family=r[1],
            revision=r[2],
            fingerprint=Fingerprint.model_validate(json.loads(r[3])) if r[3] else None,
            license=r[4],
            path=r[5],
            added=r[6],
        )
        for r in rows
    ]


def add_verdicts(store: Store, verdicts: Iterable[Verdict]) -> None:
    """Remember verdicts; a newer one about the same pair and encoder replaces the older."""
    with store.writing() as change:
        for verdict in verdicts:
            if not SHA.fullmatch(verdict.target):
                raise StoreError(f"'{verdict.target}' is not the key of a fingerprint")
            dated = replace(verdict, decided=verdict.decided or change.at)
            insert_verdict(change.db, dated)
            change.touch_document(f"verdicts/{verdict.target}.json")


def insert_verdict(db: Database, v: Verdict) -> None:
    """The row of one verdict."""
    db.execute(
        "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)",
        [v.target, v.fingerprint, v.encoder, v.verdict, v.cosine, v.reason, v.decided],
    )


def verdicts(store: Store, *, target: str | None = None) -> list[Verdict]:
    """What is known between fingerprints, all of it or about one target."""
    sql = "SELECT target, fingerprint, encoder, verdict, cosine, reason, decided FROM verdicts"
    with store.reading() as db:
        if target is None:
            rows = db.execute(f"{sql} ORDER BY target, fingerprint, encoder").fetchall()
        else:
            rows = db.execute(
                f"{sql} WHERE target = ? ORDER BY fingerprint, encoder", [target]
            ).fetchall()
    return [Verdict(*row) for row in rows]


def runs_on(db: Database, base: str) -> list[tuple[str, str]]:
    """The (fingerprint, encoders) pairs of embeddings here that run on ``base``.

    Those trained on a base with an equal fingerprint, and those all of whose encoders have
    an exact or near verdict on it. ``encoders`` is the comma list of ``versions.encoders``.
    """
    targets = [
        sha
        for (sha,) in db.execute(
            "SELECT DISTINCT fingerprint_sha FROM bases WHERE id = ?"
            " AND fingerprint_sha IS NOT NULL",
            [base],
        )
    ]
    good: dict[str, list[set[str]]] = {}
    for target in targets:
        found: dict[str, set[str]] = {}
        for fingerprint, encoder in db.execute(
            "SELECT fingerprint, encoder FROM verdicts WHERE target = ? AND verdict IN (?, ?)",
            [target, *GOOD],
        ):
            found.setdefault(fingerprint, set()).add(encoder)
        for fingerprint, encoders in found.items():
            good.setdefault(fingerprint, []).append(encoders)
    return [
        (fingerprint, encoders)
        for fingerprint in sorted({*targets, *good})
        for encoders in _encoders_on(db, fingerprint)
        if fingerprint in targets
        or any({*encoders.split(",")} <= known for known in good[fingerprint])
    ]


def _encoders_on(db: Database, fingerprint: str) -> list[str]:
    """Every comma list of encoders among what was trained on ``fingerprint``.

    Each is looked up as the next one in the order of the index: reading a row of every
    embedding only to drop the repeated ones took 60 ms at 100,000.
    """
    lists: list[str] = []
    while True:
        row = db.execute(
            "SELECT min(encoders) FROM embeddings WHERE base_fingerprint = ? AND encoders > ?",
            [fingerprint, lists[-1] if lists else ""],
        ).fetchone()
        if row[0] is None:
            return lists
        lists.append(row[0])


def _absorb_unmeasured(change: Change, base: BaseRow) -> BaseRow:
    """Replace the row of the same id and revision that had no fingerprint yet."""
    row = change.db.execute(
        "SELECT key, license, path, added FROM bases WHERE id = ? AND revision IS ?"
        " AND fingerprint_sha IS NULL",
        [base.id, base.revision],
    ).fetchone()
    if row is None:
        return base
    key, license_name, path, added = row
    change.db.execute("DELETE FROM bases WHERE key = ?", [key])
    change.touch_document(f"bases/{key}.json")
    return replace(base, license=base.license or license_name, path=base.path or path, added=added)
