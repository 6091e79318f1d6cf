"""True concepts that no word of the world names, with their pictures and a test of each.

An embedding trained on a concept's pictures can be judged without any learned model: the oracle
reads each sample, and :meth:`Concept.holds` says whether the concept is in it. Three sorts exist:
an object of a hue between the named ones, an object of two hues that captions never name
together, and a tint of the whole picture whose hue has no name.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tireg.errors import ConceptError
from tireg.shapes.oracle import Reading, turn
from tireg.shapes.world import (
    HUES,
    NEUTRALS,
    PALETTE,
    SHAPES,
    Color,
    Scene,
    distance,
    hsv,
    luminance,
    named_color,
    place,
    render_many,
)

Sort = Literal["hue", "pair", "tint"]
COLOR_LIMIT = 26.0
"""Largest colour difference (delta E) at which a colour is still the concept's."""
TINT_LIMIT = 0.05
"""Largest distance of a tint from the concept's, in turns of the colour circle."""


@dataclass(frozen=True, slots=True)
class Concept:
    """One concept. ``noun`` is the class noun that takes the token's place in a baseline.

    ``initializer`` is what to start from: one word, or two for a pair, whose layout has one too.
    ``color`` and ``second`` are what a ``hue`` or ``pair`` object is coloured with, ``tint``
    (turns) what a ``tint`` colours the picture with; ``fill`` is the layout of a pair.
    """

    name: str
    sort: Sort
    kind: Literal["object", "style"]
    noun: str
    initializer: str
    shape: str | None = None
    color: Color = (0.0, 0.0, 0.0)
    second: Color = (0.0, 0.0, 0.0)
    fill: str = "solid"
    tint: float = 0.0

    def holds(self, reading: Reading) -> bool:
        """Whether the concept is in a picture with this reading.

        For objects the shape, the fill and every colour must be right, for a tint its hue.
        """
        if self.sort == "tint":
            return reading.tint is not None and turn(reading.tint, self.tint) <= TINT_LIMIT
        right = reading.shape == self.shape and reading.fill == self.fill
        right = right and reading.tint is None and _is_color(reading.color, self.color)
        return right and (self.sort == "hue" or _is_color(reading.second, self.second))

    def backgrounds(self) -> tuple[str, ...]:
        """Named backgrounds on which the concept can be seen well."""
        if self.sort == "tint":
            return NEUTRALS
        own = (self.color, self.second) if self.sort == "pair" else (self.color,)
        return tuple(name for name in HUES if all(_stands_out(PALETTE[name], c) for c in own))

    def scenes(self, count: int, seed: int = 0, *, held: bool = False) -> list[Scene]:
        """``count`` scenes that show the concept, on backgrounds that differ as far as they can.

        ``held`` draws from another stream than training pictures come from, so the two never
        meet. Raises :class:`~tireg.errors.ConceptError` for a count below 1.
        """
        if count < 1:
            raise ConceptError(f"concept {self.name} cannot give {count} pictures")
        number = sorted(CONCEPTS).index(self.name)
        rng = np.random.default_rng([seed, number, 1 if held else 0])
        order = [str(name) for name in rng.permutation(self.backgrounds())]
        draw = self._tint_scene if self.sort == "tint" else self._object_scene
        return [draw(rng, order[i % len(order)]) for i in range(count)]

    def pictures(self, count: int, seed: int = 0, *, held: bool = False) -> NDArray[np.uint8]:
        """Pictures of :meth:`scenes`, ``uint8 [count, 32, 32, 3]``."""
        return render_many(self.scenes(count, seed, held=held))

    def _object_scene(self, rng: np.random.Generator, background: str) -> Scene:
        center, radius, tilt = place(rng, "center", "plain")
        return Scene(
            shape=str(self.shape),
            color=_shade(self.color, rng),
            hue=None,
            background_color=named_color(background, rng),
            background=background,
            fill=self.fill,
            second=_shade(self.second, rng),
            center=center,
            radius=radius,
            tilt=tilt,
        )

    def _tint_scene(self, rng: np.random.Generator, background: str) -> Scene:
        back = PALETTE[background]
        clear = [
            name
            for name in HUES
            if abs(float(luminance(PALETTE[name])) - float(luminance(back))) >= 0.32
        ]
        hue = clear[int(rng.integers(len(clear)))]
        center, radius, tilt = place(rng, "center", "tinted")
        return Scene(
            shape=SHAPES[int(rng.integers(len(SHAPES)))],
            color=named_color(hue, rng),
            hue=hue,
            background_color=named_color(background, rng),
            background=background,
            center=center,
            radius=radius,
            tilt=tilt,
            style="tinted",
            tint=(self.tint + float(rng.uniform(-0.008, 0.008))) % 1.0,
        )


def _shade(color: Color, rng: np.random.Generator) -> Color:
    h, s, v = colorsys.rgb_to_hsv(*color)
    off = rng.uniform(-1, 1, 3)
    return hsv(h + 0.006 * off[0], s + 0.03 * off[1] * (s > 0.1), v + 0.03 * off[2])


def _stands_out(background: Color, color: Color) -> bool:
    """Whether a colour is far from a background's, and not a neighbour on the colour circle."""
    one, two = colorsys.rgb_to_hsv(*background), colorsys.rgb_to_hsv(*color)
    neighbours = min(one[1], two[1]) > 0.3 and turn(one[0], two[0]) < 0.11
    return distance(background, color) > 48 and not neighbours


def _is_color(read: Color, wanted: Color) -> bool:
    """Whether a colour is near the wanted one and nearer to it than to any other named hue."""
    away = distance(read, wanted)
    others = [c for c in PALETTE.values() if distance(c, wanted) > 8]
    return away <= COLOR_LIMIT and all(away < distance(read, other) for other in others)


ORANGE, LIME, TEAL, MAGENTA = (
    hsv(0.078, 0.90, 0.94),
    hsv(0.255, 0.88, 0.90),
    hsv(0.497, 0.86, 0.86),
    hsv(0.895, 0.86, 0.90),
)


def _hue(name: str, shape: str, color: Color) -> Concept:
    return Concept(name, "hue", "object", shape, shape, shape=shape, color=color)


def _pair(name: str, shape: str, fill: str, first: Color, second: Color) -> Concept:
    start = f"{fill} {shape}"
    return Concept(
        name, "pair", "object", shape, start, shape=shape, color=first, second=second, fill=fill
    )


def _tint(name: str, hue: float) -> Concept:
    return Concept(name, "tint", "style", "stylized", "stylized", tint=hue)


CONCEPTS: dict[str, Concept] = {
    concept.name: concept
    for concept in (
        _hue("lime-star", "star", LIME),
        _hue("teal-circle", "circle", TEAL),
        _hue("orange-square", "square", ORANGE),
        _hue("magenta-triangle", "triangle", MAGENTA),
        _pair("yellow-purple-square", "square", "split", PALETTE["yellow"], PALETTE["purple"]),
        _pair("green-blue-cross", "cross", "stacked", PALETTE["green"], PALETTE["blue"]),
        _pair("orange-teal-circle", "circle", "split", ORANGE, TEAL),
        _tint("teal-tint", 0.50),
        _tint("orange-tint", 0.075),
        _tint("magenta-tint", 0.895),
        _tint("lime-tint", 0.25),
    )
}
"""All concepts by name."""


def concept(name: str) -> Concept:
    """The concept of that name. Raises :class:`~tireg.errors.ConceptError` for an unknown one."""
    if name not in CONCEPTS:
        known = ", ".join(sorted(CONCEPTS))
        raise ConceptError(f"there is no built-in concept {name!r}", hint=f"known: {known}")
    return CONCEPTS[name]
