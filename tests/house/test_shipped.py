"""The embeddings that come with the project are whole and say the truth about themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.conftest import ROOT
from tireg.domain.model import read_document
from tireg.domain.records import Record
from tireg.domain.scores import Run
from tireg.domain.tensors import tensor_hash

FOLDERS = sorted(p.parent for p in (ROOT / "registry" / "embeddings").glob("*/record.json"))


def record_of(folder: Path) -> Record:
    return read_document(Record, (folder / "record.json").read_bytes(), name=folder.name)


def test_there_are_the_kinds_that_were_promised() -> None:
    records = [record_of(folder) for folder in FOLDERS]
    assert len(records) >= 4
    assert {"object", "style"} <= {record.kind for record in records}
    assert max(tensor.vectors for record in records for tensor in record.tensors) >= 4
    assert any("overfitted" in record.name for record in records)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
def test_files_vectors_and_scores_belong_to_the_record(folder: Path) -> None:
    record = record_of(folder)
    assert record.name == folder.name
    for file in record.files:
        if file.role in ("embedding", "preview"):
            assert hashlib.sha256((folder / file.name).read_bytes()).hexdigest() == file.sha256
    vectors = load_file(folder / "learned_embeds.safetensors")
    assert tensor_hash(vectors) == record.tensor_hash
    runs = [
        read_document(Run, path.read_bytes(), name=path.name)
        for path in (folder / "scores").glob("*.json")
    ]
    assert runs
    for run in runs:
        assert run.record == record.sha256
        assert run.spec.embedding == record.tensor_hash
        assert sum(score.value is not None for score in run.scores) >= 6


def test_they_were_trained_on_the_base_that_is_shipped() -> None:
    from tireg.models.bases import open_base
    from tireg.models.fingerprint import measure
    from tireg.shapes import base_path

    fingerprint = measure(open_base(base_path(), device="cpu"))
    for folder in FOLDERS:
        base = record_of(folder).base
        assert base is not None
        assert base.fingerprint is not None
        assert base.fingerprint.same_as(fingerprint), folder.name
