"""What the registry answers with: frozen rows, light enough to make a hundred of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tireg.domain.fingerprints import BaseRef, Fingerprint
    from tireg.domain.records import Record


@dataclass(frozen=True)
class Found:
    """A version by its numbers, without its record."""

    id: int
    embedding_id: int
    name: str
    version: int
    record_sha: str
    tensor_hash: str
    trashed: str | None

    @property
    def ref(self) -> str:
        """``name@3``."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class About:
    """What the registry knows of one version. ``notes``, ``tags``, ``aliases`` are as they are now.

    ``created`` is when the embedding was made, ``added`` when it came into this registry,
    ``trashed`` when it was thrown away (null: it was not); all UTC, ISO 8601.
    """

    name: str
    version: int
    record_sha: str
    aliases: tuple[str, ...]
    tags: tuple[str, ...]
    notes: str
    created: str
    added: str
    trashed: str | None

    @property
    def ref(self) -> str:
        """How to name it: ``name@3``."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Version(About):
    """One version with its record."""

    record: Record


@dataclass(frozen=True)
class RawVersion(About):
    """One version with its record's JSON."""

    record: bytes


@dataclass(frozen=True)
class Added:
    """What became of an ``add``: the version, and whether it is new here."""

    version: Version
    added: bool


@dataclass(frozen=True)
class Row:
    """One embedding for a list: the columns of its newest version, no record read.

    ``vectors`` is the largest count of rows behind the token in any encoder. ``scores`` maps
    metric names to headline values (null: unscored).
    """

    name: str
    version: int
    token: str
    kind: str | None
    tensor_hash: str
    record_sha: str
    base: str | None
    family: str | None
    license: str | None
    vectors: int
    negative: bool
    created: str
    tags: tuple[str, ...] = ()
    scores: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class BaseRow:
    """A base that is known here. ``path`` hints at where its files were last seen."""

    id: str
    family: str
    revision: str | None = None
    fingerprint: Fingerprint | None = None
    license: str | None = None
    path: str | None = None
    added: str = ""

    @classmethod
    def of(cls, base: BaseRef) -> BaseRow:
        """The row that a record's base makes."""
        return cls(
            id=base.id,
            family=base.family,
            revision=base.revision,
            fingerprint=base.fingerprint,
            license=base.license,
        )


@dataclass(frozen=True)
class Verdict:
    """Whether the base ``target`` has the same encoder as the base ``fingerprint``.

    Both are :func:`tireg.store.bases.fingerprint_key` of a fingerprint. ``verdict`` is
    ``exact``, ``near``, ``partial`` or ``incompatible``; ``cosine`` in -1..1.
    """

    target: str
    fingerprint: str
    encoder: str
    verdict: str
    cosine: float | None
    reason: str
    decided: str = ""


@dataclass(frozen=True)
class Remote:
    """Where an embedding is also kept, and which of its records that place has."""

    repo: str
    revision: str
    record_sha: str
    synced: str = ""


@dataclass(frozen=True)
class Event:
    """Who changed what, when."""

    at: str
    who: str
    verb: str
    name: str | None
    version: int | None
    detail: str | None
