"""Every family that is said to be trainable: asked as its pipeline asks, and only rows move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tinypipes_flow
from tireg.domain.families import families
from tireg.domain.recipes import Recipe
from tireg.errors import ConfigError
from tireg.models import bases
from tireg.models.conditioning import Conditioning
from tireg.models.latents import encode_picture, free_vae, restore_vae
from tireg.training.data import Batch, Bucket, Data
from tireg.training.flow import Flow, pack, unpack
from tireg.training.loop import Learning, Run
from tireg.training.objective import Objective
from tireg.training.rows import start_rows, words_norm
from tireg.training.stopping import Check

PROMPTS = ["a photo of a <x>", "a picture of the <x> on a table"]
NOISE = ("tiny_sd1", "tiny_sd2", "tiny_sdxl", "sd2_epsilon", "pixart")
FLOW = tuple(name for name in tinypipes_flow.BUILDERS if name != "pixart")
SIDES = {"tiny_sd1": 64, "tiny_sd2": 64, "tiny_sdxl": 64, "sd2_epsilon": 64}


@pytest.fixture(scope="module")
def folder_of(
    tmp_path_factory: pytest.TempPathFactory, tiny_sd1: Path, tiny_sd2: Path, tiny_sdxl: Path
) -> Callable[[str], Path]:
    """The folder of a tiny base by name, built when it is first asked for."""
    folders = {"tiny_sd1": tiny_sd1, "tiny_sd2": tiny_sd2, "tiny_sdxl": tiny_sdxl}

    def find(name: str) -> Path:
        if name not in folders:
            folder = tmp_path_factory.mktemp("families") / name
            if name == "sd2_epsilon":
                folders[name] = sd2_with_epsilon(folder, tiny_sd2)
            else:
                folders[name] = tinypipes_flow.build(name, folder)
        return folders[name]

    return find


def sd2_with_epsilon(folder: Path, sd2: Path) -> Path:
    """SD2 as its 512 px base is published: the same parts, epsilon prediction."""
    import json
    import shutil

    shutil.copytree(sd2, folder)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": "epsilon"}))
    return folder


def open_with_word(folder: Path) -> tuple[bases.Base, dict[str, Any], dict[str, float]]:
    """A base with the word <x> that begins as 'cat', its wrappers and norms of words in use."""
    base = bases.open_base(folder, device="cpu")
    rows, scales = {}, {}
    for key, encoder in base.encoders.items():
        table = encoder.model.get_input_embeddings().weight
        rows[key] = start_rows(encoder.tokenizer, table, "cat", 2, seed=0).numpy()
        scales[key] = words_norm(encoder.tokenizer, table)
    return base, bases.load(base.pipe, {"<x>": rows}, family=base.family), scales


def pictures_of(base: bases.Base, side: int, count: int = 2) -> Data:
    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(count, 3, side, side, generator=generator) * 2 - 1
    encoded = [encode_picture(base, picture) for picture in pictures]
    mean, std = (torch.cat(parts).clone() for parts in zip(*encoded, strict=True))
    prompts = (torch.arange(len(PROMPTS)),) * count
    return Data((Bucket(mean, std, (side, side), prompts),))


def weights(base: bases.Base) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, part in base.pipe.components.items()
        if isinstance(part, torch.nn.Module)
        for key, value in part.state_dict().items()
    }


def states(base: bases.Base, prompt: str) -> dict[str, torch.Tensor]:
    """What every encoder makes of a prompt."""
    found = {}
    for key, encoder in base.encoders.items():
        tokenizer = getattr(base.pipe, encoder.tokenizer_component)
        ids = torch.tensor([tokenizer(prompt).input_ids])
        with torch.no_grad():
            found[key] = encoder.model(ids)[0]
    return found


@pytest.mark.parametrize("name", NOISE + FLOW)
def test_only_the_rows_of_every_encoder_move(name: str, folder_of: Callable[[str], Path]) -> None:
    folder = folder_of(name)
    base, wrappers, scales = open_with_word(folder)
    before = weights(bases.open_base(folder, device="cpu"))
    recipe = Recipe(steps=3, batch=2, init="cat")
    objective = Objective(base, Conditioning(base, PROMPTS, "<x>"), snr_gamma=recipe.snr_gamma)
    run = Run(base, objective, pictures_of(base, SIDES.get(name, 32)), recipe, wrappers, scales)
    begin = run.rows()
    learning = Learning(run)
    checks = [moment for moment in learning if isinstance(moment, Check)]
    assert all(np.isfinite(check.loss) for check in checks)
    learned = learning.outcome().rows
    assert set(learned) == set(base.encoders)
    for key, rows in learned.items():
        moved = (rows - begin[key]).norm(dim=-1)
        assert bool((moved > 1e-4 * scales[key]).all()), key
    trained = states(base, "a photo of a <x>")
    bases.unload(base.pipe)
    after = weights(base)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[part], after[part]) for part in before)

    fresh = bases.open_base(folder, device="cpu")
    bases.load(fresh.pipe, {"<x>": {key: rows.numpy() for key, rows in learned.items()}})
    for key, state in states(fresh, "a photo of a <x>").items():
        assert torch.equal(state, trained[key]), key


@pytest.mark.parametrize("name", ["tiny_sd1", "tiny_sd2", "tiny_sdxl"])
def test_diffusers_own_loader_gives_the_same_states(
    name: str, folder_of: Callable[[str], Path]
) -> None:
    base, wrappers, _ = open_with_word(folder_of(name))
    theirs = bases.open_base(folder_of(name), device="cpu")
    for key, encoder in theirs.encoders.items():
        theirs.pipe.load_textual_inversion(
            wrappers[key].rows.detach().clone(), token="<x>",
            text_encoder=encoder.model, tokenizer=encoder.tokenizer,
        )  # fmt: skip
    # Their loader writes several rows as <x> <x>_1 into the prompt.
    prompts = theirs.pipe.maybe_convert_prompt("a photo of a <x>", theirs.pipe.tokenizer)
    ours = states(base, "a photo of a <x>")
    for key, state in states(theirs, prompts).items():
        assert torch.allclose(state, ours[key], atol=1e-5), key


def asked(base: bases.Base, size: int, latents: torch.Tensor, answer: torch.Tensor) -> Any:
    """What the pipeline asks its denoiser in one step, and what it makes of ``answer``.

    Returns (positional arguments, keyword arguments, final latents).
    """
    denoiser = getattr(base.pipe, base.family.denoiser)
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        seen.append((args, kwargs))

    handles = [
        denoiser.register_forward_pre_hook(look, with_kwargs=True),
        denoiser.register_forward_hook(lambda module, args, out: (answer,)),
    ]
    more = {}
    if base.family.id in ("pixart", "sana"):
        more["use_resolution_binning"] = False
    try:
        result = base.pipe(
            prompt=[PROMPTS[0]], num_inference_steps=1, guidance_scale=1.0, height=size,
            width=size, latents=latents, output_type="latent", **more,
        )  # fmt: skip
    finally:
        for handle in handles:
            handle.remove()
    return *seen[0], result[0] if isinstance(result, tuple) else result.images


@pytest.mark.parametrize("name", ["tiny_sd1", "tiny_sdxl", "pixart", *FLOW])
def test_the_denoiser_is_asked_as_the_pipeline_asks(
    name: str, folder_of: Callable[[str], Path]
) -> None:
    base, _, _ = open_with_word(folder_of(name))
    side = SIDES.get(name, 32)
    clean = pictures_of(base, side).buckets[0].mean[:1]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    conditioning = Conditioning(base, PROMPTS, "<x>")
    with torch.no_grad():
        ours = conditioning(torch.tensor([0]), (side, side))
    objective = Objective(base, conditioning)
    flow = objective.process if isinstance(objective.process, Flow) else None
    perfect = noise - clean
    if flow and flow.call.time == "clean":
        perfect = -perfect
    if base.family.id == "pixart":
        perfect = torch.cat([perfect, perfect], dim=1)  # its transformer gives a variance behind
    packed = bool(flow and flow.call.packed)
    _, kwargs, drawn = asked(
        base, side, pack(noise) if packed else noise, pack(perfect) if packed else perfect
    )
    if packed:
        ours["img_ids"] = flow._positions(*(n // 2 for n in clean.shape[-2:])) if flow else None
        drawn = unpack(drawn, *clean.shape[-2:])
    for key, value in ours.items():
        same(value, kwargs[key], key)
    if flow:
        sigma = base.pipe.scheduler.sigmas[:1].float()
        same(flow._time(sigma), kwargs["timestep"].float(), "timestep", tolerance=2e-3)
        # One step along a perfect answer leads from noise to the picture.
        assert torch.allclose(drawn, clean, atol=2e-2)


def same(ours: Any, theirs: Any, name: str, *, tolerance: float = 1e-6) -> None:
    if isinstance(ours, dict):
        assert set(ours) == set(theirs)
        for key, value in ours.items():
            same(value, theirs[key], f"{name}.{key}")
    elif ours is None:
        assert theirs is None, name
    else:
        assert ours.shape == theirs.shape, name
        assert torch.allclose(ours.float(), theirs.float(), rtol=tolerance, atol=tolerance), name


def test_every_trainable_family_is_proven_here(folder_of: Callable[[str], Path]) -> None:
    proven = {bases.identify(folder_of(name)).id for name in NOISE + FLOW}
    assert {row.id for row in families() if row.trainable} - proven == {"shapes"}


def test_sizes_that_are_no_whole_patches_are_named(folder_of: Callable[[str], Path]) -> None:
    base, _, _ = open_with_word(folder_of("flux_schnell"))
    objective = Objective(base, Conditioning(base, PROMPTS, "<x>"))
    latents, index = torch.zeros(1, 4, 17, 17), torch.tensor([0])
    with pytest.raises(ConfigError, match="steps of 4 pixels, not 34 x 34"):
        objective(Batch(latents, latents, index, index, (34, 34)))


def test_the_vae_goes_and_comes_back(folder_of: Callable[[str], Path]) -> None:
    base, _, _ = open_with_word(folder_of("tiny_sd1"))
    before = pictures_of(base, 64).buckets[0].mean
    free_vae(base)
    restore_vae(base)
    assert next(base.pipe.vae.parameters()).device == base.device
    assert torch.equal(pictures_of(base, 64).buckets[0].mean, before)
