"""Concept files: what they may hold, and what hostile ones are told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tireg.domain.concept_files import MAX_FILE_BYTES, read_concept_file, read_file
from tireg.errors import ConceptError, SchemaTooNewError

FULL = """
format_version: 1
name: my-cat
token: <my-cat>
kind: subject
class_noun: cat
pictures:
  - photos/
  - file: extra.jpg
    caption: "{token} on a sofa"
    mask: extra-shape.png
templates: ["a photo of {token}"]
license: cc-by-4.0
notes: my own cat
"""


def write(tmp_path: Path, text: str, name: str = "concept.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    read = read_concept_file(write(tmp_path, FULL))
    assert [entry.file for entry in read.pictures] == ["photos/", "extra.jpg"]
    assert read.pictures[1].caption == "{token} on a sofa"
    assert read.pictures[1].mask == "extra-shape.png"
    assert (read.name, read.token, read.kind, read.class_noun) == (
        "my-cat", "<my-cat>", "subject", "cat",
    )  # fmt: skip
    assert (read.license, read.negative, read.notes) == ("cc-by-4.0", False, "my own cat")


@pytest.mark.parametrize("pictures", ["photos", "[photos]", "{file: photos}", "[{file: photos}]"])
def test_one_folder_may_be_written_in_any_way(tmp_path: Path, pictures: str) -> None:
    read = read_concept_file(write(tmp_path, f"pictures: {pictures}"))
    assert [entry.file for entry in read.pictures] == ["photos"]


def test_json_says_the_same(tmp_path: Path) -> None:
    text = json.dumps({"pictures": ["a.png"], "token": "<x>"})
    assert read_concept_file(write(tmp_path, text, "concept.json")).token == "<x>"
    twice = write(tmp_path, '{"pictures": "a", "pictures": "b"}', "twice.json")
    with pytest.raises(ConceptError, match="'pictures' twice"):
        read_concept_file(twice)


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (bomb(), "alias"),
        ("pictures: &a [*a]", "alias"),
        ("[" * 5000, "nested too deeply"),
        ("pictures: !!python/object/apply:os.system [id]", "not valid YAML at line 1"),
        ("pictures: p\ntoken: a\ntoken: b", "'token' twice"),
        ("pictures: p\ntokn: a", "unknown key 'tokn'"),
        ("pictures: [{file: p, captoin: a}]", "unknown key 'pictures.0.captoin'"),
        ("pictures: https://example.org/cat.jpg", "is a URL"),
        ("pictures: [file:///etc/passwd]", "is a URL"),
        ('pictures: ["a\\0b.png"]', "is not a path"),
        ("pictures: ''", "is not a path"),
        ("pictures: []", "'pictures'"),
        ("token: <x>", "names no pictures"),
        ("pictures: p\nkind: thing", "'kind'"),
        ("pictures: p\nname: 2024-01-01", "'name'"),
        ("- a\n- b", "does not hold an object"),
        ("", "does not hold an object"),
        ("1: p\npictures: p", "1"),
        ("{", "not valid YAML"),
        ("pictures: [a.png, 5]", "'pictures.1'"),
        ("pictures: {? [a] : b}", "concept.yaml"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConceptError) as caught:
        read_concept_file(write(tmp_path, text))
    assert says in caught.value.message
    assert "concept.yaml" in caught.value.message
    assert "\n" not in caught.value.message


def test_unknown_keys_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConceptError) as caught:
        read_concept_file(write(tmp_path, "pictures: p\nclass: cat"))
    assert "class_noun" in caught.value.hint


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaTooNewError, match="format version 2"):
        read_concept_file(write(tmp_path, "format_version: 2\npictures: p\nfuture: 1"))


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = write(tmp_path, "#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConceptError, match="larger than 256 kB"):
        read_concept_file(path)


def test_text_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "concept.yaml").write_bytes("pictures: café".encode("latin-1"))
    with pytest.raises(ConceptError, match="not text in UTF-8"):
        read_concept_file(tmp_path / "concept.yaml")
    (tmp_path / "concept.yaml").write_bytes("pictures: café".encode("utf-8-sig"))
    assert read_concept_file(tmp_path / "concept.yaml").pictures[0].file == "café"


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_devices_and_folders_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "concept.yaml")
    for path in (tmp_path / "concept.yaml", Path("/dev/zero")):
        with pytest.raises(ConceptError, match="not a regular file"):
            read_file(path, 10)
    with pytest.raises(ConceptError, match="is a folder"):
        read_file(tmp_path, 10)
    with pytest.raises(ConceptError, match="no such file"):
        read_file(tmp_path / "nothing", 10)
    (tmp_path / "link").symlink_to(write(tmp_path, "hello", "real.txt"))
    assert read_file(tmp_path / "link", 10) == b"hello"


def test_a_path_on_a_windows_drive_is_no_url(tmp_path: Path) -> None:
    read = read_concept_file(write(tmp_path, "pictures: 'C:/photos'"))
    assert read.pictures[0].file == "C:/photos"
