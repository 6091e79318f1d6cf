"""What a report says, as plain data: the workflow fills it in, the templates show it.

Every text here may come from somebody else's record and is escaped when it is shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tireg.domain.records import Training

Status = Literal["good", "warn", "bad", "unknown"]


@dataclass(frozen=True)
class Photo:
    """A picture that a page may show: equal keys are equal pictures.

    ``read`` gives the bytes of its file, None where they are gone.
    """

    key: str
    alt: str
    read: Callable[[], bytes | None]


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict, and how to take it."""

    status: Status
    metric: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What the scores come to, in words; ``cautions`` say how far to believe them."""

    status: Status
    headline: str
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mark:
    """One value on a scale with others, with its interval where there is one."""

    label: str
    kind: Literal["token", "class", "empty", "real", "copy"]
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Ladder:
    """Likeness to the training pictures of everything that was looked at; cosines, -1..1."""

    encoder: str
    level: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class ScoreRow:
    """One score as the table shows it."""

    metric: str
    title: str
    asks: str
    value: float
    ci: tuple[float, float] | None
    level: float
    baseline: float | None
    baseline_name: str
    better: str
    bad: bool | None
    """None: the metric has no threshold, or there is no interval."""
    bad_words: str
    n_prompts: int
    n_seeds: int
    p_adjusted: float | None
    encoder: str | None


@dataclass(frozen=True)
class Group:
    """Pictures of one prompt under one condition, one per seed."""

    label: str
    kind: Literal["token", "class", "base"]
    text: str
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class PromptRow:
    """One prompt of the suite: the same seeds under each condition.

    ``equal``: every picture is the same under both, to the last pixel.
    """

    id: str
    role: str
    groups: tuple[Group, ...]
    equal: bool = False

    @property
    def anchor(self) -> str:
        """What links lead to: no text of a record, and another one for every row."""
        keys = [photo.key for group in self.groups for photo in group.photos]
        return f"p{hashlib.sha256(repr((self.id, keys)).encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Pick:
    """The worst, median or best prompt of a metric, with its pictures."""

    label: str
    value: float
    row: PromptRow


@dataclass(frozen=True)
class Extremes:
    """Where a metric is worst, in the middle and best; ``note`` where that says nothing."""

    title: str
    picks: tuple[Pick, ...]
    note: str = ""


@dataclass(frozen=True)
class Neighbour:
    """A picture drawn with the word, and the training picture it is nearest to."""

    photo: Photo
    nearest: Photo
    likeness: float
    prompt: str
    seed: int


@dataclass(frozen=True)
class Copies:
    """The pictures nearest to a training picture.

    ``detector`` is whether a copy detector looked, whose likeness above ``threshold`` is a copy.
    The others are the highest likeness of the class noun's pictures, and of one training picture
    to another.
    """

    encoder: str
    detector: bool
    threshold: float | None
    neighbours: tuple[Neighbour, ...]
    noun_nearest: float | None
    between_training: float | None


@dataclass(frozen=True)
class CompatRow:
    """What is known of the embedding on one base."""

    base: str
    family: str
    verdict: str
    reason: str
    advice: str
    draws: str


@dataclass(frozen=True)
class Left:
    """How much of a score is left on a base that the embedding was not made on; a share."""

    title: str
    home: float
    away: float
    share: float | None
    ci: tuple[float, float] | None


Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReportPage:
    """All that the page about one embedding shows; empty and None leave a part out."""

    ref: str
    token: str
    about: Facts
    verdict: Verdict
    made: str
    learned: tuple[Photo, ...] = ()
    previews: tuple[Photo, ...] = ()
    ladder: Ladder | None = None
    asked: str = ""
    scores: tuple[ScoreRow, ...] = ()
    unscored: tuple[tuple[str, str], ...] = ()
    noun: str = ""
    prompts: tuple[PromptRow, ...] = ()
    free: tuple[PromptRow, ...] = ()
    pictures_note: str = ""
    sheet: Photo | None = None
    extremes: tuple[Extremes, ...] = ()
    copies: Copies | None = None
    copies_note: str = ""
    training: Training | None = None
    training_note: str = ""
    home_words: str = ""
    left: tuple[Left, ...] = ()
    compat: tuple[CompatRow, ...] = ()
    other_runs: tuple[tuple[str, str], ...] = ()
    recipe: Facts = ()
    usual: str = ""
    identity: Facts = ()
    commands: Facts = ()
    notes: str = ""

    def photos(self) -> Iterator[Photo]:
        """Every use of a picture, what matters most first."""
        yield from self.previews
        yield from self.learned
        for extreme in self.extremes:
            for pick in extreme.picks:
                yield from (group.photos[0] for group in pick.row.groups if group.photos)
        if self.copies is not None:
            for near in self.copies.neighbours:
                yield from (near.photo, near.nearest)
        if self.sheet is not None:
            yield self.sheet
        yield from by_seed([*self.prompts, *self.free])


@dataclass(frozen=True)
class Side:
    """One of the embeddings that are compared."""

    ref: str
    token: str
    base: str
    verdict: Verdict
    previews: tuple[Photo, ...]


@dataclass(frozen=True)
class Pair:
    """What is known of one embedding against another; ``missing`` says why nothing is.

    ``differ`` are sure differences where it is not said which side of them is better.
    """

    a: str
    b: str
    better: tuple[str, ...] = ()
    differ: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    missing: str = ""
    hint: str = ""


@dataclass(frozen=True)
class ComparedScore:
    """One metric over all sides; None where a side has no value."""

    title: str
    better: str
    cells: tuple[ScoreRow | None, ...]


@dataclass(frozen=True)
class ComparePage:
    """All that a comparison shows."""

    title: str
    headline: str
    made: str
    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...]
    asked: str = ""
    scores: tuple[ComparedScore, ...] = ()
    prompts: tuple[PromptRow, ...] = ()
    pictures_note: str = ""
    recipes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    commands: Facts = ()

    def photos(self) -> Iterator[Photo]:
        """Every use of a picture, what matters most first."""
        for side in self.sides:
            yield from side.previews
        yield from by_seed(self.prompts)


def by_seed(rows: list[PromptRow] | tuple[PromptRow, ...]) -> Iterator[Photo]:
    """The first picture of every prompt and condition, then the second of each, and so on."""
    most = max((len(g.photos) for row in rows for g in row.groups), default=0)
    for seed in range(most):
        for row in rows:
            for group in shown_groups(row):
                if seed < len(group.photos):
                    yield group.photos[seed]


def shown_groups(row: PromptRow) -> tuple[Group, ...]:
    """The groups that are drawn: one is enough where both are equal to the last pixel."""
    return row.groups[:1] if row.equal else row.groups


@dataclass(frozen=True)
class Rendered:
    """A page: its text, how many pictures it shows, how many it had no room for or not any more."""

    html: str
    pictures: int
    left_out: int
    gone: int
