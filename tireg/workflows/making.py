"""Small things that every record is made with."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tireg.domain.records import FileRole, StoredFile
from tireg.errors import ConfigError
from tireg.store.rows import BaseRow

if TYPE_CHECKING:
    from tireg.domain.fingerprints import BaseRef
    from tireg.store.registry import Registry
    from tireg.workflows.places import Place


def png_bytes(picture: Any) -> bytes:
    """A uint8 picture [h, w, 3] as PNG, without any metadata."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def stored(
    objects: dict[str, bytes],
    role: FileRole,
    name: str,
    data: bytes,
    media_type: str,
    text: str | None = None,
) -> StoredFile:
    """Put ``data`` among ``objects`` and describe it for a record."""
    sha = hashlib.sha256(data).hexdigest()
    objects[sha] = data
    return StoredFile(
        role=role, name=name, sha256=sha, bytes=len(data), media_type=media_type, text=text
    )


def utc_now() -> str:
    """Now, UTC, ISO 8601, to the second; SOURCE_DATE_EPOCH fixes it for repeatable builds."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = datetime.fromtimestamp(int(fixed), UTC) if fixed else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError("SOURCE_DATE_EPOCH is not a number of seconds") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def remember_base(registry: Registry, ref: BaseRef | None, place: Place) -> None:
    """Keep where the base was found, so that its id alone is enough next time."""
    if ref is not None:
        registry.add_base(replace(BaseRow.of(ref), path=str(place.folder)))
