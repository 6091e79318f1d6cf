"""Feature matrices: exact, appended safely, and back from them to embeddings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.store import make
from tireg.errors import InputError, RefError, StoreError
from tireg.store.adding import Item
from tireg.store.registry import Registry
from tireg.store.search import Query

SPACE = "test-encoder/ab:cd"


def random(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    """Random float32 features."""
    made: np.ndarray = np.random.default_rng(seed).standard_normal((count, width))
    return made.astype(np.float32)


def test_nearest_is_exact(registry: Registry) -> None:
    features = random(200)
    keys = [make.sha(str(n)) for n in range(200)]
    assert registry.features.put(SPACE, keys[:120], features[:120]) == 120
    assert registry.features.put(SPACE, keys[100:], features[100:]) == 80
    assert registry.features.put(SPACE, keys, features) == 0
    assert registry.features.known(SPACE) == set(keys)
    for query in random(5, seed=1):
        cosines = features @ query / np.linalg.norm(features, axis=1) / np.linalg.norm(query)
        order = np.argsort(-cosines)[:10]
        found = registry.features.nearest(SPACE, query, 10)
        assert [key for key, _ in found] == [keys[n] for n in order]
        assert [c for _, c in found] == pytest.approx(cosines[order].tolist(), abs=1e-5)
    assert len(registry.features.nearest(SPACE, features[0], 999)) == 200
    assert registry.features.nearest(SPACE, features[7], 1)[0][0] == keys[7]
    assert registry.features.nearest("other space", features[0], 3) == []


def test_the_file_is_a_plain_npy_matrix(registry: Registry) -> None:
    features = random(3)
    registry.features.put(SPACE, [make.sha(str(n)) for n in range(3)], features)
    loaded = np.load(registry.features.path(SPACE))
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(loaded["vector"], features / norms, rtol=1e-6)
    assert bytes(loaded["key"][1]).hex() == make.sha("1")


def test_a_cut_off_append_is_written_over(registry: Registry) -> None:
    features = random(4)
    keys = [make.sha(str(n)) for n in range(4)]
    registry.features.put(SPACE, keys[:2], features[:2])
    path = registry.features.path(SPACE)
    with path.open("ab") as file:
        file.write(b"\xff" * 77)
    assert registry.features.known(SPACE) == set(keys[:2])
    registry.features.put(SPACE, keys[2:], features[2:])
    for key, feature in zip(keys, features, strict=True):
        vector = registry.features.vector(SPACE, key)
        assert vector is not None
        np.testing.assert_allclose(vector, feature / np.linalg.norm(feature), rtol=1e-6)


def test_a_damaged_row_is_passed_over(registry: Registry) -> None:
    features = random(5)
    keys = [make.sha(str(n)) for n in range(5)]
    registry.features.put(SPACE, keys, features)
    path = registry.features.path(SPACE)
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 0x40
    path.write_bytes(raw)
    assert registry.features.vector(SPACE, keys[4]) is None
    found = registry.features.nearest(SPACE, features[0], 5)
    assert {key for key, _ in found} == set(keys[:4])


def test_refusals(registry: Registry) -> None:
    key = make.sha("x")
    for bad in (np.zeros((1, 4)), np.full((1, 4), np.nan), np.ones((2, 4)), np.ones(4)):
        with pytest.raises(InputError):
            registry.features.put(SPACE, [key], bad.astype(np.float32))
    registry.features.put(SPACE, [key], random(1, 4))
    with pytest.raises(InputError, match="width 4, not 5"):
        registry.features.put(SPACE, [make.sha("y")], random(1, 5))
    registry.features.path(SPACE).write_bytes(b"not a matrix")
    with pytest.raises(StoreError, match="not a matrix"):
        registry.features.nearest(SPACE, random(1, 4)[0], 1)


def test_like(registry: Registry) -> None:
    registry.add_many(Item(*make.record(f"n{n}")) for n in range(12))
    registry.remove("n11")
    missing = registry.features.missing(SPACE)
    assert len(missing) == 11
    preview = {
        row.name: registry.resolve(row.name).record.files[1].sha256 for row in registry.list()
    }
    assert set(missing) == set(preview.values())
    features = dict(zip(preview, random(11), strict=True))
    registry.features.put(SPACE, [preview[n] for n in preview], np.stack(list(features.values())))
    registry.features.put(SPACE, [make.sha("elsewhere")], features["n3"][None])
    assert registry.features.missing(SPACE) == []
    found = registry.like(SPACE, features["n3"], limit=3)
    assert found[0].row.name == "n3"
    assert found[0].cosine == pytest.approx(1.0)
    assert found[0].key == preview["n3"]
    assert len(found) == 3
    cosines = [n.cosine for n in found]
    assert cosines == sorted(cosines, reverse=True)
    registry.tag("n5", ["only"])
    only = registry.like(SPACE, features["n3"], filters=Query(tags=("only",)))
    assert [n.row.name for n in only] == ["n5"]
    registry.remove("n3")
    assert "n3" not in [n.row.name for n in registry.like(SPACE, features["n3"])]


def test_looks_further_past_what_is_filtered_out(registry: Registry) -> None:
    registry.add_many(Item(*make.record(f"n{n}")) for n in range(3))
    near = (1 + random(300, 8) * 0.01).astype(np.float32)
    registry.features.put(SPACE, [make.sha(f"stray{n}") for n in range(300)], near)
    preview = registry.resolve("n1").record.files[1].sha256
    registry.features.put(SPACE, [preview], -np.ones((1, 8), np.float32))
    found = registry.like(SPACE, np.ones(8, np.float32), limit=1)
    assert [n.row.name for n in found] == ["n1"]
    assert found[0].cosine == pytest.approx(-1.0)


def test_near(registry: Registry) -> None:
    vectors = random(4, 768)
    vectors[1] = vectors[0] + 0.1 * vectors[1]
    records = [make.record(f"n{n}")[0] for n in range(4)]
    registry.add_many(Item(*make.record(f"n{n}")) for n in range(4))
    registry.add(*make.record("n0"), name="twin")
    for record, vector in zip(records[:3], vectors, strict=False):
        registry.put_vectors({record.tensor_hash: {"clip_l": np.stack([vector, vector])}})
    found = registry.near("n0")
    assert found[0].row.name == "n1"
    assert found[0].cosine > 0.9
    assert {n.row.name for n in found} == {"n1", "n2"}
    with pytest.raises(StoreError, match="'n3@1' are not indexed"):
        registry.near("n3")
    with pytest.raises(RefError):
        registry.near("n9")


def test_near_with_two_encoders_uses_the_mean(registry: Registry) -> None:
    from tireg.domain.records import TensorInfo

    tensors = tuple(
        TensorInfo(encoder=e, vectors=1, width=4, dtype="float32") for e in ("clip_g", "clip_l")
    )
    rows = {"a": ([1, 0, 0, 0], [1, 0, 0, 0]), "b": ([1, 0, 0, 0], [-1, 0, 0, 0]),
            "c": ([0.9, 0.4, 0, 0], [0.9, 0.4, 0, 0])}  # fmt: skip
    for name, (big, small) in rows.items():
        record, objects = make.record(name, tensors=tensors)
        registry.add(record, objects)
        vectors = {"clip_g": np.array([big], np.float32), "clip_l": np.array([small], np.float32)}
        assert [v.name for v in registry.missing_vectors(name)] == [name]
        registry.put_vectors({record.tensor_hash: vectors})
        assert registry.missing_vectors(name) == []
    assert [(n.row.name, round(n.cosine, 2)) for n in registry.near("a")] == [
        ("c", 0.91),
        ("b", 0.0),
    ]


def test_gc_drops_features_of_what_is_gone(registry: Registry) -> None:
    registry.add_many(Item(*make.record(f"n{n}")) for n in range(3))
    keys = registry.features.missing(SPACE)
    features = dict(zip(keys, random(3), strict=True))
    registry.features.put(SPACE, keys, random(3))
    gone = registry.resolve("n1").record.files[1].sha256
    registry.remove("n1")
    registry.gc()
    assert registry.features.known(SPACE) == set(keys) - {gone}
    for key in set(keys) - {gone}:
        assert registry.features.nearest(SPACE, features[key], 1)[0][0] == key


def test_a_crash_while_appending_loses_nothing_counted(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [make.sha(str(n)) for n in range(4)]
    registry.features.put(SPACE, keys[:2], random(4)[:2])
    real = os.fsync

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="full"):
        registry.features.put(SPACE, keys[2:], random(4)[2:])
    monkeypatch.setattr(os, "fsync", real)
    assert registry.features.known(SPACE) == set(keys[:2])
    assert registry.features.put(SPACE, keys[2:], random(4)[2:]) == 2


def test_home_without_features(home: Path) -> None:
    with Registry.open(home, create=False) as registry:
        assert registry.features.nearest(SPACE, np.ones(4, np.float32), 3) == []
        assert registry.like(SPACE, np.ones(4, np.float32)) == []
