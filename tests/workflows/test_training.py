"""What a training run promises beyond its vectors: no silent failure, variants, logs, strips."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import RunCli
from tests.ldm_files import write_file
from tests.workflows.test_train import options
from tireg.models import bases
from tireg.shapes.concepts import concept
from tireg.store.registry import Registry
from tireg.workflows.making import png_bytes


@pytest.fixture
def stars(tmp_path: Path) -> Path:
    folder = tmp_path / "stars"
    folder.mkdir()
    for number, picture in enumerate(concept("lime-star").pictures(5)):
        (folder / f"{number}.png").write_bytes(png_bytes(picture))
    return folder


def on_shapes(pictures: Path, *more: str) -> list[str]:
    return ["train", str(pictures), "--base", "shapes", "--name", "star", "--token", "<star>",
            "--kind", "object", "--init", "star", "--batch", "2", *more]  # fmt: skip


def shown(run_cli: RunCli, ref: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_cli("show", ref, "--json", code=0).stdout)
    return found


def log(home: Path) -> list[dict[str, Any]]:
    (path,) = (home / "training").glob("*/log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_that_learned_nothing_is_told_and_kept_out_of_the_list(
    stars: Path, run_cli: RunCli, home: Path
) -> None:
    """A rate of nearly nothing: the loss cannot fall."""
    given = on_shapes(stars, "--steps", "4", "--lr", "1e-9")
    result = run_cli(*given, code=1)
    assert "learned nothing" in result.stderr
    assert "two standard errors" in result.stderr
    assert "next: more --steps" in result.stderr
    assert json.loads(run_cli("list", "--json", code=0).stdout) == []
    trash = json.loads(run_cli("list", "--trash", "--json", code=0).stdout)
    assert [row["name"] for row in trash] == ["star"]
    with Registry.open(home) as registry:
        training = registry.resolve("star@1", trashed=True).record.training
    assert training is not None
    assert training.failed
    assert log(home)[-1]["learned"] is False
    again = run_cli(*given, "--resume", code=1)
    assert "'star@1' learned nothing" in again.stderr
    other = run_cli(*given[:-4], "--steps", "4", "--token", "<other>", code=2)
    assert "in the trash keeps its name" in other.stderr
    run_cli(*given, "--resume", "--keep-anyway", code=0)
    assert json.loads(run_cli("list", "--json").stdout)[0]["version"] == 1
    run_cli(*given, "--keep-anyway", code=0)
    assert json.loads(run_cli("list", "--json").stdout)[0]["version"] == 2


def test_variants_are_versions_with_aliases_and_scores(stars: Path, run_cli: RunCli) -> None:
    run_cli(*on_shapes(stars, "--max-steps", "24", "--variants", "--keep-anyway"), code=0)
    found = {name: shown(run_cli, f"star@{name}") for name in ("faithful", "balanced", "editable")}
    newest = shown(run_cli, "star")
    assert newest["training"]["variant"] == "balanced"
    assert newest["version"] == found["balanced"]["version"]
    for record in found.values():
        points = {p["step"]: p for p in record["training"]["curve"]}
        chosen = points[record["training"]["chosen_step"]]
        assert chosen["fidelity"] is not None, "each variant was looked at"
        assert chosen["editability"] is not None
    assert found["faithful"]["training"]["looked"] > 0


def test_the_strip_of_samples_has_a_row_per_interval(
    stars: Path, run_cli: RunCli, home: Path
) -> None:
    from PIL import Image

    run_cli(*on_shapes(stars, "--steps", "6", "--samples-every", "3", "--keep-anyway"), code=0)
    assert [line["step"] for line in log(home) if line["event"] == "samples"] == [0, 3, 6]
    sheet = next(f for f in shown(run_cli, "star")["files"] if f["name"] == "samples.png")
    with Image.open(sheet["path"]) as image:
        assert image.height > 3 * 96
        assert len(np.unique(np.asarray(image))) > 50


def test_every_check_is_in_the_log(stars: Path, run_cli: RunCli, home: Path) -> None:
    run_cli(*on_shapes(stars, "--max-steps", "12", "--keep-anyway"), code=0)
    lines = log(home)
    assert lines[0]["event"] == "begin"
    assert lines[0]["threads"] >= 1
    checks = [line for line in lines if line["event"] == "check"]
    assert [line["step"] for line in checks] == list(range(13))
    assert {"loss", "validation", "gain", "gain_error", "norm", "cosine", "rate"} <= set(checks[0])
    assert sum("fidelity" in line for line in checks) == 4


def test_a_negative_embedding_is_marked_and_shown_by_what_it_does(
    stars: Path, run_cli: RunCli
) -> None:
    run_cli(*on_shapes(stars, "--steps", "3", "--negative", "--keep-anyway"), code=0)
    record = shown(run_cli, "star")
    assert record["negative"] is True
    prompts = [f["text"] for f in record["files"] if f["role"] == "preview"]
    assert prompts
    assert all("<star>" not in text for text in prompts), "the word is in the negative prompt"


def test_a_concept_file_says_it_all(stars: Path, run_cli: RunCli) -> None:
    (stars / "0.txt").write_text("a <star> on the left")
    (stars / "concept.yaml").write_text(
        "format_version: 1\nname: lime\ntoken: <lime>\nkind: object\nclass_noun: star\n"
        "pictures: [0.png, 1.png, 2.png]\nlicense: cc0-1.0\nnotes: drawn by hand\n"
        "templates: ['a photo of a {token}']\n"
    )
    (stars / "0.txt").write_text("a <lime> on the left")
    run_cli("train", stars, "--base", "shapes", "--steps", "2", "--keep-anyway", code=0)
    record = shown(run_cli, "lime")
    assert (record["token"], record["license"], record["notes"]) == (
        "<lime>", "cc0-1.0", "drawn by hand",
    )  # fmt: skip
    assert record["concept"]["pictures"][0]["caption"] == "a <lime> on the left"
    assert len(record["concept"]["pictures"]) == 3


def test_a_single_file_is_a_base(
    tiny_sd1: Path, pictures: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    path = write_file(bases.open_base(tiny_sd1, device="cpu").pipe, tmp_path / "one.safetensors")
    given = options(path)
    refused = run_cli("train", pictures, *given, code=2)
    assert "--base-config" in refused.stderr
    run_cli("train", pictures, *given, "--base-config", tiny_sd1, code=0)
    from_file = shown(run_cli, "ball")
    run_cli("train", pictures, *options(tiny_sd1, name="other"), code=0)
    assert from_file["tensor_hash"] == shown(run_cli, "other")["tensor_hash"]
    assert from_file["base"] == "one"


def test_what_does_not_fit_in_memory_is_refused_before_the_first_step(
    stars: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tireg.training import memory

    monkeypatch.setattr(memory, "available_memory", lambda device: 1000)
    result = run_cli(*on_shapes(stars, "--steps", "3"), code=2)
    assert "training takes about" in result.stderr
    assert "--batch 1" in result.stderr
    assert json.loads(run_cli("list", "--trash", "--json").stdout) == []
    run_cli(*on_shapes(stars, "--steps", "3", "--memory", "fast", "--keep-anyway"), code=0)


def test_less_memory_gives_nearly_the_same_vectors(
    stars: Path, run_cli: RunCli, home: Path
) -> None:
    from tireg.workflows.vectors import unpack_vectors

    found = []
    for number, wish in enumerate(("fast", "low"), 1):
        run_cli(*on_shapes(stars, "--steps", "2", "--memory", wish, "--keep-anyway"), code=0)
        with Registry.open(home) as registry:
            record = registry.resolve(f"star@{number}").record
            stored = record.file("embedding")
            assert stored is not None
            (rows,) = unpack_vectors(record, registry.objects.read(stored.sha256)).values()
            found.append(rows)
    assert np.allclose(found[0], found[1], rtol=1e-3, atol=1e-5)


def test_a_run_that_breaks_keeps_its_last_good_rows(
    stars: Path, run_cli: RunCli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file

    from tireg.training.loop import Learning

    step = Learning.advance

    def breaks(learning: Learning) -> None:
        step(learning)
        if learning.step == 5:
            for wrapper in learning.run.wrappers.values():
                wrapper.rows.data.fill_(float("nan"))

    monkeypatch.setattr(Learning, "advance", breaks)
    result = run_cli(*on_shapes(stars, "--steps", "12"), code=1)
    assert "non-finite before step 5" in result.stderr
    assert "next: try a lower --lr" in result.stderr
    assert json.loads(run_cli("list", "--trash", "--json").stdout) == []
    (kept,) = (home / "training").glob("*/*.safetensors")
    assert kept.name == "last-good.safetensors"
    assert all(np.isfinite(rows).all() for rows in load_file(kept).values())
    assert log(home)[-1]["event"] == "failed"


def test_a_base_that_gives_no_numbers_is_told_before_the_first_step(
    tiny_sd1: Path, pictures: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    shutil.copytree(tiny_sd1, folder)
    (path,) = (folder / "unet").glob("*.safetensors")
    weights = load_file(path)
    weights["conv_out.bias"] = torch.full_like(weights["conv_out.bias"], float("nan"))
    save_file(weights, path)
    result = run_cli("train", pictures, *options(folder), code=1)
    assert "not finite before the first step" in result.stderr


WRONG = {
    "no pictures": (["nowhere"], [], "does not exist"),
    "an empty folder": (["empty"], [], "no picture"),
    "a word for steps": ([], ["--steps", "many"], "neither a number of steps nor 'auto'"),
    "no name": ([], ["--name", ""], "no name"),
    "an unknown embedding": ([], ["--init-from", "nobody"], "nobody"),
    "an unknown encoder": ([], ["--steps", "auto", "--encoder", "No:model"], "No"),
    "a rate in no sense": ([], ["--method", "directional", "--rate-unit", "absolute"], "angle"),
    "a side that cannot be halved": ([], ["--resolution", "30"], "not a multiple of 8"),
    "variants of fixed steps": ([], ["--variants"], "chosen by a probe"),
    "templates without the slot": ([], ["--templates", "bad.txt"], "{token}"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_sentence_and_records_nothing(
    case: str, tiny_sd1: Path, pictures: Path, tmp_path: Path, run_cli: RunCli, home: Path
) -> None:
    paths, more, said = WRONG[case]
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.txt").write_text("a photo of a cat\n")
    more = [str(tmp_path / m) if m.endswith(".txt") else m for m in more]
    where = [str(tmp_path / p) for p in paths] or [str(pictures)]
    result = run_cli("train", *where, *options(tiny_sd1), *more, code=2)
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not list((home / "records").glob("*.json"))


def test_a_resumed_run_knows_what_it_began_as(stars: Path, run_cli: RunCli) -> None:
    """Another version of the embedding to start from makes another run."""
    run_cli(*on_shapes(stars, "--steps", "2", "--keep-anyway"), code=0)
    second = on_shapes(stars, "--steps", "2", "--keep-anyway", "--init-from", "star", "--resume")
    second[second.index("--name") + 1] = "next"
    run_cli(*second, code=0)
    assert "complete" in run_cli(*second, code=0).stderr
    run_cli(*on_shapes(stars, "--steps", "3", "--keep-anyway"), code=0)
    assert "complete" not in run_cli(*second, code=0).stderr
    assert shown(run_cli, "next")["version"] == 2
    assert shown(run_cli, "next")["training"]["lineage"]["init_from"] == "star"


def test_a_preview_that_cannot_be_drawn_does_not_lose_the_run(
    stars: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tireg.errors import EvaluationError
    from tireg.models import sampler

    def fails(*_: object) -> object:
        raise EvaluationError("the base drew a picture that is not finite")

    monkeypatch.setattr(sampler, "draw", fails)
    result = run_cli(*on_shapes(stars, "--steps", "2", "--keep-anyway"), code=0)
    assert "previews are missing: the base drew" in result.stderr
    assert shown(run_cli, "star")["version"] == 1


def test_the_probe_can_be_told_which_encoder_to_use(stars: Path, run_cli: RunCli) -> None:
    from tireg.shapes import scorer_path

    more = ["--max-steps", "12", "--encoder", str(scorer_path()), "--keep-anyway"]
    run_cli(*on_shapes(stars, *more), code=0)
    curve = shown(run_cli, "star")["training"]["curve"]
    assert any(point["fidelity"] is not None for point in curve)


def test_without_a_scoring_encoder_it_learns_by_the_loss_and_says_so(
    tiny_sd1: Path, pictures: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = options(tiny_sd1, steps="auto")
    result = run_cli("train", pictures, *given, "--max-steps", "12", code=0)
    assert "only the loss" in result.stderr
    assert io.StringIO(result.stderr).readline()
