"""Many words for the built-in base: random rows, real pictures, no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.conftest import ROOT
from tireg.domain.model import read_document
from tireg.domain.records import Record
from tireg.domain.tensors import tensor_hash
from tireg.store.registry import Registry
from tireg.workflows.making import stored
from tireg.workflows.vectors import FILE_NAME, MEDIA_TYPE, describe, pack_vectors

LIKE = ROOT / "registry" / "embeddings" / "lime-star"


def many_words(home: Path, count: int) -> list[str]:
    """Record ``count`` words as that of ``LIKE``, each with rows of its own; their names."""
    like = read_document(Record, (LIKE / "record.json").read_bytes(), name="the record")
    names = [f"word-{number:04}" for number in range(count)]
    with Registry.open(home) as registry:
        for number, name in enumerate(names):
            draw = np.random.default_rng(number).normal(0, 0.05, (1, 128))
            rows = {"shapes": draw.astype(np.float32)}
            objects: dict[str, bytes] = {}
            packed = pack_vectors(f"<{name}>", rows)
            files = [stored(objects, "embedding", FILE_NAME, packed, MEDIA_TYPE)]
            for picture in sorted(LIKE.glob("preview-*.png"))[:2]:
                data = picture.read_bytes()
                files.append(stored(objects, "picture", picture.name, data, "image/png"))
            told = {
                "name": name, "token": f"<{name}>", "tensor_hash": tensor_hash(rows),
                "tensors": describe(rows), "files": tuple(files),
            }  # fmt: skip
            registry.add(like.model_copy(update=told), objects)
    return names
