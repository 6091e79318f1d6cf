"""Masks: found by name, of the picture's size, averaged to the latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.scenes import noise, spot
from tireg.errors import ConceptError
from tireg.training.folders import look_for_pictures
from tireg.training.images import load_photo
from tireg.training.masks import alpha_mask, find_mask, latent_masks, read_mask, to_weights


def test_masks_are_found_by_name_and_are_no_pictures(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", "c.webp", "a_mask.png", "b-masklabel.png", "venice_mask.png"):
        noise(20, 20).save(tmp_path / name)
    (tmp_path / "masks").mkdir()
    noise(20, 20).convert("L").save(tmp_path / "masks" / "c.png")
    found = look_for_pictures([tmp_path])
    assert [p.name for p in found.pictures] == ["a.jpg", "b.png", "c.webp", "venice_mask.png"]
    assert len(found.notes) == 1
    assert "'venice_mask.png' is named like a mask" in found.notes[0]
    masks = [find_mask(path) for path in found.pictures]
    assert [m and m.name for m in masks] == ["a_mask.png", "b-masklabel.png", "c.png", None]


def test_a_folder_of_masks_may_be_named(tmp_path: Path) -> None:
    own = tmp_path / "shapes"
    own.mkdir()
    spot(8, 8, (0, 0, 4, 4)).save(own / "a.png")
    assert find_mask(tmp_path / "a.jpg", own) == own / "a.png"
    assert find_mask(tmp_path / "b.jpg", own) is None


def test_a_mask_lies_upright_as_its_picture_does(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(40, 30).save(tmp_path / "a.jpg", exif=exif)
    photo = load_photo(tmp_path / "a.jpg")
    spot(30, 40, (0, 0, 15, 40)).save(tmp_path / "up.png")
    spot(40, 30, (0, 15, 40, 30)).save(tmp_path / "turned.png", exif=exif)
    up, turned = (read_mask(tmp_path / n, photo) for n in ("up.png", "turned.png"))
    assert up is not None
    assert turned is not None
    assert np.array_equal(np.asarray(up), np.asarray(turned))
    spot(40, 30, (0, 0, 9, 9)).save(tmp_path / "side.png")
    with pytest.raises(ConceptError, match=r"40 x 30 pixels and its picture 'a.jpg' 30 x 40"):
        read_mask(tmp_path / "side.png", photo)


def test_black_masks_are_refused_and_white_ones_are_none(tmp_path: Path) -> None:
    noise(20, 20).save(tmp_path / "a.png")
    photo = load_photo(tmp_path / "a.png")
    Image.new("L", (20, 20), 3).save(tmp_path / "black.jpg")
    with pytest.raises(ConceptError, match="black all over"):
        read_mask(tmp_path / "black.jpg", photo)
    Image.new("1", (20, 20), 1).save(tmp_path / "white.png")
    assert read_mask(tmp_path / "white.png", photo) is None


def test_a_drawn_mask_on_nothing_is_white_on_black(tmp_path: Path) -> None:
    noise(20, 20).save(tmp_path / "a.png")
    drawn = Image.new("RGBA", (20, 20), (255, 255, 255, 0))
    drawn.paste((255, 255, 255, 255), (5, 5, 10, 10))
    drawn.save(tmp_path / "a_mask.png")
    mask = read_mask(tmp_path / "a_mask.png", load_photo(tmp_path / "a.png"))
    assert mask is not None
    assert np.asarray(mask).sum() == 25 * 255


def test_a_mask_shrinks_with_its_picture(tmp_path: Path) -> None:
    noise(400, 300).save(tmp_path / "a.png")
    photo = load_photo(tmp_path / "a.png", keep_side=150)
    assert photo.image.size == (200, 150)
    assert (photo.picture.width, photo.picture.height) == (400, 300)
    spot(400, 300, (0, 0, 200, 300)).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", photo)
    assert mask is not None
    assert mask.size == (200, 150)
    assert np.asarray(mask).mean() == pytest.approx(127.5)


def test_transparency_is_a_mask(tmp_path: Path) -> None:
    image = noise(20, 20).convert("RGBA")
    image.putalpha(spot(20, 20, (0, 0, 10, 20)))
    image.save(tmp_path / "a.png")
    mask = alpha_mask(load_photo(tmp_path / "a.png"))
    assert mask is not None
    assert np.asarray(mask).mean() == pytest.approx(127.5)
    Image.new("RGBA", (20, 20), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    with pytest.raises(ConceptError, match=r"'clear.png' is transparent all over"):
        alpha_mask(load_photo(tmp_path / "clear.png"))
    noise(20, 20).convert("RGBA").save(tmp_path / "solid.png")
    assert alpha_mask(load_photo(tmp_path / "solid.png")) is None


def test_latent_masks_are_means_of_areas() -> None:
    weights = to_weights([spot(32, 16, (0, 0, 12, 16))])
    made = latent_masks(weights, (2, 4))
    assert made.tolist() == [[[[1.0, 0.5, 0.0, 0.0]] * 2]]
    odd = latent_masks(weights, (3, 5))
    assert odd.shape == (1, 1, 3, 5)
    assert float(odd.mean()) == pytest.approx(12 / 32, abs=0.05)
    assert torch.equal(latent_masks(weights, (16, 32)), weights)
