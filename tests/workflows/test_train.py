"""Training from the command line: recorded whole or not at all, wrong use in one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import ROOT, RunCli
from tireg.store.registry import Registry
from tireg.workflows.vectors import unpack_vectors


def options(base: Path | str, **more: object) -> list[str]:
    given: dict[str, object] = {
        "base": str(base), "name": "ball", "token": "<ball>", "init": "cat", "kind": "object",
        "steps": "3", "batch": "2", "resolution": "64", **more,
    }  # fmt: skip
    # Three steps on random weights need not show that anything was learned.
    pairs = [part for key, value in given.items() for part in (f"--{key}", str(value))]
    return [*pairs, "--keep-anyway"]


def recorded(run_cli: RunCli) -> list[dict[str, object]]:
    result = run_cli("list", "--json", code=0)
    rows: list[dict[str, object]] = json.loads(result.stdout)
    return rows


def test_versions_count_up_and_the_record_says_all(
    run_cli: RunCli, tiny_sd1: Path, pictures: Path
) -> None:
    run_cli("train", pictures, *options(tiny_sd1), code=0)
    run_cli("train", pictures, *options(tiny_sd1), code=0)
    run_cli("train", pictures, *options(tiny_sd1, seed="1"), code=0)
    (row,) = recorded(run_cli)
    assert (row["name"], row["version"], row["token"], row["kind"]) == (
        "ball",
        3,
        "<ball>",
        "object",
    )
    first = json.loads(run_cli("show", "ball@1", "--json", code=0).stdout)
    assert first["version"] == 1
    assert first["base"] == tiny_sd1.name
    assert first["recipe"]["steps"] == 3
    assert first["recipe"]["init"] == "cat"
    assert len(first["concept"]["pictures"]) == 5
    assert all(len(p["sha256"]) == 64 for p in first["concept"]["pictures"])
    assert [p["step"] for p in first["training"]["curve"]] == [0, 1, 2, 3]
    assert first["base_details"]["fingerprint"]["encoders"][0]["key"] == "clip_l"
    roles = [f["role"] for f in first["files"]]
    assert roles.count("embedding") == 1
    assert roles.count("preview") >= 1
    assert roles.count("picture") == 5
    assert all(Path(f["path"]).is_file() for f in first["files"])
    second = json.loads(run_cli("show", "ball@2", "--json", code=0).stdout)
    assert second["tensor_hash"] == first["tensor_hash"], "same recipe, same bits"
    assert row["tensor_hash"] != first["tensor_hash"]


def test_the_exported_file_is_what_diffusers_loads(
    run_cli: RunCli, tiny_sd1: Path, pictures: Path, tmp_path: Path, home: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    run_cli("train", pictures, *options(tiny_sd1), code=0)
    run_cli("export", "ball", "--out", tmp_path / "ball.safetensors", code=0)
    with Registry.open(home) as registry:
        record = registry.resolve("ball").record
        stored = record.file("embedding")
        assert stored is not None
        (rows,) = unpack_vectors(record, registry.objects.read(stored.sha256)).values()
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1)
    pipe.load_textual_inversion(str(tmp_path / "ball.safetensors"))
    ids = pipe.tokenizer.convert_tokens_to_ids(["<ball>", "<ball>_1"])
    table = pipe.text_encoder.get_input_embeddings().weight.detach()
    assert np.array_equal(table[torch.tensor(ids)].numpy(), rows)


WRONG = {
    "an ordinary word": ({"token": "cat"}, "ordinary word"),
    "a space in the token": ({"token": "<a b>"}, "space"),
    "an unknown initial word": ({"init": "zzqxw"}, "zzqxw"),
    "no initial word": ({"init": ""}, "no ordinary word"),
    "an unknown base": ({"base": "no-such-base"}, "no-such-base"),
    "a kind there is not": ({"kind": "thing"}, "thing"),
    "steps below one": ({"steps": "0"}, "steps"),
    "a bad name": ({"name": "a/b"}, "'/'"),
    "a device there is not": ({"device": "gpu7"}, "gpu7"),
    "too many vectors": ({"vectors": "65"}, "vectors"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_sentence_and_the_next_command(
    case: str, run_cli: RunCli, tiny_sd1: Path, pictures: Path
) -> None:
    change, named = WRONG[case]
    result = run_cli("train", pictures, *options(**{"base": str(tiny_sd1), **change}))
    assert result.exit_code == 2, result.output
    assert named in result.stderr
    assert "next: " in result.stderr or "--help" in result.stderr
    assert "Traceback" not in result.output
    assert recorded(run_cli) == []


def test_wrong_pictures_are_one_sentence(
    run_cli: RunCli, tiny_sd1: Path, pictures: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (pictures / "words.png").write_text("these are words")
    for where, named in ((empty, "no picture"), (pictures, "words.png"), ("nowhere", "nowhere")):
        result = run_cli("train", where, *options(tiny_sd1))
        assert result.exit_code == 2
        assert named in result.stderr
    assert recorded(run_cli) == []


def test_half_a_base_is_one_sentence(
    run_cli: RunCli, tiny_sd1: Path, pictures: Path, tmp_path: Path
) -> None:
    import shutil

    half = tmp_path / "half"
    shutil.copytree(tiny_sd1, half)
    shutil.rmtree(half / "unet")
    result = run_cli("train", pictures, *options(half), code=2)
    assert "unet" in result.stderr


def test_a_name_in_use_is_refused_before_any_work(
    run_cli: RunCli, tiny_sd1: Path, pictures: Path
) -> None:
    run_cli("train", pictures, *options(tiny_sd1), code=0)
    for change in ({"token": "<other>"}, {"kind": "style"}):
        result = run_cli("train", pictures, *options(**{"base": "gone", **change}), code=2)
        assert "'ball'" in result.stderr
        assert "<ball>" in result.stderr
    assert recorded(run_cli)[0]["version"] == 1


def test_a_recipe_file_and_a_typo_in_one(
    run_cli: RunCli, tiny_sd1: Path, pictures: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("method: directional\nvectors: 3\nlr: 0.05\nsteps: 99\n")
    run_cli("train", pictures, *options(tiny_sd1), "--recipe", recipe, code=0)
    shown = json.loads(run_cli("show", "ball", "--json", code=0).stdout)
    assert (shown["recipe"]["method"], shown["recipe"]["vectors"]) == ("directional", 3)
    assert shown["recipe"]["steps"] == 3, "what is typed wins"
    recipe.write_text("learnin_rate: 3\n")
    result = run_cli("train", pictures, *options(tiny_sd1), "--recipe", recipe, code=2)
    assert "learnin_rate" in result.stderr


def test_an_unwritable_home_is_one_sentence(
    run_cli: RunCli, tiny_sd1: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("TIREG_HOME", str(blocked / "home"))
    result = run_cli("train", pictures, *options(tiny_sd1), code=2)
    assert "file" in result.stderr
    assert "TIREG_HOME" in result.stderr


def test_defaults_come_from_config_toml(
    run_cli: RunCli, tiny_sd1: Path, pictures: Path, home: Path
) -> None:
    home.mkdir()
    (home / "config.toml").write_text(f'[train]\nsteps = 2\nbase = "{tiny_sd1}"\n')
    given = options(tiny_sd1)
    for flag in ("--steps", "--base"):
        at = given.index(flag)
        del given[at : at + 2]
    run_cli("train", pictures, *given, code=0)
    assert json.loads(run_cli("show", "ball", "--json").stdout)["recipe"]["steps"] == 2
    (home / "config.toml").write_text("[train]\nstepz = 2\n")
    result = run_cli("train", pictures, *given, code=2)
    assert "stepz" in result.stderr


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_the_registry_as_it_was(
    kind: signal.Signals, run_cli: RunCli, tiny_sd1: Path, pictures: Path, home: Path
) -> None:
    run_cli("train", pictures, *options(tiny_sd1), code=0)
    before = run_cli("show", "ball", "--json").stdout
    with subprocess.Popen(
        [sys.executable, "-m", "tireg", "train", str(pictures),
         *options(tiny_sd1, steps="100000", seed="7")],
        cwd=ROOT, env=dict(os.environ), stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "encoding the pictures" in line:
                break
        time.sleep(1)
        process.send_signal(kind)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == (130 if kind is signal.SIGINT else -9)
    assert "Traceback" not in rest
    assert run_cli("show", "ball", "--json").stdout == before
    assert recorded(run_cli)[0]["version"] == 1
    run_cli("train", pictures, *options(tiny_sd1, seed="2"), code=0)
    assert recorded(run_cli)[0]["version"] == 2
