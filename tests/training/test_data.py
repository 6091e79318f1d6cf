"""Prepared pictures become buckets of latents, with their masks and prompts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.scenes import noise, photo, spot
from tireg.models.bases import Base, open_base
from tireg.training.crops import prepare
from tireg.training.data import draw_batch, encode_data, encode_pictures
from tireg.training.images import to_tensor
from tireg.training.objective import masked_mean


@pytest.fixture(scope="module")
def base(tiny_sd1: Path) -> Base:
    return open_base(tiny_sd1, device="cpu", dtype="fp32")


def test_plain_squares_are_encoded_as_they_always_were(base: Base) -> None:
    photos = [photo(noise(50, 40, n)) for n in range(3)]
    data = encode_data(base, prepare(photos, None, 32), [[0, 1], [0], [2]])
    (bucket,) = data.buckets
    old = encode_pictures(base, to_tensor(photos, 32), [torch.tensor([0])] * 3)
    assert torch.equal(bucket.mean, old.mean)
    assert torch.equal(bucket.std, old.std)
    assert bucket.masks is None
    assert [p.tolist() for p in bucket.prompts] == [[0, 1], [0], [2]]


def test_every_crop_and_mirror_image_keeps_its_pictures_prompts(base: Base) -> None:
    photos = [photo(noise(64, 64, 1)), photo(noise(40, 80, 2)), photo(noise(60, 64, 3))]
    prepared = prepare(photos, None, 32, buckets=True, crops=2, flip=True)
    data = encode_data(base, prepared, [[0], [1], [2]])
    assert data.pictures == 12
    for part, bucket in zip(prepared, data.buckets, strict=True):
        assert [p.tolist() for p in bucket.prompts] == [[owner] for owner in part.owner]
        assert bucket.size == part.size
        assert bucket.mean.shape[-1] * part.size[0] == bucket.mean.shape[-2] * part.size[1]


def test_every_bucket_is_drawn_from_with_its_own_prompts(base: Base) -> None:
    photos = [photo(noise(64, 64, 1)), photo(noise(40, 80, 2))]
    data = encode_data(base, prepare(photos, None, 32, buckets=True), [[0, 1], [2]])
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        batch = draw_batch(data, 2, 1000, generator)
        seen |= {(batch.size, int(prompt)) for prompt in batch.prompts}
    square, tall = (bucket.size for bucket in data.buckets)
    assert seen == {(square, 0), (square, 1), (tall, 2)}


def test_a_loss_under_a_mask_sees_the_masked_half_alone(base: Base) -> None:
    photos = [photo(noise(32, 32, 1)), photo(noise(32, 32, 2))]
    masks = [spot(32, 32, (0, 0, 16, 32)), None]
    data = encode_data(base, prepare(photos, masks, 32), [[0], [0]])
    (bucket,) = data.buckets
    assert bucket.masks is not None
    assert bucket.masks.shape == (2, 1, *bucket.mean.shape[-2:])
    width = bucket.mean.shape[-1]
    error = torch.ones_like(bucket.mean)
    error[..., width // 2 :] = 100.0
    assert masked_mean(error, bucket.masks).tolist() == pytest.approx([1.0, 50.5])


def test_masks_travel_with_their_pictures_into_batches(base: Base) -> None:
    photos = [photo(noise(32, 32, n)) for n in range(3)]
    masks = [spot(32, 32, (0, 0, 8 * (n + 1), 32)) for n in range(3)]
    data = encode_data(base, prepare(photos, masks, 32), [[0], [1], [2]])
    batch = draw_batch(data, 6, 1000, torch.Generator().manual_seed(1))
    assert batch.masks is not None
    for prompt, mask in zip(batch.prompts, batch.masks, strict=True):
        assert float(mask.mean()) == pytest.approx((int(prompt) + 1) / 4)
