"""Pictures as a run sees them: latents encoded once, drawn in random batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from tireg.errors import ConfigError
from tireg.models.bases import Base
from tireg.models.latents import encode_picture
from tireg.training.crops import Prepared
from tireg.training.masks import latent_masks


@dataclass(frozen=True)
class Bucket:
    """n pictures of one size, encoded: posterior mean and std [n, channels, h, w], scaled.

    ``size`` is their (height, width) in pixels. ``masks`` [n, 1, h, w] weigh the loss, 0 … 1.
    ``prompts[i]`` are the indices of the run's prompts that picture i may be shown with.
    """

    mean: torch.Tensor
    std: torch.Tensor
    size: tuple[int, int]
    prompts: tuple[torch.Tensor, ...]
    masks: torch.Tensor | None = None

    def sample(self, index: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Latents of the pictures ``index`` [b], drawn from their posteriors with ``noise``."""
        return self.mean[index] + self.std[index] * noise


@dataclass(frozen=True)
class Data:
    """All pictures of a run, in buckets of one size each."""

    buckets: tuple[Bucket, ...]

    @property
    def pictures(self) -> int:
        """Encoded pictures, mirrored and cropped copies included."""
        return sum(len(bucket.mean) for bucket in self.buckets)


@dataclass(frozen=True)
class Batch:
    """What one step sees, all of one size.

    Latents and noise [b, c, h, w], timesteps [b] (indices of the training schedule), prompts [b]
    (indices of the run's prompts), (height, width) in pixels, masks [b, 1, h, w] or None.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    prompts: torch.Tensor
    size: tuple[int, int]
    masks: torch.Tensor | None = None

    def part(self, start: int, stop: int) -> Batch:
        """Samples ``start`` to ``stop`` as a batch of their own."""
        cut = slice(start, stop)
        return Batch(
            self.latents[cut],
            self.noise[cut],
            self.timesteps[cut],
            self.prompts[cut],
            self.size,
            None if self.masks is None else self.masks[cut],
        )


@torch.inference_mode()
def encode_pictures(base: Base, pictures: torch.Tensor, prompts: Sequence[torch.Tensor]) -> Bucket:
    """Encode pictures [n, 3, height, width] in -1 … 1, one at a time, scaled for the base.

    ``prompts[i]`` are the prompt indices of picture i. ConfigError where the VAE overflows.
    """
    means, stds = [], []
    for picture in pictures:
        mean, std = encode_picture(base, picture)
        means.append(mean)
        stds.append(std)
    mean, std = torch.cat(means), torch.cat(stds)
    if not (mean.isfinite().all() and std.isfinite().all()):
        raise ConfigError("the base's VAE gave values that are not finite", hint="--dtype fp32")
    height, width = pictures.shape[-2:]
    return Bucket(mean.clone(), std.clone(), (height, width), tuple(prompts))


def encode_data(
    base: Base, prepared: Sequence[Prepared], per_picture: Sequence[Sequence[int]]
) -> Data:
    """Encode the prepared pictures, one bucket for each size.

    ``per_picture[i]`` are the prompt indices of photo i, whichever crops of it there are. Masks
    are averaged to the latents' size. ConfigError where the VAE overflows.
    """
    buckets = []
    for part in prepared:
        prompts = [torch.tensor(per_picture[owner]) for owner in part.owner]
        bucket = encode_pictures(base, part.pictures, prompts)
        if part.masks is not None:
            height, width = bucket.mean.shape[-2:]
            masks = latent_masks(part.masks, (height, width)).to(bucket.mean.device)
            bucket = replace(bucket, masks=masks)
        buckets.append(bucket)
    return Data(tuple(buckets))


def draw_batch(
    data: Data,
    size: int,
    timesteps: int,
    generator: torch.Generator,
    *,
    stratified: bool = True,
    paired: bool = False,
) -> Batch:
    """A random batch from one bucket, chosen by its share of the pictures.

    ``stratified`` timesteps are one from each of ``size`` equal parts of the schedule, else
    uniform. ``paired`` noise comes in opposite pairs (antithetic), so that its mean is zero.
    Every random number comes from ``generator`` on the CPU, so that a run is the same on
    every device up to arithmetic.
    """
    bucket = _pick(data, generator)
    device = bucket.mean.device
    index = torch.randint(len(bucket.mean), (size,), generator=generator)
    choice = torch.rand(size, generator=generator)
    prompts = torch.stack(
        [_choose(bucket.prompts[int(i)], float(c)) for i, c in zip(index, choice, strict=True)]
    )
    part: torch.Tensor = torch.rand(size, generator=generator)
    if stratified:
        part = (torch.arange(size) + part) / size
    times = (part * timesteps).long().clamp(max=timesteps - 1)
    shape = (size, *bucket.mean.shape[1:])
    posterior = torch.randn(shape, generator=generator).to(device)
    noise = torch.randn(shape, generator=generator)
    if paired:
        half = size // 2
        noise[half : 2 * half] = -noise[:half]
    index = index.to(device)
    return Batch(
        bucket.sample(index, posterior),
        noise.to(device),
        times.to(device),
        prompts.to(device),
        bucket.size,
        None if bucket.masks is None else bucket.masks[index],
    )


def _pick(data: Data, generator: torch.Generator) -> Bucket:
    if len(data.buckets) == 1:
        return data.buckets[0]
    shares = torch.tensor([float(len(bucket.mean)) for bucket in data.buckets])
    return data.buckets[int(torch.multinomial(shares, 1, generator=generator))]


def _choose(prompts: torch.Tensor, share: float) -> torch.Tensor:
    return prompts[min(int(share * len(prompts)), len(prompts) - 1)]
