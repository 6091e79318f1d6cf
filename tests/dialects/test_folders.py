"""Folders: what belongs together is read together, what is no embedding is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dialects.layouts import L1, L2, as_torch, rows, safetensors_file, torch_file
from tests.rejects.texts import png
from tireg.dialects import Group, groups, read_group, read_path
from tireg.errors import BaseError


def concept(folder: Path, token: str = "<cat-toy>") -> None:
    folder.mkdir()
    (folder / "learned_embeds.bin").write_bytes(torch_file({token: as_torch(L1[0])}))
    (folder / "token_identifier.txt").write_text("<cat-toy>\n")
    (folder / "type_of_concept.txt").write_text("object")
    (folder / "README.md").write_text("# cat toy")
    (folder / "concept_images").mkdir()
    (folder / "concept_images" / "0.png").write_bytes(png([]))


def test_concepts_library_folder(tmp_path: Path) -> None:
    concept(tmp_path / "cat-toy")
    (reading,) = read_path(tmp_path / "cat-toy", recursive=True)
    (embedding,) = reading.embeddings
    assert (embedding.token, embedding.kind) == ("<cat-toy>", "object")
    assert reading.warnings == ()


def test_identifier_wins_over_the_key_with_a_warning(tmp_path: Path) -> None:
    concept(tmp_path / "cat-toy", token="<placeholder>")
    (reading,) = read_path(tmp_path / "cat-toy")
    assert reading.embeddings[0].token == "<cat-toy>"
    assert "its key is '<placeholder>'" in reading.warnings[0]


@pytest.mark.parametrize("tail", ["", "-steps-500"])
def test_halves_are_joined(tmp_path: Path, tail: str) -> None:
    for name, width in (("learned_embeds", 768), ("learned_embeds_2", 1280)):
        data = safetensors_file({"<cat>": rows(2, width)})
        (tmp_path / f"{name}{tail}.safetensors").write_bytes(data)
    (reading,) = read_path(tmp_path)
    (embedding,) = reading.embeddings
    assert list(embedding.tensors) == ["clip_l", "clip_g"]
    assert embedding.families == ("sdxl",)
    assert [file.name for file in reading.files] == [
        f"learned_embeds{tail}.safetensors",
        f"learned_embeds_2{tail}.safetensors",
    ]
    assert reading.warnings == ()


def test_files_that_only_look_like_halves_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "cat.bin").write_bytes(torch_file({"<cat>": as_torch(L1)}))
    (tmp_path / "cat_2.bin").write_bytes(torch_file({"<dog>": as_torch(L1)}))
    readings = read_path(tmp_path)
    assert [r.embeddings[0].token for r in readings] == ["<cat>", "<dog>"]


def test_pictures_and_previews_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cat.safetensors").write_bytes(safetensors_file({"emb_params": L2}))
    (tmp_path / "cat.preview.png").write_bytes(png([]))
    (tmp_path / "photo.png").write_bytes(png([]))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden.pt").write_bytes(b"")
    assert [reading.path.name for reading in read_path(tmp_path)] == ["cat.safetensors"]
    (asked,) = read_path(tmp_path / "photo.png")
    assert asked.refused == "it is a PNG picture with no embedding in it"


def test_a_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"")
    (tmp_path / "b.safetensors").write_bytes(safetensors_file({"emb_params": L2}))
    assert [bool(reading.refused) for reading in read_path(tmp_path)] == [True, False]


def test_subfolders_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.safetensors").write_bytes(safetensors_file({"emb_params": L2}))
    assert groups([tmp_path]) == []
    (group,) = groups([tmp_path], recursive=True)
    assert read_group(group)[0].embeddings[0].token == "b"


def test_the_same_file_given_twice_is_one_group(tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    path.write_bytes(safetensors_file({"emb_params": L2}))
    assert groups([path, tmp_path, path]) == [Group((path,))]


def test_family_of_the_user(tmp_path: Path) -> None:
    for name, width in (("cat", 768), ("cat_2", 1280)):
        (tmp_path / f"{name}.safetensors").write_bytes(safetensors_file({"<cat>": rows(1, width)}))
    assert read_path(tmp_path, family="SDXL 1.0")[0].embeddings[0].families == ("sdxl",)
    assert "not those of sd2" in str(read_path(tmp_path, family="sd2")[0].refused)
    with pytest.raises(BaseError, match="no model family"):
        read_path(tmp_path, family="sd99")
