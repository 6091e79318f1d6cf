"""Models with random weights to time training on, as diffusers folders with safetensors.

    python -m benchmarks.models SIZE FOLDER [--pictures FOLDER]

A step's time does not depend on what the weights have learned, only on their shapes; so nothing
is downloaded. Needs the checkout: the tokenizers are made by the tests' builder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORD = "cat"  # one token of every vocabulary below


@dataclass(frozen=True)
class Size:
    """A model, and how it is trained when timed.

    ``side`` in pixels; ``steps`` are timed in each round, after ``warm`` further ones.
    """

    name: str
    about: str
    side: int
    batch: int
    steps: int
    warm: int


SIZES = {
    size.name: size
    for size in (
        Size("tiny", "UNet 1.6M, a vocabulary of about 1,000 x 32", 64, 4, 40, 5),
        Size("medium", "UNet 18M, a vocabulary of 49,408 x 256, SD's VAE at half width",
             128, 4, 16, 2),
        Size("sd15", "the architecture of SD1.5: UNet 860M, 49,408 x 768", 256, 1, 4, 1),
    )
}  # fmt: skip


def build(name: str, folder: Path) -> Path:
    """Write the model ``name`` of SIZES into ``folder``, fp32; takes 5 s to a minute.

    Raises KeyError for another name.
    """
    if SIZES[name].name == "sd15":
        from tests.tinypipes import build_sd15_real

        return build_sd15_real(folder, dtype="float32")
    return _build_small(name, folder)


def _build_small(name: str, folder: Path) -> Path:
    """Tiny and medium: the parts of a StableDiffusionPipeline with fewer and narrower layers."""
    import torch
    from diffusers import (
        AutoencoderKL,
        PNDMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from tests.tinypipes import REAL_MERGES, write_tokenizer

    medium = name == "medium"
    width, layers = (256, 4) if medium else (32, 2)
    merges, words = (REAL_MERGES, ()) if medium else (400, None)
    ids = write_tokenizer(folder / "tokenizer", merges=merges, words=words)
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=ids["size"], hidden_size=width, intermediate_size=4 * width,
        projection_dim=width, num_hidden_layers=layers, num_attention_heads=4,
        max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=ids["bos"],
        eos_token_id=ids["eos"], pad_token_id=ids["pad"],
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=SIZES[name].side // 8,
        block_out_channels=(64, 128, 256) if medium else (32, 64, 64),
        layers_per_block=2 if medium else 1,
        down_block_types=("CrossAttnDownBlock2D",) * 2 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=width,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        sample_size=SIZES[name].side, latent_channels=4, norm_num_groups=8,
        block_out_channels=(64, 128, 256, 256) if medium else (16, 32, 32, 32),
        layers_per_block=2 if medium else 1, scaling_factor=0.18215,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    pipe: Any = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=unet,
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
            skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder


def make_pictures(folder: Path, count: int = 4, side: int = 512) -> None:
    """``count`` JPEG pictures of smooth random colours, ``side`` pixels square, always the same."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        smooth.save(folder / f"picture-{number}.jpg", quality=92)


def main(arguments: Sequence[str]) -> int:
    """Build one model, as the command line says."""
    parser = argparse.ArgumentParser(prog="benchmarks.models", description=__doc__)
    parser.add_argument("size", choices=list(SIZES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path, help="also make pictures in this folder")
    options = parser.parse_args(arguments)
    if options.pictures:
        make_pictures(options.pictures)
    build(options.size, options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
