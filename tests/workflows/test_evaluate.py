"""Evaluation: paired pictures, scores with intervals, the same again from cache or from nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import RunCli
from tests.tinypipes import build_sd1
from tests.workflows.evaluating import FAST, SUITE, add_word, evaluate, scores
from tireg.domain.scores import PRINTED
from tireg.shapes import scorer_path


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def base(tiny_sd1: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny_sd1, tmp_path / "base"))


@pytest.fixture
def trained(home: Path, base: Path) -> str:
    return add_word(home, base, "ball")


def test_scores_have_values_intervals_and_baselines(
    run_cli: RunCli, trained: str, suite: Path
) -> None:
    run = evaluate(run_cli, trained, suite)
    assert set(run) == {"run_id", "embedding", "base", "suite", "scores", "accuracy"}
    assert run["suite"]["name"] == "small"
    assert len(run["suite"]["sha256"]) == 64
    found = scores(run)
    wanted = {
        "concept_fidelity", "prompt_fidelity", "semantic_collapse", "off_token_leakage",
        "clip_image_similarity",
    }  # fmt: skip
    assert wanted <= set(found)
    for score in found.values():
        assert tuple(score) == PRINTED
        assert (score["value"] is None) == (score["unscored"] is not None)
        assert score["direction"] in ("higher", "lower", "target")
        if score["ci"] is not None:
            low, high = score["ci"]
            assert low <= score["value"] <= high
    likeness = found["clip_image_similarity"]
    assert likeness["baseline"] is not None
    assert likeness["n_prompts"] == 3
    assert likeness["n_seeds"] == 2
    assert found["off_token_leakage"]["value"] == 0.0, "token-free prompts are bit-identical"
    shown = json.loads(run_cli("show", trained, "--json").stdout)
    printed = [{key: score[key] for key in PRINTED} for score in shown["scores"]]
    assert printed == run["scores"]
    sheet = next(f for f in shown["files"] if f["role"] == "sheet")
    with Image.open(sheet["path"]) as image:
        assert min(image.size) > 200
        assert np.asarray(image).std() > 5


def test_what_the_scorer_tells_apart_stands_beside_its_scores(
    run_cli: RunCli, trained: str, suite: Path, tmp_path: Path
) -> None:
    told = json.loads((scorer_path() / "accuracy.json").read_text())
    (known,) = evaluate(run_cli, trained, suite)["accuracy"]
    assert known["encoder"] == "scorer"
    assert known["accuracy"] == told["accuracy"]
    (shown,) = json.loads(run_cli("show", trained, "--json").stdout)["accuracy"]
    assert shown == known
    for printed in (
        run_cli("show", trained, code=0),
        run_cli("eval", trained, "--suite", suite, "--encoder", scorer_path(), *FAST, code=0),
    ):
        line = next(x for x in printed.stdout.splitlines() if "itself names right" in x)
        assert line.startswith("scorer itself names right: shape 98.8%"), "the worst stands first"
        assert "hue 100.0%" in line
        assert told["measured_on"] in line

    other = Path(shutil.copytree(scorer_path(), tmp_path / "other"))
    (other / "accuracy.json").write_text(json.dumps(told | {"weights": "0" * 64}))
    run = evaluate(run_cli, trained, suite, "--encoder", other)
    assert "accuracy" not in run, "measured with other weights, it says nothing of these"
    before = len(json.loads(run_cli("show", trained, "--json").stdout)["runs"])
    (other / "accuracy.json").write_text(json.dumps(told | {"accuracy": {"shape": 98.8}}))
    args = ("eval", trained, "--suite", suite, "--encoder", other, *FAST)
    wrong = run_cli(*args, code=1)
    assert "accuracy.json" in wrong.stderr
    assert "less than or equal to 1" in wrong.stderr
    assert len(json.loads(run_cli("show", trained, "--json").stdout)["runs"]) == before


def test_the_same_from_cache_and_from_nothing(
    run_cli: RunCli, trained: str, suite: Path, home: Path
) -> None:
    first = evaluate(run_cli, trained, suite)
    kept = sorted((home / "cache" / "pictures").rglob("*.png"))
    assert len(kept) == 3 * 2 * 3 + 2 * 2 * 2
    again = evaluate(run_cli, trained, suite)
    assert again == first
    kept[0].unlink()
    kept[1].write_bytes(b"damaged")
    assert evaluate(run_cli, trained, suite) == first
    shutil.rmtree(home / "cache")
    assert evaluate(run_cli, trained, suite) == first
    shown = json.loads(run_cli("show", trained, "--json").stdout)
    assert len(shown["runs"]) == 1


def test_pictures_do_not_depend_on_the_batch_or_their_order(
    run_cli: RunCli, trained: str, suite: Path, home: Path
) -> None:
    first = scores(evaluate(run_cli, trained, suite))
    shutil.rmtree(home / "cache")
    other = scores(evaluate(run_cli, trained, suite, "--batch", "3"))
    for name, score in first.items():
        if score["value"] is not None:
            assert other[name]["value"] == pytest.approx(score["value"], abs=1e-3)


def test_a_base_that_changed_is_noticed(
    run_cli: RunCli, trained: str, suite: Path, base: Path
) -> None:
    shutil.rmtree(base)
    build_sd1(base, seed=5)
    result = run_cli("eval", trained, "--suite", suite, "--encoder", scorer_path(), code=2)
    assert "not the one" in result.stderr
    run = evaluate(run_cli, trained, suite, "--base", base)
    assert run["base"] == base.name


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [
        (("--suite", "no-such-suite"), 2, "no-such-suite"),
        (("--encoder", "no-such-clip"), 2, "no-such-clip"),
        (("--encoder", "ViT-B-32:no-such-tag"), 2, "no-such-tag"),
        (("--sampler", "magic"), 2, "magic"),
        (("--base", "nowhere"), 2, "nowhere"),
    ],
)
def test_wrong_use(
    run_cli: RunCli, trained: str, suite: Path, more: tuple[str, ...], code: int, named: str
) -> None:
    given = ["--suite", str(suite), "--encoder", str(scorer_path()), "--steps", "2", "--size", "64"]
    result = run_cli("eval", trained, *given, *more, code=code)
    assert named in result.stderr
    assert "Traceback" not in result.output
    assert json.loads(run_cli("show", trained, "--json").stdout)["runs"] == []


def test_an_unknown_embedding(run_cli: RunCli, trained: str) -> None:
    result = run_cli("eval", "bal", code=2)
    assert "did you mean 'ball'" in result.stderr.lower() or "ball" in result.stderr


def test_a_broken_encoder_folder_is_one_sentence(
    run_cli: RunCli, trained: str, suite: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text("{}")
    result = run_cli("eval", trained, "--suite", suite, "--encoder", folder)
    assert result.exit_code in (1, 2)
    assert "clip" in result.stderr
    assert "inside tireg" not in result.stderr


def test_pictures_are_drawn_with_learned_words(
    run_cli: RunCli, trained: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run_cli(
        "generate", "a <ball> there", "a cat", "--with", trained, "--count", "2", "--steps", "2",
        "--size", "64", "--seed", "5", "--out", out, "--json", code=0,
    )  # fmt: skip
    paths = json.loads(result.stdout)
    assert [Path(p).name for p in paths] == ["01-5.png", "01-6.png", "02-5.png", "02-6.png"]
    with Image.open(paths[0]) as image:
        assert image.size == (64, 64)
        assert image.text["parameters"].startswith("a <ball> there\n")  # type: ignore[attr-defined]
        assert "Seed: 5" in image.text["parameters"]  # type: ignore[attr-defined]
    for wrong, named in (
        (["a <ball>", "--with", "nobody"], "nobody"),
        (["a <ball>", "--with", trained, "--size", "7"], "no size"),
        (["a <ball>", "--with", trained, "--size", "20"], "draw"),
        ([" ", "--with", trained], "no prompt"),
    ):
        result = run_cli("generate", *wrong, "--steps", "2", "--out", out, code=2)
        assert named in result.stderr
