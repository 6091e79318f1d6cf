"""What a file is that is not an embedding: one sentence, or None."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tireg.dialects.content import RawTensor, Tree, quoted

PROMPT_STATES = frozenset(
    {
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "encoder_hidden_states",
        "last_hidden_state",
        "hidden_states",
        "text_embeds",
        "text_embedding",
        "pooler_output",
        "pooled_output",
        "image_embeds",
        "image_embed",
        "negative_image_embeds",
        "caption_embeds",
        "prompt_attention_mask",
        "attention_mask",
        "input_ids",
        "crossattn",
        "cond",
        "uncond",
        "conditioning",
        "context",
        "txt_ids",
        "vector",
        "latents",
        "latent",
    }
)

# In order: the first pattern that a key of the file matches names the file.
KINDS: tuple[tuple[str, str], ...] = (
    (
        r"(^|[._])(lora|loha|lokr|hada|oft)[._]|lora_(A|B|up|down|te|unet)|\.(hada|lokr)_|:(up|down)$",
        "a LoRA without an embedding in it",
    ),
    (
        r"^(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner\.embedders)\.",
        "a whole checkpoint",
    ),
    (r"^(image_proj|ip_adapter|image_proj_model|ip_adapter\.\d+)(\.|$)", "an IP-Adapter"),
    (
        r"^(control_model|controlnet_|input_hint_block|zero_convs|controlnet_cond_embedding)",
        "a ControlNet",
    ),
    (r"motion_modules?\.", "a motion module"),
    (r"^(encoder|decoder)\.(down|up|mid|conv_in|conv_out)|^(post_)?quant_conv\.", "a VAE"),
    (
        r"(^|\.)text_model\.|token_embedding\.weight|^(shared|embed_tokens)\.weight|^encoder\.block\.",
        "a text encoder",
    ),
    (r"^(visual|vision_model)\.|^logit_scale$", "a CLIP model"),
    (r"^(down_blocks|up_blocks|mid_block|input_blocks|output_blocks|conv_in)\.", "a UNet"),
    (
        r"^(double_blocks|single_blocks|transformer_blocks|joint_blocks|img_in|x_embedder)\.?",
        "a diffusion transformer",
    ),
    (r"^(conv_first|body\.\d|model\.0\.weight|params_ema)", "an upscaler"),
)


def describe(tree: Tree) -> str | None:
    """What ``tree`` is, as a noun phrase, where it is a known thing other than an embedding."""
    if isinstance(tree, dict):
        return _describe_dict(tree, 3)
    return None


def _describe_dict(tree: dict[Any, Any], depth: int) -> str | None:
    names = [key for key in tree if isinstance(key, str)]
    if _is_hypernetwork(tree):
        return "a hypernetwork"
    if "optimizer_state_dict" in tree or {"state", "param_groups"} <= set(names):
        return "the state of an optimiser"
    for wrapper in ("state_dict", "model", "params", "params_ema", "module"):
        inner = tree.get(wrapper)
        if depth and isinstance(inner, dict) and inner:
            return _describe_dict(inner, depth - 1) or "a training checkpoint"
    for pattern, kind in KINDS:
        if any(re.search(pattern, name) for name in names):
            return kind
    states = sorted(PROMPT_STATES.intersection(name.lower() for name in names))
    if states:
        return f"a set of cached prompt states ({quoted(states[0])})"
    return _describe_shapes(tree.values())


def _is_hypernetwork(tree: dict[Any, Any]) -> bool:
    sizes = [key for key in tree if type(key) is int and key >= 128 and key % 64 == 0]
    return bool(sizes) and any(isinstance(tree[size], (list, tuple)) for size in sizes)


def _describe_shapes(values: Iterable[Any]) -> str | None:
    shapes = [value.shape for value in values if isinstance(value, RawTensor)]
    deep = next((shape for shape in shapes if len(shape) > 2), None)
    if deep is not None:
        return (
            f"something with a tensor of shape {list(deep)}: states of whole prompts or pictures "
            "or weights of a network have such shapes, words do not"
        )
    return None
