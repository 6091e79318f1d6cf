"""Pull embeddings from the Hub: proven first, then kept, whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tireg
from tireg.dialects import ReadEmbedding, read_path
from tireg.domain.fingerprints import BaseRef
from tireg.domain.records import Record, Source, StoredFile
from tireg.domain.tensors import tensor_hash
from tireg.errors import (
    FileRefusedError,
    HubError,
    InputError,
    RefError,
    SchemaTooNewError,
    TiregError,
)
from tireg.store.adding import Item
from tireg.store.names import clean_name
from tireg.store.registry import Registry
from tireg.store.rows import Remote, Version
from tireg.workflows.making import stored, utc_now
from tireg.workflows.progress import Event, Listener, Notice, silent
from tireg.workflows.vectors import FILE_NAME, MEDIA_TYPE, describe, pack_vectors, unpack_vectors

if TYPE_CHECKING:
    from tireg.hub.pulling import ForeignFiles, Held, Package
    from tireg.hub.session import Hub
    from tireg.hub.tree import Snapshot

PARALLEL = 4
HELD_BYTES = 2_000_000_000  # all of a repository is proven before any of it is kept


@dataclass(frozen=True)
class Pulled:
    """One embedding version that came, or was here already."""

    version: Version
    repo: str
    added: bool
    scores: int


@dataclass(frozen=True)
class Fetched:
    """Proven bytes on their way into the registry. ``place`` is the repository, and the folder
    in it where it holds several."""

    place: str
    commit: str
    record: Record
    package: Package
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A repository that could not be pulled, and why."""

    repo: str
    error: TiregError


def pull(
    repo: str,
    *,
    home: Path,
    name: str | None = None,
    folder: str | None = None,
    listen: Listener = silent,
) -> list[Pulled]:
    """Pull every embedding of ``repo`` (``owner/name`` or ``owner/name@revision``).

    ``name`` is what to call it here, ``folder`` picks one of several. Raises InputError where
    there is no such repository or name, HubError where it cannot be reached or its bytes do
    not match, FileRefusedError where it holds nothing readable.
    """
    from tireg.hub.session import connect

    repo, _, revision = repo.partition("@")
    hub = connect()
    listen(Event("fetching", 0, 1, repo))
    found: list[Fetched] = []
    held = 0
    for one in fetch(hub, repo, revision or None, folder):
        held += sum(map(len, one.package.objects.values()))
        if held > HELD_BYTES:
            raise HubError(
                f"the embeddings of '{repo}' have more than {HELD_BYTES} bytes together",
                hint=f"pull them one by one: tireg pull {repo} --folder NAME",
            )
        found.append(one)
    listen(Event("fetching", 1, 1, repo))
    if name is not None and len(found) > 1:
        folders = [f.place.removeprefix(f"{repo}/") for f in found if f.place != repo]
        raise RefError(
            f"'{repo}' holds {len(found)} embeddings, which cannot all be called '{name}'",
            hint=f"tireg pull {repo} --folder {folders[0]} --as {name}"
            if folders
            else "leave --as out",
        )
    with Registry.open(home) as registry:
        return [keep(registry, one, name, listen) for one in found]


def pull_all(
    author: str, *, home: Path, listen: Listener = silent
) -> tuple[list[Pulled], list[Failed]]:
    """Pull every embedding of an author, several at a time; what is here already is passed over.

    One repository that fails does not stop the others.
    """
    from tireg.hub.pulling import author_repos
    from tireg.hub.session import connect

    hub = connect()
    repos = author_repos(hub, author)
    if not repos:
        raise InputError(
            f"'{author}' has no embedding on the Hub", hint=f"tireg search --hub --author {author}"
        )
    pulled: list[Pulled] = []
    failed: list[Failed] = []
    listen(Event("pulling", 0, len(repos), author))
    with Registry.open(home) as registry:
        known = known_commits(registry)

        def work(repo: str) -> list[Fetched] | TiregError:
            try:
                return list(fetch(hub, repo, None, None, known))
            except TiregError as error:
                return error

        with ThreadPoolExecutor(PARALLEL) as pool:
            for number, (repo, found) in enumerate(zip(repos, pool.map(work, repos), strict=True)):
                if isinstance(found, TiregError):
                    failed.append(Failed(repo, found))
                    found = []
                for one in found:
                    try:
                        pulled.append(keep(registry, one, None, listen, suffix=True))
                    except TiregError as error:
                        failed.append(Failed(repo, error))
                listen(Event("pulling", number + 1, len(repos), repo))
    return pulled, failed


def known_commits(registry: Registry) -> dict[str, str]:
    """Which commit of which place was last pulled or published here."""
    return {
        remote.repo: remote.revision
        for row in registry.list(limit=None)
        for remote in registry.remotes(row.name)
    }


def fetch(
    hub: Hub,
    repo: str,
    revision: str | None,
    folder: str | None,
    known: dict[str, str] | None = None,
) -> Iterator[Fetched]:
    """The current version of every embedding in a repository, fetched and proven.

    Places whose commit is in ``known`` are passed over.
    """
    from tireg.hub.pulling import holdings
    from tireg.hub.tree import snapshot

    at = snapshot(hub, repo, revision)
    held = holdings(hub, at)
    if folder is not None:
        there = [h.prefix.rstrip("/") for h in held if h.prefix]
        held = [h for h in held if h.prefix == f"{folder}/"]
        if not held:
            raise RefError(
                f"'{repo}' has no embedding in a folder '{folder}'",
                hint=f"tireg pull {repo}" + (f" --folder {there[0]}" if there else ""),
            )
    for one in held:
        place = repo + (f"/{one.prefix.rstrip('/')}" if one.prefix else "")
        if (known or {}).get(place) == at.commit:
            continue
        yield from _fetch_held(hub, at, one, place)


def _fetch_held(hub: Hub, at: Snapshot, held: Held, place: str) -> Iterator[Fetched]:
    from tireg.hub.pulling import fetch_version, foreign_files

    why = held.why
    if held.index is not None:
        row = held.index.row(held.index.current)
        if row is None:
            raise HubError(f"'{place}' does not list the version it calls its current one")
        try:
            package = check_package(fetch_version(hub, at, held.prefix, row))
            yield Fetched(place, at.commit, package.record, package, package.notices)
            return
        except SchemaTooNewError as error:
            why = error.message
    files = foreign_files(hub, at, held.prefix)
    notices = (f"{why}; only the vectors are taken",) if why else ()
    for package in foreign_packages(files, place, at.commit):
        yield Fetched(place, at.commit, package.record, package, (*notices, *package.notices))


def check_package(package: Package) -> Package:
    """The package, once its vectors are those that its record speaks of; HubError otherwise."""
    from tireg.dialects.content import hidden_character

    record = package.record
    file = record.file("embedding")
    if hidden_character(record.token) is not None or hidden_character(record.name) is not None:
        raise FileRefusedError("its record has a name or token with hidden characters")
    if file is None:
        raise HubError(f"the record of '{record.name}' names no vectors")
    try:
        rows = unpack_vectors(record, package.objects[file.sha256])
    except TiregError as error:
        raise HubError(error.message, hint="nothing was kept") from error
    if tensor_hash(rows) != record.tensor_hash:
        raise HubError(
            f"the vectors of '{record.name}' are not those its record speaks of",
            hint="nothing was kept; do not trust that repository",
        )
    return package


def foreign_packages(files: ForeignFiles, place: str, commit: str) -> list[Package]:
    """Packages out of other tools' files. FileRefusedError when none of them can be read."""
    packages: list[Package] = []
    refused: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tireg-pull-") as folder:
        for name, data in files.files.items():
            (Path(folder) / name).write_bytes(data)
        for reading in read_path(Path(folder)):
            if reading.refused is not None:
                refused.append(f"'{reading.path.name}' is refused: {reading.refused}")
                continue
            for embedding in reading.embeddings:
                source = Source(
                    how="pulled",
                    where=place,
                    revision=commit,
                    dialect=reading.dialect,
                    sha256=reading.sha256,
                )
                originals = {
                    path.name: files.files[path.name]
                    for path in reading.files
                    if path.name in files.files
                }
                packages.append(_foreign(embedding, source, files, originals, reading.warnings))
    if not packages:
        raise FileRefusedError(f"'{place}' holds no readable embedding: {'; '.join(refused)}")
    return [replace(p, notices=(*p.notices, *refused)) for p in packages]


def _foreign(
    embedding: ReadEmbedding,
    source: Source,
    files: ForeignFiles,
    originals: dict[str, bytes],
    warnings: tuple[str, ...],
) -> Package:
    from tireg.hub.pulling import Package
    from tireg.hub.tree import REPO_ID

    tensors = {key: tensor.to_fp32() for key, tensor in embedding.tensors.items()}
    objects: dict[str, bytes] = {}
    data = pack_vectors(embedding.token, tensors)
    kept: list[StoredFile] = [stored(objects, "embedding", FILE_NAME, data, MEDIA_TYPE)]
    for name, original in originals.items():
        if original != data:
            kind = "application/octet-stream"
            kept.append(stored(objects, "original", name, original, kind))
    base = None
    if files.base and REPO_ID.fullmatch(files.base) and embedding.families:
        base = BaseRef(id=files.base, family=embedding.families[0])
    place = source.where or ""
    plain_name = embedding.name if embedding.name != "learned_embeds" else ""
    record = Record(
        name=clean_name(plain_name or embedding.token.strip("<>") or place.rpartition("/")[2]),
        token=embedding.token,
        kind=next((k for k in ("object", "style", "subject") if k == embedding.kind), None),
        negative=bool(embedding.negative),
        tensor_hash=embedding.tensor_hash,
        tensors=describe(tensors),
        families=tuple(embedding.families),
        files=tuple(kept),
        base=base,
        source=source,
        license=files.license,
        author=place.partition("/")[0],
        created=utc_now(),
        tireg_version=tireg.__version__,
    )
    return Package(record, objects, (), tuple(warnings))


def keep(
    registry: Registry,
    one: Fetched,
    name: str | None,
    listen: Listener,
    *,
    suffix: bool = False,
) -> Pulled:
    """Put one fetched version into the registry, with its scores; nothing happens twice."""
    from tireg.hub.private import about, known_as

    for notice in one.notices:
        listen(Notice(f"{one.place}: {notice}"))
    record, package = one.record, one.package
    called = clean_name(name or record.name)
    here = _here(registry, record, called if name else None)
    if here is None:
        here = _twin(registry, record, called if name else None)
    if here is None:
        collision: Literal["version", "suffix"] = "suffix" if suffix else "version"
        item = Item(record, package.objects, called, collision=collision)
        outcome = registry.add_many([item])[0]
        here, added = registry.resolve(outcome.found.ref), outcome.added
    else:
        added = False
    scores = 0
    if record.sha256 in known_as(here.record):
        scores = sum(registry.add_run(about(run, here.record_sha), {}) for run in package.runs)
    remote = Remote(one.place, one.commit, here.record_sha)
    if (one.place, one.commit) not in {(r.repo, r.revision) for r in registry.remotes(here.name)}:
        registry.set_remote(here.name, remote)
    return Pulled(here, one.place, added, scores)


def _here(registry: Registry, record: Record, name: str | None) -> Version | None:
    """The version with this very record, if it is here (and called ``name``, if given)."""
    try:
        version = registry.resolve(record.sha256)
    except RefError:
        return None
    return version if name in (None, version.name) else None


def _twin(registry: Registry, record: Record, name: str | None) -> Version | None:
    """The version (called ``name``, if given) that this record is a form of without captions."""
    from tireg.hub.private import known_as

    same = [f for f in registry.equal_tensors(record.tensor_hash) if name in (None, f.name)]
    found = [registry.resolve(one.ref) for one in same]
    return next((v for v in found if record.sha256 in known_as(v.record)), None)
