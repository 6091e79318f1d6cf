"""How far the oracle itself can be trusted: its readings against scenes that are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tireg.shapes.oracle import Reading, read, turn
from tireg.shapes.world import NEUTRALS, Scene


def agrees(scene: Scene, reading: Reading) -> dict[str, bool]:
    """Per attribute, whether a reading is what the scene says; only attributes that have a word.

    Hues under a tint are left out, because a tint hides them, and so are backgrounds that a tint
    makes alike.
    """
    tinted = scene.style == "tinted"
    right = {
        "shape": reading.shape == scene.shape,
        "position": reading.position == scene.position,
        "style": reading.style == scene.style,
        "fill": reading.fill == scene.fill,
    }
    if not tinted and scene.hue is not None:
        right["hue"] = reading.hue == scene.hue
    if not tinted and scene.second_hue is not None and scene.fill in ("split", "stacked"):
        right["second_hue"] = reading.second_hue == scene.second_hue
    if scene.background is not None and (not tinted or scene.background in NEUTRALS):
        right["background"] = reading.background == scene.background
    if tinted and scene.tint_name is not None:
        near = reading.tint is not None and turn(reading.tint, scene.tint) < 0.05
        right["tint"] = near
    return right


def soften(picture: NDArray[np.uint8], blur: float, noise: float, seed: int) -> NDArray[np.uint8]:
    """A picture after a Gaussian blur (pixels) and Gaussian noise (in 0..1 of full scale)."""
    from scipy import ndimage

    values = picture.astype(np.float64) / 255
    if blur > 0:
        values = ndimage.gaussian_filter(values, (blur, blur, 0))
    values = values + np.random.default_rng(seed).normal(0, 1, values.shape) * noise
    pixels: NDArray[np.uint8] = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return pixels


def measure(
    scenes: Sequence[Scene],
    pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
) -> dict[str, float]:
    """Share of scenes whose attribute the oracle reads rightly (0..1; 1 is best), by attribute."""
    hits: dict[str, list[bool]] = {}
    for scene, picture in zip(scenes, pictures, strict=True):
        for name, right in agrees(scene, read(np.asarray(picture))).items():
            hits.setdefault(name, []).append(right)
    return {name: float(np.mean(values)) for name, values in sorted(hits.items())}
