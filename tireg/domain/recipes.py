"""A recipe: every training knob, frozen, with its default and its range."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError

from tireg.domain.model import Document, first_problem
from tireg.errors import RecipeError

Method = Literal["classic", "directional"]
Schedule = Literal["constant", "linear", "cosine"]


class Recipe(Document):
    """How the rows are learned. Equal recipes, pictures, base and seed give equal vectors."""

    format_version: Literal[1] = 1
    method: Method = Field(
        default="classic",
        description="classic: free vectors, AdamW (Gal et al., 2022). directional: fixed norm, "
        "Riemannian step, von Mises-Fisher prior (DTI, 2025).",
    )
    init: str = Field(default="", description="Words to start from; empty: the class noun.")
    vectors: int = Field(default=2, ge=1, le=64, description="Rows behind the token.")
    steps: int = Field(default=300, ge=1, le=1_000_000, description="Optimiser steps.")
    batch: int = Field(default=4, ge=1, le=1024, description="Pictures per step.")
    learning_rate: float = Field(
        default=0.1,
        gt=0,
        le=10,
        description="Step size as a share of the mean row norm of words in use.",
    )
    schedule: Schedule = Field(default="linear", description="How the rate falls.")
    final_rate: float = Field(
        default=0.05, ge=0, le=1, description="Rate at the end, as a share of the start."
    )
    warmup: int = Field(default=0, ge=0, description="Steps over which the rate rises from 0.")
    prior: float = Field(
        default=1e-4,
        ge=0,
        description="directional: weight of the pull to the initial direction (kappa).",
    )
    average_last: float = Field(
        default=0.25, ge=0, le=1, description="Share of the steps whose rows are averaged."
    )
    norm_limit: float = Field(
        default=0.0,
        ge=0,
        description="classic: longest row, in mean row norms of words in use; 0: no limit.",
    )
    snr_gamma: float = Field(
        default=5.0,
        ge=0,
        description="Weigh timesteps by min(SNR, gamma) (Hang et al., 2023); 0: all alike.",
    )
    resolution: int = Field(
        default=0, ge=0, le=4096, description="Side in pixels; 0: the family's own."
    )
    flip: bool = Field(default=False, description="Also train on mirrored pictures.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Of every random choice.")


def make_recipe(values: dict[str, Any], *, name: str = "the recipe") -> Recipe:
    """A recipe from plain values; RecipeError names the first wrong knob."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        known = ", ".join(sorted(set(Recipe.model_fields) - {"format_version"}))
        raise RecipeError(f"{name}: {first_problem(error)}", hint=f"knobs: {known}") from error
