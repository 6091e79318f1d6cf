"""Every message of a fleet file, and what wins over what."""

from __future__ import annotations

from pathlib import Path

import pytest

from tireg.errors import ConceptError, InputError, RecipeError, TiregError
from tireg.workflows.fleet_file import named_by_folder, read_fleet
from tireg.workflows.train import TrainRequest

SHARED = TrainRequest((), "shapes")


def wrong(path: Path, kind: type[InputError] = ConceptError) -> str:
    with pytest.raises(kind) as caught:
        read_fleet(path, SHARED, knobs={})
    assert str(path.name) in caught.value.message
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no concepts"),
        ("[a]", "lists no concepts"),
        ("concepts: []", "concepts"),
        ("concepts: [3]", "concepts"),
        ("concepts: [a]\nconcept: b", "unknown key 'concept'"),
        ("format_version: 9\nconcepts: [a]", "format version 9"),
        ("defaults: {tokn: <a>}\nconcepts: [a]", "did you mean 'token'"),
        ("concepts: [{name: a}]", "has no path"),
        ("concepts: [{path: a}, {path: b, qqqq: 1}]", "concept 2: unknown key 'qqqq'"),
        ("concepts: [{path: 'https://x.org/a'}]", "is a URL"),
        ("concepts: [{path: []}]", "path"),
        ("concepts: [{path: a, kind: thing}]", "kind"),
        ("concepts: [a", "fleet.yaml"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    with pytest.raises(TiregError) as caught:
        read_fleet(path, SHARED, knobs={})
    assert said in str(caught.value)
    assert "fleet.yaml" in str(caught.value)


def test_a_wrong_knob_is_a_recipe_error(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("concepts: [{path: a, vectors: 0}]")
    assert "concept 1" in wrong(path, RecipeError)
    path.write_text("concepts: [a]")
    with pytest.raises(RecipeError) as caught:
        read_fleet(path, SHARED, knobs={"lr": 99.0})
    assert "--lr 99.0" in caught.value.message


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in wrong(tmp_path / "missing.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"concepts: [caf\xe9]")
    assert "UTF-8" in wrong(path)
    (tmp_path / "none").mkdir()
    assert "no folders of concepts" in wrong(tmp_path / "none")


def test_typed_beats_entry_beats_defaults_beats_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("steps: 9\nbatch: 9\nvectors: 9\nseed: 9")
    (tmp_path / "fleet.yaml").write_text(
        "defaults: {batch: 8, vectors: 8, seed: 8, kind: style}\n"
        "concepts: [{path: a, vectors: 7, seed: 7}, b]"
    )
    one, two = read_fleet(
        tmp_path / "fleet.yaml", SHARED, recipe=tmp_path / "recipe.yaml", knobs={"seed": 6}
    )
    told = [(r.recipe.steps, r.recipe.batch, r.recipe.vectors, r.recipe.seed) for r in (one, two)]
    assert told == [(9, 8, 7, 6), (9, 8, 8, 6)]
    assert (one.kind, one.pictures) == ("style", (tmp_path / "a",))


def test_names_come_from_folders(tmp_path: Path) -> None:
    (tmp_path / "my ball").mkdir()
    named = named_by_folder(TrainRequest((tmp_path / "my ball",), "shapes"))
    assert (named.name, named.token) == ("my-ball", "<my-ball>")
