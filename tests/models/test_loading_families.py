"""Learned words in live pipelines of many families: the right rows, and gone bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tinypipes_more as more
from tireg.errors import BaseError
from tireg.models import bases

Built = tuple[Any, str, dict[str, int], dict[str, Any]]


def sd1_pipe(folder: Path) -> Any:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(side: int = 64) -> Any:
    from PIL import Image

    return Image.new("RGB", (side, side), "gray")


def build_sd3(folder: Path, sd1: Path) -> Built:
    size = {"height": 32, "width": 32, "max_sequence_length": 64}
    return more.build_sd3(folder), "sd3", {"clip_l": 16, "clip_g": 24, "t5xxl": 48}, size


def build_flux(folder: Path, sd1: Path) -> Built:
    size = {"height": 32, "width": 32, "max_sequence_length": 64}
    return more.build_flux(folder), "flux1", {"clip_l": 16, "t5xxl": 32}, size


def build_flux_img2img(folder: Path, sd1: Path) -> Built:
    from diffusers import FluxImg2ImgPipeline

    pipe = FluxImg2ImgPipeline(**more.build_flux(folder).components)
    more_args = {"image": picture(32), "strength": 1.0, "max_sequence_length": 64,
                 "height": 32, "width": 32}  # fmt: skip
    return pipe, "flux1", {"clip_l": 16, "t5xxl": 32}, more_args


def build_sana(folder: Path, sd1: Path) -> Built:
    size = {"height": 32, "width": 32, "use_resolution_binning": False,
            "complex_human_instruction": None, "max_sequence_length": 32}  # fmt: skip
    return more.build_sana(), "sana", {"gemma2_2b": 16}, size


def build_animatediff(folder: Path, sd1: Path) -> Built:
    pipe = more.build_animatediff(sd1_pipe(sd1))
    return pipe, "sd1", {"clip_l": 32}, {"num_frames": 2, "height": 64, "width": 64}


def build_controlnet(folder: Path, sd1: Path) -> Built:
    pipe = more.build_controlnet(sd1_pipe(sd1))
    return pipe, "sd1", {"clip_l": 32}, {"image": picture()}


def build_img2img(folder: Path, sd1: Path) -> Built:
    from diffusers import StableDiffusionImg2ImgPipeline

    pipe = StableDiffusionImg2ImgPipeline(**sd1_pipe(sd1).components, requires_safety_checker=False)
    return pipe, "sd1", {"clip_l": 32}, {"image": picture(), "strength": 1.0}


def build_inpaint(folder: Path, sd1: Path) -> Built:
    from diffusers import StableDiffusionInpaintPipeline

    pipe = StableDiffusionInpaintPipeline(**sd1_pipe(sd1).components, requires_safety_checker=False)
    args = {"image": picture(), "mask_image": picture(), "height": 64, "width": 64}
    return pipe, "sd1", {"clip_l": 32}, args


BUILDERS: list[Callable[[Path, Path], Built]] = [
    build_sd3, build_flux, build_flux_img2img, build_sana,
    build_animatediff, build_controlnet, build_img2img, build_inpaint,
]  # fmt: skip


@pytest.fixture(scope="module", params=BUILDERS, ids=lambda builder: builder.__name__[6:])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_sd1: Path
) -> Built:
    found: Built = request.param(tmp_path_factory.mktemp("pipe"), tiny_sd1)
    found[0].set_progress_bar_config(disable=True)
    return found


def draw(pipe: Any, prompt: str, args: dict[str, Any]) -> torch.Tensor:
    """The final latents of one step, which show what the prompt was encoded to."""
    generator = torch.Generator().manual_seed(0)
    result = pipe(
        prompt, num_inference_steps=1, guidance_scale=3.0, generator=generator,
        output_type="latent", **args,
    )  # fmt: skip
    latents: torch.Tensor = result[0] if isinstance(result, tuple) else next(iter(result.values()))
    return latents


def weights(pipe: Any) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": weight.clone()
        for part, module in pipe.components.items()
        if isinstance(module, torch.nn.Module)
        for name, weight in module.state_dict().items()
    }


def test_a_word_is_loaded_seen_and_gone(built: Built) -> None:
    pipe, family, widths, args = built
    assert bases.family_of_pipeline(pipe).id == family
    before, components = weights(pipe), dict(pipe.components)
    ordinary = "a photo of a cathedral with a cat"
    plain = draw(pipe, ordinary, args)
    words = {"<My-Cat>": {key: 3 * more.rows(width) for key, width in widths.items()}}
    wrappers = bases.load(pipe, words)
    assert set(wrappers) == set(widths)
    assert torch.equal(draw(pipe, ordinary, args), plain)
    assert not torch.equal(draw(pipe, "a photo of a <My-Cat> with a cat", args), plain)
    other = {"<My-Cat>": {key: -more.rows(w, seed=1) for key, w in widths.items()}}
    with_first = draw(pipe, "a photo of a <My-Cat>", args)
    bases.load(pipe, other)
    assert not torch.equal(draw(pipe, "a photo of a <My-Cat>", args), with_first)
    bases.unload(pipe)
    after = weights(pipe)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(pipe.components[name] is part for name, part in components.items())
    assert torch.equal(draw(pipe, ordinary, args), plain)


def test_every_encoder_reads_its_own_rows_in_order(built: Built) -> None:
    pipe, _, widths, _ = built
    row = {e.key: e for e in bases.family_of_pipeline(pipe).encoders}
    words = {"<x>": {key: more.rows(width, 3) for key, width in widths.items()}}
    wrappers = bases.load(pipe, words)
    try:
        for key, wrapper in wrappers.items():
            tokenizer = getattr(pipe, row[key].tokenizer)
            original = tokenizer.tireg_original
            ids = tokenizer("a photo of a <x> on the table").input_ids
            at = ids.index(wrapper.first)
            assert ids[at : at + 3] == [wrapper.first, wrapper.first + 1, wrapper.first + 2]
            without = ids[:at] + ids[at + 3 :]
            assert without == original("a photo of a on the table").input_ids
            assert tokenizer("a cathedral").input_ids == original("a cathedral").input_ids
            read = wrapper(torch.tensor([ids]))[0, at : at + 3]
            scale = getattr(wrapper.table, "embed_scale", 1.0)  # Gemma's table scales its rows
            assert torch.equal(read, torch.from_numpy(words["<x>"][key]) * scale)
            # A table padded beyond its tokenizer is neither shrunk nor grown.
            assert wrapper.weight.shape[0] >= len(original)
    finally:
        bases.unload(pipe)


def test_an_ordinary_word_is_not_rewritten_inside_another(built: Built) -> None:
    pipe, _, widths, args = built
    words = {"cat": {key: more.rows(width) for key, width in widths.items()}}
    plain = draw(pipe, "a cathedral", args)
    bases.load(pipe, words)
    try:
        assert torch.equal(draw(pipe, "a cathedral", args), plain)
    finally:
        bases.unload(pipe)


def test_sd3_without_its_t5(tmp_path: Path) -> None:
    from diffusers import StableDiffusion3Pipeline

    parts = more.build_sd3(tmp_path).components
    pipe = StableDiffusion3Pipeline(**{**parts, "text_encoder_3": None, "tokenizer_3": None})
    assert bases.family_of_pipeline(pipe).id == "sd3"
    rows = {"clip_l": more.rows(16), "clip_g": more.rows(24), "t5xxl": more.rows(48)}
    assert set(bases.load(pipe, {"<x>": rows})) == {"clip_l", "clip_g"}
    bases.unload(pipe)
    with pytest.raises(BaseError, match="no rows for any encoder"):
        bases.load(pipe, {"<x>": {"t5xxl": rows["t5xxl"]}})


def halved(model: torch.nn.Module) -> torch.nn.Module:
    """Weights in fp16 as a file holds them; what is computed from the config stays as it is."""
    for weight in model.parameters():
        weight.data = weight.data.half()
    return model


def test_t5_and_gemma_are_measured_in_any_numbers(tmp_path: Path) -> None:
    from tireg.models.fingerprint import measure_encoder

    pipe = more.build_flux(tmp_path)
    wide = measure_encoder("t5xxl", pipe.text_encoder_2, pipe.tokenizer_2)
    half = measure_encoder("t5xxl", halved(pipe.text_encoder_2), pipe.tokenizer_2)
    assert wide == half
    sana = more.build_sana()
    found = measure_encoder("gemma2_2b", sana.text_encoder, sana.tokenizer)
    assert found == measure_encoder("gemma2_2b", halved(sana.text_encoder), sana.tokenizer)
    assert found.behaviour is not None
