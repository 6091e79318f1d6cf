"""Bring embedding files of any tool into the registry: thousands at once, none twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from tireg.workflows.making import stored, utc_now
from tireg.workflows.patterns import expanded
from tireg.workflows.progress import Event, Listener, silent
from tireg.workflows.vectors import FILE_NAME, MEDIA_TYPE, describe, pack_vectors

if TYPE_CHECKING:
    from tireg.dialects import FileReading, Group, Notes, ReadEmbedding
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
    listen: Listener = silent,
) -> list[dict[str, Any]]:
    """Import files, folders and patterns; one plain object per embedding or refused file.

    A file that cannot be used is a line, never an exception. What is here already, in whatever
    dialect and under whatever name, is a duplicate: a second run changes nothing. ``name`` is
    for a single embedding; InputError where there are more. Raises RefError for a name that
    cannot be used and ConfigError or StoreError where the registry cannot be written.
    """
    from tireg.dialects import groups

    if name is not None:
        name = check_name(name)
    found = groups(expanded(paths), recursive=recursive)
    if name is not None:
        _only_one(found)
    check_writable(home)
    lines: list[Line] = []
    with Registry.open(home) as registry:
        run = _Import(registry, name, len(found), listen)
        items = run.items(found)
        for outcome in registry.adding(items):
            run.settle(outcome.found.name, outcome.added)
        lines = run.lines
    return [asdict(line) for line in lines]


def _only_one(found: list[Group]) -> None:
    from tireg.dialects import read_group

    count = sum(len(r.embeddings) for group in found for r in read_group(group))
    if count > 1:
        raise InputError(
            f"--name is for one embedding, and there are {count}", hint="leave --name out"
        )


class _Import:
    """One run: reads ahead of the registry, which answers in the same order."""

    def __init__(self, registry: Registry, name: str | None, files: int, listen: Listener) -> None:
        self.registry = registry
        self.name = name
        self.files = files
        self.listen = listen
        self.created = utc_now()
        self.lines: list[Line] = []
        self.seen: dict[str, str] = {}
        self.waiting: deque[int] = deque()

    def items(self, found: list[Group]) -> Iterator[Item]:
        """What to add, file by file; all else becomes a line at once."""
        from tireg.dialects import read_group

        for number, group in enumerate(found):
            if number % 50 == 0:
                self.listen(Event("importing", number, self.files, group.files[0].name))
            for reading in read_group(group):
                yield from self._of_reading(reading)
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

    def _of_reading(self, reading: FileReading) -> Iterator[Item]:
        path = str(reading.path)
        if reading.refused is not None:
            self.lines.append(Line(path, "refused", reason=reading.refused))
            return
        for embedding in reading.embeddings:
            known = self._known(embedding.tensor_hash)
            if known is not None:
                reason = f"it is here as '{known}'"
                self.lines.append(Line(path, "duplicate", known, embedding.token, reason))
                continue
            try:
                item, warnings = self._item(reading, embedding)
            except (OSError, FileRefusedError) as error:
                reason = getattr(error, "message", None) or f"It cannot be read: {error}."
                self.lines.append(Line(path, "refused", token=embedding.token, reason=reason))
                continue
            self.seen[embedding.tensor_hash] = item.name or item.record.name
            self.waiting.append(len(self.lines))
            line = Line(path, "taken", item.name, embedding.token, warnings=warnings)
            self.lines.append(line)
            yield item

    def _known(self, tensor_hash: str) -> str | None:
        if tensor_hash in self.seen:
            return self.seen[tensor_hash]
        same = self.registry.equal_tensors(tensor_hash)
        return same[0].name if same else None

    def _item(self, reading: FileReading, embedding: ReadEmbedding) -> tuple[Item, tuple[str, ...]]:
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
        record = self._record(reading, embedding, notes, tuple(files))
        record = record.model_copy(update={"tensors": describe(tensors)})
        tags = notes.tags if notes else ()
        record = record.model_copy(update={"tags": tuple(dict.fromkeys([*record.tags, *tags]))})
        item = Item(record, objects, self.name, hashes=hashes, collision="suffix")
        return item, tuple(warnings)

    def _record(
        self,
        reading: FileReading,
        embedding: ReadEmbedding,
        notes: Notes | None,
        files: tuple[StoredFile, ...],
    ) -> Record:
        name = self.name or clean_name(embedding.name or reading.path.stem)
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
            created=self.created,
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
