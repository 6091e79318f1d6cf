"""Crops and buckets: shapes kept, masks carried along, everything from the seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.scenes import noise, photo, spot
from tireg.training.crops import MIN_CROP, bucket_sizes, nearest_size, prepare, window
from tireg.training.images import to_tensor


def test_buckets_are_of_about_one_area_and_no_longer_than_two_to_one() -> None:
    assert set(bucket_sizes(512)) == {
        (512, 512), (448, 576), (576, 448), (384, 704), (704, 384),
    }  # fmt: skip
    for resolution in (32, 64, 128, 256, 512, 768, 1024):
        step = 64 if resolution >= 256 else 8
        for height, width in bucket_sizes(resolution):
            assert height % step == 0 == width % step
            assert max(height, width) <= 2 * min(height, width)
            assert 0.75 < height * width / resolution**2 < 1.34
    assert all(h % 32 == 0 == w % 32 for h, w in bucket_sizes(512, 32))
    assert len(bucket_sizes(512, 32)) > len(bucket_sizes(512))


@pytest.mark.parametrize(
    ("size", "bucket"),
    [((1000, 1000), (512, 512)), ((640, 480), (448, 576)), ((400, 4000), (704, 384))],
)
def test_a_picture_goes_to_the_bucket_of_its_shape(
    size: tuple[int, int], bucket: tuple[int, int]
) -> None:
    assert nearest_size(*size, bucket_sizes(512)) == bucket


def test_without_options_the_squares_are_as_they_always_were() -> None:
    photos = [photo(noise(w, h, w)) for w, h in [(60, 40), (40, 61), (33, 33), (9, 200)]]
    (made,) = prepare(photos, None, 32, flip=True)
    assert torch.equal(made.pictures, to_tensor(photos, 32, flip=True))
    assert made.owner == (0, 1, 2, 3) * 2
    assert made.masks is None
    assert made.size == (32, 32)


def test_buckets_keep_shapes_and_owners() -> None:
    photos = [photo(noise(w, h, w)) for w, h in [(40, 80), (64, 64), (44, 80), (300, 20)]]
    made = prepare(photos, None, 64, buckets=True)
    assert sorted(owner for part in made for owner in part.owner) == [0, 1, 2, 3]
    for part in made:
        assert part.pictures.shape == (len(part.owner), 3, *part.size)
    assert len(made) >= 3


def test_a_circle_stays_a_circle_in_a_bucket() -> None:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (300, 200), "black")
    ImageDraw.Draw(image).ellipse((100, 50, 200, 150), fill="white")
    (part,) = prepare([photo(image)], None, 64, buckets=True)
    bright = part.pictures[0].mean(0) > 0
    across, down = int(bright.any(0).sum()), int(bright.any(1).sum())
    assert part.size != (64, 64)
    assert abs(across - down) <= 1


def test_random_crops_are_many_wide_and_from_the_seed() -> None:
    photos = [photo(noise(200, 120, 1)), photo(noise(90, 90, 2))]
    (one,) = prepare(photos, None, 32, crops=5, seed=3)
    (again,) = prepare(photos, None, 32, crops=5, seed=3)
    (other,) = prepare(photos, None, 32, crops=5, seed=4)
    assert one.owner == (0, 1) * 5
    assert torch.equal(one.pictures, again.pictures)
    assert not torch.equal(one.pictures, other.pictures)
    assert len({tuple(p.flatten().tolist()) for p in one.pictures}) == 10


def test_a_picture_is_cropped_alike_whatever_stands_beside_it_in_other_buckets() -> None:
    tall, wide = photo(noise(100, 200, 1)), photo(noise(200, 100, 2))
    both = prepare([tall, wide], None, 32, buckets=True, crops=3)
    (alone,) = prepare([tall], None, 32, buckets=True, crops=3)
    (same,) = [part for part in both if part.owner == (0, 0, 0)]
    assert torch.equal(same.pictures, alone.pictures)


@given(
    st.integers(8, 300), st.integers(8, 300), st.sampled_from(bucket_sizes(64)), st.integers(0, 99)
)
@settings(max_examples=150, deadline=None)
def test_windows_lie_inside_and_have_the_shape_asked_for(
    width: int, height: int, size: tuple[int, int], seed: int
) -> None:
    for generator in (None, np.random.default_rng(seed)):
        left, top, right, bottom = window((width, height), size, None, generator)
        assert -1e-9 <= left < right <= width + 1e-6
        assert -1e-9 <= top < bottom <= height + 1e-6
        assert (right - left) / (bottom - top) == pytest.approx(size[1] / size[0])
        largest = min(width / size[1], height / size[0])
        assert MIN_CROP - 1e-6 <= (right - left) / (size[1] * largest) <= 1 + 1e-6


def test_masks_are_cut_and_mirrored_with_their_pictures() -> None:
    image = noise(40, 40)
    image.paste((255, 255, 255), (4, 10, 12, 30))
    mask = spot(40, 40, (4, 10, 12, 30))
    (made,) = prepare([photo(image), photo(noise(40, 40, 5))], [mask, None], 40, flip=True)
    assert made.masks is not None
    assert made.masks.shape == (4, 1, 40, 40)
    assert torch.equal(made.masks[2], made.masks[0].flip(-1))
    assert bool((made.masks[1] == 1).all())
    inside = made.masks[2, 0] > 0.5
    assert bool((made.pictures[2][:, inside] == 1).all())


def test_the_background_may_keep_a_weight() -> None:
    mask = spot(16, 16, (0, 0, 8, 16))
    (made,) = prepare([photo(noise(16, 16))], [mask], 16, mask_floor=0.25)
    assert made.masks is not None
    assert set(made.masks.flatten().tolist()) == {0.25, 1.0}


def test_the_window_moves_only_as_far_as_the_mask_needs() -> None:
    size = (100, 100)
    plain = window((300, 100), size)
    assert window((300, 100), size, spot(300, 100, (120, 20, 160, 80))) == plain
    left, _, right, _ = window((300, 100), size, spot(300, 100, (10, 20, 60, 80)))
    assert left <= 10
    assert right == pytest.approx(left + 100)
    left, _, right, _ = window((300, 100), size, spot(300, 100, (240, 20, 300, 80)))
    assert right >= 299


@pytest.mark.parametrize("seed", range(5))
def test_no_crop_loses_the_whole_mask(seed: int) -> None:
    mask = spot(400, 100, (0, 0, 10, 10))
    (made,) = prepare([photo(noise(400, 100))], [mask], 32, crops=6, seed=seed)
    assert made.masks is not None
    assert bool((made.masks.sum((1, 2, 3)) > 0).all())
