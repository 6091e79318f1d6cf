"""Scenes and their pictures."""

from __future__ import annotations

from itertools import product

import numpy as np

from tireg.shapes.world import (
    HUES,
    SHAPES,
    coverage,
    draw_scenes,
    held_out,
    render,
    render_many,
    scene_held_out,
)


def test_a_scene_is_drawn_to_the_same_bytes_alone_and_among_others() -> None:
    scenes = draw_scenes(7, 40)
    together = render_many(scenes)
    assert together.shape == (40, 32, 32, 3)
    assert together.dtype == np.uint8
    for scene, picture in zip(scenes, together, strict=True):
        assert np.array_equal(render(scene), picture)


def test_a_seed_fixes_the_scenes_and_another_seed_changes_them() -> None:
    assert draw_scenes(3, 20) == draw_scenes(3, 20)
    assert draw_scenes(3, 20) != draw_scenes(4, 20)


def test_no_training_scene_shows_a_combination_that_is_held_out() -> None:
    assert not any(scene_held_out(scene) for scene in draw_scenes(1, 1500))
    assert any(scene_held_out(scene) for scene in draw_scenes(1, 200, held=True))


def test_a_quarter_is_held_out_but_every_pair_of_words_is_still_seen() -> None:
    every = [(s, h, b) for s, h, b in product(SHAPES, HUES, HUES) if h != b]
    kept = [triple for triple in every if not held_out(*triple)]
    assert 0.2 < 1 - len(kept) / len(every) < 0.3
    assert {(s, h) for s, h, _ in kept} == set(product(SHAPES, HUES))
    assert {(s, b) for s, _, b in kept} == set(product(SHAPES, HUES))
    assert {(h, b) for _, h, b in kept} == {(h, b) for _, h, b in every}


def test_objects_stay_inside_the_picture_and_are_large_enough_to_see() -> None:
    for scene in draw_scenes(5, 300):
        share = coverage(scene.shape, scene.center, scene.radius, scene.tilt)
        assert 0 <= share.min() < share.max() <= 1
        assert 0.05 < share.mean() < 0.6
        edge = 2 if scene.style == "framed" else 0
        outside = share.copy()
        outside[edge : 32 - edge, edge : 32 - edge] = 0
        assert outside.sum() < 1.5


def test_pictures_vary_where_captions_cannot() -> None:
    scenes = [s for s in draw_scenes(2, 600) if s.hue == "red" and s.style == "plain"]
    assert len({round(s.color[0], 3) for s in scenes}) > 10
    assert np.std([s.radius for s in scenes]) > 0.02
    assert any(s.hue is None for s in draw_scenes(2, 50))
