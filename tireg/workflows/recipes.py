"""A recipe from a file and from what was typed: the typed word wins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tireg.domain.plain_yaml import parse_yaml
from tireg.domain.recipes import Recipe, check_knob, make_recipe
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
            check_knob(OTHER_NAMES.get(name, name), value, shown=f"--{name.replace('_', '-')}")
            values[OTHER_NAMES.get(name, name)] = value
    return make_recipe(values, name=f"'{path}'" if path is not None else "the recipe")


def _read(path: Path) -> dict[str, Any]:
    name = f"the recipe '{path}'"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"{name} is too large for a recipe")
        data = parse_yaml(path.read_text(encoding="utf-8"), name, failure=RecipeError)
    except OSError as error:
        raise RecipeError(
            f"{name} cannot be read: {error.strerror}", hint=f"ls {path.parent}"
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name} is not text in UTF-8", hint="save it as UTF-8") from error
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise RecipeError(f"{name} is not a list of knobs", hint="steps: 300")
    return {OTHER_NAMES.get(str(key), str(key)): value for key, value in data.items()}
