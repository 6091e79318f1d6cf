"""How large the parts of the built-in base are, and how long each is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tireg.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Sizes:
    """Every number that a build depends on. Times are steps; rates are AdamW learning rates."""

    seed: int = 20
    scenes: int = 60_000
    captions: int = 4
    text_width: int = 128
    text_layers: int = 3
    text_heads: int = 4
    text_mlp: int = 384
    vision_width: int = 96
    vision_layers: int = 3
    vision_heads: int = 4
    projection: int = 64
    clip_steps: int = 2_000
    clip_batch: int = 96
    clip_rate: float = 2e-3
    vae_channels: tuple[int, ...] = (16, 32, 64)
    latent_channels: int = 8
    vae_steps: int = 7_000
    vae_batch: int = 12
    vae_rate: float = 3e-3
    unet_channels: tuple[int, ...] = (64, 96)
    unet_heads: int = 4
    unet_steps: int = 8_000
    unet_batch: int = 32
    unet_rate: float = 1.2e-3
    unet_constant: float = 0.5
    scorer_seed: int = 77
    scorer_width: int = 112
    scorer_layers: int = 3
    scorer_text_width: int = 96
    scorer_text_layers: int = 2
    scorer_projection: int = 80
    scorer_steps: int = 4_500
    scorer_batch: int = 96
    scorer_rate: float = 2e-3

    def data(self) -> dict[str, Any]:
        """The sizes as plain data, for the log and the card."""
        return asdict(self)


FULL = Sizes()
"""The sizes of the shipped weights."""

TINY = replace(
    FULL,
    scenes=96,
    captions=2,
    text_width=32,
    text_layers=1,
    text_heads=2,
    text_mlp=48,
    vision_width=32,
    vision_layers=1,
    vision_heads=2,
    projection=16,
    clip_steps=4,
    clip_batch=8,
    vae_channels=(8, 8, 16),
    latent_channels=4,
    vae_steps=4,
    vae_batch=4,
    unet_channels=(16, 32),
    unet_heads=2,
    unet_steps=4,
    unet_batch=4,
    scorer_width=32,
    scorer_layers=1,
    scorer_text_width=32,
    scorer_text_layers=1,
    scorer_projection=16,
    scorer_steps=4,
    scorer_batch=8,
)
"""Sizes that build in seconds and learn nothing; for tests of the builder."""

PRESETS = {"full": FULL, "tiny": TINY}


def with_steps(sizes: Sizes, settings: dict[str, str]) -> Sizes:
    """Sizes with some numbers replaced, given as text (``{"unet_steps": "9000"}``).

    Raises :class:`~tireg.errors.RecipeError` for an unknown name or a value of the wrong kind.
    """
    known = {field.name: getattr(sizes, field.name) for field in fields(sizes)}
    changes: dict[str, Any] = {}
    for name, text in settings.items():
        if name not in known or isinstance(known[name], tuple):
            raise RecipeError(f"the builder has no setting {name!r} that can be changed here")
        try:
            changes[name] = type(known[name])(text)
        except ValueError as error:
            raise RecipeError(f"{text!r} is not a number that {name} can take") from error
    return replace(sizes, **changes)
