"""Likeness to the training pictures, from features that an evaluation kept: nothing is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tireg.domain.scores import Run, Score
from tireg.domain.statistics import clustered_mean
from tireg.domain.suites import SLOT_ROLES, Suite
from tireg.report.report_data import Copies, Ladder, Mark, Neighbour, Photo, PromptRow
from tireg.workflows.looking import FeatureCache
from tireg.workflows.report_pictures import Hashes

if TYPE_CHECKING:
    import numpy as np

Condition = Literal["token", "class", "empty"]
CONDITIONS: tuple[Condition, ...] = ("token", "class", "empty")
NEIGHBOURS = 4


@dataclass(frozen=True)
class Space:
    """The kept features of a run in the eyes of one encoder, unit length.

    ``references`` ``[R, d]`` belong to ``photos``; ``images`` maps condition, prompt id and seed
    to ``[d]``.
    """

    encoder: str
    references: np.ndarray
    photos: tuple[Photo, ...]
    images: Mapping[tuple[str, str, int], np.ndarray]


def space_of(
    run: Run,
    score: Score | None,
    suite: Suite,
    hashes: Hashes,
    references: Mapping[str, tuple[Photo, str]],
    home: Path,
) -> Space | None:
    """What the encoder of ``score`` saw; None where that, or a training picture, is not kept."""
    import numpy as np

    ref = next((e for e in run.spec.encoders if score and e.name == score.encoder), None)
    if ref is None or not references or len(references) < len(run.spec.references):
        return None
    cache = FeatureCache(home / "cache" / "features")

    def seen(pixels: str) -> np.ndarray | None:
        row = cache.get(ref.sha256, pixels) if len(pixels) == 64 else None
        length = float(np.linalg.norm(row)) if row is not None and row.ndim == 1 else 0.0
        return row / length if row is not None and length > 0 else None

    known = [seen(pixels) for _, pixels in references.values()]
    rows = [row for row in known if row is not None]
    if len(rows) < len(known) or len({row.shape for row in rows}) != 1:
        return None
    asking = {p.id for p in suite.prompts if p.has_slot and p.role in SLOT_ROLES}
    images = {
        at: row
        for at, pixels in hashes.items()
        if at[0] in CONDITIONS and at[1] in asking
        if (row := seen(pixels)) is not None and row.shape == rows[0].shape
    }
    photos = tuple(photo for photo, _ in references.values())
    return Space(ref.name, np.stack(rows).astype("float64"), photos, images)


def ladder_of(run: Run, space: Space | None) -> Ladder | None:
    """Everything that was drawn, and real photographs, by likeness to the training pictures.

    Without kept features, what the score itself holds: the token, the class noun and the
    photographs. None where likeness is not known.
    """
    score = next((s for s in run.scores if s.metric == "concept_fidelity"), None)
    if score is None or score.value is None or score.encoder is None:
        return None
    labels: dict[Condition, str] = {
        "token": run.spec.token,
        "class": f"The class noun, {run.spec.class_noun}",
        "empty": "The prompt alone",
    }
    marks = []
    if space is not None:
        for condition in CONDITIONS:
            table = _likeness(run, space, condition)
            if table is not None:
                mean = clustered_mean(table, level=score.level)
                marks.append(Mark(labels[condition], condition, mean.value, mean.low, mean.high))
    if not any(mark.kind == "token" for mark in marks):
        told: dict[Condition, str] = {"token": "token_similarity", "class": "class_similarity"}
        marks = [
            Mark(labels[condition], condition, score.details[key])
            for condition, key in told.items()
            if key in score.details
        ]
    if (real := score.details.get("reference_similarity")) is not None:
        marks.append(Mark("Real photographs, one to another", "real", real))
    if space is not None:
        copied = float((space.references @ space.references.mean(axis=0)).mean())
        marks.append(Mark("Copies of the training pictures", "copy", copied))
    if len(marks) < 2:
        return None
    return Ladder(score.encoder, score.level, tuple(sorted(marks, key=lambda mark: mark.value)))


def _likeness(run: Run, space: Space, condition: Condition) -> np.ndarray | None:
    """Mean cosine with the training pictures ``[P, S]``, NaN where nothing is kept."""
    import numpy as np

    prompts = list(dict.fromkeys(p for c, p, _ in space.images if c == condition))
    if not prompts:
        return None
    mean = space.references.mean(axis=0)
    table = np.full((len(prompts), len(run.spec.seeds)), np.nan)
    for row, prompt in enumerate(prompts):
        for column, seed in enumerate(run.spec.seeds):
            image = space.images.get((condition, prompt, seed))
            if image is not None:
                table[row, column] = float(image @ mean)
    return table


def copies_of(
    run: Run, space: Space, rows: Sequence[PromptRow], *, threshold: float | None
) -> Copies | None:
    """The pictures nearest to a training picture; ``threshold`` where a copy detector looked."""
    import numpy as np

    shown = {
        (row.id, seed): photo
        for row in rows
        for group in row.groups
        if group.kind == "token"
        for seed, photo in zip(run.spec.seeds, group.photos, strict=False)
    }
    found, noun = [], []
    for (condition, prompt, seed), image in space.images.items():
        likeness = space.references @ image
        best = int(np.argmax(likeness))
        if condition == "class":
            noun.append(float(likeness[best]))
        if condition == "token" and (prompt, seed) in shown:
            photo = shown[prompt, seed]
            value = float(likeness[best])
            found.append(Neighbour(photo, space.photos[best], value, prompt, seed))
    if not found:
        return None
    found.sort(key=lambda one: (-one.likeness, one.prompt, one.seed))
    between = None
    if len(space.references) > 1:
        likeness = space.references @ space.references.T
        between = float(np.max(likeness - 2 * np.eye(len(likeness))))
    return Copies(
        encoder=space.encoder,
        detector=threshold is not None,
        threshold=threshold,
        neighbours=tuple(found[:NEIGHBOURS]),
        noun_nearest=max(noun, default=None),
        between_training=between,
    )
