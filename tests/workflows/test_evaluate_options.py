"""The ways to evaluate: kept pictures, pictures from elsewhere, other encoders, references."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import RunCli
from tests.lpips_files import write_heads, write_network
from tests.workflows.evaluating import (
    FAST,
    SUITE,
    add_word,
    evaluate,
    save_pictures,
    scores,
)
from tireg.domain.scores import PRINTED
from tireg.models.lpips_distance import open_lpips
from tireg.shapes import scorer_path
from tireg.workflows.looking import pixel_hash

PLACES = [(prompt, seed) for prompt in ("red", "blue", "left") for seed in (3, 4)]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def word(home: Path, tiny_sd1: Path) -> str:
    return add_word(home, tiny_sd1, "ball")


def manifest(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        lines = ["file,condition,prompt,seed"]
        lines += [f"{r['file']},{r['condition']},{r['prompt']},{r['seed']}" for r in rows]
    else:
        lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(conditions: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {"file": f"{c}-{prompt}-{seed}.png", "condition": c, "prompt": prompt, "seed": seed}
        for c in conditions
        for prompt, seed in PLACES
    ]


def test_rescoring_draws_nothing_and_says_what_is_missing(
    run_cli: RunCli, word: str, suite: Path, home: Path, tmp_path: Path
) -> None:
    args = ("eval", word, "--suite", suite, "--encoder", scorer_path())
    early = run_cli(*args, "--rescore", code=1)
    assert "no run of 'ball'" in early.stderr
    assert "tireg eval ball" in early.stderr
    first = evaluate(run_cli, word, suite)
    kept = sorted((home / "cache" / "pictures").rglob("*.png"))
    shutil.rmtree(home / "cache" / "features" / "nothing", ignore_errors=True)
    again = evaluate(run_cli, word, suite, "--rescore", "--per-picture", tmp_path / "p.jsonl")
    assert again == first
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert len(lines) == 3 * 2 * 3 + 2 * 2 * 2
    likeness = [
        line["values"]["clip_image_similarity"] for line in lines if line["condition"] == "token"
    ]
    assert sum(likeness) / len(likeness) == pytest.approx(
        scores(first)["clip_image_similarity"]["value"]
    )
    kept[0].unlink()
    gone = run_cli(*args, "--rescore", code=1)
    assert "1 of" in gone.stderr
    assert "without --rescore" in gone.stderr
    assert not kept[0].exists()
    shown = json.loads(run_cli("show", word, "--json").stdout)
    assert len(shown["runs"]) == 1
    assert {file["role"] for file in shown["files"]} >= {"sheet", "samples"}
    assert "leave them out" in run_cli(*args, "--rescore", "--steps", "3", code=2).stderr


def test_pictures_made_elsewhere_are_scored_in_the_same_frame(
    run_cli: RunCli, word: str, suite: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lora"
    rows = rows_of(("token", "class"))
    save_pictures(folder, [row["file"] for row in rows])
    csv = manifest(tmp_path / "m.csv", rows)
    found = evaluate(run_cli, word, suite, "--images", folder, "--manifest", csv)
    other = manifest(tmp_path / "m.jsonl", rows[::-1])
    assert evaluate(run_cli, word, suite, "--images", folder, "--manifest", other) == found
    values = scores(found)
    assert values["prompt_fidelity"]["n_prompts"] == 3
    assert values["prompt_fidelity"]["n_seeds"] == 2
    assert "bare base" in values["off_token_leakage"]["unscored"]
    alone = manifest(tmp_path / "alone.jsonl", rows_of(("token",)))
    only = evaluate(run_cli, word, suite, "--images", folder, "--manifest", alone)
    assert "drawn as 'class'" in scores(only)["prompt_fidelity"]["unscored"]
    assert only["run_id"] != found["run_id"]
    assert json.loads(run_cli("show", word, "--json").stdout)["runs"] == [], "says nothing of it"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"prompt": "purple"}, "no prompt 'purple'"),
        ({"condition": "lora"}, "'lora' is no condition"),
        ({"seed": "x"}, "'x' is no seed"),
        ({"file": "../m.jsonl"}, "outside"),
        ({"file": "nowhere.png"}, "cannot be read"),
        ({"file": "broken.png"}, "no picture"),
        ({"file": "token-red-4.png", "seed": 4}, "two pictures"),
        ({"file": ""}, "has no 'file'"),
    ],
)
def test_a_wrong_manifest_names_the_line(
    change: dict[str, Any], named: str, suite: Path, tmp_path: Path
) -> None:
    from tireg.domain.suites import load_suite
    from tireg.errors import InputError
    from tireg.workflows.given import read_given

    folder = tmp_path / "lora"
    rows = rows_of(("token",))
    save_pictures(folder, [row["file"] for row in rows])
    (folder / "broken.png").write_bytes(b"no picture")
    rows[0] = {**rows[0], **change}
    path = manifest(tmp_path / "m.jsonl", rows)
    with pytest.raises(InputError, match=named) as caught:
        read_given(folder, path, load_suite(suite))
    assert "line" in caught.value.message


def test_other_concepts_are_compared_with_when_named(
    run_cli: RunCli, word: str, suite: Path, home: Path, tiny_sd1: Path
) -> None:
    add_word(home, tiny_sd1, "box", seed=7)
    add_word(home, tiny_sd1, "bare", seed=8, pictures=0)
    plain = evaluate(run_cli, word, suite)
    assert "--reference" in scores(plain)["identifiability"]["unscored"]
    found = evaluate(run_cli, word, suite, "--reference", "box")
    assert scores(found)["identifiability"]["value"] is not None
    assert found["run_id"] != plain["run_id"], "the references are part of the run"
    args = ("eval", word, "--suite", suite, "--encoder", scorer_path(), *FAST, "--reference")
    assert "itself" in run_cli(*args, word, code=2).stderr
    assert "no training pictures of 'bare'" in run_cli(*args, "bare", code=2).stderr
    published = evaluate(run_cli, word, suite, "--compat", "ti-code", "--compat", "torchmetrics")
    assert {c["form"] for c in published["compat"]} == {"ti-code", "torchmetrics"}
    assert all(c["value"] is not None and c["differs"] for c in published["compat"])
    assert set(plain) == {"run_id", "embedding", "base", "suite", "scores", "accuracy"}


def test_lpips_compares_seeds_and_is_part_of_the_run(
    run_cli: RunCli, word: str, suite: Path, home: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    plain = evaluate(run_cli, word, suite)
    assert "--encoder lpips:alex" in scores(plain)["diversity_lpips"]["unscored"]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    args = ("eval", word, "--suite", suite, "--encoder", scorer_path(), "--rescore")
    write_heads(tmp_path, monkeypatch)
    gone = run_cli(*args, "--encoder", "lpips:squeeze", code=1)
    assert "squeezenet1_1, whose weights are not on this machine" in gone.stderr
    assert "fetch them: python -c" in gone.stderr
    assert (
        "two encoders are the LPIPS"
        in run_cli(*args, "--encoder", "lpips:squeeze", "--encoder", "lpips:alex", code=2).stderr
    )
    write_network(tmp_path / "torch", "squeeze")
    assert len(json.loads(run_cli("show", word, "--json").stdout)["runs"]) == 1

    found = evaluate(run_cli, word, suite, "--rescore", "--encoder", "lpips:squeeze")
    assert found["run_id"] != plain["run_id"]
    score = scores(found)["diversity_lpips"]
    assert (score["encoder"], score["n_prompts"], score["n_seeds"]) == ("lpips:squeeze", 3, 2)
    shown = json.loads(run_cli("show", word, "--json").stdout)["scores"]
    details = next(s["details"] for s in shown if s["metric"] == "diversity_lpips")
    pictures = tokens_by_prompt(home, shown_lines(run_cli, word))
    encoder = open_lpips("squeeze", device=torch.device("cpu"))
    by_hand = [encoder.distances(two)[0, 1] for two in pictures]
    assert details["token"] == pytest.approx(sum(by_hand) / 3)

    def looked(self: object, pictures: object) -> None:
        raise AssertionError("a pair was compared again")

    monkeypatch.setattr("tireg.models.lpips_distance.LpipsDistance.distances", looked)
    assert evaluate(run_cli, word, suite, "--encoder", "lpips:squeeze") == found


def shown_lines(run_cli: RunCli, word: str) -> list[dict[str, Any]]:
    """The per-picture lines of the newest run."""
    files = json.loads(run_cli("show", word, "--json").stdout)["files"]
    path = [file["path"] for file in files if file["role"] == "samples"][-1]
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def tokens_by_prompt(home: Path, lines: list[dict[str, Any]]) -> list[list[np.ndarray]]:
    """The kept pictures of the word, by prompt."""
    kept = {}
    for path in (home / "cache" / "pictures").rglob("*.png"):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        kept[pixel_hash(pixels)] = pixels
    groups: dict[str, list[np.ndarray]] = {}
    for line in lines:
        if line["condition"] == "token":
            groups.setdefault(line["prompt"], []).append(kept[line["sha256"]])
    return list(groups.values())


def test_a_negative_word_is_drawn_in_the_negative_prompt(
    run_cli: RunCli, suite: Path, home: Path, tiny_sd1: Path
) -> None:
    add_word(home, tiny_sd1, "bad", negative=True, class_noun=None)
    found = scores(evaluate(run_cli, "bad", suite))
    assert "not meant to be seen" in found["concept_fidelity"]["unscored"]
    assert found["diversity"]["value"] is not None
    assert found["off_token_leakage"]["value"] == 0.0
    run = json.loads(run_cli("show", "bad", "--json").stdout)
    assert len(run["runs"]) == 1
    kept = list((home / "cache" / "pictures").rglob("*.png"))
    assert len(kept) == 3 * 2 * 2 + 2 * 2 * 2


def test_transfer_tells_how_much_is_left_on_another_base(
    run_cli: RunCli, word: str, suite: Path, tmp_path: Path
) -> None:
    from tests.tinypipes import build_sd1

    other = build_sd1(tmp_path / "other", seed=5)
    found = evaluate(run_cli, word, suite, "--base", other)
    assert found["base"] == "other"
    assert found["verdict"]["verdict"]
    by_metric = {one["metric"]: one for one in found["transfer"]}
    assert by_metric["clip_image_similarity"]["n_prompts"] == 3
    assert by_metric["off_token_leakage"]["share"] is None, "a part of nothing is no number"
    assert len(json.loads(run_cli("show", word, "--json").stdout)["runs"]) == 2
    assert tuple(found["scores"][0]) == PRINTED
