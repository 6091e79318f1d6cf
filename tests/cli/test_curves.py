"""``tireg show REF --curves``: in the terminal, as JSON, as a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from tests.conftest import RunCli


@pytest.fixture
def learned(run_cli: RunCli, tiny_sd1: Path, pictures: Path) -> RunCli:
    run_cli(
        "train", pictures, "--base", tiny_sd1, "--name", "ball", "--token", "<ball>",
        "--init", "cat", "--kind", "object", "--steps", "3", "--batch", "2", "--resolution", "64",
        "--keep-anyway", code=0,
    )  # fmt: skip
    return run_cli


def test_curves_are_drawn_in_the_width_of_the_terminal(
    learned: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for columns in (50, 90):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = learned("show", "ball", "--curves", code=0).stdout.splitlines()
        assert columns - 8 <= max(map(len, lines)) <= columns
        assert lines[0] == "ball@1  <ball>"
        assert "stopped: the last step was reached" in lines
        assert any(line.startswith("row norm") for line in lines)
        assert not [line for line in lines if "\x1b" in line]


def test_curves_as_json(learned: RunCli, tmp_path: Path) -> None:
    target = tmp_path / "curves.png"
    result = learned("show", "ball", "--curves", "--json", "--out", target, code=0)
    data = json.loads(result.stdout)
    assert [p["step"] for p in data["curve"]] == [0, 1, 2, 3]
    whole = json.loads(learned("show", "ball", "--json", code=0).stdout)
    assert data["curve"] == whole["training"]["curve"]
    assert (data["name"], data["version"], data["out"]) == ("ball", 1, str(target))
    with Image.open(target) as picture:
        assert picture.format == "PNG"


def test_wrong_use_is_one_sentence(learned: RunCli, tmp_path: Path) -> None:
    for more, named in (
        (("--out", tmp_path / "a.png"), "--curves"),
        (("--curves", "--out", tmp_path / "a.jpg"), "a.jpg"),
        (("--curves", "--out", tmp_path), tmp_path.name),
        (("--curves", "--out", tmp_path / "nowhere" / "a.png"), "nowhere"),
    ):
        result = learned("show", "ball", *more, code=2)
        assert named in result.stderr
        assert "next: " in result.stderr
    assert not list(tmp_path.glob("*.jpg"))


def test_an_imported_word_has_no_curve(run_cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "found.safetensors"
    save_file({"<found>": np.ones((2, 768), dtype=np.float32)}, file)
    run_cli("import", file, code=0)
    (row,) = json.loads(run_cli("list", "--json", code=0).stdout)
    target = tmp_path / "a.png"
    result = run_cli("show", row["name"], "--curves", "--out", target, code=2)
    assert f"'{row['name']}@1' has no curve: it was imported, not trained here" in result.stderr
    assert result.stdout == ""
    assert not target.exists()
