"""What of a registry goes into a gallery, and what stays out of it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.store import make
from tireg.domain.concepts import Concept
from tireg.domain.model import read_document
from tireg.domain.recipes import Recipe
from tireg.domain.records import Record, Source, StoredFile, Training
from tireg.domain.scores import Run
from tireg.errors import ConfigError, RefError
from tireg.report.gallery_data import Site
from tireg.store.registry import Registry
from tireg.store.rows import Remote
from tireg.store.search import Query
from tireg.workflows.gallery import GalleryRequest, base_name, build_gallery, gather, last_part
from tireg.workflows.progress import Event, Notice

SECRET = "secret"


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(buffer, "PNG")
    return buffer.getvalue()


def stored(role: Any, data: bytes, text: str | None = None) -> StoredFile:
    return StoredFile(
        role=role, name=f"{SECRET}-{role}.png", sha256=make.sha(data), bytes=len(data),
        media_type="image/png", text=text,
    )  # fmt: skip


def training(**changes: Any) -> Training:
    return Training(
        steps=300, samples=1200, seconds=12.5, device="cpu", dtype="float32", threads=1, **changes
    )


def add(home: Path, name: str, seed: str = "one", **changes: Any) -> str:
    """Record a word; its record's sha256."""
    record, objects = make.record(name, seed, **changes)
    with Registry.open(home) as registry:
        return registry.add(record, objects).version.record_sha


def gathered(home: Path, *refs: str, **changes: Any) -> Site:
    with Registry.open(home) as registry:
        return gather(registry, GalleryRequest(Path("unused"), refs, **changes))


def test_nothing_that_publish_keeps_back_gets_out(home: Path, tmp_path: Path) -> None:
    shown, taught, sheet = png("red"), png("green"), png("blue")
    hidden = "/srv/someone/secret/start.pt"
    record, objects = make.record(
        "my-cat", notes="kept from birth", concept=make.concept(SECRET, f"a {SECRET} caption"),
        base=make.base("tiny"), metadata={"path": hidden}, recipe=Recipe(init_from=hidden),
        source=Source(how="trained", where=hidden),
        training=training(lineage={"init_from": hidden}, started=f"from '{hidden}'"),
        files=(make.record("my-cat")[0].files[0], stored("preview", shown, "a photo of <my-cat>"),
               stored("picture", taught), stored("sheet", sheet)),
    )  # fmt: skip
    run, run_objects = make.run(record, base_id="/srv/someone/secret/tiny")
    objects = {k: v for k, v in objects.items() if k == record.files[0].sha256}
    with Registry.open(home) as registry:
        registry.add(record, objects | {make.sha(data): data for data in (shown, taught, sheet)})
        registry.add_run(run, run_objects)
        registry.add_base(registry.bases()[0].__class__("private/other", "sd1"))
        registry.set_remote("my-cat", Remote("me/hidden-place", "c" * 40, record.sha256))
    request = GalleryRequest(tmp_path / "site")
    built = build_gallery(request, home=home)
    assert (built.words, built.pictures) == (1, 1)
    text = ""
    for path in built.index.parent.rglob("*"):
        if path.suffix in (".html", ".js", ".json"):
            text += path.read_text(encoding="utf-8").replace("\\u002d", "-")
    for word in (SECRET, str(home), "/srv/", "someone/", "private/other", "hidden-place"):
        assert word not in text, word
    assert "start.pt" in text, "of a path the name is left"
    assert "kept from birth" in text
    build_gallery(GalleryRequest(tmp_path / "site", hub=True), home=home)
    page = next((tmp_path / "site" / "words").iterdir()).read_text(encoding="utf-8")
    assert "tireg pull me/hidden-place" in page


def test_notes_of_a_later_day_are_private_and_replace_the_first(home: Path) -> None:
    add(home, "one", notes="at birth")
    add(home, "two", notes="at birth")
    with Registry.open(home) as registry:
        registry.note("two", "my boss must not see this")
        registry.tag("one", ["now"])
    notes = {word.name: (word.notes, word.tags) for word in gathered(home).words}
    assert notes == {"one": ("at birth", ("now",)), "two": ("", ())}


def test_references_choose_words_and_versions(home: Path) -> None:
    first = add(home, "my-cat", "one", created="2026-08-01T00:00:00Z")
    add(home, "my-cat", "two", created="2026-08-02T00:00:00Z",
        training=training(lineage={"init_from": "my-cat@1", "record": first}))  # fmt: skip
    add(home, "other", created="2026-08-03T00:00:00Z")
    every = gathered(home).words
    assert [(word.name, [v.number for v in word.versions]) for word in every] == [
        ("other", [1]), ("my-cat", [2, 1]),
    ]  # fmt: skip
    (alone,) = gathered(home, "my-cat@1").words
    assert [v.number for v in alone.versions] == [1]
    (whole,) = gathered(home, "my-cat@1", "my-cat").words
    assert [v.number for v in whole.versions] == [2, 1]
    parent = whole.newest.parent
    assert parent is not None
    assert parent.record == first
    with pytest.raises(RefError, match="no embedding is called 'cat'"):
        gathered(home, "cat")
    with Registry.open(home) as registry:
        registry.remove("my-cat@2")
    assert [v.number for v in gathered(home, "my-cat").words[0].versions] == [1]


def test_filters_choose_words(home: Path) -> None:
    add(home, "a-style", kind="style", concept=None)
    add(home, "a-cat", tags=("pet",))
    names = [w.name for w in gathered(home, query=Query(kind="style", limit=None)).words]
    assert names == ["a-style"]
    names = [w.name for w in gathered(home, query=Query(tags=("pet",), limit=None)).words]
    assert names == ["a-cat"]


def test_verdicts_speak_of_bases_the_words_know_and_of_those_asked_for(home: Path) -> None:
    add(home, "here", base=make.base("maker/one"))
    add(home, "there", base=make.base("maker/two", seed="maker/one"))
    with Registry.open(home) as registry:
        registry.add_base(registry.bases()[0].of(make.base("maker/three")))
    verdicts = {w.name: {v.base: v.verdict for v in w.verdicts} for w in gathered(home).words}
    assert verdicts["here"] == {"maker/one": "exact", "maker/two": "exact"}
    assert verdicts["there"] == verdicts["here"]
    (word,) = gathered(home, "here", also=("maker/three",)).words
    assert [v.base for v in word.verdicts] == ["maker/one", "maker/three"]
    with pytest.raises(RefError, match="no base is called 'maker/four' here"):
        gathered(home, also=("maker/four",))


def test_a_damaged_record_is_left_out_and_named(home: Path, tmp_path: Path) -> None:
    sha = add(home, "broken")
    add(home, "whole")
    (home / "records" / f"{sha}.json").write_bytes(b"{}")
    said: list[Event | Notice] = []
    built = build_gallery(GalleryRequest(tmp_path / "site"), home=home, listen=said.append)
    assert built.words == 1
    notices = [event.text for event in said if isinstance(event, Notice)]
    assert len(notices) == 1
    assert notices[0].startswith("'broken@1' is left out: the record of 'broken@1'")


def test_commands_can_be_pasted_whatever_the_names(home: Path) -> None:
    token = "<it's;$(id)>"
    concept = Concept(kind="object", class_noun="cat", pictures=(), templates=("a {token} here",))
    add(home, "it's a $(cat)", token=token, concept=concept)
    (word,) = gathered(home).words
    import shlex

    typed = [shlex.split(line) for _, line in word.commands]
    assert ["tireg", "generate", f"a {token} here", "--with", "it's a $(cat)"] in typed
    assert ["tireg", "show", "it's a $(cat)"] in typed


def test_the_shipped_words_with_their_scores(home: Path, tmp_path: Path) -> None:
    with Registry.open(home) as registry:
        for folder in sorted((ROOT / "registry" / "embeddings").iterdir()):
            record = read_document(Record, (folder / "record.json").read_bytes(), name="a record")
            data = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
            wanted = {file.sha256 for file in record.files}
            registry.add(record, {make.sha(d): d for d in data if make.sha(d) in wanted})
            for path in (folder / "scores").iterdir():
                run = read_document(Run, path.read_bytes(), name="a run")
                registry.add_run(run.model_copy(update={"files": ()}), {})
    built = build_gallery(GalleryRequest(tmp_path / "site", title="Shipped"), home=home)
    assert built.words == len(list((ROOT / "registry" / "embeddings").iterdir()))
    assert built.pictures == 4 * built.words
    (cards,) = (tmp_path / "site" / "data").glob("cards-*.js")
    text = cards.read_text(encoding="ascii").removeprefix("tireg.add('").removesuffix("');\n")
    rows = json.loads(text.replace("\\\\", "\\"))["rows"]
    assert all(row["s"] and row["p"] for row in rows)
    again = build_gallery(GalleryRequest(tmp_path / "site", title="Shipped"), home=home)
    assert (again.written, again.removed) == (0, 0)


def test_an_empty_registry_and_a_foreign_folder(home: Path, tmp_path: Path) -> None:
    assert build_gallery(GalleryRequest(tmp_path / "site"), home=home).words == 0
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(ConfigError, match="not a gallery"):
        build_gallery(GalleryRequest(tmp_path / "full"), home=home)


@pytest.mark.parametrize(
    ("text", "left"),
    [("maker/base", "maker/base"), ("shapes", "shapes"), ("clip:ViT-B-32", "clip:ViT-B-32"),
     ("/srv/models/tiny", "tiny"), ("C:\\models\\tiny", "tiny"), ("~/tiny", "tiny"),
     ("../tiny", "tiny"), ("a/b/c/d/tiny", "tiny"), ("me/shared/one", "me/shared/one")],
)  # fmt: skip
def test_of_a_path_the_name_is_left(text: str, left: str) -> None:
    assert base_name(text) == left
    assert last_part("my-cat@2") == "my-cat@2"
