"""Stages ``vae`` and ``latents``: the autoencoder of the pipeline, and the encoded pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tireg.shapes.builder_clip import pixels
from tireg.shapes.builder_data import Data
from tireg.shapes.builder_run import Run, batches, chunks, draws, train_stage
from tireg.shapes.builder_sizes import Sizes

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL

STAGE = 2


def vae_model(sizes: Sizes) -> AutoencoderKL:
    """An autoencoder with random weights; 32 by 32 pixels become 8 by 8 latents."""
    import torch
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=sizes.latent_channels,
        block_out_channels=sizes.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=32,
    )
    # Residual branches that begin at zero gain several dB in a short training.
    for name, parameter in vae.named_parameters():
        if ".conv2." in name:
            torch.nn.init.zeros_(parameter)
    return vae


def build_vae(run: Run, data: Data) -> None:
    """Train the autoencoder (L1 + 2 MSE + 1e-4 KL); its weights go to ``vae.pt``."""
    import torch
    from diffusers import AutoencoderKL

    if run.done("vae").exists():
        return
    sizes = run.sizes
    torch.manual_seed(sizes.seed + 1)
    vae = vae_model(sizes)
    if run.start is not None:
        # Kept as it is, like the text tower: the UNet has learned these latents.
        vae = AutoencoderKL.from_pretrained(run.start / "base" / "vae")
        torch.save(vae.state_dict(), run.done("vae"))
        run.log("vae", event="taken from earlier weights")
        return
    vae.to(run.device)
    rows = batches(len(data.pictures), sizes.vae_batch, sizes.seed, STAGE)

    def loss_at(step: int) -> torch.Tensor:
        picture = pixels(data.pictures[rows(step)], run.device)
        noise = draws(sizes.seed, STAGE, step)
        with torch.autocast(run.device, torch.bfloat16):
            spread = vae.encode(picture).latent_dist
            draw = noise.standard_normal(tuple(spread.mean.shape), dtype=np.float32)
            latents = spread.mean + spread.std * torch.from_numpy(draw).to(run.device)
            remade = vae.decode(latents).sample.float()
        away = remade - picture
        kl = spread.kl().float().mean() / picture[0].numel()
        loss: torch.Tensor = away.abs().mean() + 2 * away.square().mean() + 1e-4 * kl
        return loss

    def report(step: int) -> dict[str, object]:
        return {"psnr": round(psnr(vae, data, run.device), 2)}

    train_stage(
        run,
        "vae",
        vae,
        loss_at,
        steps=sizes.vae_steps,
        peak=sizes.vae_rate,
        report=(max(1, sizes.vae_steps // 14), report),
    )


def psnr(vae: AutoencoderKL, data: Data, device: str) -> float:
    """Mean peak signal-to-noise ratio in dB of 200 remade pictures; 28 and more is good."""
    import torch

    rows = np.arange(0, len(data.pictures), max(1, len(data.pictures) // 200))
    picture = pixels(data.pictures[rows], device)
    with torch.no_grad():
        remade = vae.decode(vae.encode(picture).latent_dist.mode()).sample.clamp(-1, 1)
    error = (remade - picture).square().mean(dim=(1, 2, 3)) / 4
    return float((-10 * torch.log10(error)).mean())


def load_vae(run: Run) -> AutoencoderKL:
    """The finished autoencoder of a build."""
    import torch

    vae = vae_model(run.sizes)
    vae.load_state_dict(torch.load(run.done("vae"), map_location="cpu", weights_only=True))
    return vae


def build_latents(run: Run, data: Data) -> None:
    """Encode all pictures once; mean and spread go to ``latents.npz``, with the scale to use."""
    import torch

    path = run.folder / "latents.npz"
    if path.exists():
        return
    vae = load_vae(run).to(run.device).eval()
    means, spreads = [], []
    with torch.no_grad():
        for piece in chunks(len(data.pictures), 250):
            spread = vae.encode(pixels(data.pictures[piece], run.device)).latent_dist
            means.append(spread.mean.cpu().contiguous().numpy())
            spreads.append(spread.std.cpu().contiguous().numpy())
    mean, deviation = np.concatenate(means), np.concatenate(spreads)
    scale = float(1.0 / np.sqrt(mean.var() + (deviation**2).mean()))
    if run.start is not None:
        from diffusers import AutoencoderKL

        scale = float(AutoencoderKL.load_config(run.start / "base" / "vae")["scaling_factor"])
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, mean=mean, deviation=deviation.astype(np.float16), scale=scale)
    partial.replace(path)
    run.log("latents", scale=round(scale, 5), psnr=round(psnr(vae, data, run.device), 2))
