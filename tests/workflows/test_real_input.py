"""Real photographs, the built-in base, and a model of real size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunCli, RunProcess
from tests.tinypipes import build_sd15_real


def test_photographs_are_learned_on_the_built_in_base(run_cli: RunCli, shared_dir: Path) -> None:
    photos = shared_dir / "realworld" / "images" / "dog6"
    run_cli(
        "train", photos, "--base", "shapes", "--name", "dog6", "--token", "<dog6>",
        "--init", "circle", "--kind", "subject", "--steps", "5", "--batch", "2", "--keep-anyway",
        code=0,
    )  # fmt: skip
    shown = json.loads(run_cli("show", "dog6", "--json", code=0).stdout)
    assert len(shown["concept"]["pictures"]) == len(list(photos.glob("*.jpg")))
    assert shown["base_details"]["family"] == "shapes"
    assert shown["base_details"]["license"] == "apache-2.0"


def test_a_word_the_base_does_not_know_is_answered_with_words_it_knows(
    run_cli: RunCli, pictures: Path
) -> None:
    result = run_cli(
        "train", pictures, "--base", "shapes", "--name", "x", "--token", "<x>",
        "--init", "corgi", "--kind", "object", code=2,
    )  # fmt: skip
    assert "'corgi'" in result.stderr
    assert "hoto," not in result.stderr
    assert {"square", "triangle", "circle", "cross", "star"} & set(
        result.stderr.replace(",", " ").split()
    )


@pytest.mark.soak
def test_a_model_of_the_real_size_of_sd15_trains_to_the_end(
    tmp_path: Path, run_process: RunProcess, shared_dir: Path
) -> None:
    base = build_sd15_real(tmp_path / "sd15")
    run_process(
        "train", shared_dir / "realworld" / "images" / "dog6", "--base", base, "--name", "dog6",
        "--token", "<dog6>", "--init", "dog", "--kind", "subject", "--steps", "3", "--batch", "1",
        "--resolution", "256", "--keep-anyway", code=0, OMP_NUM_THREADS="2",
    )  # fmt: skip
    shown = json.loads(run_process("show", "dog6", "--json", code=0).stdout)
    assert shown["base_details"]["family"] == "sd1"
    assert shown["tensors"] == [{"encoder": "clip_l", "vectors": 2, "width": 768, "dtype": "fp32"}]
    assert [f["role"] for f in shown["files"]].count("preview") == 1
