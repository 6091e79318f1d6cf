"""Write an embedding, recorded or in a file, as a file for another tool."""

from __future__ import annotations

from pathlib import Path

from tireg.dialects import DIALECTS, Extra, ReadEmbedding, losses, write
from tireg.errors import ConfigError, InputError
from tireg.hub.private import public_record
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.filed import read_one, recorded
from tireg.workflows.progress import Listener, Notice, silent
from tireg.workflows.publish import as_embedding

ALL = "all"


def export(
    home: Path,
    ref: str,
    *,
    dialect: str,
    target: Path | None = None,
    lossy: bool = False,
    listen: Listener = silent,
) -> list[Path]:
    """Write ``ref`` in ``dialect`` to ``target`` (a file or folder; the current one if None).

    ``ref`` is a registry reference or an embedding file of any tool. The dialect ``all`` makes
    a folder per tool; a tool that cannot hold all of it is left out with a notice, or written
    where ``lossy``. Training captions are not written. Raises RefError for an unknown
    reference, FileRefusedError for a file that is none, InputError for an unknown dialect or
    one that cannot hold all of it without ``lossy``, and ConfigError where nothing can be
    written.
    """
    with Registry.open(home, create=False) as registry:
        version = recorded(registry, ref)
        found = _from_registry(registry, version) if version is not None else None
    embedding, extra = found or (read_one(Path(ref).expanduser())[1], Extra())
    place = target or Path()
    try:
        if dialect != ALL:
            return write(dialect, place, embedding, extra=extra, lossy=lossy)
        return _write_all(place, embedding, extra, lossy, listen)
    except OSError as error:
        raise ConfigError(
            f"'{place}' cannot be written: {error.strerror}", hint="--out PATH"
        ) from error


def _write_all(
    place: Path, embedding: ReadEmbedding, extra: Extra, lossy: bool, listen: Listener
) -> list[Path]:
    """A folder per dialect below ``place``; what is left out or lost is said."""
    if place.is_file() or place.suffix:
        raise InputError(
            f"'{place}' is a file, and every tool's files need a folder", hint="--out FOLDER"
        )
    written: list[Path] = []
    for dialect in DIALECTS:
        try:
            lost = losses(dialect, embedding)
        except InputError as error:
            listen(Notice(f"{dialect} is left out: {error.message}"))
            continue
        if lost and not lossy:
            listen(Notice(f"{dialect} is left out: {'; '.join(lost)} (--lossy writes it)"))
            continue
        for sentence in lost:
            listen(Notice(sentence))
        written += write(dialect, place / dialect, embedding, extra=extra, lossy=lossy)
    return written


def _from_registry(registry: Registry, version: Version) -> tuple[ReadEmbedding, Extra]:
    record = version.record
    objects = {
        file.sha256: registry.objects.read(file.sha256)
        for file in record.files
        if file.role == "embedding"
    }
    preview = record.file("preview")
    extra = Extra(
        record=public_record(record).canonical().decode("utf-8"),
        author=record.author or "",
        license=record.license or "",
        date=record.created,
        tags=record.tags,
        resolution=record.recipe.resolution if record.recipe else None,
        step=record.training.steps if record.training else None,
        checkpoint=record.base.id if record.base else "",
        picture=registry.objects.path(preview.sha256) if preview else None,
    )
    return as_embedding(record, version.name, objects), extra
