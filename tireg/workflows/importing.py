"""Bring embedding files of any tool into the registry: thousands at once, none twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import tireg
from tireg.domain.concepts import Kind
from tireg.domain.model import read_document
from tireg.domain.records import Record, Source, StoredFile
from tireg.errors import CorruptError, FileRefusedError, InputError, SchemaTooNewError
from tireg.store.home import check_writable
from tireg.store.names import check_name, clean_name
from tireg.store.registry import Registry
from tireg.workflows.fanning import Fan
from tireg.workflows.making import stored, utc_now
from tireg.workflows.patterns import expanded
from tireg.workflows.progress import Event, Listener, silent
from tireg.workflows.vectors import FILE_NAME, MEDIA_TYPE, describe, pack_vectors

if TYPE_CHECKING:
    from tireg.dialects import FileReading, Group, Notes, ReadEmbedding
    from tireg.fanout import Engine
    from tireg.store.adding import Item

LARGEST_KEPT = 64 * 1024 * 1024
LONGEST_METADATA = 4000
PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class Line:
    """What became of one embedding, or of one file that holds none."""

    path: str
    result: Literal["taken", "duplicate", "refused"]
    name: str | None = None
    token: str | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()


def import_files(
    home: Path,
    paths: Sequence[str | Path],
    *,
    recursive: bool = False,
    name: str | None = None,
    fan: Fan | None = None,
    engine: Engine | None = None,
    listen: Listener = silent,
) -> list[dict[str, Any]]:
    """Import files, folders and patterns; one plain object per embedding or refused file.

    A file that cannot be used is a line, never an exception. What is here already, in whatever
    dialect and under whatever name, is a duplicate: a second run changes nothing. ``name`` is
    for a single embedding; InputError where there are more. With ``fan`` workers read and convert
    the files; what comes of it is the same. Raises RefError for a name that cannot be used and
    ConfigError or StoreError where the registry cannot be written.
    """
    from tireg.dialects import groups

    if name is not None:
        name = check_name(name)
    found = groups(expanded(paths), recursive=recursive)
    if name is not None:
        _only_one(found)
    check_writable(home)
    created = utc_now()
    with Registry.open(home) as registry:
        if name is None and (engine or (fan and fan.wide)):
            from tireg.workflows.importing_units import offers_of_workers

            offers = offers_of_workers(
                found, registry, home, fan or Fan(), engine, created=created, listen=listen
            )
        else:
            offers = (offer for group in found for offer in read_offers(group, name, created))
        run = _Import(registry, len(found), listen)
        for outcome in registry.adding(run.items(offers)):
            run.settle(outcome.found.name, outcome.added)
    return [asdict(line) for line in run.lines]


def _only_one(found: list[Group]) -> None:
    from tireg.dialects import read_group

    count = sum(len(r.embeddings) for group in found for r in read_group(group))
    if count > 1:
        raise InputError(
            f"--name is for one embedding, and there are {count}", hint="leave --name out"
        )


@dataclass(frozen=True)
class Offer:
    """One embedding that was read, and how to convert it; or a file that was refused."""

    path: str
    refused: str | None = None
    token: str | None = None
    tensor_hash: str = ""
    make: Callable[[], tuple[Item, tuple[str, ...]]] | None = None
    """The record with its files, and warnings. May raise OSError and FileRefusedError."""
    first: bool = True
    """Whether it is the first of its group of files."""


def read_offers(group: Group, name: str | None, created: str) -> Iterator[Offer]:
    """Read one group of files; what is not asked for is not converted."""
    from tireg.dialects import read_group

    first = True
    for reading in read_group(group):
        path = str(reading.path)
        if reading.refused is not None:
            yield Offer(path, reading.refused, first=first)
            first = False
        for one in reading.embeddings:
            make = partial(converted, reading, one, name, created)
            yield Offer(path, None, one.token, one.tensor_hash, make, first)
            first = False


class _Import:
    """One run: reads ahead of the registry, which answers in the same order."""

    def __init__(self, registry: Registry, files: int, listen: Listener) -> None:
        self.registry = registry
        self.files = files
        self.listen = listen
        self.lines: list[Line] = []
        self.seen: dict[str, str] = {}
        self.waiting: deque[int] = deque()

    def items(self, offers: Iterable[Offer]) -> Iterator[Item]:
        """What to add, file by file; all else becomes a line at once."""
        number = 0
        for offer in offers:
            if offer.first:
                if number % 50 == 0:
                    self.listen(Event("importing", number, self.files, Path(offer.path).name))
                number += 1
            yield from self._of_offer(offer)
        self.listen(Event("importing", self.files, self.files))

    def settle(self, name: str, added: bool) -> None:
        """The registry has answered for the item that has waited longest."""
        at = self.waiting.popleft()
        result: Literal["taken", "duplicate"] = "taken" if added else "duplicate"
        reason = None if added else f"it is here as '{name}'"
        line = replace(self.lines[at], name=name, result=result, reason=reason)
        others = self.registry.same_token(line.token, name) if added and line.token else []
        if others:
            told = f"its token {line.token} is also that of {', '.join(others)}: load one at a time"
            line = replace(line, warnings=(*line.warnings, told))
        self.lines[at] = line

    def _of_offer(self, offer: Offer) -> Iterator[Item]:
        if offer.make is None:
            self.lines.append(Line(offer.path, "refused", token=offer.token, reason=offer.refused))
            return
        known = self._known(offer.tensor_hash)
        if known is not None:
            reason = f"it is here as '{known}'"
            self.lines.append(Line(offer.path, "duplicate", known, offer.token, reason))
            return
        try:
            item, warnings = offer.make()
        except (OSError, FileRefusedError) as error:
            line = Line(offer.path, "refused", token=offer.token, reason=why_refused(error))
            self.lines.append(line)
            return
        self.seen[offer.tensor_hash] = item.name or item.record.name
        self.waiting.append(len(self.lines))
        self.lines.append(Line(offer.path, "taken", item.name, offer.token, warnings=warnings))
        yield item

    def _known(self, tensor_hash: str) -> str | None:
        if tensor_hash in self.seen:
            return self.seen[tensor_hash]
        same = self.registry.equal_tensors(tensor_hash)
        return same[0].name if same else None


def why_refused(error: OSError | FileRefusedError) -> str:
    """The reason for the line of a file that was read and cannot be taken."""
    return getattr(error, "message", None) or f"It cannot be read: {error}."


def converted(
    reading: FileReading, embedding: ReadEmbedding, wanted: str | None, created: str
) -> tuple[Item, tuple[str, ...]]:
    """The record of one embedding with its files, and warnings; ``wanted`` is its name, if given.

    Raises OSError and FileRefusedError where a file cannot be read or changed meanwhile.
    """
    from tireg.dialects import notes_beside, previews_beside
    from tireg.store.adding import Item

    notes = notes_beside(reading.path)
    warnings = [*reading.warnings]
    if notes is not None and notes.sha256 not in ("", reading.sha256):
        warnings.append(f"{notes.source.name} speaks of another file and was left out.")
        notes = None
    tensors = {key: t.to_fp32() for key, t in embedding.tensors.items()}
    objects: dict[str, bytes] = {}
    files = [
        stored(objects, "embedding", FILE_NAME, pack_vectors(embedding.token, tensors),
                MEDIA_TYPE)
    ]  # fmt: skip
    hashes: dict[str, str] = {}
    for number, path in enumerate(reading.files or (reading.path,)):
        data = _original(path)
        if data is None:
            warnings.append(f"{path.name} is large; only its embeddings were kept.")
            continue
        kept = stored(objects, "original", path.name, data, "application/octet-stream")
        if number == 0:
            if kept.sha256 != reading.sha256:
                raise FileRefusedError("It changed while it was read.")
            hashes = _hashes(data, embedding)
        files.append(kept)
    for picture in previews_beside(reading.path)[:1]:
        data = _original(picture)
        kind = next((k for m, k in PICTURES.items() if data and data.startswith(m)), None)
        if data and kind:
            files.append(stored(objects, "preview", picture.name, data, kind))
    record = _record(reading, embedding, notes, tuple(files), wanted, created)
    record = record.model_copy(update={"tensors": describe(tensors)})
    tags = notes.tags if notes else ()
    record = record.model_copy(update={"tags": tuple(dict.fromkeys([*record.tags, *tags]))})
    item = Item(record, objects, wanted, hashes=hashes, collision="suffix")
    return item, tuple(warnings)


def _record(
    reading: FileReading,
    embedding: ReadEmbedding,
    notes: Notes | None,
    files: tuple[StoredFile, ...],
    wanted: str | None,
    created: str,
) -> Record:
    name = wanted or clean_name(embedding.name or reading.path.stem)
    source = Source(
        how="imported",
        where=reading.path.name,
        dialect=reading.dialect,
        sha256=reading.sha256,
    )
    metadata = _metadata(reading, embedding, notes)
    own = _own_record(reading, embedding)
    if own is not None:
        changes = {"name": name, "files": files, "source": source, "metadata": metadata}
        return own.model_copy(update=changes)
    families = embedding.families
    if notes is not None and notes.family in families:
        families = (notes.family, *(f for f in families if f != notes.family))
    told = reading.metadata
    return Record(
        name=name,
        token=embedding.token,
        kind=next((k for k in get_args(Kind) if k == embedding.kind), None),
        negative=bool(embedding.negative),
        tensor_hash=embedding.tensor_hash,
        tensors=(),
        families=families,
        files=files,
        source=source,
        license=_text(told.get("modelspec.license")) or None,
        author=_text(told.get("modelspec.author")) or None,
        notes="\n\n".join(filter(None, [notes.notes, notes.description])) if notes else "",
        metadata=metadata,
        created=created,
        tireg_version=tireg.__version__,
    )


def _own_record(reading: FileReading, embedding: ReadEmbedding) -> Record | None:
    """The record that tireg wrote into the file, if it speaks of these very vectors."""
    text = reading.metadata.get("tireg.record")
    if not isinstance(text, str):
        return None
    try:
        record = read_document(Record, text, name="the record in the file")
    except (CorruptError, SchemaTooNewError):
        return None
    same = (record.tensor_hash, record.token) == (embedding.tensor_hash, embedding.token)
    return record if same else None


def _metadata(
    reading: FileReading, embedding: ReadEmbedding, notes: Notes | None
) -> dict[str, str]:
    """What the file and the note beside it say, as short texts."""
    told: dict[str, Any] = {**reading.metadata, **embedding.metadata}
    told.pop("tireg.record", None)
    if embedding.trigger != embedding.token:
        told["trigger"] = embedding.trigger
    if notes is not None:
        told |= {
            "sidecar": notes.source.name,
            "sidecar.name": notes.name,
            "sidecar.version": notes.version,
            "sidecar.base": notes.base_label,
            "sidecar.words": ", ".join(notes.words),
        }
    texts = {key: _text(value) for key, value in told.items()}
    return {key: value for key, value in texts.items() if value}


def _text(value: object) -> str:
    return "" if value is None else str(value)[:LONGEST_METADATA]


def _original(path: Path) -> bytes | None:
    """The bytes of a small file; None for one too large to keep a copy of."""
    with path.open("rb") as handle:
        data = handle.read(LARGEST_KEPT + 1)
    return data if len(data) <= LARGEST_KEPT else None


def _hashes(data: bytes, embedding: ReadEmbedding) -> dict[str, str]:
    """The hash forms by which sites and tools name the original file."""
    from tireg.dialects import webui_checksum
    from tireg.dialects.files import Source as Opened
    from tireg.dialects.identity import hashes_of

    found = hashes_of(Opened.of(data))
    forms = {
        "blake3": found.blake3,
        "autov3": found.autov3,
        "checksum": webui_checksum(embedding.tensors),
    }
    return {form: value for form, value in forms.items() if value}


def counted(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many were taken, were duplicates, were refused."""
    return {
        result: sum(line["result"] == result for line in lines)
        for result in ("taken", "duplicate", "refused")
    }
