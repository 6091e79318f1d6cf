"""What makes a base the base it is, encoder by encoder, in 20 kB.

Two bases give an embedding the same meaning if its encoder is the same: the same token
table, the same layers, the same tokenizer. A vector's width says none of this.
"""

from __future__ import annotations

import hashlib

from pydantic import Field

from tireg.domain.model import Part, canonical_json

HEX64 = r"^[0-9a-f]{64}$"
METHOD = 1


class EncoderFingerprint(Part):
    """One text encoder of a base, as measured on its weights before anything resized it."""

    key: str = Field(description="Encoder key: clip_l, clip_g, t5xxl, …")
    width: int = Field(ge=1, description="Length of a token row.")
    rows: int = Field(ge=1, description="Rows of the token table.")
    table_sha256: str = Field(pattern=HEX64, description="Token table rounded to fp16.")
    layers_sha256: str = Field(
        pattern=HEX64,
        description="Every other weight rounded to fp16, but for a projection behind the encoder.",
    )
    config_sha256: str = Field(pattern=HEX64, description="Architecture part of the config.")
    tokenizer_sha256: str = Field(pattern=HEX64, description="Vocabulary and merges.")
    sketch: str = Field(
        description="Base64 of 512 anchor rows x 16 seeded Gaussian projections, fp16."
    )
    behaviour: str | None = Field(
        default=None,
        description="Base64 of the final states of 32 fixed prompts x 16 projections, fp16.",
    )

    def hashes(self) -> dict[str, object]:
        """What is equal on every machine: all but the sketches."""
        return self.model_dump(mode="json", exclude={"sketch", "behaviour"})


class Fingerprint(Part):
    """The identity of a base: its encoders, and a sampled hash of what draws the pictures."""

    method: int = Field(
        default=METHOD,
        ge=1,
        description="Version of the measuring; only equal ones can be compared.",
    )
    encoders: tuple[EncoderFingerprint, ...] = Field(min_length=1)
    denoiser_sha256: str | None = Field(
        default=None, description="Sampled hash of the UNet or transformer; null: not read."
    )

    def encoder(self, key: str) -> EncoderFingerprint | None:
        """The encoder called ``key``, or None."""
        return next((e for e in self.encoders if e.key == key), None)

    @property
    def identity(self) -> str:
        """Hex sha256 over the hashes alone: equal wherever and by whomever it was measured."""
        hashes = [e.hashes() for e in self.encoders]
        told = {"method": self.method, "encoders": hashes, "denoiser": self.denoiser_sha256}
        return hashlib.sha256(canonical_json(told)).hexdigest()

    def same_as(self, other: Fingerprint) -> bool:
        """Whether every hash is equal; sketches may differ in their last bit between machines."""
        return self.identity == other.identity


class BaseRef(Part):
    """The base a record speaks of."""

    id: str = Field(description="Built-in name, Hub id, or folder name.")
    revision: str | None = Field(default=None, description="Commit on the Hub, if from there.")
    family: str = Field(description="sd1, sdxl, shapes, …")
    fingerprint: Fingerprint | None = None
    license: str | None = Field(default=None, description="As its card states it.")
