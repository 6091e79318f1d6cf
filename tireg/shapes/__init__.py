"""The built-in base `shapes`: its world, its oracle, its builder and its shipped weights."""

from __future__ import annotations

from pathlib import Path


def weights_path() -> Path:
    """The folder of the shipped weights, with their card, log and oracle table."""
    return Path(__file__).resolve().parent / "weights"


def base_path() -> Path:
    """The diffusers folder of the base; ``StableDiffusionPipeline.from_pretrained`` opens it."""
    return weights_path() / "base"


def scorer_path() -> Path:
    """The folder of the scoring CLIP; open_clip opens it as ``local-dir:PATH``."""
    return weights_path() / "scorer"
