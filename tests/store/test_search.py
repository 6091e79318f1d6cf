"""Search by words and filters: what is found, in what order, whatever is typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store import make
from tireg.domain.recipes import Recipe
from tireg.domain.records import Record, Source
from tireg.errors import InputError, RefError
from tireg.store import search as module
from tireg.store.adding import Item
from tireg.store.bases import fingerprint_key
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow, Verdict
from tireg.store.search import Query, match_expression


def names(registry: Registry, words: str = "", **filters: object) -> list[str]:
    """Names found, in order."""
    query = Query(words=words, **filters)  # type: ignore[arg-type]
    return [row.name for row in registry.search(query).rows]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Five embeddings that differ in everything there is to filter by."""
    with Registry.open(tmp_path_factory.mktemp("search") / "home") as registry:
        fill(registry)
        yield registry


def fill(registry: Registry) -> None:
    """Add the five."""
    items = [
        Item(*make.record("red-fox", kind="object", notes="in the snow"), tags=("animal", "red")),
        Item(
            *make.record(
                "aquarelle",
                kind="style",
                license="cc0-1.0",
                concept=make.concept("w", "a watercolour of a lighthouse"),
                base=make.base("base/two", "sdxl"),
                created="2026-08-05T00:00:00Z",
            ),
            tags=("painting",),
        ),
        Item(*make.record("my-cat", kind="subject", negative=True), tags=("animal",)),
        Item(*make.foreign("EasyNegative", "e", token="EasyNegative", negative=True)),
        Item(*make.record("水彩狐狸", token="<狐狸>", notes="Füchse aus Zürich")),
    ]
    registry.add_many(items)
    for name, value in (("red-fox", 0.9), ("my-cat", 0.5)):
        record = registry.resolve(name).record
        run, objects = make.run(record, values={"fidelity": value, "leakage": 1 - value})
        lower = run.scores[1].model_copy(update={"direction": "lower"})
        registry.add_run(run.model_copy(update={"scores": (run.scores[0], lower)}), objects)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("red-fox", {"red-fox"}),
        ("fox", {"red-fox"}),
        ("snow", {"red-fox"}),
        ("anim", {"red-fox", "my-cat"}),
        ("animal snow", {"red-fox"}),
        ("lighthouse", {"aquarelle"}),
        ('"watercolour of a light"', set()),
        ('"of a lighthouse"', {"aquarelle"}),
        ('"lighthouse a of"', set()),
        ("beach my-cat", {"my-cat"}),
        ("easyneg", {"EasyNegative"}),
        ("style", {"aquarelle"}),
        ("狐狸", {"水彩狐狸"}),
        ("水彩", {"水彩狐狸"}),
        ("fuchse zurich", {"水彩狐狸"}),
        ("base/two", {"aquarelle"}),
        ("<my-cat>", {"my-cat"}),
        ("nothing-of-the-kind", set()),
        ("<>", set()),
        ("-", {"red-fox", "my-cat"}),
    ],
)
def test_words(filled: Registry, words: str, expected: set[str]) -> None:
    assert set(names(filled, words)) == expected


def test_name_ranks_above_notes(registry: Registry) -> None:
    registry.add(*make.record("other", notes="it is a zeppelin"))
    registry.add(*make.record("zeppelin"))
    registry.add(*make.record("third", notes="not a zeppelin at all, but a long text about it"))
    assert names(registry, "zeppelin")[0] == "zeppelin"


SYNTAX = [
    '"', "'", "*", "a*", "^cat", "cat AND", "OR", "NOT cat", "NEAR(cat fox)", "name:cat",
    "(cat", "cat)", "cat + fox", "{name} : cat", "-cat", "cat\x00fox", '"cat', 'c"at', "--",
    "'; DROP TABLE words; --", "\\", "%", "_", "🦊", "cat" * 500, "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("words", SYNTAX)
def test_typed_syntax_is_only_words(filled: Registry, words: str) -> None:
    found = names(filled, words)
    assert set(found) <= {"red-fox", "aquarelle", "my-cat", "EasyNegative", "水彩狐狸"}
    assert filled.count() == 5


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words=st.text(max_size=30))
def test_any_text_can_be_searched_for(filled: Registry, words: str) -> None:
    filled.search(Query(words=words))


@given(word=st.text(alphabet="abcdefgh", min_size=2, max_size=12))
def test_expression_quotes_everything(word: str) -> None:
    assert match_expression(word) == (f'"{word}"*', [])
    assert match_expression(f'"{word} x"') == (f'"{word} x"', [])


def test_filters(filled: Registry) -> None:
    assert set(names(filled, tags=("animal",))) == {"red-fox", "my-cat"}
    assert names(filled, tags=("animal", "red")) == ["red-fox"]
    assert names(filled, kind="style") == ["aquarelle"]
    assert names(filled, family="sdxl") == ["aquarelle"]
    assert set(names(filled, family="sd1")) == {"red-fox", "my-cat", "EasyNegative", "水彩狐狸"}
    assert names(filled, license="cc0-1.0") == ["aquarelle"]
    assert names(filled, base="base/two") == ["aquarelle"]
    assert set(names(filled, negative=True)) == {"my-cat", "EasyNegative"}
    assert names(filled, "animal", kind="subject") == ["my-cat"]
    assert names(filled, minimum=(("fidelity", 0.6),)) == ["red-fox"]
    assert names(filled, minimum=(("fidelity", 0.6), ("leakage", 0.5))) == []
    assert names(filled, "cat", kind="no-such-kind") == []


def test_sorts(filled: Registry) -> None:
    assert names(filled, sort="fidelity") == ["red-fox", "my-cat"]
    assert names(filled, sort="leakage") == ["red-fox", "my-cat"], "lower is better"
    assert names(filled, "my-cat", sort="fidelity") == ["my-cat"]
    assert names(filled, sort="name") == sorted(names(filled))
    assert names(filled)[0] == "aquarelle", "the newest first"
    assert names(filled, sort="added")[0] == "水彩狐狸"
    with pytest.raises(InputError, match="called 'beauty'") as caught:
        names(filled, sort="beauty")
    assert "fidelity" in caught.value.hint
    with pytest.raises(InputError):
        names(filled, limit=0)


def test_compatible_with(filled: Registry) -> None:
    target = make.fingerprint("target")
    filled.add_base(BaseRow("target", "sd1", fingerprint=target))
    assert names(filled, compatible_with="target") == []
    one, two = (fingerprint_key(make.fingerprint(b)) for b in ("base/one", "base/two"))
    key = fingerprint_key(target)
    verdicts = [
        Verdict(key, one, "clip_l", "near", 0.99, "close"),
        Verdict(key, two, "clip_l", "incompatible", 0.1, "far"),
    ]
    filled.add_verdicts(verdicts)
    expected = {"red-fox", "my-cat", "水彩狐狸"}
    assert set(names(filled, compatible_with="target")) == expected
    assert set(names(filled, compatible_with="base/one")) == expected, "its own base"
    assert names(filled, compatible_with="base/two") == ["aquarelle"]
    assert names(filled, "fox", compatible_with="target") == ["red-fox"]
    filled.add_verdicts([Verdict(key, one, "clip_l", "partial", 0.5, "changed")])
    assert names(filled, compatible_with="target") == []
    with pytest.raises(RefError, match="no base is called 'nowhere'"):
        names(filled, compatible_with="nowhere")


def test_several_encoders_all_count(registry: Registry) -> None:
    from tireg.domain.records import TensorInfo

    both = tuple(
        TensorInfo(encoder=e, vectors=1, width=8, dtype="float32") for e in ("clip_g", "clip_l")
    )
    registry.add(*make.record("both", tensors=both))
    registry.add_base(BaseRow("target", "sdxl", fingerprint=make.fingerprint("target")))
    key = fingerprint_key(make.fingerprint("target"))
    own = fingerprint_key(make.fingerprint("base/one"))
    registry.add_verdicts([Verdict(key, own, "clip_l", "exact", 1.0, "equal")])
    assert names(registry, compatible_with="target") == []
    registry.add_verdicts([Verdict(key, own, "clip_g", "exact", 1.0, "equal")])
    assert names(registry, compatible_with="target") == ["both"]


@pytest.mark.parametrize("sort", ["relevance", "created", "added", "name", "fidelity"])
@pytest.mark.parametrize("words", ["", "thing"])
@pytest.mark.parametrize("broad", [False, True])
def test_pages_cover_everything_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, sort: str, words: str, broad: bool
) -> None:
    if broad:
        monkeypatch.setattr(module, "RANKED", 3)
        monkeypatch.setattr(module, "NARROW", 2)
    with Registry.open(home) as registry:
        records = [
            make.record(f"thing-{n}", created=f"2026-08-0{1 + n % 3}T00:00:00Z") for n in range(11)
        ]
        registry.add_many(Item(*record, tags=("x",)) for record in records)
        if sort == "fidelity":
            for record, _ in records:
                run, objects = make.run(record, values={"fidelity": 0.5})
                registry.add_run(run, objects)
        whole = names(registry, words, sort=sort, limit=None, tags=("x",))
        assert sorted(whole) == sorted(r.name for r, _ in records)
        query = Query(words=words, sort=sort, limit=4, tags=("x",))
        pages, sizes = [], []
        while True:
            page = registry.search(query)
            pages += [row.name for row in page.rows]
            sizes.append(len(page.rows))
            if page.cursor is None:
                break
            query = Query(words=words, sort=sort, limit=4, tags=("x",), cursor=page.cursor)
        assert pages == whole
        assert sizes == [4, 4, 3]


def test_foreign_cursors_are_refused(filled: Registry) -> None:
    cursor = filled.search(Query(sort="name", limit=2)).cursor
    assert cursor is not None
    assert filled.search(Query(sort="name", limit=3, cursor=cursor)).rows
    for query in (
        Query(sort="created", cursor=cursor),
        Query(sort="name", kind="style", cursor=cursor),
        Query(sort="name", cursor="nonsense"),
        Query(sort="name", cursor=""),
        Query(sort="name", cursor="é"),
    ):
        with pytest.raises(InputError, match="does not belong"):
            filled.search(query)


def test_the_762_concepts(home: Path, shared_dir: Path) -> None:
    path = shared_dir / "realworld" / "concepts" / "models.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    concepts = json.loads(path.read_text())
    items = [
        Item(
            Record(
                name=concept["model_name"],
                token=concept["token"],
                kind=concept["concept_type"] if concept["concept_type"] == "style" else "object",
                tensor_hash=make.sha(concept["model_name"]),
                tensors=(),
                files=(),
                source=Source(how="pulled", where=concept["model_link"]),
                created="2023-01-01T00:00:00Z",
                tireg_version="0.1.0",
            )
        )
        for concept in concepts
    ]
    with Registry.open(home) as registry:
        assert len(registry.add_many(items)) == 762
        assert registry.count() == 762
        for concept in concepts[::7]:
            name, token = concept["model_name"], concept["token"]
            assert name in names(registry, name, limit=None)
            assert name in names(registry, token, limit=None), token
            kind = concept["concept_type"] if concept["concept_type"] == "style" else "object"
            assert name in names(registry, name, kind=kind, limit=None)
        styles = sum(c["concept_type"] == "style" for c in concepts)
        assert len(names(registry, kind="style", limit=None)) == styles
        assert len(names(registry, "style", limit=None)) >= styles


def test_trained_words_are_found_by_their_beginning(registry: Registry) -> None:
    registry.add(*make.record("plain", recipe=Recipe(init="porcelain doll")))
    assert names(registry, "porcel") == ["plain"]
