"""Notes and previews of other managers, and broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tireg.dialects import notes_beside, previews_beside

CIVITAI = {
    "id": 1,
    "modelId": 2,
    "name": "v2.0",
    "trainedWords": ["easycat", "cat\u202e"],
    "baseModel": "SD 1.5",
    "model": {"name": "EasyCat", "type": "TextualInversion", "tags": ["cat"]},
    "files": [{"hashes": {"SHA256": "ABCD", "BLAKE3": "x"}}],
}


def test_civitai_info(tmp_path: Path) -> None:
    (tmp_path / "cat.civitai.info").write_text(json.dumps(CIVITAI))
    notes = notes_beside(tmp_path / "cat.safetensors")
    assert notes is not None
    assert (notes.name, notes.version, notes.family) == ("EasyCat", "v2.0", "sd1")
    assert notes.words == ("easycat", "cat\\u202e")
    assert notes.sha256 == "abcd"


def test_lora_manager(tmp_path: Path) -> None:
    data = {"model_name": "My Cat", "base_model": "Pony", "tags": ["fur"], "civitai": CIVITAI,
            "notes": "good", "sha256": "EF"}  # fmt: skip
    (tmp_path / "cat.metadata.json").write_text(json.dumps(data))
    notes = notes_beside(tmp_path / "cat.pt")
    assert notes is not None
    assert (notes.name, notes.family, notes.version) == ("My Cat", "sdxl", "v2.0")
    assert (notes.tags, notes.notes, notes.sha256) == (("fur",), "good", "ef")


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"model": 7, "trainedWords": "x"}', "\0", "[" * 9999]
)
def test_broken_notes_stop_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "cat.civitai.info").write_text(text)
    notes = notes_beside(tmp_path / "cat.pt")
    assert notes is None or notes.words == ()
    assert notes_beside(tmp_path / "dog.pt") is None


def test_previews(tmp_path: Path) -> None:
    for name in ("cat.png", "cat.preview.png", "dog.png", "cat.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "cat.jpg").symlink_to(tmp_path / "dog.png")
    assert [p.name for p in previews_beside(tmp_path / "cat.pt")] == ["cat.preview.png", "cat.png"]
    assert [p.name for p in previews_beside(tmp_path / "cat.png")] == ["cat.preview.png"]
