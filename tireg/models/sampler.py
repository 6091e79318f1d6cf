"""Draw pictures: one generator per picture, one fixed batch shape, the last batch padded.

A picture depends on its prompt, seed and settings alone, not on its neighbours in the batch,
on the order of the work or on how many pictures were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tireg.errors import ConfigError, EvaluationError

# Names people type, and the diffusers scheduler each stands for.
SAMPLERS = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "flow_euler": "FlowMatchEulerDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "lms": "LMSDiscreteScheduler",
    "pndm": "PNDMScheduler",
    "unipc": "UniPCMultistepScheduler",
}


@dataclass(frozen=True)
class Draw:
    """One picture to draw."""

    prompt: str
    seed: int
    negative: str = ""


@dataclass(frozen=True)
class DrawSettings:
    """How every picture of a batch is drawn. Sizes in pixels."""

    sampler: str
    steps: int
    guidance: float
    width: int
    height: int
    batch: int = 8


def set_sampler(pipe: Any, name: str) -> None:
    """Give ``pipe`` the sampler called ``name``, configured as the base's own scheduler.

    ``default`` keeps the scheduler the base came with. ConfigError for an unknown name.
    """
    if name == "default":
        return
    if name not in SAMPLERS:
        raise ConfigError(f"'{name}' is no sampler", hint=f"samplers: {', '.join(SAMPLERS)}")
    import diffusers

    kind = getattr(diffusers, SAMPLERS[name])
    if type(pipe.scheduler) is not kind:
        pipe.scheduler = kind.from_config(pipe.scheduler.config)


def draw(
    pipe: Any, draws: Sequence[Draw], settings: DrawSettings
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index in ``draws``, uint8 picture [height, width, 3]) for each draw, in order.

    Raises ConfigError for sizes the model cannot draw and EvaluationError for a picture that
    is not finite.
    """
    set_sampler(pipe, settings.sampler)
    for start in range(0, len(draws), settings.batch):
        chunk = list(draws[start : start + settings.batch])
        padded = chunk + [chunk[-1]] * (settings.batch - len(chunk))
        pictures = _draw_batch(pipe, padded, settings)
        for offset in range(len(chunk)):
            yield start + offset, pictures[offset]


@torch.inference_mode()
def _draw_batch(pipe: Any, chunk: Sequence[Draw], settings: DrawSettings) -> np.ndarray:
    generators = [torch.Generator("cpu").manual_seed(d.seed) for d in chunk]
    try:
        result = pipe(
            prompt=[d.prompt for d in chunk],
            negative_prompt=[d.negative for d in chunk],
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            width=settings.width,
            height=settings.height,
            generator=generators,
            output_type="np",
        )
    except ValueError as error:
        raise ConfigError(f"this base cannot draw that: {error}", hint="--size") from error
    except torch.OutOfMemoryError as error:
        raise ConfigError("not enough memory to draw", hint="--batch 1 or --dtype bf16") from error
    pictures = np.asarray(result.images)
    if not np.isfinite(pictures).all():
        raise EvaluationError("the base drew a picture that is not finite", hint="--dtype fp32")
    return np.round(pictures * 255).clip(0, 255).astype(np.uint8)
