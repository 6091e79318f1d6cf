"""What other managers noted beside an embedding: Civitai helpers, LoRA-Manager, previews."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tireg.dialects.content import plain
from tireg.dialects.sidecars import read_json
from tireg.domain.catalogue import find_row

PREVIEWS = (".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp", ".png", ".jpg",
            ".jpeg", ".webp")  # fmt: skip
LONGEST = 20_000


@dataclass(frozen=True)
class Notes:
    """A manager's note, hidden characters escaped; empty fields were not there.

    ``base_label`` is the site's word for the base, ``family`` the id it means, None where the
    catalogue does not know it. ``sha256`` is what the note says of the file: a claim to check.
    """

    source: Path
    name: str = ""
    version: str = ""
    base_label: str = ""
    family: str | None = None
    words: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""
    sha256: str = ""


def notes_beside(path: Path) -> Notes | None:
    """The note of ``NAME.civitai.info`` or ``NAME.metadata.json`` beside the file ``NAME.*``.

    None where there is none, or none that can be read; a broken note stops nothing.
    """
    for ending, reader in ((".civitai.info", _civitai), (".metadata.json", _lora_manager)):
        source = path.with_name(path.stem + ending)
        data = read_json(source)
        if isinstance(data, dict):
            return reader(source, data)
    return None


def previews_beside(path: Path) -> list[Path]:
    """Pictures named after the file, the likeliest preview first; links are left alone."""
    found = [path.with_name(path.stem + ending) for ending in PREVIEWS]
    return [p for p in found if p != path and p.is_file() and not p.is_symlink()]


def _civitai(source: Path, data: Mapping[str, Any]) -> Notes:
    """Civitai's model-version answer, as its helpers save it."""
    model = _table(data.get("model"))
    label = _text(data.get("baseModel"))
    files = data.get("files")
    first = _table(files[0]) if isinstance(files, list) and files else {}
    return Notes(
        source=source,
        name=_text(model.get("name")),
        version=_text(data.get("name")),
        base_label=label,
        family=_family(label),
        words=_texts(data.get("trainedWords")),
        description=_text(model.get("description")) or _text(data.get("description")),
        tags=_texts(model.get("tags")),
        sha256=_text(_table(first.get("hashes")).get("SHA256")).lower(),
    )


def _lora_manager(source: Path, data: Mapping[str, Any]) -> Notes:
    """ComfyUI-LoRA-Manager's own note, with Civitai's answer inside where it had one."""
    site = _table(data.get("civitai"))
    inner = _civitai(source, site) if site else Notes(source)
    label = _text(data.get("base_model")) or inner.base_label
    return Notes(
        source=source,
        name=_text(data.get("model_name")) or inner.name,
        version=inner.version,
        base_label=label,
        family=_family(label),
        words=inner.words or _texts(data.get("trained_words")),
        description=_text(data.get("modelDescription")) or inner.description,
        tags=_texts(data.get("tags")) or inner.tags,
        notes=_text(data.get("notes")),
        sha256=_text(data.get("sha256")).lower() or inner.sha256,
    )


def _family(label: str) -> str | None:
    row = find_row(label) if label else None
    return row.id if row else None


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return str(plain(value[:LONGEST])) if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(_text(item) for item in value[:200] if isinstance(item, str) and item.strip())
