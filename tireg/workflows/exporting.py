"""Write a recorded embedding as a file for another tool."""

from __future__ import annotations

from pathlib import Path

from tireg.dialects import Extra, make_embedding, write
from tireg.domain.records import Record
from tireg.domain.tensors import Tensor, from_fp32
from tireg.errors import ConfigError, CorruptError
from tireg.store.registry import Registry
from tireg.workflows.vectors import unpack_vectors


def export(
    home: Path, ref: str, *, dialect: str, target: Path | None = None, lossy: bool = False
) -> list[Path]:
    """Write ``ref`` in ``dialect`` to ``target`` (a file or folder; the current one if None).

    Raises RefError for an unknown reference, InputError for an unknown dialect or one that
    cannot hold all of it without ``lossy``, and ConfigError where nothing can be written.
    """
    with Registry.open(home, create=False) as registry:
        version = registry.resolve(ref)
        record = version.record
        stored = record.file("embedding")
        if stored is None:
            raise CorruptError(f"'{ref}' has no vectors", hint="tireg verify")
        tensors = _tensors(record, registry.objects.read(stored.sha256))
        preview = record.file("preview")
        picture = registry.objects.path(preview.sha256) if preview else None
    embedding = make_embedding(
        record.token,
        tensors,
        family=record.base.family if record.base else None,
        name=version.name,
        kind=record.kind,
        negative=record.negative,
    )
    extra = Extra(
        record=record.canonical().decode("utf-8"),
        author=record.author or "",
        license=record.license or "",
        date=record.created,
        tags=record.tags,
        resolution=record.recipe.resolution if record.recipe else None,
        step=record.training.steps if record.training else None,
        checkpoint=record.base.id if record.base else "",
        picture=picture,
    )
    try:
        return write(dialect, target or Path(), embedding, extra=extra, lossy=lossy)
    except OSError as error:
        raise ConfigError(
            f"'{target or Path()}' cannot be written: {error.strerror}", hint="--out PATH"
        ) from error


def _tensors(record: Record, data: bytes) -> dict[str, Tensor]:
    return {key: from_fp32(rows) for key, rows in unpack_vectors(record, data).items()}
