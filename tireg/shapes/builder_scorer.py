"""Stage ``scorer``: the second CLIP, in open_clip's own architecture, that only scores.

It shares nothing with the pipeline but the word list: another seed, other sizes, its own towers.
A pipeline's own text tower must not judge its pictures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tireg.shapes.builder_clip import batch_of, contrastive, head_loss, heads
from tireg.shapes.builder_data import Data, tokenize
from tireg.shapes.builder_run import Run, batches, draws, train_stage
from tireg.shapes.builder_sizes import Sizes
from tireg.shapes.captions import (
    ATTRIBUTES,
    MAX_TOKENS,
    SCORED,
    zero_shot_known,
    zero_shot_prompts,
)

if TYPE_CHECKING:
    import open_clip
    import torch
    from transformers import CLIPTokenizer

STAGE = 4
MEAN = (0.5, 0.5, 0.5)


def scorer_config(tokenizer: CLIPTokenizer, sizes: Sizes) -> dict[str, Any]:
    """The ``open_clip_config.json`` of the scoring CLIP."""
    return {
        "model_cfg": {
            "embed_dim": sizes.scorer_projection,
            "vision_cfg": {
                "image_size": 32,
                "layers": sizes.scorer_layers,
                "width": sizes.scorer_width,
                "head_width": sizes.scorer_width // 4,
                "mlp_ratio": 3.0,
                "patch_size": 4,
            },
            "text_cfg": {
                "context_length": MAX_TOKENS,
                "vocab_size": len(tokenizer),
                "width": sizes.scorer_text_width,
                "heads": 4,
                "layers": sizes.scorer_text_layers,
                "mlp_ratio": 3.0,
                # open_clip replaces this name by the folder itself for local-dir: models.
                "hf_tokenizer_name": "tokenizer",
                "pool_type": "eos",
                "eos_id": int(tokenizer.eos_token_id),
                "pad_id": int(tokenizer.eos_token_id),
            },
        },
        "preprocess_cfg": {
            "mean": list(MEAN),
            "std": list(MEAN),
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def _create(folder: Path, config: dict[str, Any]) -> open_clip.CLIP:
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2) + "\n"
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    return open_clip.create_model(f"local-dir:{folder}", load_weights=False)


def word_loss(
    image: torch.Tensor, words: torch.Tensor, target: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Cross entropy of picking the right word's prompt for each picture, as in zero-shot use."""
    from torch.nn.functional import cross_entropy, normalize

    if len(target) == 0:
        return image.sum() * 0.0
    logits = normalize(image, dim=-1) @ normalize(words, dim=-1).T
    return cross_entropy(logits * scale.clamp(max=4.0).exp(), target)


def build_scorer(run: Run, data: Data, tokenizer: CLIPTokenizer) -> Path:
    """Train the scoring CLIP and write it to ``scorer`` in the build folder.

    The auxiliary heads are thrown away; what is kept is exactly what open_clip creates from the
    configuration.
    """
    import torch
    from safetensors.torch import load_file, save_file
    from torch.nn.attention import SDPBackend, sdpa_kernel

    sizes, folder = run.sizes, run.folder / "scorer"
    if (folder / "open_clip_model.safetensors").exists():
        return folder
    torch.manual_seed(sizes.scorer_seed)
    clip = _create(folder, scorer_config(tokenizer, sizes))
    if run.start is not None:
        clip.load_state_dict(load_file(run.start / "scorer" / "open_clip_model.safetensors"))
    module = torch.nn.ModuleDict(
        {
            "clip": clip,
            "text_heads": heads(sizes.scorer_projection, extra=1),
            "vision_heads": heads(sizes.scorer_projection, extra=0),
        }
    ).to(run.device)
    rows = batches(len(data.pictures), sizes.scorer_batch, sizes.scorer_seed, STAGE)

    def loss_at(step: int) -> torch.Tensor:
        rng = draws(sizes.scorer_seed, STAGE, step)
        batch = batch_of(data, rows(step), rng, run.device)
        picture = batch["pixels"]
        # A little blur and noise: samples are never as clean as renders.
        level = torch.from_numpy(rng.uniform(0, 0.08, (len(picture), 1, 1, 1))).float()
        grain = torch.from_numpy(rng.standard_normal(tuple(picture.shape), dtype=np.float32))
        picture = picture + (level * grain).to(run.device)
        # For sequences this short, on a CPU, plain attention in bfloat16 is twice as fast.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast(run.device, torch.bfloat16):
            image = clip.encode_image(picture)
            text = clip.encode_text(batch["tokens"])
            hear = head_loss(module["text_heads"], text, batch["said"], silent=True)
            see = head_loss(module["vision_heads"], image, batch["seen"], silent=False)
            name = SCORED[step % len(SCORED)]
            words = tokenize(tokenizer, zero_shot_prompts(name, int(rng.integers(5))))
            said = clip.encode_text(torch.from_numpy(words).to(run.device))
        match = contrastive(image.float(), text.float(), clip.logit_scale)
        known = torch.from_numpy(zero_shot_known(data.seen[rows(step)], name)).to(run.device)
        target = batch["seen"][:, ATTRIBUTES.index(name)][known]
        named = word_loss(image.float()[known], said.float(), target, clip.logit_scale)
        return match + see + 0.5 * hear + 0.5 * named

    train_stage(run, "scorer", module, loss_at, steps=sizes.scorer_steps, peak=sizes.scorer_rate)
    own = {name: value.contiguous().cpu() for name, value in clip.state_dict().items()}
    save_file(own, folder / "open_clip_model.safetensors")
    tokenizer.save_pretrained(folder)
    run.log("scorer", event="written")
    return folder
