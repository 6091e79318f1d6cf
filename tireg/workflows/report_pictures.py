"""The pictures of a report: those of a run by prompt, and those that came with the record."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tireg.domain.records import Record, StoredFile
from tireg.domain.scores import Run, Score
from tireg.domain.suites import BASE, Prompt, Suite, load_suite, suite_names
from tireg.errors import CorruptError, StoreError
from tireg.report.report_data import Extremes, Group, Photo, Pick, PromptRow
from tireg.store.registry import Registry
from tireg.workflows.drawing import Loaded, PictureCache, Wish, picture_key
from tireg.workflows.looking import pixel_hash
from tireg.workflows.measuring import Spot, plan
from tireg.workflows.report_words import target_of, title_of

MOST_SEEDS = 4
"""Pictures of one prompt and condition on a page."""
MOST_LEARNED, MOST_PREVIEWS = 12, 8
JUDGED = (
    "concept_fidelity", "prompt_fidelity", "prompt_retrieval", "background_leakage",
    "style_content_leakage", "copying", "diversity",
)  # fmt: skip
"""Metrics whose worst and best prompts are worth looking at."""

Hashes = Mapping[tuple[str, str, int], str]
"""Condition, prompt id and seed to the sha256 of the pixels."""


@dataclass(frozen=True)
class Drawn:
    """What is left of the pictures of a run."""

    prompts: tuple[PromptRow, ...] = ()
    free: tuple[PromptRow, ...] = ()
    note: str = ""
    kept: bool = False
    """Whether any picture is there."""


def suite_of(run: Run, given: str | None) -> Suite | None:
    """The suite that a run was asked, found again by its hash; None where it is a lost file."""
    wanted = run.spec.suite.sha256
    if given is not None and (suite := load_suite(given)).sha256 == wanted:
        return suite
    found = (load_suite(name) for name in suite_names())
    return next((suite for suite in found if suite.sha256 == wanted), None)


def drawn_of(
    run: Run, record: Record, suite: Suite | None, home: Path, hashes: Hashes, again: str
) -> Drawn:
    """Every prompt of a run with its pictures; ``again`` is the command that draws them."""
    if suite is None:
        name = run.spec.suite.name
        return Drawn(
            note=f"The suite '{name}' of this run is a file that is not given here, so its "
            "pictures cannot be told apart. Give it: --suite FILE"
        )
    cache = PictureCache(home / "cache" / "pictures")
    photos = _photos(run, record, suite, cache, hashes)
    rows = [_row(number, prompt, run, photos) for number, prompt in enumerate(suite.prompts)]
    asked = tuple(row for row in rows if row is not None and not row.equal and _slot(suite, row))
    free = tuple(row for row in rows if row is not None and not _slot(suite, row))
    keys = {photo.key for row in (*asked, *free) for group in row.groups for photo in group.photos}
    gone = sum(not cache.path(key).is_file() for key in keys)
    if not keys or gone == len(keys):
        return Drawn(note=f"The pictures of this run are not kept any more. {again} draws them.")
    note = (
        f"{gone} of {len(keys)} pictures are not kept any more. {again} draws them." if gone else ""
    )
    return Drawn(asked, free, note, kept=True)


def _slot(suite: Suite, row: PromptRow) -> bool:
    return next(prompt.has_slot for prompt in suite.prompts if prompt.id == row.id)


def _photos(
    run: Run, record: Record, suite: Suite, cache: PictureCache, hashes: Hashes
) -> dict[tuple[str, Spot], tuple[Photo, str]]:
    """Condition and place to a picture and what it was asked for."""
    spec = run.spec
    wanted = plan(suite, record)
    word = Loaded(spec.token, spec.embedding, {})
    found = {}
    for groups, loaded in ((wanted.loaded, [word]), (wanted.bare, [])):
        for condition, group in groups.items():
            for (p, s), wish in group.items():
                known = hashes.get((condition, suite.prompts[p].id, suite.seeds[s]))
                photo = _photo(cache, wish, run, loaded, known)
                found[condition, (p, s)] = (photo, _asked(wish))
    return found


def _asked(wish: Wish) -> str:
    return f"{wish.prompt}; not: {wish.negative}" if wish.negative else wish.prompt


def _photo(
    cache: PictureCache, wish: Wish, run: Run, loaded: Sequence[Loaded], known: str | None
) -> Photo:
    key = picture_key(wish, run.spec.sampling, run.spec.base_fingerprint, loaded)

    def read() -> bytes | None:
        picture = cache.get(key)
        # A picture that is not the one that was scored says nothing of the score.
        if picture is None or (known is not None and pixel_hash(picture) != known):
            return None
        return cache.path(key).read_bytes()

    return Photo(key, f"{_asked(wish)}, seed {wish.seed}", read)


def _row(
    p: int, prompt: Prompt, run: Run, photos: Mapping[tuple[str, Spot], tuple[Photo, str]]
) -> PromptRow | None:
    """A prompt with and without the word; the conditions that its run has."""
    noun = run.spec.class_noun
    labels: dict[str, tuple[str, Any]] = {
        "token": (f"with {run.spec.token}", "token"), "class": (f"with {noun}", "class"),
        "empty": ("without it", "class"),
    }  # fmt: skip
    if run.spec.negative:
        labels = {
            "token": ("with it in the negative prompt", "token"),
            "class": ("without", "class"),
        }
    if not prompt.has_slot:
        labels = {"class": ("word loaded", "token"), BASE: ("bare base", "base")}
    if noun and prompt.has_slot:
        labels.pop("empty", None)
    groups = []
    for condition, (label, kind) in labels.items():
        mine = [photos[c, at] for (c, at) in photos if c == condition and at[0] == p]
        if mine:
            shown = tuple(photo for photo, _ in mine[:MOST_SEEDS])
            groups.append(Group(label, kind, mine[0][1], shown))
    return PromptRow(prompt.id, prompt.role, tuple(groups)) if groups else None


def mark_equal(rows: Sequence[PromptRow], run: Run, hashes: Hashes) -> tuple[PromptRow, ...]:
    """Rows without a word, with those marked whose pictures are equal to the last pixel."""
    marked = []
    for row in rows:
        pairs = [(hashes.get(("class", row.id, s)), hashes.get((BASE, row.id, s)))
                 for s in run.spec.seeds]  # fmt: skip
        equal = len(row.groups) == 2 and all(a is not None and a == b for a, b in pairs)
        marked.append(PromptRow(row.id, row.role, row.groups, equal))
    return tuple(marked)


def hashes_of(registry: Registry, run: Run) -> dict[tuple[str, str, int], str]:
    """The pixels of every picture of a run; empty where its list is lost or of another form."""
    file = next((f for f in run.files if f.role == "samples"), None)
    if file is None:
        return {}
    try:
        lines = registry.objects.read(file.sha256).decode().splitlines()
        rows = [json.loads(line) for line in lines]
        return {(row["condition"], row["prompt"], row["seed"]): row["sha256"] for row in rows}
    except (StoreError, ValueError, KeyError, TypeError):
        return {}


def extremes_of(run: Run, rows: Sequence[PromptRow]) -> tuple[Extremes, ...]:
    """The worst, median and best prompt of every metric that judges prompts one by one."""
    by_id = {row.id: row for row in rows}
    found = []
    for score in run.scores:
        if score.metric not in JUDGED:
            continue
        values = {p: v for p, v in score.prompt_values.items() if p in by_id}
        if len(values) < 3:
            continue
        title = title_of(score.metric)
        if len({round(v, 9) for v in values.values()}) == 1:
            same = next(iter(values.values()))
            found.append(Extremes(title, (), f"{same:.3f} in every prompt"))
            continue
        ordered = _worst_first(score, values)
        picks = zip(("worst", "median", "best"), (0, len(ordered) // 2, -1), strict=True)
        told = tuple(Pick(w, values[ordered[n]], by_id[ordered[n]]) for w, n in picks)
        found.append(Extremes(title, told))
    return tuple(found)


def _worst_first(score: Score, values: Mapping[str, float]) -> list[str]:
    target = target_of(score.metric) or 0.0
    badness: dict[str, Callable[[float], float]] = {
        "higher": lambda v: -v, "lower": lambda v: v, "target": lambda v: abs(v - target),
    }  # fmt: skip
    rule = badness[score.direction]
    return sorted(values, key=lambda prompt: (-rule(values[prompt]), prompt))


def stored_photos(
    registry: Registry, files: Sequence[StoredFile], role: str, most: int
) -> tuple[Photo, ...]:
    """Pictures that a record names and that are kept here; each is one sha256."""
    unique = {file.sha256: file for file in files if file.role == role}
    return tuple(stored_photo(registry, f.sha256, f.text or f.name) for f in unique.values())[:most]


def stored_photo(registry: Registry, sha256: str, alt: str) -> Photo:
    """An object of the registry as a picture."""
    path = registry.objects.path(sha256)

    def read() -> bytes | None:
        try:
            data = path.read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    return Photo(sha256, alt, read)


def references_of(registry: Registry, run: Run, record: Record) -> dict[str, tuple[Photo, str]]:
    """Training pictures that the run was compared with and that are kept, by sha256.

    With each goes the hash of its pixels, which is what its features are kept by.
    """
    import numpy as np
    from PIL import Image

    names = {file.sha256: file.name for file in record.files if file.role == "picture"}
    found = {}
    for sha in run.spec.references:
        try:
            data = registry.objects.read(sha)
            with Image.open(io.BytesIO(data)) as image:
                pixels = pixel_hash(np.asarray(image.convert("RGB")))
        except (CorruptError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
        found[sha] = (stored_photo(registry, sha, names.get(sha, "training picture")), pixels)
    return found
