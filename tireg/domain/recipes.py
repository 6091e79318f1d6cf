"""A recipe: every training knob, frozen, with its default and its range."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tireg.domain.model import ADDED, AsGiven, Document, advice, first_problem
from tireg.errors import RecipeError

Method = Literal["classic", "directional", "cross"]
Schedule = Literal["constant", "linear", "cosine"]


class Recipe(AsGiven, Document):
    """How the rows are learned. Equal recipes, pictures, base and seed give equal vectors."""

    format_version: Literal[1] = 1
    method: Method = Field(
        default="directional",
        description="classic: free vectors, AdamW (Gal et al., 2022). directional: fixed norm, "
        "Riemannian step, von Mises-Fisher prior (DTI, 2025). cross: classic from the text "
        "encoder's own output, held near it (cross initialisation, Pang et al., 2024).",
    )
    init: str = Field(
        default="",
        description="Words to start from; 'auto': chosen by the pictures; 'random': at the length "
        "of words in use; empty: the class noun.",
    )
    init_from: str = Field(
        json_schema_extra=ADDED,
        default="",
        description="Embedding to start from: a reference or a file; beats init.",
    )
    vectors: int = Field(default=2, ge=1, le=64, description="Rows behind the token.")
    steps: int | Literal["auto"] = Field(
        default="auto",
        description="Optimiser steps; auto: stop on evidence, at most max_steps, keep the best.",
    )
    max_steps: int = Field(
        json_schema_extra=ADDED,
        default=300,
        ge=1,
        le=1_000_000,
        description="auto: the most steps, and the schedule's end.",
    )
    batch: int = Field(default=4, ge=1, le=1024, description="Pictures per step.")
    accumulate: int = Field(
        json_schema_extra=ADDED,
        default=1,
        ge=1,
        le=1024,
        description="Passes a step is split into, to save memory.",
    )
    learning_rate: float = Field(
        default=0.1,
        gt=0,
        le=10,
        description="Step size, in the unit that rate_unit names.",
    )
    rate_unit: Literal["words", "absolute"] = Field(
        json_schema_extra=ADDED,
        default="words",
        description="words: a row's largest move in a step as a share of the mean row norm of "
        "words in use. absolute: as other trainers count, per coordinate.",
    )
    schedule: Schedule = Field(default="linear", description="How the rate falls.")
    final_rate: float = Field(
        default=0.05, ge=0, le=1, description="Rate at the end, as a share of the start."
    )
    warmup: int = Field(default=0, ge=0, description="Steps over which the rate rises from 0.")
    weight_decay: float = Field(
        json_schema_extra=ADDED,
        default=0.0,
        ge=0,
        le=1,
        description="classic: AdamW's pull towards zero.",
    )
    prior: float = Field(
        default=1e-4,
        ge=0,
        description="directional: weight of the pull to the initial direction (kappa).",
    )
    anchor: float = Field(
        json_schema_extra=ADDED,
        default=0.0,
        ge=0,
        description="Weight of the squared distance to the start, in mean row norms of words in "
        "use (the regulariser of cross initialisation).",
    )
    average_last: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="With fixed steps: share at the end whose rows are averaged.",
    )
    norm_limit: float = Field(
        default=0.0,
        ge=0,
        description="Longest row, in mean row norms of words in use; 0: no limit.",
    )
    norm_limit_end: float = Field(
        json_schema_extra=ADDED,
        default=0.0,
        ge=0,
        description="Limit at the last step, reached in a line; 0: norm_limit.",
    )
    snr_gamma: float = Field(
        default=5.0,
        ge=0,
        description="Weigh timesteps by min(SNR, gamma) (Hang et al., 2023); 0: all alike. Flow "
        "families: any other value is the logit-normal density (Esser et al., 2024).",
    )
    timesteps: Literal["stratified", "uniform"] = Field(
        json_schema_extra=ADDED,
        default="stratified",
        description="stratified: one from each equal part of the schedule in every step.",
    )
    paired_noise: bool = Field(
        json_schema_extra=ADDED,
        default=False,
        description="Noise in opposite pairs, whose mean is zero.",
    )
    resolution: int = Field(
        default=0, ge=0, le=4096, description="Side in pixels; 0: the family's own."
    )
    buckets: bool = Field(
        json_schema_extra=ADDED,
        default=False,
        description="Keep each picture's shape, in buckets of about equal area.",
    )
    crops: int = Field(
        json_schema_extra=ADDED,
        default=1,
        ge=1,
        le=64,
        description="1: the middle of a picture; more: random crops of it.",
    )
    flip: bool = Field(default=False, description="Also train on mirrored pictures.")
    masks: bool = Field(
        json_schema_extra=ADDED, default=True, description="Use masks where the concept has them."
    )
    captions: bool = Field(
        json_schema_extra=ADDED,
        default=True,
        description="Use captions where the concept has them.",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Of every random choice.")

    @field_validator("steps")
    @classmethod
    def _positive(cls, steps: int | str) -> int | str:
        if isinstance(steps, int) and not 1 <= steps <= 1_000_000:
            raise ValueError("should be 1 to 1,000,000, or auto")
        return steps

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.method == "directional" and self.rate_unit == "absolute":
            raise ValueError("an absolute rate is for method classic; directional takes an angle")
        return self

    def resolved(self) -> Recipe:
        """The same with every knob written out, defaults included, as records keep it."""
        return Recipe.model_validate({name: getattr(self, name) for name in Recipe.model_fields})

    @property
    def last_step(self) -> int:
        """The most steps there will be: ``steps``, or ``max_steps`` where it is auto."""
        return self.max_steps if self.steps == "auto" else self.steps


def make_recipe(values: dict[str, Any], *, name: str = "the recipe") -> Recipe:
    """A recipe from plain values; RecipeError names the first wrong knob."""
    if values.get("method") == "cross":
        # The published weight of its regulariser.
        values = {"anchor": 1e-5, **values}
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        hint = advice(error, Recipe)
        raise RecipeError(f"{name}: {first_problem(error)}", hint=hint) from error
    if recipe.method == "directional":
        for knob in ("anchor", "weight_decay", "norm_limit", "norm_limit_end"):
            if getattr(recipe, knob):
                raise RecipeError(
                    f"{name}: '{knob}' moves rows that directional keeps at one length",
                    hint="method: classic or cross",
                )
    return recipe


def check_knob(knob: str, value: Any, *, shown: str) -> None:
    """RecipeError, in terms of ``shown`` (the option as typed), for a value out of its range."""
    try:
        Recipe.model_validate({knob: value})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        if problem["loc"]:
            what = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
            raise RecipeError(f"{shown} {value}: it {what}", hint=advice(error, Recipe)) from error
