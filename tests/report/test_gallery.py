"""The gallery's files: what is in them whatever the words say, and what becomes of the folder."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.report.gallery_words import EVIL, build, evil_word, picture, version, word
from tests.store.make import sha
from tireg.errors import ConfigError
from tireg.report.gallery import write_gallery
from tireg.report.gallery_data import Parent, Preview, Site
from tireg.report.gallery_folder import MARKER, GalleryFolder
from tireg.report.gallery_index import as_script
from tireg.report.gallery_pages import CSP

TEMPLATES = ROOT / "tireg" / "report" / "templates"
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


class Tags(HTMLParser):
    """Every element with its attributes, and the text between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def data_of(script: bytes) -> Any:
    """What ``JSON.parse`` would get of a data file."""
    body = re.fullmatch(rb"tireg\.add\('(.*)'\);\n", script)
    assert body is not None
    return json.loads(body[1].decode("ascii").replace("\\\\", "\\"))


@pytest.fixture
def evil(tmp_path: Path) -> dict[str, bytes]:
    build([evil_word(), word("plain")], tmp_path / "site", title=EVIL, evil_picture=picture())
    return tree(tmp_path / "site")


def test_hostile_text_stays_text(evil: dict[str, bytes]) -> None:
    pages = {name: data.decode() for name, data in evil.items() if name.endswith(".html")}
    assert len(pages) == 4
    for name, text in pages.items():
        tags = Tags(text)
        assert not HIDDEN.search(text.replace("\n", "")), name
        for tag, attributes in tags.found:
            assert tag not in ("svg/onload", "b", "style", "object", "iframe", "base")
            assert not [key for key in attributes if key.startswith("on") or key == "style"], name
            for key in ("src", "href"):
                value = attributes.get(key)
                if value is not None:
                    assert re.fullmatch(r"(\.\./)?[a-z_/]*[\w./-]*(#[\w=]*)?", value), (name, value)
            if tag == "script":
                assert set(attributes) == {"src", "defer"}, name
        assert "49" not in tags.text.replace(" 49", ""), "a template in a field was rendered"
    page = next(text for name, text in pages.items() if "⟨U+202E⟩" in text and "words/" in name)
    shown = Tags(page).text
    assert "</script><script>alert(1)</script><img src=x onerror=alert(2)>" in shown
    assert "⟨U+001B⟩[31mred⟨U+0000⟩" in shown


def test_data_files_are_calls_with_json_in_ascii(evil: dict[str, bytes]) -> None:
    scripts = {name: data for name, data in evil.items() if name.startswith("data/")}
    assert len(scripts) == 2
    for data in scripts.values():
        assert data.isascii()
        assert not re.search(rb"[<>&\x00-\x09\x0b-\x1f]", data)
        assert data.count(b"'") == 2
        data_of(data)
    rows = next(data_of(data)["rows"] for name, data in scripts.items() if "cards" in name)
    row = next(row for row in rows if "script" in row["n"])
    assert row["h"] == 1, "a token with hidden characters is not offered for copying"
    assert "⟨U+202E⟩" in row["t"]
    assert "__proto__" in row["g"]
    assert not HIDDEN.search(json.dumps(rows, ensure_ascii=False))


def test_as_script_keeps_what_it_is_given() -> None:
    data = {"a": "it's <b> & \\ \" \u2028 \n é \U0001f600", "__proto__": [1.5, None]}
    assert data_of(as_script(data)) == data


def test_no_name_reaches_the_disk(evil: dict[str, bytes]) -> None:
    forms = (
        r"index\.html|tireg-gallery\.json|list/1\.html|words/[0-9a-f]{20}\.html"
        r"|(data|assets)/[a-z_0-9-]+-[0-9a-f]{12}\.(js|css|svg)|pictures/[0-9a-f]{32}\.(webp|jpg)"
    )
    assert [name for name in evil if not re.fullmatch(forms, name)] == []


def test_every_page_has_the_policy_and_nothing_inline(evil: dict[str, bytes]) -> None:
    for name, data in evil.items():
        if name.endswith(".html"):
            tags = Tags(data.decode())
            policies = [a for tag, a in tags.found if a.get("http-equiv")]
            assert [a["content"] for a in policies] == [CSP], name
            assert tags.found.index(("meta", policies[0])) < 4, "before anything it is about"
    assert "'unsafe-inline'" not in CSP
    assert CSP.startswith("default-src 'none'; script-src 'self';")
    assert "require-trusted-types-for 'script'" in CSP


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("gallery*")), ids=lambda p: p.name)
def test_shipped_files_hold_no_way_from_text_to_markup(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser"
        r"|createContextualFragment|srcdoc|javascript:|\bimport\(|\|\s*safe\b|autoescape"
        r"|\son[a-z]+\s*=\s*[\"']|\sstyle\s*=|setTimeout\([\"']|https?://(?!www\.w3\.org/)"
    )
    assert re.findall(forbidden, text) == []
    if path.suffix == ".js":
        assert text.split("\n", 3)[2].startswith('"use strict"') or '"use strict";' in text[:300]
        assert text.count("\n") <= 400


def test_a_second_build_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    words = [word("a", version(previews=(Preview(sha("one")),))), word("b")]
    first = build(words, folder, one=picture())
    assert (first.words, first.pictures) == (2, 1)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != MARKER}
    again = write_gallery(
        Site("Words", tuple(words)),
        folder,
        lambda sha: pytest.fail("a picture was read again"),
        lambda *_: None,
    )
    files = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != MARKER}
    assert again.written <= 1, "the index alone: this build knows no metrics"
    assert {p for p, at in files.items() if before.get(p) != at} == set()


def test_what_left_the_registry_leaves_the_gallery(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    words = [word("a", version(previews=(Preview(sha("one")),))), word("b")]
    build(words, folder, one=picture())
    (folder / "CNAME").write_text("words.example", encoding="utf-8")
    (folder / "pictures" / "mine.png").write_bytes(b"mine")
    built = build([word("b")], folder)
    left = tree(folder)
    assert built.removed >= 4, "a page, two pictures, the data"
    assert left["CNAME"] == b"words.example"
    assert left["pictures/mine.png"] == b"mine"
    assert [name for name in left if name.startswith("words/")] == [f"words/{word('b').id}.html"]
    assert not [name for name in left if name.endswith(".webp")]
    assert json.loads(left[MARKER])["sizes"] == {}


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"holds files that are not a gallery .*thesis\.txt"):
        build([word("a")], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ConfigError, match="is not a folder"):
        build([word("a")], tmp_path / "thesis.txt")


@pytest.mark.parametrize("name", ["words", "pictures", MARKER])
def test_a_part_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    folder, other = tmp_path / "site", tmp_path / "other"
    build([word("a")], folder)
    (folder / name).rename(other)
    (folder / name).symlink_to(other)
    before = tree(other) if other.is_dir() else other.read_bytes()
    with pytest.raises(ConfigError, match="leads elsewhere"):
        build([word("b")], folder)
    assert (tree(other) if other.is_dir() else other.read_bytes()) == before


def test_a_page_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    folder, other = tmp_path / "site", tmp_path / "other.html"
    build([word("a")], folder)
    other.write_text("mine", encoding="utf-8")
    (folder / "index.html").unlink()
    (folder / "index.html").symlink_to(other)
    with pytest.raises(ConfigError, match="not a plain file"):
        build([word("b")], folder)
    assert other.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("text", "told"),
    [("[]", "not the marker"), ("{", "not the marker"),
     ('{"format_version": 2, "sizes": {}}', "newer tireg"),
     ('{"format_version": 1, "sizes": {"a": 1}}', "not the marker")],
)  # fmt: skip
def test_a_marker_that_is_none(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / MARKER).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        build([word("a")], tmp_path)


def test_a_build_that_was_cut_off_is_taken_up(tmp_path: Path) -> None:
    folder, other = tmp_path / "site", tmp_path / "other"
    words = [word(f"w{n}", version(previews=(Preview(sha(f"p{n}")),))) for n in range(3)]
    shots = {sha(f"p{n}"): picture() for n in range(3)}

    def killed(task: str, done: int, total: int) -> None:
        if task == "pages":
            raise KeyboardInterrupt

    site = Site("Words", tuple(words))
    with pytest.raises(KeyboardInterrupt):
        write_gallery(site, folder, shots.get, killed)
    (folder / "words" / ".tmp-1-ab").write_bytes(b"half")
    built = write_gallery(
        site, folder, lambda sha: pytest.fail("a picture was read again"), lambda *_: None
    )
    assert built.pictures == 3
    write_gallery(site, other, shots.get, lambda *_: None)
    assert tree(folder) == tree(other)


def test_only_files_of_ours_can_be_put(tmp_path: Path) -> None:
    place = GalleryFolder.open(tmp_path / "site")
    for path in ("../out.html", "words/x.html", "/etc/passwd", "data/a.js", "index.html/../x"):
        with pytest.raises(ValueError, match="no file of a gallery"):
            place.put(path, b"")
    assert not (tmp_path / "site").exists()


def test_pictures_are_bare_and_broken_ones_are_left_out(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    Image.new("RGB", (900, 600), "teal").save(buffer, "JPEG", exif=exif, comment=b"secret words")
    shots = (Preview(sha("good"), "a <word> here"), Preview(sha("broken")), Preview(sha("gone")))
    built = build(
        [word("word", version(previews=shots))], tmp_path / "s",
        good=buffer.getvalue(), broken=b"\x89PNG\r\n\x1a\nno",
    )  # fmt: skip
    files = {n: d for n, d in tree(tmp_path / "s").items() if n.startswith("pictures/")}
    assert built.pictures == 1
    sizes = set()
    for data in files.values():
        assert b"secret" not in data
        with Image.open(io.BytesIO(data)) as image:
            sizes.add(image.size)
            assert not image.getexif()
    assert sizes == {(320, 213), (768, 512)}


def test_lists_are_paged_and_empty_galleries_are_pages_too(tmp_path: Path) -> None:
    build([word(f"w{n:03}") for n in range(401)], tmp_path / "many")
    pages = [Tags((tmp_path / "many" / "list" / f"{n}.html").read_text()) for n in (1, 2, 3)]
    assert [sum(tag == "li" for tag, _ in page.found) for page in pages] == [200, 200, 1]
    assert ("a", {"href": "2.html", "rel": "next"}) in pages[0].found
    build([], tmp_path / "none")
    assert "0 words" in (tmp_path / "none" / "list" / "1.html").read_text()
    assert "There is no word here yet." in (tmp_path / "none" / "index.html").read_text()


def test_lineage_leads_both_ways(tmp_path: Path) -> None:
    parent = word("parent")
    child = word("child", version(2, "child", parent=Parent("parent", parent.newest.record)),
                 version(1, "child", parent=Parent("far-away")))  # fmt: skip
    build([parent, child], tmp_path / "s")
    text = (tmp_path / "s" / "words" / f"{child.id}.html").read_text()
    assert f'Started from <a href="{parent.id}.html"><bdi>parent@1</bdi></a>' in text
    assert "Started from <bdi>far-away</bdi>" in text
    back = (tmp_path / "s" / "words" / f"{parent.id}.html").read_text()
    assert f'<a href="{child.id}.html"><bdi>child@2</bdi></a>' in back
