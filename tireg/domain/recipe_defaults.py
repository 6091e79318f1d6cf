"""The defaults of a recipe as plain data: what only prints recipes needs no model of them."""

from __future__ import annotations

from typing import Any

RECIPE_DEFAULTS: dict[str, Any] = {
    "format_version": 1,
    "method": "directional",
    "init": "",
    "init_from": "",
    "vectors": 2,
    "steps": "auto",
    "max_steps": 300,
    "batch": 4,
    "accumulate": 1,
    "learning_rate": 0.1,
    "rate_unit": "words",
    "schedule": "linear",
    "final_rate": 0.05,
    "warmup": 0,
    "weight_decay": 0.0,
    "prior": 0.0001,
    "anchor": 0.0,
    "average_last": 0.25,
    "norm_limit": 0.0,
    "norm_limit_end": 0.0,
    "snr_gamma": 5.0,
    "timesteps": "stratified",
    "paired_noise": False,
    "resolution": 0,
    "buckets": False,
    "crops": 1,
    "flip": False,
    "masks": True,
    "captions": True,
    "seed": 0,
}
"""By knob; a test holds them to :class:`tireg.domain.recipes.Recipe`."""
