"""Warnings about a set of pictures: said where they are due, and not where they are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.training.scenes import noise, photo
from tireg.shapes.concepts import CONCEPTS
from tireg.shapes.world import draw_scenes, render
from tireg.training.images import Photo, find_pictures, load_photos
from tireg.training.looks import (
    few_or_many,
    identical,
    look_over,
    low_resolution,
    near_duplicates,
    one_background,
)

OBJECTS = [concept for concept in CONCEPTS.values() if concept.sort != "tint"]


def saved_anew(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def test_few_and_many_pictures_are_remarked() -> None:
    assert "1 picture teaches" in few_or_many(1)[0]
    assert "2 pictures teach" in few_or_many(2)[0]
    assert few_or_many(3) == few_or_many(50) == []
    assert "51 pictures are many" in few_or_many(51)[0]


def test_copies_of_a_file_are_named_once() -> None:
    same = noise(40, 40, 1)
    photos = [photo(same, "a.png"), photo(noise(40, 40, 2), "b.png"), photo(same, "c.png")]
    assert identical(photos) == [
        "'a.png' and 'c.png' are the same file: that picture counts 2 times"
    ]
    assert near_duplicates(photos) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda image: saved_anew(image, 20),
        lambda image: image.resize((61, 45)),
        lambda image: Image.eval(image, lambda v: int(v * 0.7)),
        lambda image: Image.eval(image, lambda v: int(40 + v * 0.8)),
    ],
    ids=["saved anew", "made smaller", "darker", "paler"],
)
def test_a_changed_copy_is_nearly_the_same(change: object) -> None:
    assert callable(change)
    image = noise(160, 120, 7)
    said = near_duplicates([photo(image, "a.png"), photo(change(image), "b.png")])
    assert said == ["'a.png' and 'b.png' are nearly the same: keep one of them"]


def test_mirror_images_are_called_so() -> None:
    image = noise(160, 120, 7)
    said = near_duplicates([photo(image, "a.png"), photo(ImageOps.mirror(image), "b.png")])
    assert said == ["'a.png' and 'b.png' are nearly mirror images: keep one of them"]


def test_different_pictures_are_not_called_the_same() -> None:
    scenes = [photo(render(s), f"{n}.png") for n, s in enumerate(draw_scenes(5, 120))]
    assert near_duplicates(scenes) == []
    flat = [photo(Image.new("RGB", (9, 9), c), c) for c in ("red", "green", "white")]
    assert near_duplicates(flat) == []


def test_many_pairs_are_counted_not_listed() -> None:
    photos = [photo(saved_anew(noise(90, 90, 3), q), f"{q}.jpg") for q in range(50, 90, 5)]
    said = near_duplicates(photos)
    assert len(said) == 9
    assert said[-1] == "20 more pairs of pictures are nearly the same"


def test_small_pictures_are_named_with_their_sizes() -> None:
    photos = [photo(noise(600, 300), "a.png"), photo(noise(512, 512), "b.png")]
    assert low_resolution(photos, 256) == []
    (said,) = low_resolution(photos, 512)
    assert said.startswith("'a.png' (600 x 300) is smaller than the 512 pixels of training")


def world_sets(varied: bool, size: int) -> list[list[Photo]]:
    rng = np.random.default_rng(size)
    sets = []
    for concept in OBJECTS:
        for seed in range(6):
            if varied:
                scenes = concept.scenes(size, seed=seed)
                assert len({scene.background for scene in scenes}) > 1
            else:
                ground = str(rng.choice(concept.backgrounds()))
                scenes = [concept._object_scene(rng, ground) for _ in range(size)]
            sets.append([photo(render(scene)) for scene in scenes])
    return sets


@pytest.mark.parametrize("size", [3, 6])
def test_one_background_is_seen_and_varied_ones_raise_no_alarm(size: int) -> None:
    false = sum(bool(one_background(photos)) for photos in world_sets(True, size))
    right = sum(bool(one_background(photos)) for photos in world_sets(False, size))
    assert false == 0
    assert right >= 0.8 * 6 * len(OBJECTS)


def test_a_textured_scene_counts_as_one_background() -> None:
    photos = []
    for number in range(4):
        image = noise(120, 90, 1)
        image.paste((250, 20 * number, 0), (30 + 4 * number, 25, 70 + 4 * number, 65))
        photos.append(photo(image))
    assert one_background(photos)[0].startswith("all 4 pictures have much the same background")
    assert one_background(photos[:2]) == []


def test_the_background_of_a_style_and_of_masked_pictures_is_left_alone() -> None:
    photos = world_sets(False, 4)[0]
    assert any("background" in said for said in look_over(photos, "object"))
    assert not any("background" in said for said in look_over(photos, "style"))
    assert not any("background" in s for s in look_over(photos, "object", masked=[True] * 4))


def test_real_photographs_of_one_thing_are_not_duplicates(
    shared_dir: object, pytestconfig: pytest.Config
) -> None:
    folder = pytestconfig.rootpath.parent / "shared" / "realworld" / "images"
    for name in ("teapot", "backpack_dog"):
        photos = load_photos(find_pictures([folder / name]), keep_side=256)
        assert look_over(photos, "object", resolution=512) == []
