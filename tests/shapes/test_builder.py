"""The builder, end to end at sizes that take seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tireg.errors import RecipeError, TrainingFailedError
from tireg.shapes.builder import build, main
from tireg.shapes.builder_run import Run, batches, draws, rate_at, train_stage
from tireg.shapes.builder_sizes import FULL, TINY, with_steps


def _log(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    assert main(["--out", str(folder), "--preset", "tiny"]) == 0
    return folder


def test_a_build_makes_a_pipeline_and_a_scorer_that_open(built: Path) -> None:
    import open_clip
    from diffusers import StableDiffusionPipeline

    from tireg.shapes.evaluate import sample

    pipeline = StableDiffusionPipeline.from_pretrained(built / "base")
    assert sample(pipeline, ["a red star"], steps=2).shape == (1, 32, 32, 3)
    model = open_clip.create_model(f"local-dir:{built / 'scorer'}", require_pretrained=True)
    assert model.text_projection.shape[1] == TINY.scorer_projection
    stages = {line["stage"] for line in _log(built)}
    assert stages == {"clip", "vae", "latents", "unet", "scorer", "assemble"}


def test_a_finished_build_is_not_done_again(built: Path) -> None:
    before = len(_log(built))
    build(Run(built, TINY), ["clip", "vae", "latents", "unet", "scorer"])
    assert len(_log(built)) == before


def test_a_build_goes_on_from_finished_weights(built: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    assert main(["--out", str(tmp_path), "--from", str(built), "--preset", "tiny"]) == 0
    old = StableDiffusionPipeline.from_pretrained(built / "base")
    new = StableDiffusionPipeline.from_pretrained(tmp_path / "base")
    for part in ("vae", "text_encoder"):
        first, second = getattr(old, part).state_dict(), getattr(new, part).state_dict()
        assert all(bool((first[name] == second[name]).all()) for name in first)
    first, second = old.unet.state_dict(), new.unet.state_dict()
    assert any(bool((first[name] != second[name]).any()) for name in first)
    assert old.vae.config.scaling_factor == new.vae.config.scaling_factor


class Interrupted(Exception):
    """Stands for a killed process."""


def test_an_interrupted_stage_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    import torch

    def train(folder: Path, stop: int | None) -> torch.Tensor:
        folder.mkdir(exist_ok=True)
        torch.manual_seed(1)
        module = torch.nn.Linear(3, 2)

        def loss_at(step: int) -> torch.Tensor:
            if step == stop:
                raise Interrupted
            values = draws(5, 1, step).standard_normal((4, 3)).astype(np.float32)
            loss: torch.Tensor = module(torch.from_numpy(values)).square().mean()
            return loss

        run = Run(folder, TINY, save_seconds=0.0)
        train_stage(run, "part", module, loss_at, steps=12, peak=0.01)
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    whole = train(tmp_path / "whole", None)
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", 7)
    assert torch.equal(train(tmp_path / "cut", None), whole)
    assert any(line.get("event") == "resumed" for line in _log(tmp_path / "cut"))


def test_a_loss_that_is_not_a_number_stops_the_stage(tmp_path: Path) -> None:
    import torch

    module = torch.nn.Linear(1, 1)
    with pytest.raises(TrainingFailedError, match="stage part is not a number at step 0"):
        train_stage(
            Run(tmp_path, TINY),
            "part",
            module,
            lambda step: module(torch.tensor([[float("nan")]])).sum(),
            steps=2,
            peak=0.1,
        )
    assert not (tmp_path / "part.pt").exists()


def test_each_pass_shows_every_picture_once_and_the_rate_rises_and_falls() -> None:
    at = batches(12, 4, seed=3, stage=1)
    first = np.concatenate([at(step) for step in range(3)])
    second = np.concatenate([at(step) for step in range(3, 6)])
    assert sorted(first) == sorted(second) == list(range(12))
    assert not np.array_equal(first, second)
    assert np.array_equal(batches(12, 4, seed=3, stage=1)(4), at(4))
    rates = [rate_at(step, 1000, 1.0, 0.5) for step in range(1000)]
    assert rates[0] == 0.01
    assert rates[99:500] == [1.0] * 401
    assert rates[-1] == 0.02


def test_wrong_settings_and_stages_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert with_steps(FULL, {"unet_steps": "9"}).unet_steps == 9
    with pytest.raises(RecipeError, match="no setting 'unet_stepz'"):
        with_steps(FULL, {"unet_stepz": "9"})
    with pytest.raises(RecipeError, match="'many' is not a number that unet_steps"):
        with_steps(FULL, {"unet_steps": "many"})
    assert main(["--out", str(tmp_path), "--preset", "tiny", "--stages", "bake"]) == 2
    assert "there is no stage 'bake'" in capsys.readouterr().out
