"""What a gallery is told of: plain data, as the workflow joined it. All texts are untrusted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["exact", "near", "partial", "unknown", "incompatible"]


@dataclass(frozen=True)
class Preview:
    """A picture drawn with the word: the sha256 of its file, and its prompt."""

    sha256: str
    prompt: str = ""


@dataclass(frozen=True)
class ScoreLine:
    """One number of a run: value, interval and baseline in the metric's own unit.

    ``value`` is None where it is unscored; ``unscored`` then says why.
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    baseline: float | None = None
    baseline_name: str = ""
    encoder: str | None = None
    prompts: int = 0
    unscored: str = ""


@dataclass(frozen=True)
class RunPart:
    """One evaluation. ``frame`` is equal for runs that asked the same, in the same way."""

    base: str
    suite: str
    suite_version: int
    seeds: int
    sampler: str
    steps: int
    created: str
    frame: str
    scores: tuple[ScoreLine, ...]


@dataclass(frozen=True)
class Parent:
    """The embedding that training began from: what it was called, its record where known."""

    name: str
    record: str | None = None


@dataclass(frozen=True)
class VersionPart:
    """One version. ``facts``, ``recipe`` and ``training`` are names and values to print."""

    number: int
    record: str
    tensor_hash: str
    created: str
    base: str | None
    families: tuple[str, ...]
    license: str | None
    vectors: str
    facts: tuple[tuple[str, str], ...] = ()
    recipe: tuple[tuple[str, str], ...] = ()
    training: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()
    parent: Parent | None = None
    previews: tuple[Preview, ...] = ()
    runs: tuple[RunPart, ...] = ()

    @property
    def headline(self) -> RunPart | None:
        """The run that stands for it: the newest on its own base, else the newest."""
        own = [run for run in self.runs if run.base == self.base]
        return max(own or self.runs, key=lambda run: run.created, default=None)


@dataclass(frozen=True)
class BaseVerdict:
    """Whether the word works on a base as it did where it was made, and why."""

    base: str
    verdict: Level
    reason: str


@dataclass(frozen=True)
class Word:
    """One embedding: what it is now, its versions (newest first), what it runs on.

    ``commands`` are pairs of a label and a line for a shell.
    """

    name: str
    token: str
    kind: str | None
    class_noun: str | None
    negative: bool
    author: str | None
    notes: str
    tags: tuple[str, ...]
    versions: tuple[VersionPart, ...]
    verdicts: tuple[BaseVerdict, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """20 hex digits that name its files: nothing of a name reaches the disk."""
        return hashlib.sha256(self.name.encode("utf-8", "surrogatepass")).hexdigest()[:20]

    @property
    def newest(self) -> VersionPart:
        """The version a card speaks of."""
        return self.versions[0]

    @property
    def previews(self) -> tuple[Preview, ...]:
        """The newest pictures there are: not every version has some."""
        return next((v.previews for v in self.versions if v.previews), ())


@dataclass(frozen=True)
class MetricInfo:
    """How to read a metric: which way is better, where it should be, what number is bad."""

    direction: str
    target: float | None = None
    bad: str = ""


@dataclass(frozen=True)
class Site:
    """A whole gallery: words in the order of its first page."""

    title: str
    words: tuple[Word, ...]
    metrics: Mapping[str, MetricInfo] = field(default_factory=dict)
    maker: str = "tireg"
