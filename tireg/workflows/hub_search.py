"""Search for embeddings: in the registry, and on the Hub beside what is here."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.errors import RefError
from tireg.store.registry import Registry
from tireg.store.search import Query

# Documents and verdicts cost more to import than a local search takes, and it needs neither.
if TYPE_CHECKING:
    from tireg.domain.compat import Level
    from tireg.domain.fingerprints import Fingerprint
    from tireg.domain.records import Record
    from tireg.hub.searching import Hit, Wanted
    from tireg.hub.session import Hub

KEPT_SECONDS = 300
PARALLEL = 8
GOOD: tuple[Level, ...] = ("exact", "near")


def search_local(home: Path, query: Query) -> dict[str, Any]:
    """One page of what is in the registry: ``rows``, and ``cursor`` for the next page."""
    with Registry.open(home, create=False) as registry:
        page = registry.search(query)
    return {"rows": [asdict(row) for row in page.rows], "cursor": page.cursor}


def search_hub(
    wanted: Wanted, *, home: Path, compatible_with: str | None = None
) -> list[dict[str, Any]]:
    """Repositories of the Hub as plain rows; ``here`` is the ref of what was pulled from them.

    With ``compatible_with`` (the id of a base) only those that run on it: ``verdict`` is
    ``exact`` or ``near`` by the fingerprints of the text encoders, ``stated`` where only the
    card says so. Answers are kept for five minutes. Raises HubError, or RefError for a base
    that is not known here.
    """
    from tireg.hub.session import connect

    hub = connect()
    with Registry.open(home, create=False) as registry:
        here = _places(registry)
        prints = _fingerprints(registry, compatible_with) if compatible_with else []
    hits = _hits(hub, wanted, home)
    with ThreadPoolExecutor(PARALLEL) as pool:
        records = list(pool.map(lambda hit: _record(hub, hit, home), hits))
    rows = []
    for hit, record in zip(hits, records, strict=True):
        verdict = _verdict(hit, record, prints, compatible_with) if compatible_with else None
        if compatible_with and verdict is None:
            continue
        commit, ref = here.get(hit.repo, (None, None))
        row = hit.as_json()
        if record is not None:
            row |= {"token": record.token, "kind": record.kind}
        state = None if ref is None else "here" if commit == hit.commit else "older here"
        rows.append({**row, "here": ref, "state": state, "verdict": verdict})
    return rows


def _places(registry: Registry) -> dict[str, tuple[str, str]]:
    """By repository: the commit that was pulled or published last, and the embedding's name."""
    return {
        remote.repo: (remote.revision, row.name)
        for row in registry.list(limit=None)
        for remote in registry.remotes(row.name)
    }


def _fingerprints(registry: Registry, base: str) -> list[Fingerprint]:
    found = [b for b in registry.bases() if b.id == base]
    if not found:
        known = ", ".join(sorted({b.id for b in registry.bases()})[:5])
        raise RefError(
            f"no base is called '{base}' here", hint=f"known: {known}" if known else "tireg bases"
        )
    return [b.fingerprint for b in found if b.fingerprint is not None]


def _verdict(hit: Hit, record: Record | None, prints: list[Fingerprint], base: str) -> str | None:
    """The best verdict on the base; None where the word does not run on it, or may not."""
    from tireg.domain.compat import Target, judge
    from tireg.domain.tensors import encoder_of

    if record is None or record.base is None or record.base.fingerprint is None:
        return "stated" if hit.base == base else None
    widths = {encoder_of(info.encoder): info.width for info in record.tensors}
    found = {
        judge(
            widths,
            record.base.fingerprint,
            Target(base, {e.key: e.width for e in target.encoders}, target),
        ).verdict
        for target in prints
    }
    return next((good for good in GOOD if good in found), None)


def _hits(hub: Hub, wanted: Wanted, home: Path) -> list[Hit]:
    from tireg.domain.model import canonical_json
    from tireg.hub.searching import Hit, search_models

    asked = canonical_json([hub.endpoint, bool(hub.token), asdict(wanted)])
    path = _cache(home, "search", asked)
    data = _kept(path, KEPT_SECONDS)
    if isinstance(data, list):
        return [Hit(**{**row, "tags": tuple(row["tags"])}) for row in data]
    hits = search_models(hub, wanted)
    _keep(path, [hit.as_json() for hit in hits])
    return hits


def _record(hub: Hub, hit: Hit, home: Path) -> Record | None:
    """The record of a hit, kept by its commit, which never changes."""
    from tireg.domain.model import canonical_json
    from tireg.domain.records import Record
    from tireg.hub.searching import read_record

    path = _cache(home, "records", canonical_json([hub.endpoint, hit.repo, hit.commit]))
    data = _kept(path, None)
    if isinstance(data, dict):
        return Record.model_validate(data)
    record = read_record(hub, hit)
    if record is not None:
        _keep(path, record.model_dump(mode="json"))
    return record


def _cache(home: Path, kind: str, asked: bytes) -> Path:
    return home / "cache" / "hub" / kind / f"{hashlib.sha256(asked).hexdigest()}.json"


def _kept(path: Path, seconds: float | None) -> Any:
    try:
        if seconds is not None and time.time() - path.stat().st_mtime > seconds:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _keep(path: Path, data: Any) -> None:
    """Write into the cache; a folder that cannot be written to is no reason to fail."""
    import contextlib
    import os

    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(data), encoding="utf-8")
        part.replace(path)
