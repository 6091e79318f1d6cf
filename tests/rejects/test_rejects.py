"""Every hostile, broken or foreign file is refused with a sentence, and none of it runs."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from tests.rejects import archives, texts
from tests.rejects.everything import everything
from tests.rejects.pickles import CANARY
from tireg.dialects import read_file, read_path, read_strict
from tireg.dialects.content import hidden_character
from tireg.errors import FileRefusedError


@pytest.mark.parametrize("name", sorted(everything()))
def test_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name.replace("|", "-")
    path.write_bytes(everything()[name])
    start = time.process_time()
    reading = read_file(path)
    assert time.process_time() - start < 2
    assert reading.refused is not None
    assert reading.embeddings == ()
    assert hidden_character(reading.refused) is None
    assert not reading.refused.endswith(".")
    assert reading.refused[0].islower()
    assert ". " not in reading.refused
    assert 10 < len(reading.refused) < 400
    assert not (tmp_path / CANARY).exists()
    with pytest.raises(FileRefusedError, match="was refused"):
        read_strict(path)


def test_there_are_enough() -> None:
    assert len(everything()) >= 100


@pytest.mark.parametrize("name", sorted(texts.lookalikes()))
def test_look_alikes_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(texts.lookalikes()[name])
    assert name.split("|")[1].removesuffix(".safetensors") in str(read_file(path).refused)


def test_the_sound_file_behind_them_is_read(tmp_path: Path) -> None:
    path = tmp_path / "good.pt"
    path.write_bytes(archives.good())
    assert [embedding.token for embedding in read_strict(path).embeddings] == ["<cat>"]


def test_special_files_are_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.pt"
    os.mkfifo(pipe)
    assert "named pipe" in str(read_file(pipe).refused)
    assert "device" in str(read_file("/dev/zero").refused)
    assert "folder" in str(read_file(tmp_path).refused)
    assert "no such file" in str(read_file(tmp_path / "gone.pt").refused)
    assert read_file("\0").refused is not None
    assert [str(r.refused) for r in read_path(tmp_path)] == ["it is a named pipe, not a file"]


def test_links_are_not_followed_in_folders(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "good.pt").write_bytes(archives.good())
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.pt").symlink_to(outside / "good.pt")
    (folder / "sub").symlink_to(outside)
    readings = read_path(folder, recursive=True)
    assert [reading.path.name for reading in readings] == ["link.pt"]
    assert "symbolic link" in str(readings[0].refused)
    assert read_file(folder / "link.pt").refused is None


def test_memory_stays_bounded(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in everything():
        path = tmp_path / name.replace("|", "-")
        path.write_bytes(everything()[name])
        read_file(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 512 * 1024, f"{grown // 1024} MB more than before"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin", ".ckpt", ".png"])
def test_a_checkpoint_of_gigabytes_is_not_read_through(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    with path.open("wb") as file:
        file.truncate(6_000_000_000)
    began = time.monotonic()
    reading = read_file(path)
    assert time.monotonic() - began < 1
    assert reading.refused is not None
    assert reading.sha256 is None


def test_a_bundle_in_a_large_file_has_its_hash(tmp_path: Path) -> None:
    import hashlib

    from safetensors.numpy import save_file

    path = tmp_path / "lora.safetensors"
    rows = np.full((2, 768), 0.01, np.float32)
    padding = np.zeros((17, 1024, 1024), np.float32)
    save_file({"bundle_emb.cat.string_to_param.*": rows, "lora_te_x.lora_up.weight": padding},
              path)  # fmt: skip
    reading = read_file(path)
    assert [e.token for e in reading.embeddings] == ["cat"], reading.refused
    assert reading.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
