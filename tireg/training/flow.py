"""Flow matching: the straight line from a picture to noise, and its speed as the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch

from tireg.errors import BaseError, ConfigError
from tireg.models.bases import Base
from tireg.training.data import Batch


@dataclass(frozen=True)
class Call:
    """How a family's transformer is asked.

    ``time``: ``sigma`` 0 … 1 (1 is noise), ``steps`` sigma times the length of the schedule, or
    ``clean`` 1 - sigma, where the answer points from the noise to the picture. ``packed``: takes
    patches of 2x2 latents as a list, with their positions.
    """

    time: Literal["sigma", "steps", "clean"]
    packed: bool = False


CALLS = {
    "StableDiffusion3Pipeline": Call("steps"),
    "FluxPipeline": Call("sigma", packed=True),
    "ChromaPipeline": Call("sigma", packed=True),
    "AuraFlowPipeline": Call("sigma"),
    "Lumina2Pipeline": Call("clean"),
    "SanaPipeline": Call("steps"),
}


class Flow:
    """Rectified flow (Liu et al., 2022; Esser et al., 2024): x_s = (1 - s) x + s n, target n - x.

    The integer timestep t of T stands for s = (t + 1) / T, moved by the scheduler's own shift:
    fixed (SD3, section 5.3.2 of Esser et al.), or by the number of patches (FLUX).
    """

    def __init__(self, base: Base) -> None:
        if base.family.pipeline not in CALLS:
            raise BaseError(
                f"training for {base.family.title} is not supported", hint="tireg bases --families"
            )
        self.base = base
        self.call = CALLS[base.family.pipeline]
        self.denoiser: Any = getattr(base.pipe, base.family.denoiser)
        self.noising: Any = base.pipe.scheduler
        self.timesteps = int(self.noising.config.num_train_timesteps)
        self.tables: dict[int, torch.Tensor] = {}

    def weights(self, gamma: float) -> torch.Tensor:
        """Weight of each timestep [T], mean 1: all alike for ``gamma`` 0.

        Min-SNR weighs noise against the clean picture and has no like in flow matching. Where it
        is asked for, timesteps count by the logit-normal density with mean 0 and deviation 1
        that SD3's training drew them from (Esser et al., 2024, section 3.1), before the shift.
        """
        if gamma <= 0:
            return torch.ones(self.timesteps)
        share = (torch.arange(self.timesteps) + 0.5) / self.timesteps
        logit = torch.log(share / (1 - share))
        density = torch.exp(-(logit**2) / 2) / (share * (1 - share)) / math.sqrt(2 * math.pi)
        return density / density.mean()

    def sigmas(self, batch: Batch) -> torch.Tensor:
        """The share of noise of each sample, fp32 [b], by its timestep and the picture's size."""
        patches = self._patches(batch)
        if patches not in self.tables:
            self.tables[patches] = self._table(patches).to(batch.latents.device)
        return self.tables[patches][batch.timesteps]

    def noisy(self, batch: Batch) -> torch.Tensor:
        """Latents with their noise [b, c, h, w]."""
        sigma = self.sigmas(batch).view(-1, 1, 1, 1)
        return (1 - sigma) * batch.latents + sigma * batch.noise

    def target(self, batch: Batch) -> torch.Tensor:
        """The direction from picture to noise [b, c, h, w]."""
        return batch.noise - batch.latents

    def predict(self, noisy: torch.Tensor, batch: Batch, condition: dict[str, Any]) -> torch.Tensor:
        """The transformer's answer in terms of :meth:`target`, [b, c or 2c, h, w]."""
        sigma = self.sigmas(batch)
        hidden = noisy.to(self.base.dtype)
        height, width = noisy.shape[-2:]
        if self.call.packed:
            condition = condition | {"img_ids": self._positions(height // 2, width // 2)}
            hidden = pack(hidden)
        answer: torch.Tensor = self.denoiser(
            hidden_states=hidden, timestep=self._time(sigma), return_dict=False, **condition
        )[0]
        if self.call.packed:
            answer = unpack(answer, height, width)
        return -answer if self.call.time == "clean" else answer

    def _time(self, sigma: torch.Tensor) -> torch.Tensor:
        if self.call.time == "sigma":
            return sigma
        if self.call.time == "clean":
            return 1 - sigma
        scale = float(self.denoiser.config.get("timestep_scale", 1.0))  # Sana's
        return sigma * self.timesteps * scale

    def _table(self, patches: int) -> torch.Tensor:
        """Sigma of every timestep [T], as the scheduler shifts them for so many patches."""
        config = self.noising.config
        straight = torch.arange(1, self.timesteps + 1, dtype=torch.float32) / self.timesteps
        if config.get("use_dynamic_shifting"):
            low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
            few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
            mu = low + (high - low) * (patches - few) / (many - few)
            power = mu if config.get("time_shift_type") == "linear" else math.exp(mu)
            # Black Forest Labs' time_shift with its sigma of 1; both types are this curve.
            return power / (power + (1 / straight - 1))
        shift = float(config.get("flow_shift", config.get("shift", 1.0)) or 1.0)
        return shift * straight / (1 + (shift - 1) * straight)

    def _patches(self, batch: Batch) -> int:
        """Patches of a picture; ConfigError where it is no whole number of them."""
        height, width = batch.latents.shape[-2:]
        side = 2 if self.call.packed else int(self.denoiser.config.get("patch_size") or 1)
        if height % side or width % side:
            step = side * batch.size[0] // height
            raise ConfigError(
                f"{self.base.family.title} takes sizes in steps of {step} pixels, not "
                f"{batch.size[0]} x {batch.size[1]}",
                hint=f"--resolution {max(step, batch.size[0] // step * step)}",
            )
        return (height // side) * (width // side)

    def _positions(self, height: int, width: int) -> torch.Tensor:
        """Positions of patches [height * width, 3]: 0, row, column."""
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        places = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1)
        return places.reshape(-1, 3).to(self.base.device, self.base.dtype)


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Latents [b, c, h, w] as a list of 2x2 patches [b, h/2 * w/2, 4c], as FLUX takes them."""
    batch, channels, height, width = latents.shape
    cut = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * 4)


def unpack(patches: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Undo :func:`pack` for latents of ``height`` x ``width``."""
    batch, _, numbers = patches.shape
    cut = patches.reshape(batch, height // 2, width // 2, numbers // 4, 2, 2)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(batch, numbers // 4, height, width)
