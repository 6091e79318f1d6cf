"""Learning: only the new rows move, the same way every time, by the right gradient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tireg.domain.recipes import Recipe, make_recipe
from tireg.errors import RecipeError, TrainingFailedError
from tireg.models import bases
from tireg.models.conditioning import Conditioning
from tireg.training.data import Batch, Data, draw_batch, encode_pictures
from tireg.training.images import find_pictures, load_photos, to_tensor
from tireg.training.loop import Learning, Run
from tireg.training.objective import Objective
from tireg.training.optimisers import rate_at
from tireg.training.rows import start_rows, words_norm
from tireg.training.stopping import Check

SIDE = 64
PROMPTS = ["a photo of a <x>", "a drawing of the <x>"]


def start(folder: Path, pictures: Path, **knobs: Any) -> Run:
    base = bases.open_base(folder, device="cpu")
    recipe = Recipe(**{"steps": 4, "batch": 2, "resolution": SIDE, "init": "cat", **knobs})
    tables = {k: e.model.get_input_embeddings().weight for k, e in base.encoders.items()}
    rows, scales = {}, {}
    for key, encoder in base.encoders.items():
        begin = start_rows(encoder.tokenizer, tables[key], "cat", recipe.vectors, seed=0)
        rows[key] = begin.numpy()
        scales[key] = words_norm(encoder.tokenizer, tables[key])
    wrappers = bases.load(base.pipe, {"<x>": rows})
    objective = Objective(base, Conditioning(base, PROMPTS, "<x>"), snr_gamma=recipe.snr_gamma)
    photos = load_photos(find_pictures([pictures]))
    prompts = torch.arange(len(PROMPTS))
    bucket = encode_pictures(base, to_tensor(photos, SIDE), [prompts] * len(photos))
    return Run(base, objective, Data((bucket,)), recipe, wrappers, scales)


def weights(base: bases.Base) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, part in base.pipe.components.items()
        if isinstance(part, torch.nn.Module)
        for key, value in part.state_dict().items()
    }


@pytest.mark.parametrize("family", ["tiny_sd1", "tiny_sd2", "tiny_sdxl"])
@pytest.mark.parametrize("method", ["classic", "directional"])
def test_only_the_new_rows_move(
    family: str, method: str, pictures: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(family)
    before = weights(bases.open_base(folder, device="cpu"))
    run = start(folder, pictures, method=method)
    begin = run.rows()
    moments = [m for m in Learning(run) if isinstance(m, Check)]
    assert moments[0].step == 0
    assert moments[-1].step == run.recipe.steps
    assert all(np.isfinite(m.loss) for m in moments)
    for key, rows in run.rows().items():
        assert not torch.equal(rows, begin[key])
    bases.unload(run.base.pipe)
    after = weights(run.base)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_same_recipe_gives_the_same_bits(tiny_sd1: Path, pictures: Path) -> None:
    results = []
    for seed in (0, 0, 1):
        run = start(tiny_sd1, pictures, seed=seed)
        list(Learning(run))
        results.append(run.rows()["clip_l"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_directional_rows_keep_their_length(tiny_sd1: Path, pictures: Path) -> None:
    run = start(tiny_sd1, pictures, method="directional", vectors=3)
    list(Learning(run))
    norms = run.rows()["clip_l"].norm(dim=-1)
    assert torch.allclose(norms, torch.full((3,), run.scales["clip_l"]), rtol=1e-5)


def test_a_norm_limit_holds(tiny_sd1: Path, pictures: Path) -> None:
    run = start(
        tiny_sd1, pictures, method="classic", learning_rate=2.0, norm_limit=1.5, average_last=0.0
    )
    list(Learning(run))
    assert float(run.rows()["clip_l"].norm(dim=-1).max()) <= 1.5 * run.scales["clip_l"] * 1.0001


def test_the_gradient_is_that_of_a_full_matrix_bit_for_bit(tiny_sd1: Path, pictures: Path) -> None:
    """A plain implementation: resize the table, train all of it, look at the new rows."""
    run = start(tiny_sd1, pictures, snr_gamma=0.0)
    batch = draw_batch(run.data, 2, 1000, torch.Generator().manual_seed(5))
    loss = run.objective(batch).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    ours = run.wrappers["clip_l"].rows.grad
    assert ours is not None
    plain_loss, plain = full_matrix_gradient(tiny_sd1, run, batch)
    assert torch.equal(loss.detach(), plain_loss)
    assert torch.equal(ours, plain)


def full_matrix_gradient(folder: Path, run: Run, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of the new rows with a resized, fully trainable table."""
    from diffusers import DDPMScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder)
    rows = run.begin["clip_l"]
    names = [f"<x{i}>" for i in range(len(rows))]
    pipe.tokenizer.add_tokens(names)
    pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer), mean_resizing=False)
    pipe.unet.requires_grad_(False)
    pipe.text_encoder.requires_grad_(False)
    table = pipe.text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        table[-len(rows) :] = rows
    table.requires_grad_(True)
    prompts = [PROMPTS[i].replace("<x>", " ".join(names)) for i in batch.prompts.tolist()]
    ids = pipe.tokenizer(
        prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    noisy = DDPMScheduler.from_config(pipe.scheduler.config).add_noise(
        batch.latents, batch.noise, batch.timesteps
    )
    states = pipe.text_encoder(ids)[0]
    predicted = pipe.unet(noisy, batch.timesteps, encoder_hidden_states=states).sample
    squares = torch.nn.functional.mse_loss(predicted, batch.noise, reduction="none")
    loss = squares.mean(dim=(1, 2, 3)).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert table.grad is not None
    return loss.detach(), table.grad[-len(rows) :]


def test_min_snr_weights_are_those_of_the_paper(tiny_sd1: Path, tiny_sd2: Path) -> None:
    """Hang et al., 2023: min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v-prediction."""
    for folder, shift in ((tiny_sd1, 0.0), (tiny_sd2, 1.0)):
        base = bases.open_base(folder, device="cpu")
        rows = {
            key: np.ones((1, e.model.get_input_embeddings().weight.shape[1]), np.float32)
            for key, e in base.encoders.items()
        }
        bases.load(base.pipe, {"<x>": rows}, family=base.family)
        objective = Objective(base, Conditioning(base, ["a <x>"], "<x>"), snr_gamma=5.0)
        alphas = objective.noising.alphas_cumprod
        for t in (0, 300, 999):
            snr = float(alphas[t] / (1 - alphas[t]))
            assert float(objective.weights[t]) == pytest.approx(
                min(snr, 5.0) / (snr + shift), rel=1e-4
            )


def test_a_gradient_that_reaches_nothing_is_an_error(tiny_sd1: Path, pictures: Path) -> None:
    run = start(tiny_sd1, pictures)
    for block in run.base.pipe.unet.modules():
        if hasattr(block, "to_k"):
            torch.nn.init.zeros_(block.to_k.weight)
            torch.nn.init.zeros_(block.to_v.weight)
    with pytest.raises(TrainingFailedError, match="no gradient"):
        list(Learning(run))


def test_a_run_that_becomes_infinite_is_an_error(tiny_sd1: Path, pictures: Path) -> None:
    run = start(tiny_sd1, pictures)
    with torch.no_grad():
        run.wrappers["clip_l"].rows.fill_(float("inf"))
    with pytest.raises(TrainingFailedError):
        list(Learning(run))


def test_timesteps_are_one_from_each_part(tiny_sd1: Path, pictures: Path) -> None:
    run = start(tiny_sd1, pictures)
    times = draw_batch(run.data, 8, 1000, torch.Generator().manual_seed(0)).timesteps
    assert [int(t) // 125 for t in times] == list(range(8))


def test_a_norm_limit_falls_to_its_end(tiny_sd1: Path, pictures: Path) -> None:
    knobs = {"norm_limit": 3.0, "norm_limit_end": 0.4, "average_last": 0.0, "steps": 6}
    run = start(tiny_sd1, pictures, method="classic", learning_rate=2.0, **knobs)
    list(Learning(run))
    norms = run.rows()["clip_l"].norm(dim=-1) / run.scales["clip_l"]
    assert float(norms.max()) == pytest.approx(0.4, rel=1e-3)


def test_an_absolute_rate_is_what_other_trainers_mean(tiny_sd1: Path, pictures: Path) -> None:
    """Adam's first step moves every coordinate by the rate."""
    knobs = {"learning_rate": 2e-3, "rate_unit": "absolute", "average_last": 0.0, "steps": 1}
    run = start(tiny_sd1, pictures, method="classic", schedule="constant", **knobs)
    list(Learning(run))
    moved = (run.rows()["clip_l"] - run.begin["clip_l"]).abs()
    assert torch.allclose(moved, torch.full_like(moved, 2e-3), rtol=0.05)


def test_paired_noise_has_no_mean(tiny_sd1: Path, pictures: Path) -> None:
    run = start(tiny_sd1, pictures)
    generator = torch.Generator().manual_seed(0)
    batch = draw_batch(run.data, 4, 1000, generator, paired=True)
    assert torch.equal(batch.noise[:2], -batch.noise[2:])
    assert not torch.equal(batch.noise[0], batch.noise[1])


def test_an_anchor_holds_rows_near_the_start(tiny_sd1: Path, pictures: Path) -> None:
    far = []
    for anchor in (0.0, 1e6):
        run = start(tiny_sd1, pictures, method="cross", anchor=anchor, steps=6)
        list(Learning(run))
        far.append(float((run.rows()["clip_l"] - run.begin["clip_l"]).norm()))
    assert far[1] < far[0] / 2


def test_fixed_samples_come_from_every_bucket(tiny_sd1: Path, pictures: Path) -> None:
    from tireg.training.validation import count_of, fixed_batches

    run = start(tiny_sd1, pictures)
    (bucket,) = run.data.buckets
    two = Data((replace(bucket, mean=bucket.mean[:2]), replace(bucket, mean=bucket.mean[2:])))
    parts = fixed_batches(two, run.objective)
    assert [count_of(part) for part in parts] == [16] * 4
    assert all(len(part) == 2 for part in parts)
    assert sum(len(part[0].prompts) for part in parts) == round(64 * 2 / 5)


def test_rates_fall_as_the_recipe_says() -> None:
    recipe = Recipe(steps=100, learning_rate=1.0, final_rate=0.1, warmup=10, schedule="linear")
    assert rate_at(recipe, 0) == pytest.approx(0.1)
    assert rate_at(recipe, 10) == pytest.approx(1.0)
    assert rate_at(recipe, 55) == pytest.approx(0.55)
    assert rate_at(recipe.model_copy(update={"schedule": "constant"}), 99) == 1.0
    cosine = recipe.model_copy(update={"schedule": "cosine"})
    assert rate_at(cosine, 55) == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("knobs", "named"),
    [({"stepz": 3}, "stepz"), ({"steps": 0}, "steps"), ({"method": "magic"}, "method"),
     ({"anchor": 1.0}, "anchor"), ({"norm_limit": 0.5}, "norm_limit"),
     ({"rate_unit": "absolute"}, "classic"), ({"learning_rate": -1}, "learning_rate"),
     ({"learning_rate": float("nan")}, "learning_rate")],
)  # fmt: skip
def test_a_wrong_knob_is_named(knobs: dict[str, Any], named: str) -> None:
    with pytest.raises(RecipeError, match=named):
        make_recipe(knobs)


def test_words_begin_rows(tiny_sd1: Path) -> None:
    base = bases.open_base(tiny_sd1, device="cpu")
    tokenizer, table = base.pipe.tokenizer, base.pipe.text_encoder.get_input_embeddings().weight
    one = start_rows(tokenizer, table, "cat", 1, seed=0)
    three = start_rows(tokenizer, table, "cat", 3, seed=0)
    assert torch.equal(three[:1], one)
    assert not torch.equal(three[1], three[2])
    assert float(torch.cosine_similarity(three, one).min()) > 0.9
    with pytest.raises(RecipeError, match="zzxqw"):
        start_rows(tokenizer, table, "zzxqw", 1, seed=0)
    with pytest.raises(RecipeError, match="no initial word"):
        start_rows(tokenizer, table, "  ", 1, seed=0)


def test_cross_initialisation_comes_with_its_regulariser() -> None:
    assert make_recipe({"method": "cross"}).anchor == 1e-5
    assert make_recipe({"method": "cross", "anchor": 0.5}).anchor == 0.5
    assert make_recipe({}).anchor == 0.0
