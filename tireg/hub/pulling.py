"""What a repository holds for us, fetched and proven, before any of it is kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from tireg.dialects.content import hidden_character
from tireg.domain.model import read_document
from tireg.domain.records import Record
from tireg.domain.scores import Run
from tireg.errors import FileRefusedError, HubError, SchemaTooNewError, TiregError
from tireg.hub.layout import (
    INDEX,
    RECORD,
    Index,
    VersionRow,
    check_text,
    prefixes,
    read_index,
    stored_name,
    version_folder,
)
from tireg.hub.session import Hub
from tireg.hub.tree import Snapshot, check_total, read

RECORD_BYTES = 4_000_000
OBJECT_BYTES = 50_000_000
FOREIGN_BYTES = 20_000_000
FOREIGN_FILES = 64
# All of it is held until it is proven, so what a repository may hold of each is bounded, too.
INDEX_TOTAL = 100_000_000
PACKAGE_TOTAL = 1_000_000_000
SCORES_TOTAL = 100_000_000
FOREIGN_TOTAL = 200_000_000
LEARNED = re.compile(r"learned_embeds(_[2-4])?\.(safetensors|bin)")
SIDECARS = ("token_identifier.txt", "type_of_concept.txt", "special_params.json")
SUFFIXES = (".safetensors", ".pt", ".bin", ".pti")


@dataclass(frozen=True)
class Package:
    """One version of tireg's own, whole: its record, the files it names, its scores.

    ``objects`` maps sha256 to bytes; files that were not published are not among them.
    """

    record: Record
    objects: Mapping[str, bytes]
    runs: tuple[Run, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """One embedding of a repository, and in what layout it lies there.

    ``foreign`` has vectors only, made by another tool or by a newer tireg; ``why`` says the
    latter. ``index`` is None then.
    """

    prefix: str
    layout: Literal["tireg", "foreign"]
    index: Index | None = None
    why: str = ""


@dataclass(frozen=True)
class ForeignFiles:
    """Embedding files and the small texts beside them, by names that are safe on any disk."""

    files: Mapping[str, bytes]
    base: str | None = None
    license: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def holdings(hub: Hub, at: Snapshot) -> list[Held]:
    """The embeddings of a repository: tireg's own, or else whatever vectors lie on top."""
    tops = prefixes(at.files)
    check_total(at, (f"{prefix}{INDEX}" for prefix in tops), INDEX_TOTAL, "the lists of versions")
    found = [_held(hub, at, prefix) for prefix in tops]
    return found or [Held("", "foreign")]


def _held(hub: Hub, at: Snapshot, prefix: str) -> Held:
    raw = read(hub, at, f"{prefix}{INDEX}", limit=RECORD_BYTES)
    try:
        return Held(prefix, "tireg", read_index(raw, about=f"'{at.repo}'"))
    except SchemaTooNewError as error:
        return Held(prefix, "foreign", why=error.message)


def fetch_version(hub: Hub, at: Snapshot, prefix: str, row: VersionRow) -> Package:
    """One version, every byte proven: by the tree, then by the record, then by its own hash.

    SchemaTooNewError for a record of a newer tireg, HubError for anything that does not match.
    """
    top = f"{prefix}{version_folder(row.record)}/"
    about = f"the record {row.record[:12]} of '{at.repo}'"
    raw = read(hub, at, f"{top}{RECORD}", limit=RECORD_BYTES)
    if hashlib.sha256(raw).hexdigest() != row.record:
        raise HubError(f"{about} is not the one it is listed as", hint="nothing was kept")
    record = read_document(Record, check_text(raw, about=about), name=about)
    if record.sha256 != row.record:
        raise HubError(f"{about} is not written as tireg writes records", hint="nothing was kept")
    objects: dict[str, bytes] = {}
    paths = [f"{top}{stored_name(record, file)}" for file in record.files]
    check_total(at, paths, PACKAGE_TOTAL, "the files of one version")
    for file, path in zip(record.files, paths, strict=True):
        if path not in at.files:
            if file.role == "embedding":
                raise HubError(f"'{at.repo}' lacks the vectors of {about}")
            continue
        data = read(hub, at, path, limit=OBJECT_BYTES)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise HubError(
                f"'{path}' of '{at.repo}' is not the file its record names",
                hint="nothing was kept; do not trust that repository",
            )
        objects[file.sha256] = data
    runs, notices = _runs(hub, at, f"{top}scores/", row.record)
    return Package(record, objects, runs, notices)


def _runs(
    hub: Hub, at: Snapshot, folder: str, record: str
) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """The scores of a version; what cannot be understood is left out with a notice."""
    runs: list[Run] = []
    notices: list[str] = []
    paths = sorted(p for p in at.files if p.startswith(folder))
    check_total(at, paths, SCORES_TOTAL, "the scores of one version")
    for path in paths:
        raw = read(hub, at, path, limit=RECORD_BYTES)
        try:
            run = read_document(Run, check_text(raw, about=f"'{path}'"), name=f"'{path}'")
        except TiregError as error:
            notices.append(f"{error.message}; these scores are left out")
            continue
        if run.record == record and not run.files:
            runs.append(run)
        else:
            notices.append(f"'{path}' is about something else and is left out")
    return tuple(runs), tuple(notices)


def score_shas(at: Snapshot, prefix: str, record: str) -> int:
    """How many scores a version has there."""
    folder = f"{prefix}{version_folder(record)}/scores/"
    return sum(path.startswith(folder) for path in at.files)


def foreign_files(hub: Hub, at: Snapshot, prefix: str = "") -> ForeignFiles:
    """The embedding files on top of a repository (or of one folder), proven by the tree.

    What diffusers would load comes first; where there is nothing of that name, every file that
    could be an embedding. FileRefusedError when there is none.
    """
    top = {path: f for path, f in at.folder(prefix).items() if "/" not in path}
    chosen = [p for p in sorted(top) if LEARNED.fullmatch(p) and p.endswith(".safetensors")]
    chosen = chosen or [p for p in sorted(top) if LEARNED.fullmatch(p)]
    if not chosen:
        chosen = [
            p
            for p in sorted(top)
            if PurePosixPath(p).suffix.lower() in SUFFIXES and 0 < top[p].size <= FOREIGN_BYTES
        ][:FOREIGN_FILES]
    if not chosen:
        raise FileRefusedError(
            f"'{at.repo}' holds no embedding that tireg can read",
            hint=f"look at it: {hub.endpoint}/{at.repo}",
        )
    texts = [name for name in SIDECARS if name in top]
    found = (f"{prefix}{name}" for name in (*chosen, *texts))
    check_total(at, found, FOREIGN_TOTAL, "the embedding files")
    files = {
        _local_name(name, number): read(hub, at, f"{prefix}{name}", limit=FOREIGN_BYTES)
        for number, name in enumerate([*chosen, *texts])
    }
    card = at.info.get("cardData")
    card = card if isinstance(card, dict) else {}
    return ForeignFiles(files, _one_text(card.get("base_model")), _one_text(card.get("license")))


def _local_name(name: str, number: int) -> str:
    """``name`` where it is plain; a name of ours with its suffix otherwise."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,80}", name) and not name.endswith((" ", ".")):
        return name
    return f"file-{number}{PurePosixPath(name).suffix.lower()}"


def _one_text(value: Any) -> str | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        return None
    return value if hidden_character(value) is None else None


def author_repos(hub: Hub, author: str, *, limit: int = 5000) -> list[str]:
    """The repositories of an author that hold embeddings, by their tags."""
    # The concepts library is older than the tag.
    query: dict[str, str | list[str]] = {"author": author, "limit": "500"}
    if author != "sd-concepts-library":
        query["filter"] = ["textual_inversion"]
    rows = hub.pages("models", query=query, about=author, limit=limit)
    found = [row.get("id") for row in rows if isinstance(row, dict)]
    return [repo for repo in found if isinstance(repo, str) and repo.startswith(f"{author}/")]
