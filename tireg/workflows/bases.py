"""Which bases are known here, and which families there are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from tireg.domain.families import Family, families, family
from tireg.domain.fingerprints import METHOD, Fingerprint
from tireg.domain.model import canonical_json
from tireg.errors import BaseError
from tireg.store.home import check_writable
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow
from tireg.workflows.places import BUILT_IN, Place, find_base
from tireg.workflows.progress import Event, Listener, silent
from tireg.workflows.verdicts import add_verdicts


def known_bases(home: Path) -> list[dict[str, Any]]:
    """The built-in bases, then those used or measured before."""
    with Registry.open(home, create=False) as registry:
        rows = registry.bases()
    measured = {row.id for row in rows if row.fingerprint is not None}
    found = [
        _as_row(BaseRow(name, name, license=entry.license), "built in", entry.title)
        | {"measured": name in measured}
        for name, entry in BUILT_IN.items()
    ]
    return found + [_as_row(row, row.path) for row in rows if row.id not in BUILT_IN]


def _as_row(row: BaseRow, where: str | None, title: str | None = None) -> dict[str, Any]:
    return {
        "id": row.id,
        "revision": row.revision,
        "family": row.family,
        "license": row.license,
        "where": where,
        "title": title,
        "measured": row.fingerprint is not None,
    }


def add_base(home: Path, name: str, *, listen: Listener = silent) -> BaseRow:
    """Measure the base ``name`` (built-in, folder, Hub id or single file) and remember it.

    What is known of embeddings here on it, and of it to other bases, is kept as well. Raises
    BaseError where it cannot be measured and HubError where it cannot be fetched.
    """
    check_writable(home)
    with Registry.open(home) as registry:
        known = {row.id: row.path for row in registry.bases() if row.path}
    row = measured_row(home, name, known, listen)
    remember_measured(home, row)
    return row


def remember_measured(home: Path, row: BaseRow) -> None:
    """Keep a base that was measured, and what it is to those known before."""
    with Registry.open(home) as registry:
        registry.add_base(row)
        add_verdicts(registry, row)


def measured_row(home: Path, name: str, known: dict[str, str], listen: Listener) -> BaseRow:
    """The base ``name``, measured and not yet remembered; ``known`` maps ids to folders."""
    listen(Event("finding the base", 0, 1, name))
    path = Path(name).expanduser()
    if path.is_file():
        return _measured_file(home, path.resolve(), listen)
    return _measured_folder(home, _find(name, known), listen)


def _find(name: str, known: dict[str, str]) -> Place:
    """As ``find_base``, but of a base on the Hub only what is measured is fetched."""
    from tireg.hub.fetch import fetch_base, is_repo_id

    repo, _, revision = name.partition("@")
    here = name in BUILT_IN or Path(name).expanduser().is_dir() or name in known
    if here or not is_repo_id(repo):
        return find_base(name, known)
    fetched = fetch_base(repo, revision or None, to_measure=True)
    return Place(repo, fetched.folder, fetched.revision, fetched.license)


def _measured_folder(home: Path, place: Place, listen: Listener) -> BaseRow:
    from tireg.models.bases import family_of_folder, identify, read_index

    trained_on = {row.pipeline for row in families() if row.trainable}
    usable = read_index(place.folder)["_class_name"] in trained_on
    kind = (identify if usable else family_of_folder)(place.folder)
    listen(Event("measuring the base", 0, 1, f"{place.id} ({kind.title})"))
    fingerprint = fingerprint_of(home, place.folder, kind)
    listen(Event("measuring the base", 1, 1, place.id))
    path = None if place.id in BUILT_IN else str(place.folder)
    return BaseRow(place.id, kind.id, place.revision, fingerprint, place.license, path)


def _measured_file(home: Path, path: Path, listen: Listener) -> BaseRow:
    from tireg.models.single_file import check_safetensors, measure_file, places_in
    from tireg.models.weight_files import tensors_of

    listen(Event("measuring the base", 0, 1, path.name))
    check_safetensors(path)
    ident = places_in({tensor.name for tensor in tensors_of(path)})
    if ident is None:
        ident, fingerprint = measure_file(path)  # says in words what is wrong with it
    else:
        fingerprint = fingerprint_of(home, path, family(ident))
    listen(Event("measuring the base", 1, 1, path.name))
    return BaseRow(path.stem, ident, None, fingerprint, None, str(path))


def show_base(home: Path, name: str) -> dict[str, Any]:
    """All that is known of a base. BaseError where nothing is known of it."""
    row = find_known(home, name)
    encoders = row.fingerprint.encoders if row.fingerprint else ()
    return {
        **_as_row(row, row.path),
        "fingerprint": row.fingerprint.identity if row.fingerprint else None,
        "denoiser_sha256": row.fingerprint.denoiser_sha256 if row.fingerprint else None,
        "encoders": [encoder.hashes() for encoder in encoders],
        "added": row.added or None,
    }


def find_known(home: Path, name: str) -> BaseRow:
    """The newest row of the base ``name`` or ``name@revision``, a measured one before others.

    A folder that was measured is found by its path too. BaseError where there is none.
    """
    with Registry.open(home, create=False) as registry:
        rows = registry.bases()
    ident, _, revision = name.partition("@")
    folder = str(Path(name).expanduser().resolve())
    found = [
        row
        for row in rows
        if (row.id == ident and (not revision or (row.revision or "").startswith(revision)))
        or row.id == name
        or (row.path is not None and row.path == folder)
    ]
    if not found and name in BUILT_IN:
        return BaseRow(name, name, license=BUILT_IN[name].license)
    if not found:
        raise BaseError(f"nothing is known of a base '{name}'", hint=f"tireg bases add {name}")
    return next((row for row in found if row.fingerprint is not None), found[0])


def known_families() -> list[dict[str, Any]]:
    """The catalogue, most used first."""
    return [
        {
            "id": row.id,
            "title": row.title,
            "pipeline": row.pipeline,
            "encoders": ", ".join(f"{e.key} {e.width}" for e in row.encoders),
            "resolution": row.resolution,
            "sampler": row.sampler,
            "steps": row.steps,
            "guidance": row.guidance,
            "trainable": row.trainable,
            "diffusers_loads": row.diffusers_loads,
        }
        for row in families()
    ]


def fingerprint_of(home: Path, folder: Path, family: Family) -> Fingerprint:
    """The fingerprint of a base's folder or file, measured once while its files stay as they are.

    What was measured is kept in ``cache/fingerprints`` of the registry's folder, under a hash of
    the files' names, sizes and times; a cache file that is gone or damaged is made again. Raises
    BaseError where a text encoder cannot be read.
    """
    kept = home / "cache" / "fingerprints" / f"{_signature(folder, family)}.json"
    try:
        return Fingerprint.model_validate_json(kept.read_bytes())
    except (OSError, ValueError):
        pass  # not measured before
    found = _measure(folder, family)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        half = kept.with_suffix(f".{os.getpid()}")
        half.write_bytes(canonical_json(found.model_dump(mode="json")))
        half.replace(kept)
    except OSError:
        pass  # a home that cannot be written to costs time, nothing else
    return found


def fingerprint_if_any(home: Path, path: Path, family: Family) -> Fingerprint | None:
    """As :func:`fingerprint_of`; None for a single file that cannot be measured as it is."""
    try:
        return fingerprint_of(home, path, family)
    except BaseError:
        if path.is_file():
            return None
        raise


def _measure(path: Path, family: Family) -> Fingerprint:
    if path.is_file():
        from tireg.models.single_file import measure_file

        return measure_file(path)[1]
    from tireg.models.fingerprint import measure_folder

    return measure_folder(path, family)


def _signature(folder: Path, family: Family) -> str:
    """Changes whenever a file that the fingerprint is read from does, or how it is measured."""
    from importlib.metadata import version

    parts = {family.denoiser}
    for row in family.encoders:
        parts |= {row.component, row.tokenizer}
    files = []
    if folder.is_file():
        status = folder.stat()
        files.append([folder.name, status.st_size, status.st_mtime_ns])
    for path in sorted(p for part in parts for p in (folder / part).glob("*") if p.is_file()):
        status = path.stat()
        files.append([str(path.relative_to(folder)), status.st_size, status.st_mtime_ns])
    told = [str(folder.resolve()), family.id, METHOD, version("transformers"), files]
    return hashlib.sha256(canonical_json(told)).hexdigest()
