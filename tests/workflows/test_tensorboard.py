"""``--tensorboard``: the events of a run are those of its record."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.conftest import RunCli

NAMES = ("loss", "validation", "gain", "gain_error", "norm", "cosine", "rate", "seconds")


def options(base: Path, pictures: Path, board: Path) -> list[str | Path]:
    return [
        "train", pictures, "--base", base, "--name", "ball", "--token", "<ball>", "--init", "cat",
        "--kind", "object", "--steps", "3", "--batch", "2", "--resolution", "64", "--keep-anyway",
        "--tensorboard", board,
    ]  # fmt: skip


def test_tensorboard_reads_what_the_record_says(
    run_cli: RunCli, tiny_sd1: Path, pictures: Path, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = tmp_path / "board"
    run_cli(*options(tiny_sd1, pictures, board), code=0)
    curve = json.loads(run_cli("show", "ball", "--json", code=0).stdout)["training"]["curve"]
    (run,) = board.iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == sorted(f"tireg/{name}" for name in NAMES)
    for name in NAMES:
        seen = events.Scalars(f"tireg/{name}")
        assert [event.step for event in seen] == [p["step"] for p in curve]
        # TensorBoard keeps single precision.
        assert [event.value for event in seen] == pytest.approx(
            [p[name] for p in curve], rel=1e-6, abs=1e-5
        )


def test_without_tensorboard_one_sentence_says_what_to_install(
    run_cli: RunCli,
    tiny_sd1: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [
        n for n in sys.modules if n.startswith(("tensorboard", "torch.utils.tensorboard"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    result = run_cli(*options(tiny_sd1, pictures, tmp_path / "board"))
    assert result.exit_code in (1, 2)
    assert "next: pip install 'tireg[tensorboard]'" in result.stderr
    assert json.loads(run_cli("list", "--json", code=0).stdout) == []
