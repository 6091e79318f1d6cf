"""Files that other people made with other people's tools are read as their makers meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import SHARED
from tireg.dialects import read_file, read_path

FILES = SHARED / "realworld"


def manifest() -> list[dict[str, Any]]:
    """The entries, or none where the folder is missing."""
    path = FILES / "MANIFEST.json"
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    return found


def test_every_file_is_read_as_the_manifest_expects(shared_dir: Path) -> None:
    assert manifest(), f"{shared_dir} has no realworld/MANIFEST.json"
    wrong = {}
    for entry in manifest():
        reading = read_file(FILES / entry["local"])
        got: dict[str, Any] = {"refused": reading.refused is not None}
        if reading.refused is None:
            got["embeddings"] = [
                {
                    "token": item.token,
                    "encoders": [
                        {"vectors": t.vectors, "width": t.width} for t in item.tensors.values()
                    ],
                }
                for item in reading.embeddings
            ]
        if got != entry["expected"] or reading.sha256 != entry["sha256"]:
            wrong[entry["local"]] = (got, reading.refused)
    assert wrong == {}


def test_families_of_the_collection(shared_dir: Path) -> None:
    """1280-wide vectors of the original tool are BERT's, not SDXL's."""
    families = {
        read_file(FILES / entry["local"]).embeddings[0].families[0]
        for entry in manifest()
        if str(entry.get("base_family_reading")).startswith("LDM")
        or ("Duuhiy" in entry["local"] and not entry["expected"]["refused"])
    }
    assert families == {"ldm"}, shared_dir


def test_card_and_file_of_the_same_step_are_one_embedding(shared_dir: Path) -> None:
    entries = [entry["local"] for entry in manifest() if "yuno-15000" in entry["local"]]
    assert len(entries) == 2, shared_dir
    assert len({read_file(FILES / e).embeddings[0].tensor_hash for e in entries}) == 1


def test_the_whole_folder_in_one_go(shared_dir: Path) -> None:
    readings = read_path(FILES / "files", recursive=True)
    expected = [entry for entry in manifest() if not entry["expected"]["refused"]]
    assert len([r for r in readings if r.refused is None]) == len(expected), shared_dir
