"""Small text files that lie beside an embedding and say something about it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tireg.dialects import limits
from tireg.dialects.content import hidden_character

LEARNED = "learned_embeds"


@dataclass(frozen=True)
class Beside:
    """What neighbours of a file say: the cog token table, the concept's token and kind."""

    params: Mapping[str, str] = field(default_factory=dict)
    identifier: str | None = None
    kind: str | None = None


def beside(path: Path) -> Beside:
    """Look at the known neighbours of ``path``; missing or odd ones say nothing.

    ``special_params.json`` belongs to any ``.pti`` in its folder; ``token_identifier.txt`` and
    ``type_of_concept.txt`` belong to ``learned_embeds.*``, as the concepts library lays it out.
    """
    folder = path.parent
    if path.suffix.lower() == ".pti" or "embeddings" in path.stem:
        return Beside(params=_string_table(read_json(folder / "special_params.json")))
    if path.stem == LEARNED:
        return Beside(
            identifier=_line(folder / "token_identifier.txt"),
            kind=_line(folder / "type_of_concept.txt"),
        )
    return Beside()


def read_text(path: Path) -> str | None:
    """A small regular text file as a string; None where there is none. Links are not followed."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limits.SIDECAR_BYTES:
            return None
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError):
        return None


def read_json(path: Path) -> Any:
    """A small JSON file parsed; None where it is missing or malformed."""
    text = read_text(path)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _line(path: Path) -> str | None:
    text = (read_text(path) or "").strip("\r\n")
    return text if text.strip() and "\n" not in text and hidden_character(text) is None else None


def _string_table(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {k: v for k, v in value.items() if isinstance(v, str) and hidden_character(k) is None}
