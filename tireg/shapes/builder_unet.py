"""Stages ``unet`` and ``assemble``: the denoiser on the frozen text tower, and the pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tireg.shapes.builder_clip import text_model
from tireg.shapes.builder_data import Data, tokenize
from tireg.shapes.builder_run import Average, Run, batches, draws, train_stage
from tireg.shapes.builder_sizes import Sizes
from tireg.shapes.builder_vae import load_vae

if TYPE_CHECKING:
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

STAGE = 3
UNCONDITIONED = 0.1
"""Share of pictures trained with an empty caption, for classifier-free guidance."""


def unet_model(sizes: Sizes) -> UNet2DConditionModel:
    """A denoiser with random weights, conditioned as Stable Diffusion 1 is."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=sizes.latent_channels,
        out_channels=sizes.latent_channels,
        block_out_channels=sizes.unet_channels,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        attention_head_dim=sizes.unet_heads,
        cross_attention_dim=sizes.text_width,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
    )


def scheduler() -> DDIMScheduler:
    """The noise schedule: v-prediction to zero signal (Lin et al., 2023, arXiv 2305.08891)."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def load_text(run: Run, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The finished text tower of a build, frozen."""
    import torch

    text = text_model(tokenizer, run.sizes)
    towers = torch.load(run.done("clip"), map_location="cpu", weights_only=True)
    own = {name[5:]: value for name, value in towers.items() if name.startswith("text.")}
    text.load_state_dict(own)
    return text.requires_grad_(False).eval()


def build_unet(run: Run, data: Data, tokenizer: CLIPTokenizer) -> None:
    """Train the denoiser on cached latents; the averaged weights go to ``unet.pt``."""
    import torch
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor

    if run.done("unet").exists():
        return
    sizes = run.sizes
    torch.manual_seed(sizes.seed + 2)
    unet = unet_model(sizes)
    if run.start is not None:
        unet = UNet2DConditionModel.from_pretrained(run.start / "base" / "unet")
    # Plain attention in bfloat16 is half as fast again on a CPU as the fused kind.
    unet.set_attn_processor(AttnProcessor())
    unet.to(run.device)
    text = load_text(run, tokenizer).to(run.device)
    text.set_attn_implementation("eager")
    with np.load(run.folder / "latents.npz") as stored:
        mean, deviation, scale = stored["mean"], stored["deviation"], float(stored["scale"])
    empty = tokenize(tokenizer, [""])[0]
    noising = scheduler()
    rows = batches(len(mean), sizes.unet_batch, sizes.seed, STAGE)

    def loss_at(step: int) -> torch.Tensor:
        rng, chosen = draws(sizes.seed, STAGE, step), rows(step)
        which = rng.integers(data.tokens.shape[1], size=len(chosen))
        tokens = data.tokens[chosen, which].astype(np.int64)
        tokens[rng.random(len(chosen)) < UNCONDITIONED] = empty
        shape = mean[chosen].shape
        spread = deviation[chosen] * rng.standard_normal(shape, dtype=np.float32)
        latents = torch.from_numpy((mean[chosen] + spread) * np.float32(scale)).to(run.device)
        noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(run.device)
        times = torch.from_numpy(rng.integers(1000, size=len(chosen))).to(run.device)
        with torch.autocast(run.device, torch.bfloat16):
            with torch.no_grad():
                states = text(torch.from_numpy(tokens).to(run.device)).last_hidden_state
            noisy = noising.add_noise(latents, noise, times)
            guess = unet(noisy, times, encoder_hidden_states=states).sample
        goal = noising.get_velocity(latents, noise, times)
        return torch.nn.functional.mse_loss(guess.float(), goal)

    average = Average(unet, 0.99)

    def report(step: int) -> dict[str, object]:
        from tireg.shapes.evaluate import quick_rates

        live = {name: value.detach().clone() for name, value in unet.named_parameters()}
        unet.load_state_dict(average.state, strict=False)
        pipeline = make_pipeline(run, tokenizer, unet)
        rates = quick_rates(pipeline)
        pipeline.save_pretrained(run.folder / "preview")
        unet.load_state_dict(live, strict=False)
        unet.set_attn_processor(AttnProcessor())
        return rates

    train_stage(
        run,
        "unet",
        unet,
        loss_at,
        steps=sizes.unet_steps,
        peak=sizes.unet_rate,
        constant=sizes.unet_constant,
        average=average,
        report=(max(1, min(1000, sizes.unet_steps // 2)), report),
    )


def make_pipeline(
    run: Run, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """The whole pipeline around a denoiser, from the finished parts of a build."""
    from diffusers import StableDiffusionPipeline

    vae = load_vae(run)
    with np.load(run.folder / "latents.npz") as stored:
        vae.register_to_config(scaling_factor=float(stored["scale"]))
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=load_text(run, tokenizer),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def assemble(run: Run, tokenizer: CLIPTokenizer) -> Path:
    """Write the finished pipeline to ``base`` in the build folder and return that folder."""
    import torch

    unet = unet_model(run.sizes)
    unet.load_state_dict(torch.load(run.done("unet"), map_location="cpu", weights_only=True))
    target = run.folder / "base"
    make_pipeline(run, tokenizer, unet).save_pretrained(target, safe_serialization=True)
    for name in ("vocab.json", "merges.txt"):
        # The older two files of a CLIP tokenizer, for tools that know no tokenizer.json.
        shutil.copy(run.folder / "tokenizer" / name, target / "tokenizer" / name)
    run.log("assemble", bytes=sum(f.stat().st_size for f in target.rglob("*") if f.is_file()))
    return target
