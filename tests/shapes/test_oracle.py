"""The oracle against the renderer, on clean, blurred and noisy pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tireg.errors import InputError
from tireg.shapes.oracle import nearest_hue, read
from tireg.shapes.oracle_error import measure, soften
from tireg.shapes.world import HUES, PALETTE, Scene, draw_scenes, render, render_many

SCENES = draw_scenes(99, 2000, held=True)


def test_every_attribute_of_clean_renders_is_read_in_at_least_99_percent() -> None:
    table = measure(SCENES, render_many(SCENES))
    assert set(table) >= {"shape", "hue", "second_hue", "background", "fill", "position", "style"}
    assert min(table.values()) >= 0.99, table


@pytest.mark.parametrize(
    ("blur", "noise", "bounds"),
    [
        (0.5, 0.0, {"shape": 0.97, "hue": 0.97, "background": 0.97, "fill": 0.92, "style": 0.96}),
        (0.8, 0.0, {"shape": 0.93, "hue": 0.93, "background": 0.92, "fill": 0.70, "style": 0.90}),
        (0.0, 0.03, {"shape": 0.97, "hue": 0.97, "background": 0.99, "fill": 0.97, "style": 0.99}),
        (0.0, 0.06, {"shape": 0.85, "hue": 0.94, "background": 0.98, "fill": 0.87, "style": 0.98}),
    ],
)
def test_its_error_on_blurred_and_noisy_renders_is_what_the_card_says(
    blur: float, noise: float, bounds: dict[str, float]
) -> None:
    scenes = SCENES[:400]
    pictures = [soften(render(s), blur, noise, seed=i) for i, s in enumerate(scenes)]
    table = measure(scenes, pictures)
    for name, bound in bounds.items():
        assert table[name] >= bound, (name, table)


def test_an_empty_picture_shows_no_object() -> None:
    reading = read(np.full((32, 32, 3), 240, dtype=np.uint8))
    assert reading.background == "white"
    assert (reading.shape, reading.position, reading.fill) == (None, None, None)
    assert reading.area == 0


def test_named_hues_are_their_own_names_and_between_them_there_is_none() -> None:
    assert [nearest_hue(PALETTE[name]) for name in HUES] == list(HUES)
    assert nearest_hue((0.57, 0.9, 0.1)) is None


def test_the_two_hues_of_a_fill_are_told_with_their_sides() -> None:
    scene = Scene(
        "square",
        PALETTE["red"],
        "red",
        PALETTE["white"],
        "white",
        fill="split",
        second=PALETTE["blue"],
        second_hue="blue",
    )
    reading = read(render(scene))
    assert (reading.fill, reading.hue, reading.second_hue) == ("split", "red", "blue")
    turned = read(render(scene)[:, ::-1].copy())
    assert (turned.fill, turned.hue, turned.second_hue) == ("split", "blue", "red")
    assert read(render(replace(scene, fill="stacked"))).fill == "stacked"


@pytest.mark.parametrize(
    "array",
    [np.zeros((64, 64, 3), np.uint8), np.zeros((32, 32, 3)), np.zeros((32, 32), np.uint8)],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="32 by 32"):
        read(array)
