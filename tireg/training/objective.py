"""The denoising loss: latents encoded once, noise added, the base asked to undo it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from tireg.errors import ConfigError
from tireg.models.bases import Base
from tireg.models.conditioning import Conditioning


@dataclass(frozen=True)
class Latents:
    """Cached VAE posteriors of n pictures: mean and std, [n, channels, h, w], scaled."""

    mean: torch.Tensor
    std: torch.Tensor

    def sample(self, index: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Latents of the pictures ``index`` [b], drawn from their posteriors with ``noise``."""
        return self.mean[index] + self.std[index] * noise


@torch.inference_mode()
def encode_latents(base: Base, pictures: torch.Tensor) -> Latents:
    """Encode pictures [n, 3, side, side] in -1 … 1, one at a time, scaled as the base expects."""
    vae = base.pipe.vae
    scale = float(vae.config.scaling_factor)
    shift = float(getattr(vae.config, "shift_factor", None) or 0.0)
    means, stds = [], []
    for picture in pictures:
        posterior = vae.encode(picture[None].to(base.device, base.dtype)).latent_dist
        means.append((posterior.mean.float() - shift) * scale)
        stds.append(posterior.std.float() * scale)
    mean, std = torch.cat(means), torch.cat(stds)
    if not (mean.isfinite().all() and std.isfinite().all()):
        raise ConfigError("the base's VAE gave values that are not finite", hint="--dtype fp32")
    return Latents(mean.clone(), std.clone())


@dataclass(frozen=True)
class Batch:
    """What one step sees: latents and noise [b, c, h, w], timesteps [b], template index [b]."""

    latents: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    templates: torch.Tensor


class Objective:
    """The base's own training loss for a batch (epsilon, v or sample prediction)."""

    def __init__(self, base: Base, conditioning: Conditioning, *, snr_gamma: float = 0.0) -> None:
        from diffusers import DDPMScheduler

        self.base = base
        self.conditioning = conditioning
        self.denoiser: Any = getattr(base.pipe, base.family.denoiser)
        self.noising: Any = DDPMScheduler.from_config(base.pipe.scheduler.config)
        self.timesteps = int(self.noising.config.num_train_timesteps)
        self.weights = self._weights(snr_gamma).to(base.device)

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Weighted squared error per sample, fp32 [b]; differentiable in the learned rows."""
        noisy = self.noising.add_noise(batch.latents, batch.noise, batch.timesteps)
        condition = self.conditioning(batch.templates)
        predicted = self.denoiser(
            noisy.to(self.base.dtype), batch.timesteps, return_dict=False, **condition
        )[0]
        error = functional.mse_loss(predicted.float(), self._target(batch), reduction="none")
        return error.mean(dim=(1, 2, 3)) * self.weights[batch.timesteps]

    def _weights(self, gamma: float) -> torch.Tensor:
        """Weight of each timestep [T]: 1, or min-SNR-gamma (Hang et al., 2023, section 3.4).

        In terms of the clean picture the loss of a timestep is weighed by min(SNR, gamma); that
        is min(SNR, gamma) / SNR for epsilon and min(SNR, gamma) / (SNR + 1) for v-prediction.
        """
        alphas = self.noising.alphas_cumprod.float()
        if gamma <= 0:
            return torch.ones_like(alphas)
        snr = alphas / (1 - alphas)
        kind = self.noising.config.prediction_type
        own = {"v_prediction": snr + 1, "sample": torch.ones_like(snr)}.get(kind, snr)
        weights: torch.Tensor = snr.clamp(max=gamma) / own.clamp(min=1e-8)
        return weights

    def _target(self, batch: Batch) -> torch.Tensor:
        kind = self.noising.config.prediction_type
        if kind == "v_prediction":
            target = self.noising.get_velocity(batch.latents, batch.noise, batch.timesteps)
            return target if isinstance(target, torch.Tensor) else torch.as_tensor(target)
        return batch.latents if kind == "sample" else batch.noise


def draw_batch(
    latents: Latents, size: int, templates: int, timesteps: int, generator: torch.Generator
) -> Batch:
    """A random batch. Timesteps are stratified: one from each of ``size`` equal parts.

    Every random number comes from ``generator`` on the CPU, so that a run is the same on
    every device up to arithmetic.
    """
    device = latents.mean.device
    index = torch.randint(len(latents.mean), (size,), generator=generator)
    template = torch.randint(templates, (size,), generator=generator)
    part = (torch.arange(size) + torch.rand(size, generator=generator)) / size
    times = (part * timesteps).long().clamp(max=timesteps - 1)
    shape = (size, *latents.mean.shape[1:])
    posterior = torch.randn(shape, generator=generator).to(device)
    noise = torch.randn(shape, generator=generator).to(device)
    return Batch(
        latents.sample(index.to(device), posterior), noise, times.to(device), template.to(device)
    )
