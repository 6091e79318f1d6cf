"""What the oracle says of the pictures of one evaluation; study (c) compares metrics with it.

Each truth is a share or a ratio read from pixels by fixed rules (`tireg.shapes.oracle`), over the
same prompts and seeds that the metrics see. NaN where the oracle cannot tell: under a tint it
reads no hue, and backgrounds only as white, gray or black.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tireg.domain.suites import SLOT_ROLES, Prompt, Suite
from tireg.shapes.concepts import Concept
from tireg.shapes.oracle import Reading, turn
from tireg.shapes.world import HUES, NEUTRALS, POSITIONS, SHAPES, Scene, distance

Spot = tuple[int, int]
Readings = Mapping[str, Mapping[Spot, Reading]]
"""Condition, then (prompt, seed), to what the oracle read."""

TRUTHS = {
    "fidelity": "share of pictures that show the concept (`Concept.holds`)",
    "identity": "share of concept pairs in which the picture's colours are nearer its own concept",
    "following": "share of what prompts name (background, place, frame, thing) that is there",
    "following gain": "following less that of the class noun at the same seeds",
    "collapse": "1 - following / that of the class noun",
    "carry-over": "how much more often than with the class noun the training background is there "
    "where another was asked for, less the same of unrelated backgrounds",
    "content": "the same of the training pictures' shape, for styles",
    "intrusion": "share of a style's pictures that show the training shape in place of the one "
    "asked for",
    "copying": "share of pictures that repeat a training scene (concept, background and place) "
    "although the prompt asks for something else",
    "diversity": "how far two seeds of a prompt differ (shape, fill, colours, place, size, style), "
    "over how far they would if prompts told pictures apart as with the class noun",
    "bleeding": "how much more often than with the class noun another concept is there",
}


@dataclass(frozen=True)
class Asked:
    """A concept with the scenes it was learned from, and the concepts it is compared with."""

    concept: Concept
    scenes: Sequence[Scene]
    others: Sequence[Concept]
    background: str
    """That of most scenes."""
    shape: str
    """That of most scenes."""


def truths(asked: Asked, suite: Suite, readings: Readings) -> dict[str, float]:
    """Every entry of :data:`TRUTHS` for one embedding on one suite."""
    slots = [p for p, prompt in enumerate(suite.prompts) if prompt.role in SLOT_ROLES]
    mine = {c: {at: r for at, r in readings[c].items() if at[0] in slots} for c in readings}
    token, noun = mine["token"], mine["class"]
    taught, prompts = asked.concept, suite.prompts

    def share(group: Mapping[Spot, Reading], of: Callable[[Spot, Reading], float]) -> float:
        return _by_prompt((at[0], of(at, reading)) for at, reading in group.items())

    def here(concept: Concept) -> Callable[[Spot, Reading], float]:
        return lambda _, reading: float(concept.holds(reading))

    following = {c: share(mine[c], lambda at, r: obeyed(prompts[at[0]], r)) for c in mine}
    style = taught.kind == "style"
    content = _leak(mine, prompts, asked.shape, SHAPES, "objects", "shape") if style else np.nan
    carried = np.nan
    if not style:
        grounds = {c: _role(group, prompts, "background") for c, group in mine.items()}
        carried = _leak(grounds, prompts, asked.background, HUES, "background", "background")
    elsewhere = {at: r for at, r in token.items() if _asks_otherwise(prompts[at[0]], asked)}
    stray = {
        at: r
        for at, r in token.items()
        if prompts[at[0]].objects and asked.shape not in prompts[at[0]].objects
    }
    return {
        "fidelity": share(token, here(taught)),
        "identity": share(token, lambda _, r: _nearer(r, taught, asked.others)),
        "following": following["token"],
        "following gain": following["token"] - following["class"],
        "collapse": 1.0 - following["token"] / following["class"],
        "carry-over": carried,
        "content": content,
        "intrusion": share(stray, lambda _, r: float(r.shape == asked.shape)) if style else np.nan,
        "copying": share(elsewhere, lambda _, r: float(_repeats(r, asked))),
        "diversity": _diversity(token, noun),
        "bleeding": sum(share(token, here(o)) - share(noun, here(o)) for o in asked.others),
    }


def obeyed(prompt: Prompt, reading: Reading) -> float:
    """Share of what the prompt names that is in the picture; NaN if nothing of it can be read."""
    found = []
    if prompt.background and (reading.tint is None or prompt.background[0] in NEUTRALS):
        found.append(reading.background == prompt.background[0])
    if prompt.objects and prompt.has_slot:
        found.append(reading.shape == prompt.objects[0])
    place = next((w for w in POSITIONS if f" {w}" in prompt.text), None)
    if place is not None:
        found.append(reading.position == place)
    # A picture of this world is framed or tinted, never both.
    if "framed" in prompt.text and "style of" not in prompt.text:
        found.append(reading.style == "framed")
    return float(np.mean(found)) if found else float("nan")


def _by_prompt(pairs: Iterable[tuple[int, float]]) -> float:
    """Mean of the prompts' means, as the metrics weigh them."""
    rows: dict[int, list[float]] = {}
    for prompt, value in pairs:
        if not np.isnan(value):
            rows.setdefault(prompt, []).append(value)
    return float(np.mean([np.mean(row) for row in rows.values()])) if rows else float("nan")


def _role(
    group: Mapping[Spot, Reading], prompts: Sequence[Prompt], role: str
) -> dict[Spot, Reading]:
    return {at: r for at, r in group.items() if prompts[at[0]].role == role}


def _leak(
    groups: Mapping[str, Mapping[Spot, Reading]],
    prompts: Sequence[Prompt],
    trained: str,
    words: Sequence[str],
    named: str,
    read: str,
) -> float:
    """Token less class noun, the training word less unrelated ones, where another was named."""

    def excess(at: Spot, reading: Reading) -> float:
        own = getattr(prompts[at[0]], named)
        if not own or trained in own:
            return float("nan")
        rest = [w for w in words if w != trained and w not in own]
        seen = getattr(reading, read)
        return float(seen == trained) - float(seen in rest) / len(rest)

    token, noun = (
        _by_prompt((at[0], excess(at, r)) for at, r in groups[c].items())
        for c in ("token", "class")
    )
    return token - noun


def _nearer(reading: Reading, taught: Concept, others: Sequence[Concept]) -> float:
    own = _apart(reading, taught)
    away = [_apart(reading, other) for other in others]
    return float(np.mean([0.5 * (1.0 + np.sign(a - own)) for a in away]))


def _apart(reading: Reading, concept: Concept) -> float:
    """How far the picture's colours are from a concept's."""
    if concept.sort == "tint":
        return 0.5 if reading.tint is None else turn(reading.tint, concept.tint)
    away = distance(reading.color, concept.color)
    return away + distance(reading.second, concept.second) if concept.sort == "pair" else away


def _asks_otherwise(prompt: Prompt, asked: Asked) -> bool:
    """Whether no training scene is what the prompt asks for."""
    if asked.concept.kind == "style":
        return bool(prompt.objects) and asked.shape not in prompt.objects
    here = {scene.background for scene in asked.scenes}
    other_ground = bool(prompt.background) and prompt.background[0] not in here
    return other_ground or prompt.role in ("composition", "style")


def _repeats(reading: Reading, asked: Asked) -> bool:
    """Whether a picture is a training scene again, as far as the oracle reads."""
    if not asked.concept.holds(reading):
        return False
    if asked.concept.kind == "style":
        return reading.shape == asked.shape and reading.background in {
            s.background for s in asked.scenes if s.shape == asked.shape
        }
    return reading.style == "plain" and any(
        reading.background == scene.background and reading.position == scene.position
        for scene in asked.scenes
    )


def _spread(group: Mapping[Spot, Reading]) -> float:
    """Mean difference of two seeds of a prompt."""
    rows: dict[int, list[Reading]] = {}
    for (prompt, _), reading in group.items():
        rows.setdefault(prompt, []).append(reading)
    return _by_prompt(
        (prompt, _differ(one, two))
        for prompt, row in rows.items()
        for one, two in combinations(row, 2)
    )


def _across(group: Mapping[Spot, Reading]) -> float:
    """Mean difference of pictures of two prompts at different seeds."""
    pairs = (
        _differ(one, two)
        for ((p, s), one), ((q, z), two) in combinations(group.items(), 2)
        if p != q and s != z
    )
    return float(np.mean(list(pairs)))


def _diversity(token: Mapping[Spot, Reading], noun: Mapping[Spot, Reading]) -> float:
    """A fixed look makes seeds and prompts alike; repeated seeds only seeds."""
    settled = [_across(group) - _spread(group) for group in (token, noun)]
    own = _spread(token)
    ought = own + settled[0] - settled[1]
    return own / ought if ought > 0 else float("nan")


def _differ(one: Reading, two: Reading) -> float:
    """0 to 1: the mean over what two pictures can differ in."""
    moved = float(np.hypot(*np.subtract(one.center, two.center)))
    parts = [
        float(one.shape != two.shape),
        float(one.fill != two.fill),
        float(one.style != two.style),
        min(1.0, distance(one.color, two.color) / 50),
        min(1.0, distance(one.background_color, two.background_color) / 50),
        min(1.0, moved / 0.5),
        min(1.0, abs(one.area - two.area) / 0.2),
    ]
    return float(np.mean(parts))
