"""A recipe from a file and from what was typed: the typed word wins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tireg.domain.recipes import Recipe, make_recipe
from tireg.errors import RecipeError

OTHER_NAMES = {"lr": "learning_rate"}
MAX_BYTES = 1 << 20


def read_recipe(path: Path | None, knobs: Mapping[str, Any]) -> Recipe:
    """The recipe of ``path`` (YAML, may be None) with ``knobs`` that are not None laid over it.

    Raises RecipeError for a file that is not a recipe and for any unknown or wrong knob.
    """
    values = _read(path) if path is not None else {}
    for name, value in knobs.items():
        if value is not None:
            values[OTHER_NAMES.get(name, name)] = value
    return make_recipe(values, name=f"'{path}'" if path is not None else "the recipe")


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"'{path}' is too large for a recipe")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"the recipe '{path}' cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RecipeError(f"the recipe '{path}' is not valid YAML") from error
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise RecipeError(f"the recipe '{path}' is not a list of knobs", hint="steps: 300")
    return {OTHER_NAMES.get(str(key), str(key)): value for key, value in data.items()}
