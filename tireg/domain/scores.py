"""Scores: one metric on one embedding, base and suite; and the run that measured them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from tireg.domain.fingerprints import HEX64
from tireg.domain.model import Document, Part

PRINTED = (
    "metric", "version", "encoder", "value", "ci", "level", "n_prompts", "n_seeds", "baseline",
    "direction", "unscored",
)  # fmt: skip
"""What ``tireg eval --json`` prints of a score."""

Direction = Literal["higher", "lower", "target"]


class Grown(Part):
    """A part that gained fields after it was first written down.

    Those fields are left out where they hold their default, so that an older document, read and
    written again, keeps its bytes and its hash.
    """

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        later = {
            name
            for name, field in fields.items()
            if (field.json_schema_extra or {}) == LATER
            and getattr(self, name) == field.get_default(call_default_factory=True)
        }
        return {name: value for name, value in handler(self).items() if name not in later}


LATER: dict[str, Any] = {"since": 2}
"""Marks a field that format version 2 added."""


class Score(Grown):
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
    difference: float | None = Field(
        default=None,
        description="Paired distance from the baseline, or from what the metric reads where the "
        "effect is absent; the tests below speak of it.",
        json_schema_extra=LATER,
    )
    difference_ci: tuple[float, float] | None = Field(default=None, json_schema_extra=LATER)
    p_value: float | None = Field(
        default=None, description="Sign flips by prompt, two-sided.", json_schema_extra=LATER
    )
    p_adjusted: float | None = Field(
        default=None, description="Holm over the metrics of the run.", json_schema_extra=LATER
    )
    effect_size: float | None = Field(
        default=None, description="Cohen's d_z over prompts.", json_schema_extra=LATER
    )
    minimum_effect: float | None = Field(
        default=None,
        description="Smallest difference that these prompts show four times in five.",
        json_schema_extra=LATER,
    )
    n_effective: float | None = Field(
        default=None,
        description="Independent pictures these are worth; null: not a mean of pictures.",
        json_schema_extra=LATER,
    )
    prompt_values: dict[str, float] = Field(
        default_factory=dict,
        description="By prompt id: what pairs with another run of the suite.",
        json_schema_extra=LATER,
    )
    prompt_differences: dict[str, float] = Field(
        default_factory=dict,
        description="By prompt id: the paired difference, where the value is not itself one.",
        json_schema_extra=LATER,
    )
    details: dict[str, float] = Field(
        default_factory=dict, description="What the value is made of.", json_schema_extra=LATER
    )

    def printed(self) -> dict[str, Any]:
        """The keys of ``PRINTED`` as plain data, all of them always."""
        data = self.model_dump(mode="json")
        return {key: data[key] for key in PRINTED}


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


class ReferenceSet(Part):
    """Another concept that pictures are compared with."""

    name: str = Field(description="Its record's name.")
    embedding: str = Field(pattern=HEX64, description="Tensor hash.")
    pictures: tuple[str, ...] = Field(description="sha256 of each of its training pictures.")


class RunSpec(Grown):
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
    conditions: tuple[str, ...] = Field(
        default=(), description="How pictures were drawn.", json_schema_extra=LATER
    )
    negative: bool = Field(
        default=False,
        description="Drawn with the token in the negative prompt, against an empty one.",
        json_schema_extra=LATER,
    )
    others: tuple[ReferenceSet, ...] = Field(
        default=(),
        description="Concepts that identifiability and bleeding compare with.",
        json_schema_extra=LATER,
    )
    pictures: str | None = Field(
        default=None,
        pattern=HEX64,
        description="Of pictures made elsewhere: hash over their places and bytes.",
        json_schema_extra=LATER,
    )
    home: str | None = Field(
        default=None,
        pattern=HEX64,
        description="The run on the embedding's own base that this one is compared with.",
        json_schema_extra=LATER,
    )


class EncoderAccuracy(Part):
    """What an encoder of a run is known to tell apart: no metric sees what it cannot."""

    encoder: str
    measured_on: str
    accuracy: dict[str, float] = Field(
        description="By attribute: share of pictures that it names right, 0 to 1."
    )


class Transfer(Part):
    """How much of one score is left on a base that the embedding was not made on."""

    metric: str
    encoder: str | None
    home: float = Field(description="Distance from the baseline on its own base.")
    away: float = Field(description="The same on this one.")
    share: float | None = Field(description="away / home; null where home may be nothing.")
    ci: tuple[float, float] | None = None
    n_prompts: int = Field(ge=0)


class RunFile(Part):
    """A file of a run, kept in the object store by its hash."""

    role: Literal["sheet", "samples"] = Field(
        description="sheet: the contact sheet; samples: a line of JSON per picture."
    )
    name: str = Field(description="File name to give it back under.")
    sha256: str = Field(pattern=HEX64)
    bytes: int = Field(ge=0)
    media_type: str
    text: str | None = None


class Run(Grown, Document):
    """One evaluation, as kept."""

    format_version: Literal[1, 2] = 2
    run_id: str = Field(pattern=HEX64)
    record: str = Field(pattern=HEX64, description="Record sha256 of the embedding version.")
    spec: RunSpec
    scores: tuple[Score, ...]
    files: tuple[RunFile, ...] = Field(default=(), description="Contact sheet and samples.")
    packages: dict[str, str] = Field(default_factory=dict)
    verdict: str | None = Field(
        default=None,
        description="Compatibility with this base; null: it is the one it was made on.",
        json_schema_extra=LATER,
    )
    verdict_reason: str = Field(default="", json_schema_extra=LATER)
    transfer: tuple[Transfer, ...] = Field(
        default=(), description="What is left of each score here.", json_schema_extra=LATER
    )
    accuracy: tuple[EncoderAccuracy, ...] = Field(
        default=(),
        description="Of its encoders, where it was measured.",
        json_schema_extra=LATER,
    )
    seconds: float = Field(ge=0)
    created: str
    tireg_version: str
