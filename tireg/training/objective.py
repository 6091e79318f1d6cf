"""The denoising loss: noise is added to latents, the base is asked to undo it."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from tireg.models.bases import Base
from tireg.models.conditioning import Conditioning
from tireg.training.data import Batch
from tireg.training.flow import Flow


class Objective:
    """The base's own training loss for a batch: epsilon, v or sample prediction, or flow.

    ``timesteps`` is the length of the training schedule, ``weights`` [T] what each counts.
    """

    def __init__(self, base: Base, conditioning: Conditioning, *, snr_gamma: float = 0.0) -> None:
        self.base = base
        self.conditioning = conditioning
        self.process = Flow(base) if "flow" in base.family.prediction_types else Noise(base)
        self.noising: Any = self.process.noising
        self.timesteps = self.process.timesteps
        self.weights = self.process.weights(snr_gamma).to(base.device)

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Weighted squared error per sample, fp32 [b]; differentiable in the learned rows."""
        errors = self.errors(batch, self.conditioning(batch.prompts, batch.size))
        return errors * self.weights[batch.timesteps]

    def errors(self, batch: Batch, condition: dict[str, Any]) -> torch.Tensor:
        """Squared error per sample, fp32 [b], of the denoiser under ``condition``."""
        noisy = self.process.noisy(batch)
        predicted = self.process.predict(noisy, batch, condition).float()
        if predicted.shape[1] == 2 * batch.latents.shape[1]:
            # PixArt's and some of Sana's transformers give a variance behind the prediction.
            predicted = predicted.chunk(2, dim=1)[0]
        error = functional.mse_loss(predicted, self.process.target(batch), reduction="none")
        return masked_mean(error, batch.masks)


class Noise:
    """Diffusion with a noise schedule (Ho et al., 2020), by the base's own betas."""

    def __init__(self, base: Base) -> None:
        from diffusers import DDPMScheduler

        self.base = base
        self.denoiser: Any = getattr(base.pipe, base.family.denoiser)
        self.noising: Any = DDPMScheduler.from_config(base.pipe.scheduler.config)
        self.timesteps = int(self.noising.config.num_train_timesteps)

    def noisy(self, batch: Batch) -> torch.Tensor:
        """Latents with their noise [b, c, h, w]."""
        noisy: torch.Tensor = self.noising.add_noise(batch.latents, batch.noise, batch.timesteps)
        return noisy

    def predict(self, noisy: torch.Tensor, batch: Batch, condition: dict[str, Any]) -> torch.Tensor:
        """The denoiser's answer in terms of :meth:`target`, [b, c or 2c, h, w]."""
        answer: torch.Tensor = self.denoiser(
            noisy.to(self.base.dtype), timestep=batch.timesteps, return_dict=False, **condition
        )[0]
        return answer

    def weights(self, gamma: float) -> torch.Tensor:
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

    def target(self, batch: Batch) -> torch.Tensor:
        """What the base was trained to answer [b, c, h, w]."""
        kind = self.noising.config.prediction_type
        if kind == "v_prediction":
            target = self.noising.get_velocity(batch.latents, batch.noise, batch.timesteps)
            return target if isinstance(target, torch.Tensor) else torch.as_tensor(target)
        return batch.latents if kind == "sample" else batch.noise


def masked_mean(error: torch.Tensor, masks: torch.Tensor | None) -> torch.Tensor:
    """Mean of ``error`` [b, c, h, w] per sample, fp32 [b]; under ``masks`` [b, 1, h, w] if given.

    A mask's weights are normalised to sum 1, so that a small concept counts as much as a large.
    """
    if masks is None:
        return error.mean(dim=(1, 2, 3))
    weights = masks.expand_as(error)
    return (error * weights).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3)).clamp(min=1e-6)
