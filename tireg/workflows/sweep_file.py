"""A sweep in one file: concepts, recipes and seeds, and what they are judged by."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tireg.domain.model import Document, canonical_json, validate_document
from tireg.domain.recipes import Recipe
from tireg.errors import ConceptError, RecipeError, RefError
from tireg.store.names import check_alias, check_tag
from tireg.workflows.fleet_file import (
    MAX_CONCEPTS,
    entries_of,
    entry_request,
    named_by_folder,
    read_yaml,
)
from tireg.workflows.recipes import OTHER_NAMES

if TYPE_CHECKING:
    from tireg.workflows.train import TrainRequest

MAX_RUNS = 10_000
RANKED = ("concept_fidelity", "prompt_fidelity")
"""What recipes are ranked by where nothing is named: likeness and obedience, of equal weight.

Likeness alone would choose the recipe that overfits most.
"""


class SweepFile(Document):
    """``sweep.yaml``: every recipe is tried on every concept, once for each seed."""

    format_version: Literal[1] = 1
    base: str = Field(default="", max_length=1000, description="Base to learn on.")
    defaults: dict[str, Any] = Field(default_factory=dict, description="For every concept.")
    concepts: tuple[str | dict[str, Any], ...] = Field(
        min_length=1, max_length=MAX_CONCEPTS, description="Paths, or a path with words and knobs."
    )
    recipes: dict[str, dict[str, Any]] = Field(
        min_length=1,
        description="Knobs by the recipe's name; a list of values stands for one recipe each.",
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(
        default=(0,), min_length=1, max_length=1000, description="Each recipe learns with each."
    )
    suite: str | None = Field(default=None, description="Suite to score on; else the base's own.")
    rank_by: tuple[str, ...] = Field(
        default=RANKED, min_length=1, max_length=20, description="Metrics, of equal weight."
    )


@dataclass(frozen=True)
class Trial:
    """One recipe on one concept with one seed; ``label`` is its alias among the versions."""

    recipe: str
    concept: str
    seed: int
    request: TrainRequest

    @property
    def label(self) -> str:
        """Which version of the concept it is, as in ``my-cat@wide-s1``."""
        return f"{self.recipe}-s{self.seed}"

    @property
    def pair(self) -> tuple[str, int]:
        """What trials of other recipes are compared over."""
        return self.concept, self.seed


@dataclass(frozen=True)
class Sweep:
    """What a sweep file asks for. ``tag`` is what its embeddings are tagged with."""

    tag: str
    trials: tuple[Trial, ...]
    recipes: tuple[str, ...]
    suite: str | None
    rank_by: tuple[str, ...]


def read_sweep(path: Path, request: TrainRequest) -> Sweep:
    """Everything that the file at ``path`` asks for, in the order of concepts, recipes, seeds.

    ``request`` is what all trials have in common; its base wins over the file's. Raises
    ConceptError or RecipeError for what is unknown or wrong, with what may be meant. No picture
    is opened.
    """
    named = f"'{path}'"
    data = read_yaml(path, named)
    written = _checked(data, named)
    base = request.base or _base(written.base, path.parent)
    if not base:
        raise ConceptError(f"{named} names no base", hint="base: shapes, or --base shapes")
    recipes = _recipes(written.recipes, named)
    seeds = tuple(dict.fromkeys(written.seeds))
    entries = entries_of(written.defaults, written.concepts, named)
    count = len(entries) * len(recipes) * len(seeds)
    if count > MAX_RUNS:
        raise ConceptError(
            f"{named} asks for {count} runs, more than {MAX_RUNS}", hint="fewer recipes or seeds"
        )
    trials = tuple(
        _trials(replace(request, base=base), entries, recipes, seeds, path.parent, named)
    )
    _check_names(trials, named)
    return Sweep(
        check_tag(f"sweep {path.stem.replace(',', ' ')}"), trials, tuple(recipes),
        _suite(written.suite, path.parent), _metrics(written.rank_by, named),
    )  # fmt: skip


def _checked(data: Any, named: str) -> SweepFile:
    for key, hint in (
        ("concepts", "concepts: and below it one '- path: FOLDER' each"),
        ("recipes", "recipes: and below it a name with knobs each, such as 'wide: {vectors: 4}'"),
    ):
        if not isinstance(data, dict) or not data.get(key):
            raise ConceptError(f"{named} lists no {key}", hint=hint)
    return validate_document(SweepFile, data, name=named, failure=ConceptError)


def _base(given: str, folder: Path) -> str:
    """A base as the file names it; a folder or file beside it is meant from there."""
    return str(folder / given) if given and (folder / given).exists() else given


def _suite(given: str | None, folder: Path) -> str | None:
    return str(folder / given) if given and (folder / given).is_file() else given


def _metrics(names: Sequence[str], named: str) -> tuple[str, ...]:
    import difflib

    from tireg.metrics import METRICS

    for name in names:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.6)
            raise ConceptError(
                f"{named}, rank_by: there is no metric '{name}'",
                hint=f"did you mean '{near[0]}'?" if near else f"metrics: {', '.join(METRICS)}",
            )
        if METRICS[name].direction == "target" and METRICS[name].target is None:
            raise ConceptError(
                f"{named}, rank_by: nothing says which '{name}' is best", hint="another metric"
            )
    return tuple(dict.fromkeys(names))


def _recipes(written: Mapping[str, Any], named: str) -> dict[str, dict[str, Any]]:
    """Knobs by recipe, lists of values taken apart; no two alike."""
    found: dict[str, dict[str, Any]] = {}
    alike: dict[bytes, str] = {}
    for name, knobs in written.items():
        if unknown := sorted(set(knobs) - {*Recipe.model_fields, *OTHER_NAMES}):
            _refuse_knob(unknown[0], f"{named}, recipe '{name}'")
        if {"seed", "format_version"} & set(knobs):
            raise RecipeError(
                f"{named}, recipe '{name}': seeds are not part of a recipe here", hint="seeds: [0]"
            )
        for full, own in _grid(name, knobs, named):
            _check_label(full, f"{named}, recipe '{name}'")
            told = canonical_json({OTHER_NAMES.get(k, k): v for k, v in own.items()})
            if full in found or told in alike:
                raise RecipeError(
                    f"{named}: the recipes '{alike.get(told, full)}' and '{full}' are the same",
                    hint="leave one of them out",
                )
            found[full], alike[told] = own, full
    return found


def _refuse_knob(knob: str, named: str) -> None:
    import difflib

    known = sorted({*Recipe.model_fields, *OTHER_NAMES} - {"format_version", "seed"})
    near = difflib.get_close_matches(knob, known, n=1, cutoff=0.6)
    raise RecipeError(
        f"{named}: unknown knob '{knob}'",
        hint=f"did you mean '{near[0]}'?" if near else f"knobs: {', '.join(known)}",
    )


def _grid(name: str, knobs: Mapping[str, Any], named: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every combination of the listed values, called by the values that differ."""
    several = [knob for knob, value in knobs.items() if isinstance(value, list)]
    if empty := [knob for knob in several if not knobs[knob]]:
        raise RecipeError(
            f"{named}, recipe '{name}': '{empty[0]}' lists no value", hint=f"{empty[0]}: [1, 2]"
        )
    for values in itertools.product(*(knobs[knob] for knob in several)):
        own = {**knobs, **dict(zip(several, values, strict=True))}
        parts = [f"{knob}={value}" for knob, value in zip(several, values, strict=True)]
        yield "-".join([name, *parts]), own


def _check_label(name: str, named: str) -> None:
    try:
        check_alias(name)
    except RefError as error:
        raise RecipeError(f"{named}: {error.message}", hint=error.hint) from error


def _trials(
    request: TrainRequest,
    entries: Sequence[dict[str, Any]],
    recipes: Mapping[str, dict[str, Any]],
    seeds: Sequence[int],
    folder: Path,
    named: str,
) -> Iterator[Trial]:
    for number, entry in enumerate(entries, 1):
        for name, knobs in recipes.items():
            where = f"{named}, recipe '{name}' on concept {number}"
            own = {OTHER_NAMES.get(k, k): v for k, v in knobs.items()}
            for seed in seeds:
                made = entry_request(request, entry, folder, where, {}, {**own, "seed": seed})
                made = named_by_folder(made)
                yield Trial(name, made.name, seed, made)


def _check_names(trials: Sequence[Trial], named: str) -> None:
    """ConceptError where two concepts have one name, so that trials could not be told apart."""
    seen: dict[tuple[str, str, int], Trial] = {}
    for trial in trials:
        key = (trial.concept, trial.recipe, trial.seed)
        if key in seen:
            raise ConceptError(
                f"{named}: two concepts are called '{trial.concept}'", hint="name: ANOTHER"
            )
        seen[key] = trial
