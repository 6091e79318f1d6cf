"""Tiny pipelines of the families with transformers, as folders that diffusers reads.

Built from real classes and saved with ``save_pretrained``; only sizes are small. Pictures of 32
pixels become latents of 16.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import tinypipes
from tests import tinypipes_more as more


def sd3(folder: Path) -> Any:
    """SD3 with a fixed shift of 3, as published."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    pipe = more.build_sd3(folder)
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    return pipe


def sd3_without_t5(folder: Path) -> Any:
    """SD3 whose third encoder was left out to save memory."""
    from diffusers import StableDiffusion3Pipeline

    parts = {**sd3(folder).components, "text_encoder_3": None, "tokenizer_3": None}
    return StableDiffusion3Pipeline(**parts)


def flux_dev(folder: Path) -> Any:
    """FLUX.1 dev: guidance as an input, a shift by the picture's size."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    pipe = more.build_flux(folder, guidance_embeds=True)
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, shift=3.0
    )
    return pipe


def flux_schnell(folder: Path) -> Any:
    """FLUX.1 schnell: no guidance, no shift."""
    return more.build_flux(folder)


def chroma(folder: Path) -> Any:
    """ChromaPipeline: a T5 that reads with a mask, no CLIP."""
    from diffusers import ChromaPipeline, ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler

    with tinypipes._seeded(0):
        tokenizer = more.unigram_tokenizer()
        transformer = ChromaTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1,
            attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32,
            axes_dims_rope=(4, 4, 8), approximator_hidden_dim=32, approximator_layers=1,
            approximator_num_channels=64,
        ).eval()  # fmt: skip
        return ChromaPipeline(
            FlowMatchEulerDiscreteScheduler(), more._small_vae(), more.t5(tokenizer), tokenizer,
            transformer,
        )  # fmt: skip


def pixart(folder: Path) -> Any:
    """PixArtSigmaPipeline: a T5, epsilon prediction with a variance behind it."""
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

    with tinypipes._seeded(0):
        tokenizer = more.unigram_tokenizer()
        transformer = PixArtTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8,
            num_layers=1, cross_attention_dim=16, sample_size=16, patch_size=2,
            caption_channels=32,
        ).eval()  # fmt: skip
        return PixArtSigmaPipeline(
            tokenizer, more.t5(tokenizer), more._small_vae(), transformer,
            DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02),
        )  # fmt: skip


def auraflow(folder: Path) -> Any:
    """AuraFlowPipeline: a UMT5 whose padding is set to zero."""
    from diffusers import (
        AuraFlowPipeline,
        AuraFlowTransformer2DModel,
        FlowMatchEulerDiscreteScheduler,
    )
    from transformers import UMT5Config, UMT5EncoderModel

    with tinypipes._seeded(0):
        tokenizer = more.unigram_tokenizer("llama")
        encoder = UMT5EncoderModel(
            UMT5Config(
                vocab_size=len(tokenizer) + 8, d_model=32, d_kv=8, d_ff=48, num_layers=2,
                num_heads=4, feed_forward_proj="gated-gelu",
            )
        ).eval()  # fmt: skip
        transformer = AuraFlowTransformer2DModel(
            sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_mmdit_layers=1,
            num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=4,
            caption_projection_dim=32, joint_attention_dim=32, pos_embed_max_size=256,
        ).eval()  # fmt: skip
        return AuraFlowPipeline(
            tokenizer, encoder, more._small_vae(), transformer,
            FlowMatchEulerDiscreteScheduler(shift=1.73),
        )  # fmt: skip


def lumina2(folder: Path) -> Any:
    """Lumina2Pipeline: Gemma 2 after a system prompt, time that runs from noise to picture."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        Lumina2Pipeline,
        Lumina2Transformer2DModel,
    )

    with tinypipes._seeded(0):
        tokenizer = more.unigram_tokenizer("gemma")
        transformer = Lumina2Transformer2DModel(
            sample_size=16, patch_size=2, in_channels=4, hidden_size=24, num_layers=1,
            num_refiner_layers=1, num_attention_heads=3, num_kv_heads=1, multiple_of=2,
            scaling_factor=1.0, axes_dim_rope=(4, 2, 2), axes_lens=(320, 128, 128),
            cap_feat_dim=16,
        ).eval()  # fmt: skip
        return Lumina2Pipeline(
            transformer, FlowMatchEulerDiscreteScheduler(shift=6.0), more._small_vae(),
            more.gemma2(tokenizer, layers=2), tokenizer,
        )  # fmt: skip


def sana(folder: Path) -> Any:
    """SanaPipeline with the scheduler that Sana is published with."""
    from diffusers import DPMSolverMultistepScheduler

    pipe = more.build_sana()
    pipe.scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return pipe


BUILDERS: dict[str, Callable[[Path], Any]] = {
    builder.__name__: builder
    for builder in (
        sd3, sd3_without_t5, flux_dev, flux_schnell, chroma, pixart, auraflow, lumina2, sana
    )
}  # fmt: skip


def build(name: str, folder: Path) -> Path:
    """Write the tiny pipeline ``name`` of :data:`BUILDERS` as a diffusers folder."""
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of diffusers' classes call others by old names
        BUILDERS[name](Path(scratch)).save_pretrained(folder)
    return folder
