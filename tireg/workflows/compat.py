"""What an embedding runs on, from stored fingerprints: no model needs to be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tireg.domain.compat import ORDER, Compatibility, Cosine, Target, judge
from tireg.domain.families import find_family
from tireg.domain.fingerprints import Fingerprint
from tireg.domain.records import Record
from tireg.domain.tensors import encoder_of
from tireg.errors import BaseError, CorruptError, SchemaTooNewError
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow
from tireg.workflows.bases import find_known, fingerprint_of
from tireg.workflows.filed import read_one, recorded
from tireg.workflows.places import BUILT_IN
from tireg.workflows.verdicts import keep


@dataclass(frozen=True)
class Subject:
    """An embedding as the rule sees it: rows' widths by encoder, and where it was made."""

    name: str
    token: str
    widths: Mapping[str, int]
    made_on: str | None
    fingerprint: Fingerprint | None


def compat(home: Path, embedding: str, base: str | None = None) -> list[dict[str, Any]]:
    """The verdict on ``base``, or on every base known here, best first.

    ``embedding`` is a registry reference or an embedding file; ``base`` a base known here, a
    folder, a built-in one or a family. Raises RefError, FileRefusedError or BaseError for what
    is not there.
    """
    with Registry.open(home, create=False) as registry:
        subject = _subject(registry, embedding)
        known = registry.bases()
    targets = [_target(home, base)] if base else _all_targets(home, known)
    found = []
    with Registry.open(home, create=False) as registry:
        for row, target in targets:
            verdict = judge(subject.widths, subject.fingerprint, target)
            keep(registry, subject.fingerprint, target.fingerprint, verdict)
            found.append((verdict, _as_json(subject, row, verdict)))
    found.sort(key=lambda pair: _rank(pair[0], pair[1]["base"]))
    return [data for _, data in found]


def _subject(registry: Registry, ref: str) -> Subject:
    version = recorded(registry, ref)
    if version is None:
        return _subject_of_file(Path(ref).expanduser())
    record = version.record
    widths = {encoder_of(info.encoder): info.width for info in record.tensors}
    fingerprint = record.base.fingerprint if record.base else None
    if record.base is not None and fingerprint is None and record.base.revision:
        # The same commit of the same repository, measured here.
        same = (record.base.id, record.base.revision)
        rows = [row for row in registry.bases() if (row.id, row.revision) == same]
        fingerprint = next((row.fingerprint for row in rows if row.fingerprint), None)
    made_on = record.base.id if record.base else None
    return Subject(version.name, record.token, widths, made_on, fingerprint)


def _subject_of_file(path: Path) -> Subject:
    reading, embedding = read_one(path)
    widths = {encoder_of(key): tensor.width for key, tensor in embedding.tensors.items()}
    base = _base_told(reading.metadata.get("tireg.record"), embedding.tensor_hash)
    made_on, fingerprint = base if base else (None, None)
    return Subject(embedding.name, embedding.token, widths, made_on, fingerprint)


def _base_told(text: object, tensor_hash: str) -> tuple[str, Fingerprint | None] | None:
    """The base in the record a file carries, if that record speaks of these very vectors."""
    from tireg.domain.model import read_document

    if not isinstance(text, str):
        return None
    try:
        record = read_document(Record, text, name="the record in the file")
    except (CorruptError, SchemaTooNewError):
        return None
    if record.base is None or record.tensor_hash != tensor_hash:
        return None
    return record.base.id, record.base.fingerprint


def _target(home: Path, name: str) -> tuple[BaseRow, Target]:
    """The base ``name``: what is stored of it, else a folder or built-in base, measured now."""
    try:
        row = find_known(home, name)
        if row.fingerprint is not None:
            return row, _as_target(row)
    except BaseError:
        row = None
    folder = BUILT_IN[name].folder() if name in BUILT_IN else Path(name).expanduser()
    if (folder / "model_index.json").is_file():
        row = _measured(home, name, folder)
    elif row is None and (family := find_family(name)) is not None:
        row = BaseRow(family.title, family.id)
    if row is None:
        raise BaseError(f"nothing is known of a base '{name}'", hint=f"tireg bases add {name}")
    return row, _as_target(row)


def _measured(home: Path, name: str, folder: Path) -> BaseRow:
    from tireg.models.bases import family_of_folder, identify

    family = identify(folder) if name in BUILT_IN else family_of_folder(folder)
    ident = name if name in BUILT_IN else folder.resolve().name
    return BaseRow(ident, family.id, fingerprint=fingerprint_of(home, folder, family))


def _all_targets(home: Path, known: list[BaseRow]) -> list[tuple[BaseRow, Target]]:
    """Every base known here, one row for each that differs, and the built-in ones."""
    unlike: dict[tuple[str, str | None, str | None], BaseRow] = {}
    for row in known:
        identity = row.fingerprint.identity if row.fingerprint else None
        unlike.setdefault((row.id, row.revision, identity), row)
    rows = [
        row
        for row in unlike.values()
        if row.fingerprint or not any(o.id == row.id and o.fingerprint for o in unlike.values())
    ]
    rows += [find_known(home, name) for name in BUILT_IN if not any(r.id == name for r in rows)]
    return [(row, _as_target(row)) for row in rows]


def _as_target(row: BaseRow) -> Target:
    if row.fingerprint is not None:
        widths = {e.key: e.width for e in row.fingerprint.encoders}
    else:
        family = find_family(row.family)
        widths = {e.key: e.width for e in family.encoders} if family else {}
    return Target(row.id, widths, row.fingerprint)


def _rank(found: Compatibility, base: str) -> tuple[int, int, float, str]:
    cosines = [c.value for v in found.encoders for c in (v.table, v.behaviour) if c]
    same = ("same", "unknown", "other").index(found.denoiser)
    return ORDER.index(found.verdict), same, -min(cosines, default=1.0), base


def _as_json(subject: Subject, row: BaseRow, found: Compatibility) -> dict[str, Any]:
    return {
        "embedding": subject.name,
        "token": subject.token,
        "made_on": subject.made_on,
        "base": row.id,
        "revision": row.revision,
        "family": row.family,
        "verdict": found.verdict,
        "reason": found.reason,
        "advice": _filled(found.advice, subject, row),
        "encoders": [
            {
                "encoder": v.encoder,
                "verdict": v.verdict,
                "table": _as_pair(v.table),
                "behaviour": _as_pair(v.behaviour),
                "reason": v.reason,
                "advice": _filled(v.advice, subject, row),
            }
            for v in found.encoders
        ],
        "denoiser": found.denoiser,
        "denoiser_reason": found.denoiser_reason,
    }


def _filled(advice: str, subject: Subject, row: BaseRow) -> str:
    return advice.replace("NAME", subject.name).replace("BASE", row.id)


def _as_pair(cosine: Cosine | None) -> dict[str, float] | None:
    if cosine is None:
        return None
    return {"cosine": round(cosine.value, 5), "error": round(cosine.error, 5)}
