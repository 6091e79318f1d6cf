"""From what the user names to photos, captions, masks and sentences."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.scenes import noise, spot
from tireg.domain.concepts import TEMPLATES, prompts_for
from tireg.errors import ConceptError, TokenError
from tireg.workflows.concept_input import Typed, load_concept, plan_concept, read_concept

TYPED = Typed(token="<x>", kind="object")
FRONT = (
    "the caption of 'b.png' is without <x>: it is put in front, as in "
    "'a photo of a <x>, in the rain'"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four different pictures a.png … d.png."""
    made = tmp_path / "photos"
    made.mkdir()
    for number, name in enumerate("abcd"):
        noise(60, 48, number).save(made / f"{name}.png")
    return made


def test_a_folder_needs_no_more_than_a_token_and_a_kind(folder: Path) -> None:
    read = read_concept([folder], TYPED)
    assert [photo.picture.name for photo in read.photos] == ["a.png", "b.png", "c.png", "d.png"]
    assert read.captions == ((),) * 4
    assert read.masks == (None,) * 4
    assert read.warnings == ()
    assert read.plan.templates == TEMPLATES["object"]
    assert (read.plan.name, read.plan.negative, read.plan.license) == ("", False, None)


@pytest.mark.parametrize(
    ("typed", "failure", "hint"),
    [
        (Typed(kind="object"), TokenError, "--token"),
        (Typed(token="<x>"), ConceptError, "--kind"),
        (Typed(token="<x>", kind="thing"), ConceptError, "object, style or subject"),
        (Typed(token="two words", kind="style"), TokenError, "<my-cat>"),
    ],
)
def test_what_is_missing_is_said_before_a_picture_is_opened(
    folder: Path, typed: Typed, failure: type[Exception], hint: str
) -> None:
    (folder / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(failure, match=hint):
        plan_concept([folder], typed)


def test_a_concept_file_says_it_all_and_what_is_typed_wins(folder: Path, tmp_path: Path) -> None:
    spot(60, 48, (0, 0, 30, 48)).save(tmp_path / "shape.png")
    (tmp_path / "concept.yaml").write_text(
        "name: my-cat\ntoken: <cat>\nkind: subject\nclass_noun: cat\nlicense: cc0\nnegative: yes\n"
        "notes: mine\ntemplates: ['a {token}']\n"
        "pictures: [photos, {file: photos/b.png, caption: 'my {token}', mask: shape.png}]\n"
    )
    read = read_concept([tmp_path / "concept.yaml"])
    assert [photo.picture.name for photo in read.photos] == ["a.png", "b.png", "c.png", "d.png"]
    assert read.captions == ((), ("my {token}",), (), ())
    assert read.photos[1].picture.caption == "my {token}"
    assert [mask is not None for mask in read.masks] == [False, True, False, False]
    plan = read.plan
    assert (plan.name, plan.token, plan.kind, plan.class_noun) == (
        "my-cat",
        "<cat>",
        "subject",
        "cat",
    )
    assert (plan.license, plan.negative, plan.notes) == ("cc0", True, "mine")
    typed = Typed(token="<dog>", kind="object", name="dog", license="mit")
    again = plan_concept([tmp_path], typed)
    assert (again.token, again.kind, again.name, again.license) == ("<dog>", "object", "dog", "mit")
    assert again.templates == ("a {token}",)
    assert "concept.yaml' says what to learn" in again.warnings[0]


def test_paths_may_lead_out_of_the_folder_and_through_links(folder: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.png").symlink_to(folder / "b.png")
    (inner / "concept.json").write_text('{"pictures": ["../photos/a.png", "link.png"]}')
    plan = plan_concept([inner / "concept.json"], TYPED)
    names = [photo.picture.name for photo in load_concept(plan).photos]
    assert names == ["a.png", "link.png"]


def test_a_concept_file_stands_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "concept.yaml").write_text("pictures: photos")
    with pytest.raises(ConceptError, match="is not alone"):
        plan_concept([tmp_path / "concept.yaml", folder], TYPED)
    (tmp_path / "concept.json").write_text("{}")
    with pytest.raises(ConceptError, match="both concept files"):
        plan_concept([tmp_path], TYPED)
    with pytest.raises(ConceptError, match="no such file"):
        plan_concept([tmp_path / "missing.yaml"], TYPED)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pictures: nowhere", "nowhere' does not exist"),
        ("pictures: [{file: photos, caption: x}]", "is a folder: captions and masks"),
        ("pictures: photos\ncaptions: nowhere", "the folder of captions"),
        ("pictures: photos\nmasks: photos/a.png", "the folder of masks"),
        ("pictures: photos\ntemplates: [a cat]", "exactly once"),
    ],
)
def test_what_a_concept_file_names_wrongly_is_said(
    folder: Path, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "concept.yaml").write_text(text)
    with pytest.raises(ConceptError) as caught:
        plan_concept([tmp_path / "concept.yaml"], TYPED)
    assert says in caught.value.message


def test_caption_files_are_found_and_what_becomes_of_them_is_said(folder: Path) -> None:
    (folder / "a.txt").write_text("{token} on a chair\n")
    (folder / "b.caption").write_text("in the rain\nin the snow\n")
    (folder / "c.txt").write_text("\n")
    read = read_concept([folder], TYPED)
    assert read.captions == (("{token} on a chair",), ("in the rain", "in the snow"), (), ())
    assert read.warnings == (
        "the caption file 'c.txt' is empty",
        FRONT,
        "2 pictures are without a caption: templates are used",
        "the caption file of 'b.png' is of several lines: each line is a caption of its own",
    )
    prompts, per = prompts_for("object", read.plan.templates, read.captions, "<x>")
    assert all(prompt.count("<x>") == 1 for prompt in prompts)
    assert [len(own) for own in per] == [1, 2, 10, 10]
    assert read_concept([folder], TYPED, captions=False).captions == ((),) * 4


def test_captions_may_lie_in_a_folder_of_their_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("<x> here")
    (folder / "a.txt").write_text("not this")
    (tmp_path / "concept.yaml").write_text("pictures: photos\ncaptions: words")
    read = read_concept([tmp_path], TYPED)
    assert read.captions == (("<x> here",), (), (), ())


@pytest.mark.timeout(30)
def test_bad_caption_files_are_named(folder: Path) -> None:
    path = folder / "a.txt"
    path.write_bytes("café".encode("latin-1"))
    with pytest.raises(ConceptError, match=r"a.txt' is not text in UTF-8 \(byte 4\)"):
        read_concept([folder], TYPED)
    path.write_text("<x> and <x>")
    with pytest.raises(ConceptError, match=r"2 times \(of 'a.png'\)"):
        read_concept([folder], TYPED)
    path.unlink()
    path.symlink_to(folder / "lost.txt")
    with pytest.raises(ConceptError, match="no such file"):
        read_concept([folder], TYPED)
    path.unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(path)
        with pytest.raises(ConceptError, match="not a regular file"):
            read_concept([folder], TYPED)


def test_masks_are_found_and_all_bad_ones_are_named(folder: Path) -> None:
    (folder / "masks").mkdir()
    spot(60, 48, (0, 0, 30, 48)).save(folder / "a_mask.png")
    spot(60, 48, (0, 0, 60, 12)).save(folder / "masks" / "b.png")
    read = read_concept([folder], TYPED)
    shares = [None if m is None else float(np.asarray(m).mean()) / 255 for m in read.masks]
    assert shares == [pytest.approx(0.5), pytest.approx(0.25), None, None]
    assert read.warnings == ("2 pictures are without a mask: all of it is learned",)
    assert read_concept([folder], TYPED, masks=False).masks == (None,) * 4
    spot(60, 40, (0, 0, 30, 40)).save(folder / "c_mask.png")
    Image.new("L", (60, 48)).save(folder / "d_mask.png")
    with pytest.raises(ConceptError) as caught:
        read_concept([folder], TYPED)
    assert "c_mask.png' has 60 x 40 pixels and its picture 'c.png' 60 x 48" in caught.value.message
    assert "d_mask.png' is black all over" in caught.value.message


def test_transparency_is_a_mask_and_a_mask_file_beats_it(folder: Path) -> None:
    image = noise(60, 48, 9).convert("RGBA")
    image.putalpha(spot(60, 48, (0, 0, 30, 48)))
    image.save(folder / "a.png")
    image.save(folder / "b.png")
    spot(60, 48, (0, 0, 15, 48)).save(folder / "b_mask.png")
    read = read_concept([folder], TYPED)
    assert [None if m is None else round(float(np.asarray(m).mean())) for m in read.masks] == [
        128, 64, None, None,
    ]  # fmt: skip
    assert any("1 picture is with transparency" in said for said in read.warnings)
    Image.new("RGBA", (60, 48)).save(folder / "c.png")
    with pytest.raises(ConceptError, match=r"'c.png' is transparent all over"):
        read_concept([folder], TYPED)


def test_templates_come_from_a_file(folder: Path, tmp_path: Path) -> None:
    words = tmp_path / "mine.txt"
    words.write_text("a {token}\nthe {token}\n")
    typed = Typed(token="<x>", kind="style", templates=words)
    assert plan_concept([folder], typed).templates == ("a {token}", "the {token}")
    words.write_text("a {token}\na photo of [name]\n")
    with pytest.raises(ConceptError, match=r"line 2 of '.*mine.txt'"):
        plan_concept([folder], typed)


def test_what_the_pictures_look_like_is_said(folder: Path) -> None:
    (folder / "e.png").write_bytes((folder / "a.png").read_bytes())
    read = read_concept([folder], TYPED, resolution=64)
    assert read.warnings[0].startswith("'a.png' and 'e.png' are the same file")
    assert "smaller than the 64 pixels of training" in read.warnings[1]


def test_a_picture_named_twice_counts_once(folder: Path) -> None:
    plan = plan_concept([folder / "a.png", folder], TYPED)
    assert [source.path.name for source in plan.sources] == ["a.png", "b.png", "c.png", "d.png"]
    assert plan.warnings == ("'a.png' is named twice and counts once",)


def test_pictures_that_cannot_be_read_are_all_named(folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"no")
    (folder / "worse.jpg").write_bytes(b"")
    with pytest.raises(ConceptError) as caught:
        read_concept([folder], TYPED)
    assert "bad.png' is not a picture" in caught.value.message
    assert "worse.jpg' is empty" in caught.value.message
