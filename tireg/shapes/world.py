"""The world of the built-in base: scenes as plain data, and their pictures.

A scene is one object on one background at 32 by 32 pixels. Some of what varies has a word
(shape, hue, background, fill, position, style); some has none (size, tilt, the exact shade, hues
between the named ones). Rendering a scene is a pure function; scenes are drawn from a numpy
generator, so a seed fixes a whole data set.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

SIZE = 32
"""Side of every picture, in pixels."""

Color = tuple[float, float, float]
"""Red, green, blue, each in 0..1."""

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
PALETTE: dict[str, Color] = {
    "red": (0.88, 0.12, 0.12),
    "yellow": (0.95, 0.85, 0.12),
    "green": (0.12, 0.65, 0.20),
    "blue": (0.12, 0.25, 0.85),
    "purple": (0.55, 0.15, 0.75),
    "white": (0.95, 0.95, 0.95),
    "black": (0.06, 0.06, 0.06),
    "gray": (0.50, 0.50, 0.50),
}
HUES = tuple(PALETTE)
NEUTRALS = ("white", "black", "gray")
FILLS = ("solid", "striped", "split", "stacked")
"""``split`` is two hues side by side, ``stacked`` two hues one above the other."""
POSITIONS: dict[str, tuple[float, float]] = {
    "center": (0.0, 0.0),
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "top": (0.0, -1.0),
    "bottom": (0.0, 1.0),
}
STYLES = ("plain", "framed", "tinted")
TINTS: dict[str, float] = {"red": 0.0, "yellow": 0.15, "green": 0.36, "blue": 0.64, "purple": 0.79}
"""Named tints and their hue, in turns of the colour circle."""
OFFSET = 0.24
FRAME = 2
"""Width of a frame, in pixels."""
HUE_GAPS = ((0.052, 0.10), (0.20, 0.315), (0.405, 0.575), (0.685, 0.735), (0.825, 0.955))
"""Ranges of hue, in turns, that no colour word covers."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a picture shows.

    Lengths are in half picture sides: the picture spans -1..1 on both axes, y downwards. A name
    is ``None`` where the colour beside it has no word. ``second`` is only used by the two-hued
    fills, ``tint`` (a hue in turns, 0..1) only by the style ``tinted``.
    """

    shape: str
    color: Color
    hue: str | None
    background_color: Color
    background: str | None
    fill: str = "solid"
    second: Color = (0.0, 0.0, 0.0)
    second_hue: str | None = None
    position: str = "center"
    center: tuple[float, float] = (0.0, 0.0)
    radius: float = 0.6
    tilt: float = 0.0
    style: str = "plain"
    tint: float = 0.0
    tint_name: str | None = None
    phase: float = 0.0


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Colour from hue in turns (any real), saturation and value (clipped to 0..1)."""
    s, v = min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, s, v)
    return (r, g, b)


def lab(rgb: NDArray[np.floating] | Color) -> NDArray[np.float64]:
    """CIE L*a*b* (D65) of sRGB values in 0..1; last axis is the colour, shape is kept."""
    c = np.asarray(rgb, dtype=np.float64)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    values: NDArray[np.float64] = np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )
    return values


def distance(one: Color, two: Color) -> float:
    """Colour difference (CIE76 delta E, about 0..150; 2 is just visible) of two colours."""
    return float(np.linalg.norm(lab(one) - lab(two)))


def luminance(color: NDArray[np.floating] | Color) -> NDArray[np.float64]:
    """Luma (Rec. 601) of sRGB values in 0..1; the last axis is summed away."""
    luma: NDArray[np.float64] = np.asarray(color, dtype=np.float64) @ np.array(
        [0.299, 0.587, 0.114]
    )
    return luma


def stripe_partner(color: Color) -> Color:
    """The second tone of a striped fill: lighter for dark colours, darker for light ones."""
    light = float(luminance(color)) < 0.55
    return (
        0.5 * color[0] + (0.5 if light else 0.0),
        0.5 * color[1] + (0.5 if light else 0.0),
        0.5 * color[2] + (0.5 if light else 0.0),
    )


def held_out(shape: str, hue: str | None, background: str | None) -> bool:
    """Whether this combination of words is kept out of training (a quarter of all are).

    Every pair of two of the three still occurs, so a model can get a held-out picture right only
    by putting known parts together in a new way.
    """
    if hue is None or background is None:
        return False
    number = SHAPES.index(shape) + 2 * HUES.index(hue) + 3 * HUES.index(background)
    return number % 4 == 0


def scene_held_out(scene: Scene) -> bool:
    """Whether a scene shows a combination that is kept out of training."""
    return any(held_out(scene.shape, hue, scene.background) for hue in _hues_of(scene))


def _hues_of(scene: Scene) -> tuple[str | None, ...]:
    two = scene.fill in ("split", "stacked")
    return (scene.hue, scene.second_hue) if two else (scene.hue,)


# Rendering ---------------------------------------------------------------------------------------

_AXIS = ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1).astype(np.float64)
_X, _Y = np.meshgrid(_AXIS, _AXIS)
_PIXEL = 2.0 / SIZE


def _polygon(shape: str) -> NDArray[np.float64]:
    if shape == "square":
        return np.array([[-0.86, -0.86], [0.86, -0.86], [0.86, 0.86], [-0.86, 0.86]])
    if shape == "triangle":
        return np.array([[0.0, -1.0], [1.0, 0.86], [-1.0, 0.86]])
    if shape == "cross":
        a = 0.34
        arm = [[-a, -1], [a, -1], [a, -a], [1, -a], [1, a], [a, a], [a, 1], [-a, 1]]
        return np.array([*arm, [-a, a], [-1, a], [-1, -a], [-a, -a]], dtype=np.float64)
    turns = np.arange(10) * np.pi / 5 - np.pi / 2
    lengths = np.where(np.arange(10) % 2 == 0, 1.08, 0.46)
    return np.stack([np.cos(turns) * lengths, np.sin(turns) * lengths], 1)


def _polygon_distance(
    points: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Signed distance to a closed polygon (negative inside), after I. Quilez, "sdPolygon"."""
    p = np.stack([x, y], -1)[..., None, :]
    a, b = points, np.roll(points, -1, 0)
    edge, w = b - a, p - a
    t = np.clip((w * edge).sum(-1) / (edge * edge).sum(-1), 0.0, 1.0)
    nearest = np.sqrt((((w - t[..., None] * edge) ** 2).sum(-1)).min(-1))
    above, below = p[..., 1] >= a[:, 1], p[..., 1] < b[:, 1]
    left = edge[:, 0] * w[..., 1] > edge[:, 1] * w[..., 0]
    crossings = (above & below & left) | (~above & ~below & ~left)
    signed: NDArray[np.float64] = np.where(crossings.sum(-1) % 2 == 1, -nearest, nearest)
    return signed


def coverage(
    shape: str, center: tuple[float, float], radius: float, tilt: float
) -> NDArray[np.float64]:
    """Share of each pixel that the object covers, ``[32, 32]`` in 0..1.

    ``radius`` is in half picture sides, ``tilt`` in radians. Raises ``KeyError`` never; an
    unknown shape is drawn as a star.
    """
    c, s = np.cos(tilt), np.sin(tilt)
    dx, dy = _X - center[0], _Y - center[1]
    x, y = (c * dx + s * dy) / radius, (-s * dx + c * dy) / radius
    length = np.hypot(x, y)
    if shape == "circle":
        far = length - 0.95
    elif shape == "ring":
        far = np.abs(length - 0.75) - 0.25
    else:
        far = _polygon_distance(_polygon(shape), x, y)
    share: NDArray[np.float64] = np.clip(0.5 - far * radius / _PIXEL, 0.0, 1.0)
    return share


def _ramp(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(0.5 + value / _PIXEL, 0.0, 1.0)[..., None]


def _object_colors(scene: Scene) -> NDArray[np.float64]:
    first = np.array(scene.color)
    if scene.fill == "solid":
        return np.broadcast_to(first, (SIZE, SIZE, 3))
    if scene.fill == "striped":
        wave = np.abs(((_Y - scene.center[1] + scene.phase) / 0.40) % 1.0 - 0.5) - 0.25
        share = _ramp(wave * 0.40)
        return first * share + np.array(stripe_partner(scene.color)) * (1 - share)
    along = _X - scene.center[0] if scene.fill == "split" else _Y - scene.center[1]
    share = _ramp(along)
    return first * (1 - share) + np.array(scene.second) * share


def duotone(levels: NDArray[np.float64], tint: float) -> NDArray[np.float64]:
    """Grey levels 0..1 of any shape to colours of one hue: dark, then pale, with the same hue."""
    full = np.array(hsv(tint, 0.92, 0.95))
    dark, pale = 0.22 * full, 0.45 + 0.55 * full
    return dark + np.clip(levels, 0.0, 1.0)[..., None] * (pale - dark)


def render(scene: Scene) -> NDArray[np.uint8]:
    """The picture of a scene, ``uint8 [32, 32, 3]``; the same scene gives the same bytes."""
    share = coverage(scene.shape, scene.center, scene.radius, scene.tilt)[..., None]
    picture = np.array(scene.background_color) * (1 - share) + _object_colors(scene) * share
    if scene.style == "framed":
        dark = float(luminance(scene.background_color)) > 0.5
        edge = np.ones((SIZE, SIZE), dtype=bool)
        edge[FRAME:-FRAME, FRAME:-FRAME] = False
        picture[edge] = PALETTE["black" if dark else "white"]
    elif scene.style == "tinted":
        picture = duotone(luminance(picture), scene.tint)
    pixels: NDArray[np.uint8] = np.round(np.clip(picture, 0.0, 1.0) * 255).astype(np.uint8)
    return pixels


def render_many(scenes: Iterable[Scene]) -> NDArray[np.uint8]:
    """Pictures of several scenes, ``uint8 [n, 32, 32, 3]``."""
    return np.stack([render(scene) for scene in scenes])


# Drawing scenes at random ------------------------------------------------------------------------


def named_color(name: str, rng: np.random.Generator) -> Color:
    """A shade of a named hue: close to the word's middle, never the same twice."""
    h, s, v = colorsys.rgb_to_hsv(*PALETTE[name])
    if name in NEUTRALS:
        grey = float(np.clip(v + rng.uniform(-0.04, 0.04), 0.0, 1.0))
        return (grey, grey, grey)
    shade = rng.uniform(-1, 1, 3)
    return hsv(h + 0.014 * shade[0], s + 0.05 * shade[1], v + 0.05 * shade[2])


def unnamed_color(rng: np.random.Generator) -> Color:
    """A saturated colour whose hue no colour word covers, uniform over the gaps."""
    widths = np.array([high - low for low, high in HUE_GAPS])
    low, high = HUE_GAPS[int(rng.choice(len(HUE_GAPS), p=widths / widths.sum()))]
    return hsv(rng.uniform(low, high), rng.uniform(0.78, 0.95), rng.uniform(0.72, 0.95))


def _draw_color(rng: np.random.Generator, named: float) -> tuple[Color, str | None]:
    if rng.random() < named:
        name = HUES[int(rng.integers(len(HUES)))]
        return named_color(name, rng), name
    return unnamed_color(rng), None


def _clear(one: Color, two: Color) -> bool:
    """Whether two colours can be told apart beside each other, by shade and by hue."""
    if distance(one, two) < 42:
        return False
    a, b = colorsys.rgb_to_hsv(*one), colorsys.rgb_to_hsv(*two)
    if min(a[1], b[1]) < 0.3:
        return True
    turn = abs(a[0] - b[0]) % 1.0
    return min(turn, 1 - turn) > 0.09


def _draw_colors(rng: np.random.Generator, fill: str, style: str) -> dict[str, object]:
    while True:
        color, hue = _draw_color(rng, 0.72)
        back, background = _draw_color(rng, 0.80)
        if style == "tinted" and rng.random() < 0.6:
            background = NEUTRALS[int(rng.integers(3))]
            back = named_color(background, rng)
        second, second_hue = _draw_color(rng, 0.78)
        if style == "tinted" and abs(float(luminance(color)) - float(luminance(back))) < 0.3:
            continue
        if not _clear(color, back):
            continue
        if fill == "striped" and distance(stripe_partner(color), back) < 30:
            continue
        if fill in ("split", "stacked"):
            if not (_clear(second, back) and _clear(color, second)):
                continue
            # One order for each pair: "a red and blue star" then has one meaning.
            if _rank(color, hue) > _rank(second, second_hue):
                color, hue, second, second_hue = second, second_hue, color, hue
        return {
            "color": color,
            "hue": hue,
            "background_color": back,
            "background": background,
            "second": second,
            "second_hue": second_hue,
        }


def _rank(color: Color, name: str | None) -> float:
    """Place of a colour in the order of two-hued fills: round the circle, then the neutrals."""
    if name in NEUTRALS:
        return 2.0 + NEUTRALS.index(name)
    return (colorsys.rgb_to_hsv(*color)[0] + 0.03) % 1.0


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    share = np.array([weights[name] for name in names])
    return names[int(rng.choice(len(names), p=share / share.sum()))]


FILL_WEIGHTS = {"solid": 0.54, "striped": 0.17, "split": 0.17, "stacked": 0.12}
STYLE_WEIGHTS = {"plain": 0.72, "framed": 0.10, "tinted": 0.18}
POSITION_WEIGHTS = {"center": 0.56, "left": 0.11, "right": 0.11, "top": 0.11, "bottom": 0.11}


def place(
    rng: np.random.Generator, position: str, style: str
) -> tuple[tuple[float, float], float, float]:
    """Centre, radius and tilt of an object at a named position that fits into the picture."""
    px, py = POSITIONS[position]
    jitter = rng.uniform(-0.05, 0.05, 2)
    center = (OFFSET * px + float(jitter[0]), OFFSET * py + float(jitter[1]))
    room = (0.84 if style == "framed" else 0.95) - max(abs(center[0]), abs(center[1]))
    radius = min(float(rng.uniform(0.54, 0.72)), room)
    return center, radius, float(rng.uniform(-0.09, 0.09))


def draw_scene(rng: np.random.Generator, *, held: bool = False) -> Scene:
    """A random scene; with ``held`` false, never one of a combination kept out of training."""
    while True:
        style = _pick(rng, STYLE_WEIGHTS)
        fill = _pick(rng, FILL_WEIGHTS)
        if style == "tinted":
            fill = "solid"
        position = _pick(rng, POSITION_WEIGHTS)
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        center, radius, tilt = place(rng, position, style)
        tint = _pick(rng, dict.fromkeys(TINTS, 1.0)) if rng.random() < 0.45 else None
        turn = TINTS[tint] + rng.uniform(-0.014, 0.014) if tint else rng.uniform(0, 1)
        near = [name for name, h in TINTS.items() if abs((turn - h + 0.5) % 1.0 - 0.5) < 0.028]
        scene = replace(
            Scene(shape, (0.0, 0.0, 0.0), None, (1.0, 1.0, 1.0), None),
            fill=fill,
            position=position,
            center=center,
            radius=radius,
            tilt=tilt,
            style=style,
            tint=float(turn % 1.0) if style == "tinted" else 0.0,
            tint_name=near[0] if near and style == "tinted" else None,
            phase=float(rng.uniform(0, 0.4)),
            **_draw_colors(rng, fill, style),  # type: ignore[arg-type]
        )
        if held or not scene_held_out(scene):
            return scene


def draw_scenes(seed: int, count: int, *, held: bool = False) -> list[Scene]:
    """``count`` scenes from one seed."""
    rng = np.random.default_rng(seed)
    return [draw_scene(rng, held=held) for _ in range(count)]
