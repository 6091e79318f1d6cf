"""Pictures to latents by the VAE of any family, and the VAE's place in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from tireg.models.bases import Base

# Below this many bytes reading it again would cost more than it spares.
WORTH_DROPPING = 2**26


@torch.inference_mode()
def encode_picture(base: Base, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation [1, c, h, w], fp32, of a picture [3, height, width] in -1 ... 1.

    Scaled as the base's denoiser takes them: (latent - shift) * scale. An autoencoder without a
    posterior (Sana's AutoencoderDC) has a deviation of zero.
    """
    vae = base.pipe.vae
    scale = float(vae.config.scaling_factor)
    shift = float(vae.config.get("shift_factor") or 0.0)
    encoded = vae.encode(picture[None].to(base.device, vae.dtype))
    if hasattr(encoded, "latent_dist"):
        mean, std = encoded.latent_dist.mean.float(), encoded.latent_dist.std.float()
    else:
        mean = encoded.latent.float()
        std = torch.zeros_like(mean)
    return (mean - shift) * scale, std * scale


def free_vae(base: Base) -> None:
    """Give up the VAE's memory once the latents are kept, until :func:`restore_vae`.

    On a GPU it moves to the CPU. On the CPU a large one is dropped, to be read again from the
    base's folder; that of a single-file base stays.
    """
    vae = base.pipe.vae
    if base.device.type != "cpu":
        vae.to("cpu")
    elif base.folder.is_dir() and sum(w.nbytes for w in vae.parameters()) >= WORTH_DROPPING:
        base.pipe.vae = vae.to("meta")


def restore_vae(base: Base) -> None:
    """Bring the VAE back before pictures are drawn; nothing to do where it is there."""
    vae = base.pipe.vae
    if any(w.is_meta for w in vae.parameters()):
        kind = type(vae)
        again = kind.from_pretrained(
            base.folder / "vae",
            torch_dtype=base.dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=_variant(base.folder),
        )
        base.pipe.vae = again.requires_grad_(False).eval()
    base.pipe.vae.to(base.device)


def _variant(folder: Path) -> str | None:
    plain = (folder / "vae" / "diffusion_pytorch_model.safetensors").is_file()
    return None if plain else "fp16"


@contextmanager
def drawing(base: Base) -> Iterator[None]:
    """Pictures can be drawn inside; afterwards sampler and VAE are as training wants them."""
    scheduler = base.pipe.scheduler
    restore_vae(base)
    try:
        yield
    finally:
        base.pipe.scheduler = scheduler
        free_vae(base)
