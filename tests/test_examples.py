"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT

STAR = ROOT / "registry" / "embeddings" / "lime-star"


def example(name: str, *args: str | Path) -> str:
    """What ``python examples/NAME.py`` prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, args)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_three() -> None:
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert names == {"build_gallery", "score_pictures", "train_and_use"}


def test_a_word_is_learned_and_used(tmp_path: Path) -> None:
    said = example("train_and_use", tmp_path / "out.png", "--steps", "3")
    assert "learned example-star@1" in said
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (32, 32)


def test_pictures_from_elsewhere_are_scored_and_a_gallery_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("train_and_use", tmp_path / "out.png", "--steps", "3")
    said = example("score_pictures", "example-star", "--seeds", "2", "--steps", "2")
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert float(lines["prompt_fidelity"].split()[0]) == pytest.approx(0, abs=0.2)
    said = example("build_gallery", STAR / "learned_embeds.safetensors", tmp_path / "site")
    assert "taken" in said
    pages = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".js")]
    assert any("lime-star" in path.read_text(encoding="utf-8") for path in pages)
