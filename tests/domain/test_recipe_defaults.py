"""The plain copy of a recipe's defaults."""

from __future__ import annotations

from tireg.domain.recipe_defaults import RECIPE_DEFAULTS
from tireg.domain.recipes import Recipe


def test_they_are_those_of_a_recipe() -> None:
    assert {n: field.default for n, field in Recipe.model_fields.items()} == RECIPE_DEFAULTS
