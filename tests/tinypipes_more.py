"""More small real pipelines with random weights: SD3, FLUX, Sana, AnimateDiff, ControlNet.

Built in memory from real classes; only sizes are small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests import tinypipes

WORDS = (
    "a an the photo picture of on in with cat cathedral dog table , . here there and small red "
    "given user prompt generate enhanced for each"
).split()


def unigram_tokenizer(kind: str = "T5TokenizerFast", *, padding: int = 0) -> Any:
    """A SentencePiece-like tokenizer of whole words and single letters, as T5 and Gemma have."""
    import transformers

    letters = [chr(c) for c in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(f"▁{word}", -2.0) for word in WORDS] + [(c, -8.0) for c in letters]
    vocabulary = list(dict(pieces).items())
    if kind != "T5TokenizerFast":
        vocabulary.append(("<bos>", 0.0))
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    if kind == "T5TokenizerFast":
        return transformers.T5TokenizerFast(
            vocab=vocabulary, extra_ids=padding, model_max_length=64, **special
        )
    from tokenizers import Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<bos>", model_max_length=64, **special
    )


def t5(tokenizer: Any, width: int = 32, *, padding: int = 28) -> Any:
    """A T5 encoder whose table is padded beyond the tokenizer, as the real one's is."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer) + padding, d_model=width, d_kv=8, d_ff=48, num_layers=2,
        num_heads=4, feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return T5EncoderModel(config).eval()


def _clip(folder: Path, name: str, width: int, *, projected: bool = False) -> tuple[Any, Any]:
    from transformers import CLIPTokenizer

    ids = tinypipes.write_tokenizer(folder / name)
    encoder = tinypipes._text_encoder(ids, width, "gelu", projection=width, projected=projected)
    return encoder, CLIPTokenizer.from_pretrained(folder / name)


def _small_vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        sample_size=32, latent_channels=4, block_out_channels=(8, 8), norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        shift_factor=0.06, scaling_factor=1.5, use_quant_conv=False, use_post_quant_conv=False,
    ).eval()  # fmt: skip


def build_sd3(folder: Path) -> Any:
    """A StableDiffusion3Pipeline: two CLIPs with projections and a T5."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )

    with tinypipes._seeded(0):
        clip_l, tokenizer = _clip(folder, "l", 16, projected=True)
        clip_g, tokenizer_2 = _clip(folder, "g", 24, projected=True)
        tokenizer_3 = unigram_tokenizer()
        transformer = SD3Transformer2DModel(
            sample_size=16, patch_size=1, in_channels=4, num_layers=1, attention_head_dim=8,
            num_attention_heads=4, joint_attention_dim=48, caption_projection_dim=32,
            pooled_projection_dim=40, out_channels=4,
        ).eval()  # fmt: skip
        return StableDiffusion3Pipeline(
            transformer, FlowMatchEulerDiscreteScheduler(), _small_vae(),
            clip_l, tokenizer, clip_g, tokenizer_2, t5(tokenizer_3, 48), tokenizer_3,
        )  # fmt: skip


def build_flux(folder: Path, *, guidance_embeds: bool = False) -> Any:
    """A FluxPipeline: a CLIP for the pooled state and a T5 for the words."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    with tinypipes._seeded(0):
        clip_l, tokenizer = _clip(folder, "l", 16)
        tokenizer_2 = unigram_tokenizer()
        transformer = FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1,
            attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32,
            pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=guidance_embeds,
        ).eval()  # fmt: skip
        return FluxPipeline(
            FlowMatchEulerDiscreteScheduler(), _small_vae(), clip_l, tokenizer,
            t5(tokenizer_2), tokenizer_2, transformer,
        )  # fmt: skip


def gemma2(tokenizer: Any, *, layers: int = 1) -> Any:
    """A Gemma 2 without its head."""
    from transformers import Gemma2Config, Gemma2Model

    config = Gemma2Config(
        vocab_size=len(tokenizer) + 8, hidden_size=16, intermediate_size=32,
        num_hidden_layers=layers, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    return Gemma2Model(config).eval()


def build_sana() -> Any:
    """A SanaPipeline: Gemma 2 reads the prompt, which the pipeline lowers first."""
    from diffusers import (
        AutoencoderDC,
        FlowMatchEulerDiscreteScheduler,
        SanaPipeline,
        SanaTransformer2DModel,
    )

    with tinypipes._seeded(0):
        tokenizer = unigram_tokenizer("gemma")
        encoder = gemma2(tokenizer)
        transformer = SanaTransformer2DModel(
            patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2,
            attention_head_dim=4, num_cross_attention_heads=2, cross_attention_head_dim=4,
            cross_attention_dim=8, caption_channels=16, sample_size=32,
        ).eval()  # fmt: skip
        vae = AutoencoderDC(
            in_channels=3, latent_channels=4, attention_head_dim=2,
            encoder_block_types=("ResBlock", "EfficientViTBlock"),
            decoder_block_types=("ResBlock", "EfficientViTBlock"),
            encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
            encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)),
            encoder_layers_per_block=(1, 1), decoder_layers_per_block=[1, 1],
            downsample_block_type="conv", upsample_block_type="interpolate",
            decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.41407,
        ).eval()  # fmt: skip
        return SanaPipeline(
            tokenizer, encoder, vae, transformer,
            FlowMatchEulerDiscreteScheduler(),
        )  # fmt: skip


def build_animatediff(sd1: Any) -> Any:
    """An AnimateDiffPipeline around the parts of an SD1 pipeline."""
    from diffusers import AnimateDiffPipeline, MotionAdapter

    with tinypipes._seeded(0):
        adapter = MotionAdapter(
            block_out_channels=tuple(sd1.unet.config.block_out_channels),
            motion_layers_per_block=1, motion_mid_block_layers_per_block=1,
            motion_num_attention_heads=4, motion_norm_num_groups=8, use_motion_mid_block=False,
        )  # fmt: skip
        return AnimateDiffPipeline(
            sd1.vae, sd1.text_encoder, sd1.tokenizer, sd1.unet, adapter, sd1.scheduler
        )


def build_controlnet(sd1: Any) -> Any:
    """A StableDiffusionControlNetPipeline around the parts of an SD1 pipeline."""
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

    with tinypipes._seeded(0):
        control = ControlNetModel.from_unet(
            sd1.unet, conditioning_embedding_out_channels=(8, 8, 16, 16)
        ).eval()
    return StableDiffusionControlNetPipeline(
        sd1.vae, sd1.text_encoder, sd1.tokenizer, sd1.unet, control, sd1.scheduler,
        None, None, requires_safety_checker=False,
    )  # fmt: skip


def rows(width: int, count: int = 2, seed: int = 0) -> Any:
    """Random rows [count, width], fp32."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator).numpy()
