"""The record: all there is to know about one version of one embedding, never changed later."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tireg.domain.concepts import Concept, Kind
from tireg.domain.fingerprints import HEX64, BaseRef
from tireg.domain.model import ADDED, AsGiven, Document, Part
from tireg.domain.recipes import Recipe

Variant = Literal["balanced", "faithful", "editable"]
FileRole = Literal["embedding", "preview", "original", "picture", "sheet"]


class StoredFile(Part):
    """A file kept in the object store by its hash."""

    role: FileRole
    name: str = Field(description="File name to give it back under.")
    sha256: str = Field(pattern=HEX64)
    bytes: int = Field(ge=0)
    media_type: str
    text: str | None = Field(default=None, description="preview: its prompt.")


class TensorInfo(Part):
    """One encoder's learned rows."""

    encoder: str = Field(description="Encoder key.")
    vectors: int = Field(ge=1)
    width: int = Field(ge=1)
    dtype: str


class CurvePoint(AsGiven):
    """One moment of training."""

    step: int = Field(ge=0)
    loss: float = Field(description="Mean over the steps since the last point.")
    validation: float | None = Field(default=None, description="Loss on the fixed samples.")
    gain: float | None = Field(
        json_schema_extra=ADDED, default=None, description="Fall of that loss since the start."
    )
    gain_error: float | None = Field(
        json_schema_extra=ADDED,
        default=None,
        ge=0,
        description="Standard error of the gain, paired by sample.",
    )
    norm: float = Field(description="Mean row norm, in mean row norms of words in use.")
    cosine: float = Field(description="Mean cosine of the rows to where they began.")
    rate: float | None = Field(
        json_schema_extra=ADDED, default=None, ge=0, description="Learning rate, as in the recipe."
    )
    seconds: float | None = Field(
        json_schema_extra=ADDED, default=None, ge=0, description="Time spent learning so far."
    )
    fidelity: float | None = Field(
        json_schema_extra=ADDED,
        default=None,
        description="Probe: 0 as the class noun's pictures, 1 as the training ones.",
    )
    editability: float | None = Field(
        json_schema_extra=ADDED,
        default=None,
        description="Probe: 1 where prompts are followed as with the class noun.",
    )


class Training(AsGiven):
    """What happened while learning."""

    steps: int = Field(ge=0)
    samples: int = Field(ge=0, description="Samples with a gradient: steps x batch.")
    looked: int = Field(
        json_schema_extra=ADDED, default=0, ge=0, description="Denoiser samples without a gradient."
    )
    seconds: float = Field(ge=0, description="Wall time of the loop.")
    device: str
    dtype: str
    threads: int
    curve: tuple[CurvePoint, ...] = ()
    packages: dict[str, str] = Field(default_factory=dict, description="Name to version.")
    chosen_step: int | None = Field(
        json_schema_extra=ADDED, default=None, ge=0, description="Step the rows are from."
    )
    variant: Variant | None = Field(
        json_schema_extra=ADDED, default=None, description="What the rows were chosen for."
    )
    stopped: str | None = Field(
        json_schema_extra=ADDED, default=None, description="Why the run ended when it did."
    )
    started: str | None = Field(
        json_schema_extra=ADDED, default=None, description="What the rows began as, and why."
    )
    lineage: dict[str, str] = Field(
        json_schema_extra=ADDED,
        default_factory=dict,
        description="Embedding that the rows began as: hashes, reference.",
    )
    gain: float | None = Field(
        json_schema_extra=ADDED,
        default=None,
        description="Fall of the loss over all fixed samples, start to end.",
    )
    gain_error: float | None = Field(
        json_schema_extra=ADDED, default=None, ge=0, description="Its standard error."
    )
    failed: str | None = Field(
        json_schema_extra=ADDED,
        default=None,
        description="Why nothing was learned; such a version is kept in the trash.",
    )


class Source(Part):
    """Where the vectors came from."""

    how: Literal["trained", "imported", "pulled", "made"]
    where: str | None = Field(default=None, description="File name, or Hub repository.")
    revision: str | None = None
    dialect: str | None = None
    sha256: str | None = Field(default=None, description="Of the original file.")


class Record(Document):
    """One embedding version. Its sha256 is its identity; its number is a local label."""

    format_version: Literal[1] = 1
    name: str = Field(description="Name it was made under.")
    token: str = Field(description="The placeholder the user types.")
    kind: Kind | None = Field(default=None, description="null: not known (a foreign file).")
    class_noun: str | None = None
    negative: bool = Field(default=False, description="For use in the negative prompt.")
    tensor_hash: str = Field(pattern=HEX64)
    tensors: tuple[TensorInfo, ...]
    families: tuple[str, ...] = Field(default=(), description="Families it may belong to.")
    files: tuple[StoredFile, ...]
    base: BaseRef | None = Field(default=None, description="null: not known.")
    concept: Concept | None = None
    recipe: Recipe | None = None
    training: Training | None = None
    source: Source
    license: str | None = None
    author: str | None = None
    notes: str = ""
    tags: tuple[str, ...] = Field(default=(), description="Given at birth; later ones are state.")
    metadata: dict[str, str] = Field(default_factory=dict, description="From a foreign file.")
    created: str = Field(description="UTC, ISO 8601, seconds.")
    tireg_version: str

    def file(self, role: FileRole) -> StoredFile | None:
        """The first file of that role, or None."""
        return next((f for f in self.files if f.role == role), None)
