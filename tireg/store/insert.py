"""Rows out of documents. The same code runs for an add and for a rebuild, so they agree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlite_utils import Database

from tireg.domain.model import Part, canonical_json
from tireg.store.texts import Words, insert_text, refresh_text

if TYPE_CHECKING:
    from tireg.domain.concepts import Concept
    from tireg.domain.records import Record
    from tireg.domain.scores import Run

# Forms that are the beginning of the file's sha256 are found there and not stored again.
PREFIX_FORMS = ("sha256", "autov2", "a1111")


@dataclass(frozen=True)
class Digests:
    """Hashes of a record's parts, reckoned once: the fingerprint alone is 20 kB of JSON."""

    record: str
    recipe: str | None
    concept: str | None
    fingerprint: str | None

    @classmethod
    def of(cls, record: Record, record_sha: str) -> Digests:
        """The digests of ``record``."""
        return cls(
            record=record_sha,
            recipe=part_sha(record.recipe),
            concept=part_sha(record.concept),
            fingerprint=_identity(record),
        )


def part_sha(part: Part | None) -> str | None:
    """Hex sha256 of a document's part in canonical JSON; None for None."""
    if part is None:
        return None
    return hashlib.sha256(canonical_json(part.model_dump(mode="json"))).hexdigest()


def _identity(record: Record) -> str | None:
    """The identity of the base's fingerprint, where the record has one."""
    fingerprint = record.base.fingerprint if record.base else None
    return fingerprint.identity if fingerprint else None


def family_of(record: Record) -> str | None:
    """The family, where there is no doubt about it."""
    if record.base is not None:
        return record.base.family
    return record.families[0] if len(record.families) == 1 else None


def encoders_of(record: Record) -> str:
    """Encoder keys in order, with commas."""
    return ",".join(sorted(t.encoder for t in record.tensors))


def vectors_of(record: Record) -> int:
    """The largest count of rows behind the token."""
    return max((t.vectors for t in record.tensors), default=0)


def insert_embedding(
    db: Database,
    name: str,
    version_id: int,
    record: Record,
    digests: Digests,
    *,
    tags: Sequence[str],
    added: str,
) -> int:
    """The row, tags and words of a new embedding whose first version will be ``version_id``.

    What :func:`refresh_embedding` would make of it, written once: filling in the indexed
    columns later would cost as much again.
    """
    base = record.base
    values = {
        "name": name,
        "token": record.token,
        "kind": record.kind,
        "notes": record.notes,
        "created": added,
        "next_version": 2,
        "version": 1,
        "version_id": version_id,
        "record_sha": digests.record,
        "tensor_hash": record.tensor_hash,
        "encoders": encoders_of(record),
        "base": base.id if base else None,
        "base_fingerprint": digests.fingerprint,
        "family": family_of(record),
        "license": record.license,
        "vectors": vectors_of(record),
        "negative": int(record.negative),
        "updated": record.created,
    }
    cursor = db.execute(_insert_sql("embeddings", tuple(values)), list(values.values()))
    embedding_id = int(cursor.lastrowid or 0)
    _many(db, "INSERT INTO tags VALUES (?, ?)", [(tag, embedding_id) for tag in tags])
    recipe = record.recipe
    insert_text(
        db,
        embedding_id,
        Words(
            name=name,
            token=record.token,
            notes=record.notes,
            tags=sorted(tags),
            about=(
                record.kind,
                record.class_noun,
                record.author,
                base.id if base else None,
                family_of(record),
                recipe.init if recipe else None,
                record.source.where,
            ),
            captions=[p.caption for p in record.concept.pictures] if record.concept else [],
            prompts=[f.text for f in record.files],
        ),
    )
    return embedding_id


def insert_version(
    db: Database,
    embedding_id: int,
    version: int,
    record: Record,
    digests: Digests,
    *,
    added: str,
    trashed: str | None = None,
    hashes: Mapping[str, str] | None = None,
    row_id: int | None = None,
) -> int:
    """Every row of one version; its row id."""
    base, recipe, training = record.base, record.recipe, record.training
    if record.concept is not None and digests.concept is not None:
        insert_concept(db, digests.concept, record.concept)
    values = {
        "id": row_id,
        "embedding_id": embedding_id,
        "version": version,
        "record_sha": digests.record,
        "tensor_hash": record.tensor_hash,
        "token": record.token,
        "kind": record.kind,
        "class_noun": record.class_noun,
        "negative": int(record.negative),
        "encoders": encoders_of(record),
        "vectors": vectors_of(record),
        "base": base.id if base else None,
        "base_revision": base.revision if base else None,
        "base_fingerprint": digests.fingerprint,
        "family": family_of(record),
        "concept_sha": digests.concept,
        "recipe_sha": digests.recipe,
        "method": recipe.method if recipe else None,
        "init": recipe.init if recipe else None,
        "steps": training.steps if training else None,
        "seconds": training.seconds if training else None,
        "license": record.license,
        "author": record.author,
        "how": record.source.how,
        "source": record.source.where,
        "source_revision": record.source.revision,
        "source_sha": record.source.sha256,
        "dialect": record.source.dialect,
        "bytes": sum(f.bytes for f in record.files),
        "created": record.created,
        "added": added,
        "trashed": trashed,
        "tireg_version": record.tireg_version,
    }
    cursor = db.execute(_insert_sql("versions", tuple(values)), list(values.values()))
    version_id = int(cursor.lastrowid or 0)
    _many(
        db,
        "INSERT INTO tensors VALUES (?, ?, ?, ?, ?)",
        [(version_id, t.encoder, t.vectors, t.width, t.dtype) for t in record.tensors],
    )
    _many(
        db,
        "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (version_id, n, f.role, f.name, f.sha256, f.bytes, f.media_type, f.text)
            for n, f in enumerate(record.files)
        ],
    )
    families = {*record.families, *([base.family] if base else [])}
    _many(db, "INSERT INTO families VALUES (?, ?)", [(f, version_id) for f in sorted(families)])
    set_hashes(db, version_id, hashes or {})
    return version_id


def set_hashes(db: Database, version_id: int, hashes: Mapping[str, str]) -> None:
    """Remember further hash forms of the version's file (``autov3``, ``blake3``, …)."""
    rows = [
        (value.lower().removeprefix("0x"), form.lower(), version_id)
        for form, value in sorted(hashes.items())
        if form.lower() not in PREFIX_FORMS
    ]
    _many(db, "INSERT OR IGNORE INTO hashes VALUES (?, ?, ?)", rows)


def insert_concept(db: Database, sha: str, concept: Concept) -> None:
    """The concept and its pictures, unless they are there."""
    inserted = db.execute(
        "INSERT OR IGNORE INTO concepts VALUES (?, ?, ?, ?, ?)",
        [
            sha,
            concept.kind,
            concept.class_noun,
            len(concept.pictures),
            json.dumps(concept.templates, ensure_ascii=False),
        ],
    )
    if not inserted.rowcount:
        return
    _many(
        db,
        "INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (sha, n, p.name, p.sha256, p.width, p.height, p.format, p.mode, p.caption)
            for n, p in enumerate(concept.pictures)
        ],
    )


def refresh_embedding(db: Database, embedding_id: int) -> None:
    """Point the embedding at its newest version outside the trash, and renew its words."""
    db.execute(
        "UPDATE embeddings SET (version, version_id, record_sha, tensor_hash, encoders, base,"
        " base_fingerprint, family, license, vectors, negative, updated) = (SELECT v.version,"
        " v.id, v.record_sha, v.tensor_hash, v.encoders, v.base, v.base_fingerprint, v.family,"
        " v.license, v.vectors, v.negative, v.created"
        " FROM versions v WHERE v.embedding_id = :id AND v.trashed IS NULL"
        " ORDER BY v.version DESC LIMIT 1) WHERE id = :id",
        {"id": embedding_id},
    )
    refresh_text(db, embedding_id)


def insert_run(db: Database, run: Run, sha: str) -> None:
    """Every row of one evaluation run."""
    spec, sampling = run.spec, run.spec.sampling
    values: dict[str, object] = {
        "run_id": run.run_id,
        "sha256": sha,
        "record_sha": run.record,
        "tensor_hash": spec.embedding,
        "token": spec.token,
        "class_noun": spec.class_noun,
        "base": spec.base,
        "base_revision": spec.base_revision,
        "base_fingerprint": spec.base_fingerprint,
        "suite": spec.suite.name,
        "suite_version": spec.suite.version,
        "suite_sha": spec.suite.sha256,
        "seeds": len(spec.seeds),
        "sampler": sampling.sampler,
        "steps": sampling.steps,
        "guidance": sampling.guidance,
        "seconds": run.seconds,
        "created": run.created,
        "tireg_version": run.tireg_version,
    }
    db.execute(_insert_sql("runs", tuple(values)), list(values.values()))
    rows = []
    for n, s in enumerate(run.scores):
        low, high = s.ci if s.ci is not None else (None, None)
        head = (run.run_id, n, run.record, spec.base, s.metric, s.version, s.encoder, s.value)
        counts = (low, high, s.level, s.n_prompts, s.n_seeds)
        rows.append((*head, *counts, s.baseline, s.baseline_name, s.direction, s.unscored))
    _many(db, f"INSERT INTO scores VALUES ({', '.join('?' * 17)})", rows)
    _many(
        db,
        "INSERT INTO run_files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (run.run_id, n, f.role, f.name, f.sha256, f.bytes, f.media_type, f.text)
            for n, f in enumerate(run.files)
        ],
    )


def refresh_headlines(db: Database, record_sha: str) -> None:
    """Choose anew which scores stand for a record."""
    db.execute("DELETE FROM headlines WHERE record_sha = ?", [record_sha])
    db.execute(
        # Later rows replace earlier ones: another base first, then by time; of several encoders
        # of one run the first given wins.
        "INSERT OR REPLACE INTO headlines SELECT s.record_sha, s.metric, s.value, s.direction,"
        " s.base, s.run_id FROM scores s JOIN runs r ON r.run_id = s.run_id"
        " WHERE s.record_sha = :record ORDER BY"
        " s.base IS (SELECT base FROM versions WHERE record_sha = :record LIMIT 1),"
        " r.created, s.run_id, s.position DESC",
        {"record": record_sha},
    )


def _many(db: Database, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        db.conn.executemany(sql, rows)


_statements: dict[str, str] = {}


def _insert_sql(table: str, columns: tuple[str, ...]) -> str:
    if table not in _statements:
        marks = ", ".join("?" * len(columns))
        _statements[table] = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
    return _statements[table]
