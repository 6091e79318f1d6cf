"""Many concepts in one file, or one folder of folders, as the requests of single runs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from tireg.domain.concept_files import (
    CONCEPT_NAMES,
    CONCEPT_SUFFIXES,
    LocalPath,
    read_concept_file,
    read_file,
)
from tireg.domain.concepts import Kind
from tireg.domain.model import Document, Part, first_problem, validate_document
from tireg.domain.plain_yaml import parse_yaml
from tireg.domain.recipes import Recipe, check_knob, make_recipe
from tireg.errors import ConceptError
from tireg.store.names import clean_name
from tireg.workflows.recipes import OTHER_NAMES, read_recipe

if TYPE_CHECKING:
    from tireg.workflows.train import TrainRequest

FLEET_NAMES = ("concepts.yaml", "concepts.yml")
MAX_BYTES = 4 * 2**20
MAX_CONCEPTS = 10_000
# Words of a concept that an entry shares with what is typed for all of them.
SHARED = ("kind", "class_noun", "license", "negative", "templates")


def _paths(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Words(Part):
    """What an entry says besides knobs of the recipe; a concept file fills in what is missing."""

    path: Annotated[tuple[LocalPath, ...], Field(min_length=1), BeforeValidator(_paths)] = Field(
        description="Folder, concept file or pictures, from the fleet file's folder."
    )
    name: str = Field(default="", max_length=200, description="Name in the registry.")
    token: str = Field(default="", description="The word to type, such as '<my-cat>'.")
    kind: Kind | None = Field(default=None, description="What is learned.")
    class_noun: str = Field(default="", max_length=100, description="Ordinary word for it.")
    templates: tuple[str, ...] = Field(default=(), description="Prompts with {token}.")
    license: str | None = Field(default=None, max_length=200, description="Of the pictures.")
    negative: bool | None = Field(default=None, description="Learned to be kept out.")


class FleetFile(Document):
    """``concepts.yaml``: entries of words and knobs, and what counts where an entry is silent."""

    format_version: Literal[1] = 1
    defaults: dict[str, Any] = Field(default_factory=dict, description="For every concept.")
    concepts: tuple[str | dict[str, Any], ...] = Field(
        min_length=1, max_length=MAX_CONCEPTS, description="Paths, or a path with words and knobs."
    )


def read_fleet(
    path: Path, request: TrainRequest, *, recipe: Path | None = None, knobs: Mapping[str, Any]
) -> list[TrainRequest]:
    """One request for each concept of ``path``, a fleet file or a folder of concept folders.

    ``request`` is what all have in common; its words and the typed ``knobs`` that are not None
    win over the file, and the file wins over ``recipe``, a file of knobs. Without a name a
    concept is called as its folder, without a token ``<name>``. No picture is opened. Raises
    ConceptError or RecipeError for an entry that is wrong, with the key that may be meant.
    """
    for key, value in knobs.items():
        if value is not None:
            shown = f"--{key.replace('_', '-')}"
            check_knob(OTHER_NAMES.get(key, key), value, shown=shown)
    typed = {OTHER_NAMES.get(k, k): v for k, v in knobs.items() if v is not None}
    common = read_recipe(recipe, {}) if recipe is not None else Recipe()
    beneath = {key: getattr(common, key) for key in common.model_fields_set}
    named, folder, entries = _entries(path)
    return [
        entry_request(request, entry, folder, f"{named}, concept {number}", beneath, typed)
        for number, entry in enumerate(entries, 1)
    ]


def _entries(path: Path) -> tuple[str, Path, list[dict[str, Any]]]:
    """What messages call the file, the folder its paths are from, its entries with defaults."""
    if path.is_dir():
        files = [path / name for name in FLEET_NAMES if (path / name).is_file()]
        if not files:
            return f"'{path}'", path, _folders(path)
        path = files[0]
    named = f"'{path}'"
    data = read_yaml(path, named)
    if not isinstance(data, dict) or "concepts" not in data:
        raise ConceptError(
            f"{named} lists no concepts", hint="concepts: and below it one '- path: FOLDER' each"
        )
    written = validate_document(FleetFile, data, name=named, failure=ConceptError)
    return named, path.parent, entries_of(written.defaults, written.concepts, named)


def read_yaml(path: Path, named: str) -> Any:
    """What a YAML file says; ConceptError where it cannot be read."""
    try:
        text = read_file(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConceptError(f"{named} is not text in UTF-8", hint="save it as UTF-8") from error
    return parse_yaml(text, named, failure=ConceptError)


def entries_of(
    defaults: Mapping[str, Any], concepts: Sequence[str | dict[str, Any]], named: str
) -> list[dict[str, Any]]:
    """Entries with what counts where they are silent; ConceptError for an unknown key there."""
    _check_keys(defaults, f"{named}, defaults")
    entries = [{"path": one} if isinstance(one, str) else one for one in concepts]
    return [{**_known(defaults), **_known(one)} for one in entries]


def _folders(path: Path) -> list[dict[str, Any]]:
    found = sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not found:
        raise ConceptError(
            f"'{path}' has no folders of concepts in it",
            hint="a folder of pictures for each concept, or a file of concepts",
        )
    return [{"path": name} for name in found]


def _known(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {OTHER_NAMES.get(key, key): value for key, value in entry.items()}


def _check_keys(entry: Mapping[str, Any], named: str) -> None:
    """ConceptError for a key that is neither a word nor a knob, with the one that may be meant."""
    words, knobs = (
        set(Words.model_fields),
        {*Recipe.model_fields, *OTHER_NAMES} - {"format_version"},
    )
    for key in entry:
        if key not in words | knobs:
            near = difflib.get_close_matches(str(key), sorted(words | knobs), n=1, cutoff=0.6)
            raise ConceptError(
                f"{named}: unknown key '{key}'",
                hint=f"did you mean '{near[0]}'?" if near else
                f"keys there: {', '.join(sorted(words))}, and those of a recipe",
            )  # fmt: skip


def entry_request(
    request: TrainRequest,
    entry: dict[str, Any],
    folder: Path,
    named: str,
    beneath: Mapping[str, Any],
    typed: Mapping[str, Any],
) -> TrainRequest:
    """The request of one entry, whose paths are from ``folder``; messages call it ``named``.

    ``typed`` knobs win over the entry, and the entry wins over those ``beneath``. Raises as
    :func:`read_fleet`.
    """
    _check_keys(entry, named)
    told = {key: value for key, value in entry.items() if key in Words.model_fields}
    if "path" not in told:
        raise ConceptError(f"{named} has no path", hint="path: FOLDER")
    try:
        words = Words.model_validate(told)
    except ValidationError as error:
        raise ConceptError(f"{named}: {first_problem(error)}") from error
    knobs = {key: value for key, value in entry.items() if key not in Words.model_fields}
    recipe = make_recipe({**beneath, **knobs, **typed}, name=named)
    pictures = tuple(folder / path for path in words.path)
    shared = {key: getattr(request, key) or getattr(words, key) for key in SHARED}
    return replace(request, pictures=pictures, recipe=recipe, name=words.name, token=words.token,
                   **shared)  # fmt: skip


def named_by_folder(request: TrainRequest) -> TrainRequest:
    """``request`` with a name and a token: its own, else the concept file's, else the folder's.

    ConceptError where the concept file is wrong, or where nothing can give a name.
    """
    path = request.pictures[0]
    file = concept_file(path) if len(request.pictures) == 1 else None
    written = read_concept_file(file) if file is not None else None
    name = request.name or (written.name if written else None)
    token = request.token or (written.token if written else None)
    if not name:
        place = path.parent if file == path or not path.is_dir() else path
        name = clean_name(place.resolve().name, fallback="concept")
    return replace(request, name=name, token=token or f"<{name}>")


def concept_file(path: Path) -> Path | None:
    """The concept file that ``path`` is or holds, or None."""
    if path.suffix.lower() in CONCEPT_SUFFIXES and not path.is_dir():
        return path
    inside = [path / name for name in CONCEPT_NAMES]
    return next((file for file in inside if file.exists()), None)
