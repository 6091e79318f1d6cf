"""Scores: one metric on one embedding, base and suite; and the run that measured them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tireg.domain.fingerprints import HEX64
from tireg.domain.model import Document, Part
from tireg.domain.records import StoredFile

Direction = Literal["higher", "lower", "target"]


class Score(Part):
    """One number with everything needed to believe or doubt it."""

    metric: str
    version: int
    encoder: str | None = Field(description="What saw the pictures; null: none was needed.")
    value: float | None = Field(description="null where it cannot be known.")
    ci: tuple[float, float] | None = Field(default=None, description="Interval by prompt.")
    level: float = 0.95
    n_prompts: int = Field(ge=0)
    n_seeds: int = Field(ge=0)
    baseline: float | None = Field(default=None, description="The paired reference.")
    baseline_name: str = ""
    direction: Direction
    unscored: str | None = Field(default=None, description="Why there is no value.")


class SuiteRef(Part):
    """Which questions were asked."""

    name: str
    version: int
    sha256: str = Field(pattern=HEX64)


class Sampling(Part):
    """How every picture of a run was drawn."""

    sampler: str
    steps: int
    guidance: float
    width: int
    height: int
    dtype: str
    device: str
    batch: int


class EncoderRef(Part):
    """What looked at the pictures."""

    name: str
    sha256: str = Field(pattern=HEX64, description="Of its weights.")


class RunSpec(Part):
    """Everything that made a run; its hash is the run's identity."""

    embedding: str = Field(description="Tensor hash.")
    token: str
    class_noun: str
    base: str = Field(description="Base id.")
    base_revision: str | None
    base_fingerprint: str = Field(pattern=HEX64, description="Hash of the base's fingerprint.")
    suite: SuiteRef
    seeds: tuple[int, ...]
    sampling: Sampling
    encoders: tuple[EncoderRef, ...]
    references: tuple[str, ...] = Field(description="sha256 of each reference picture.")
    metrics: tuple[str, ...] = Field(description="name@version.")


class Run(Document):
    """One evaluation, as kept."""

    format_version: Literal[1] = 1
    run_id: str = Field(pattern=HEX64)
    record: str = Field(pattern=HEX64, description="Record sha256 of the embedding version.")
    spec: RunSpec
    scores: tuple[Score, ...]
    files: tuple[StoredFile, ...] = Field(default=(), description="Contact sheet.")
    packages: dict[str, str] = Field(default_factory=dict)
    seconds: float = Field(ge=0)
    created: str
    tireg_version: str
