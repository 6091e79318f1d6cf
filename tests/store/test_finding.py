"""References: every form a user may type, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest

from tests.store import make
from tireg.errors import CorruptError, RefError
from tireg.store.registry import Registry


@pytest.fixture
def two(registry: Registry) -> Registry:
    """``my-cat`` with two versions, the first of them the best, and ``dog``."""
    registry.add(*make.record(seed="one"), aliases=["best"])
    registry.add(*make.record(seed="two"))
    registry.add(*make.record("dog"))
    return registry


def test_every_form(two: Registry) -> None:
    first, second = (make.record(seed=s)[0] for s in ("one", "two"))
    for ref, version in {
        "my-cat": 2,
        " my-cat ": 2,
        "my-cat@latest": 2,
        "my-cat@1": 1,
        "my-cat@best": 1,
        first.sha256[:8]: 1,
        first.sha256.upper(): 1,
        second.tensor_hash[:12]: 2,
        f"0x{second.tensor_hash}": 2,
    }.items():
        found = two.resolve(ref)
        assert (found.name, found.version) == ("my-cat", version), ref
    assert two.resolve("my-cat@1").record == first


@pytest.mark.parametrize(
    ("ref", "sentence", "hint"),
    [
        ("my-cta", "no embedding is called 'my-cta'", "did you mean my-cat?"),
        ("my-cat@9", "'my-cat' has no version '9'", "it has @1, @2, @best"),
        ("my-cat@worst", "'my-cat' has no version 'worst'", "it has @1"),
        ("zebra", "no embedding is called 'zebra'", "tireg list"),
        ("abcdef", "no embedding", "tireg list"),
        ("", "no embedding", "tireg list"),
        ("x%_'\"; DROP TABLE versions", "no embedding", "tireg list"),
    ],
)
def test_unknown(two: Registry, ref: str, sentence: str, hint: str) -> None:
    with pytest.raises(RefError) as caught:
        two.resolve(ref)
    assert sentence in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_trash_is_named_with_the_way_back(two: Registry) -> None:
    two.remove("my-cat@2")
    assert two.resolve("my-cat").version == 1
    with pytest.raises(RefError) as caught:
        two.resolve("my-cat@2")
    assert caught.value.hint == "tireg restore my-cat@2"
    two.remove("my-cat")
    with pytest.raises(RefError) as caught:
        two.resolve("my-cat")
    assert caught.value.hint == "tireg restore my-cat"
    assert two.resolve("my-cat", trashed=True).trashed is not None
    assert [f.ref for f in two.trash()] == ["my-cat@1", "my-cat@2"]


def test_ambiguous_prefix(registry: Registry) -> None:
    registry.add(*make.record("a", tensor_hash="0123456789" + "a" * 54))
    registry.add(*make.record("b", tensor_hash="0123456789" + "b" * 54))
    with pytest.raises(RefError, match="several: a@1, b@1"):
        registry.resolve("0123456789")
    assert registry.resolve("0123456789a").name == "a"


def test_a_name_beats_a_hash(registry: Registry) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    registry.add(*make.record("other"), name=record.sha256[:10])
    assert registry.resolve(record.sha256[:10]).record.name == "other"


def test_changed_and_missing_record(registry: Registry) -> None:
    record, objects = make.record()
    registry.add(record, objects)
    path = registry.home / "records" / f"{record.sha256}.json"
    path.write_bytes(path.read_bytes().replace(b"someone", b"anybody"))
    with pytest.raises(CorruptError, match=r"record of 'my-cat@1'.*has changed"):
        registry.resolve("my-cat")
    path.unlink()
    with pytest.raises(CorruptError, match="record of 'my-cat@1' is missing"):
        registry.resolve("my-cat")
    assert registry.list()[0].name == "my-cat", "a list reads no record"
