"""The base-model catalogue: one row per family, architecture facts only.

Rows are ``registry/families/*.json``. A new family is a new row. Nothing here is measured on a
checkpoint: what identifies a base is its fingerprint, never a row of this table.
"""

from __future__ import annotations

from functools import cache

from pydantic import Field

from tireg.domain.catalogue import find_row, row_called
from tireg.domain.model import Document, Part, read_document
from tireg.domain.resources import resource


class Encoder(Part):
    """One text encoder of a family, as its published config states it."""

    key: str = Field(description="Encoder key: clip_l, t5xxl, …")
    component: str = Field(description="Attribute of the diffusers pipeline: text_encoder, …")
    tokenizer: str = Field(description="Attribute of the diffusers pipeline: tokenizer, …")
    model_class: str = Field(description="Class name in transformers.")
    tokenizer_class: str = Field(description="Class name in transformers.")
    width: int = Field(ge=1, description="Numbers in one token vector.")
    vocabulary: int | None = Field(default=None, ge=1, description="Rows of the token table.")
    layers: int | None = Field(default=None, ge=1, description="Transformer blocks.")
    activation: str | None = Field(default=None, description="quick_gelu, gelu, silu, …")
    max_length: int | None = Field(default=None, ge=1, description="Tokens in one prompt.")


class Family(Document):
    """What all checkpoints of one architecture share."""

    format_version: int = Field(default=1, ge=1)
    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="sd1, sdxl, flux1, …")
    title: str = Field(min_length=1)
    rank: int = Field(ge=0, description="Order in lists and among candidates, most used first.")
    aliases: tuple[str, ...] = Field(
        default=(), description="Names other tools and sites use for the family."
    )
    modelspec: str = Field(description="ModelSpec architecture without '/textual-inversion'.")
    pipeline: str = Field(description="Pipeline class in diffusers.")
    denoiser: str = Field(description="Pipeline attribute of what draws: unet or transformer.")
    encoders: tuple[Encoder, ...] = Field(min_length=1)
    file_sets: tuple[tuple[str, ...], ...] = Field(
        default=(), description="Encoder keys that files for this family also come with."
    )
    prediction_types: tuple[str, ...] = Field(min_length=1)
    resolution: int = Field(ge=8, description="Default side of a picture, pixels.")
    sampler: str = Field(description="Default sampler.")
    steps: int = Field(ge=1, description="Default sampling steps.")
    guidance: float = Field(ge=0, description="Default guidance scale.")
    diffusers_loads: bool = Field(description="diffusers' own loader can load an embedding.")
    trainable: bool = Field(description="tireg can train embeddings for it.")

    @property
    def keys(self) -> frozenset[str]:
        """The encoder keys of the family."""
        return frozenset(encoder.key for encoder in self.encoders)

    def encoder(self, key: str) -> Encoder | None:
        """The encoder called ``key``, or None."""
        return next((e for e in self.encoders if e.key == key), None)


@cache
def families() -> tuple[Family, ...]:
    """Every family of the catalogue, most used first. Raises CorruptError for a bad row."""
    folder = resource("registry", "families")
    rows = [
        read_document(Family, path.read_bytes(), name=f"families/{path.name}")
        for path in sorted(folder.glob("*.json"))
    ]
    return tuple(sorted(rows, key=lambda row: (row.rank, row.id)))


def family(name: str) -> Family:
    """The family called ``name``: its id, title or an alias, case and punctuation ignored.

    Raises BaseError where there is none.
    """
    wanted = row_called(name).id
    return next(row for row in families() if row.id == wanted)


def find_family(name: str) -> Family | None:
    """Like :func:`family`, but None where there is none."""
    return family(name) if find_row(name) is not None else None
