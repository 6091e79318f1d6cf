"""Known bases, and measuring them once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tireg.models.bases import identify
from tireg.workflows.bases import fingerprint_of


def test_a_base_is_measured_once_and_again_when_a_file_changes(
    home: Path, tiny_sd1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_sd1, tmp_path / "base"))
    family = identify(folder)
    first = fingerprint_of(home, folder, family)
    (kept,) = (home / "cache" / "fingerprints").iterdir()
    # What is kept is what is given: no second measuring gives another number of rows.
    kept.write_text(kept.read_text().replace(f'"rows":{first.encoders[0].rows}', '"rows":7'))
    assert fingerprint_of(home, folder, family).encoders[0].rows == 7
    os.utime(folder / "text_encoder" / "model.safetensors", ns=(1, 1))
    assert fingerprint_of(home, folder, family) == first
    kept.write_text("{")
    assert fingerprint_of(home, folder, family) == first


def test_a_home_that_cannot_be_written_to_is_no_reason_to_fail(
    tmp_path: Path, tiny_sd1: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = fingerprint_of(blocked, tiny_sd1, identify(tiny_sd1))
    assert found.encoders[0].key == "clip_l"
