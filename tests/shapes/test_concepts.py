"""The nameless concepts and the test of each."""

from __future__ import annotations

import numpy as np
import pytest

from tireg.errors import ConceptError
from tireg.shapes.concepts import CONCEPTS, concept
from tireg.shapes.oracle import nearest_hue, read, turn
from tireg.shapes.world import SHAPES, TINTS, draw_scenes, render


@pytest.mark.parametrize("name", sorted(CONCEPTS))
def test_a_concept_is_in_its_own_pictures(name: str) -> None:
    own = CONCEPTS[name]
    for held in (False, True):
        readings = [read(picture) for picture in own.pictures(40, 3, held=held)]
        assert np.mean([own.holds(reading) for reading in readings]) >= 0.95


def test_a_concept_is_hardly_ever_in_pictures_of_its_class_noun() -> None:
    scenes = draw_scenes(8, 300, held=True)
    readings = {
        shape: [read(render(scene)) for scene in scenes if scene.shape == shape] for shape in SHAPES
    }
    tinted = [read(render(s)) for s in draw_scenes(9, 400) if s.style == "tinted"]
    for own in CONCEPTS.values():
        pool = tinted if own.kind == "style" else readings[own.noun]
        assert np.mean([own.holds(reading) for reading in pool]) <= 0.15, own.name


@pytest.mark.parametrize("name", sorted(CONCEPTS))
def test_no_concept_is_taken_for_another(name: str) -> None:
    readings = [read(picture) for picture in CONCEPTS[name].pictures(20, 5)]
    for other in CONCEPTS.values():
        if other.name != name:
            assert not any(other.holds(reading) for reading in readings), other.name


def test_hues_and_tints_of_concepts_have_no_word() -> None:
    for own in CONCEPTS.values():
        if own.sort == "hue":
            assert nearest_hue(own.color) is None, own.name
        if own.sort == "tint":
            assert min(turn(own.tint, hue) for hue in TINTS.values()) > 0.06, own.name


def test_training_and_held_out_pictures_never_meet_and_backgrounds_vary() -> None:
    own = concept("lime-star")
    assert np.array_equal(own.pictures(5, 1), own.pictures(5, 1))
    train, held = own.pictures(20, 1), own.pictures(20, 1, held=True)
    assert not {p.tobytes() for p in train} & {p.tobytes() for p in held}
    assert len({s.background for s in own.scenes(5, 1)}) == 5


def test_wrong_use_is_named() -> None:
    with pytest.raises(ConceptError, match="no built-in concept 'cat'"):
        concept("cat")
    with pytest.raises(ConceptError, match="cannot give 0 pictures"):
        concept("lime-star").pictures(0)
