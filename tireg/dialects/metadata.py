"""The string metadata that tireg writes into every file it makes.

ModelSpec 1.0.1 keys (https://github.com/Stability-AI/ModelSpec) for other tools, ``tireg.*``
keys for what ModelSpec has no word for: the exact token, the encoder of a lone tensor, the
record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tireg.dialects.content import ReadEmbedding
from tireg.domain import catalogue

MODELSPEC_VERSION = "1.0.1"
FORMAT = "1"


@dataclass(frozen=True)
class Extra:
    """What a written file may say besides its vectors; empty fields are left out.

    ``record`` is the record's JSON text. ``date`` is ISO 8601. ``prediction_type`` is
    ``epsilon`` or ``v_prediction``. ``picture`` is a PNG or JPEG for the card. ``step`` and
    ``checkpoint`` are what A1111's files call the training step and the base. ``more`` are
    further metadata keys, taken as they are.
    """

    record: str = ""
    author: str = ""
    description: str = ""
    license: str = ""
    date: str = ""
    tags: tuple[str, ...] = ()
    resolution: int | None = None
    prediction_type: str = ""
    usage_hint: str = ""
    step: int | None = None
    checkpoint: str = ""
    picture: Path | None = None
    more: Mapping[str, str] = field(default_factory=dict)


def family_of(embedding: ReadEmbedding) -> catalogue.FamilyRow | None:
    """The family an embedding is written for: its only or likeliest candidate."""
    return catalogue.find_row(embedding.families[0]) if embedding.families else None


def metadata_for(embedding: ReadEmbedding, extra: Extra, dialect: str) -> dict[str, str]:
    """All metadata of one written file, without those that are empty."""
    row = family_of(embedding)
    negative = {True: "true", False: "false", None: ""}[embedding.negative]
    side = extra.resolution or (row.resolution if row else None)
    # A file with an unknown architecture does not meet ModelSpec and does not claim to.
    told = {
        "modelspec.sai_model_spec": MODELSPEC_VERSION if row else "",
        "modelspec.architecture": f"{row.modelspec}/textual-inversion" if row else "",
        "modelspec.implementation": "tireg",
        "modelspec.title": embedding.name,
        "modelspec.resolution": f"{side}x{side}" if side else "",
        "modelspec.description": extra.description,
        "modelspec.author": extra.author,
        "modelspec.date": extra.date,
        "modelspec.license": extra.license,
        "modelspec.usage_hint": extra.usage_hint,
        "modelspec.tags": ", ".join(extra.tags),
        "modelspec.trigger_phrase": embedding.token,
        "modelspec.prediction_type": {"v_prediction": "v"}.get(
            extra.prediction_type, extra.prediction_type
        ),
        "modelspec.is_negative_embedding": negative,
        "tireg.format": FORMAT,
        "tireg.dialect": dialect,
        "tireg.token": embedding.token,
        "tireg.name": embedding.name,
        "tireg.kind": embedding.kind or "",
        "tireg.family": row.id if row else "",
        "tireg.record": extra.record,
        **extra.more,
    }
    return {key: value for key, value in told.items() if value}
