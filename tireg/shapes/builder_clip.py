"""Stage ``clip``: the text tower that the pipeline is conditioned on, taught by pictures.

The vision tower and the heads only help training. The heads on the pooled text state make every
attribute a caption speaks of readable there; without them shapes stay nearly alike in text space
and a diffusion model on the frozen tower never learns them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from tireg.shapes.builder_data import NOTHING, Data
from tireg.shapes.builder_run import Run, batches, draws, train_stage
from tireg.shapes.builder_sizes import Sizes
from tireg.shapes.captions import ATTRIBUTE_WORDS, ATTRIBUTES, MAX_TOKENS

if TYPE_CHECKING:
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

STAGE = 1
START_SCALE = 2.6
"""Logarithm of the first inverse temperature of the contrastive loss."""


def text_model(tokenizer: CLIPTokenizer, sizes: Sizes) -> CLIPTextModel:
    """A text tower with random weights, in transformers' own class."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.text_width,
        intermediate_size=sizes.text_mlp,
        projection_dim=sizes.projection,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=sizes.text_heads,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        # Not 2, the class default: with 2 transformers pools at the highest token number, which
        # is wrong as soon as a token is added.
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def _towers(tokenizer: CLIPTokenizer, sizes: Sizes) -> torch.nn.ModuleDict:
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    vision = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=sizes.vision_width,
            intermediate_size=3 * sizes.vision_width,
            num_hidden_layers=sizes.vision_layers,
            num_attention_heads=sizes.vision_heads,
            image_size=32,
            patch_size=4,
        )
    )
    text = text_model(tokenizer, sizes)
    for tower in (text, vision):
        # For sequences this short, on a CPU, plain attention in bfloat16 is twice as fast.
        tower.set_attn_implementation("eager")
    linear = torch.nn.Linear
    # One more class per attribute on the text side: "says nothing of it".
    return torch.nn.ModuleDict(
        {
            "text": text,
            "vision": vision,
            "text_projection": linear(sizes.text_width, sizes.projection, bias=False),
            "vision_projection": linear(sizes.vision_width, sizes.projection, bias=False),
            "text_heads": heads(sizes.text_width, extra=1),
            "vision_heads": heads(sizes.projection, extra=0),
            "scale": linear(1, 1, bias=False),
        }
    )


def heads(width: int, extra: int) -> torch.nn.ModuleDict:
    """One linear classifier per attribute, with ``extra`` classes more than it has words."""
    import torch

    return torch.nn.ModuleDict(
        {
            name: torch.nn.Linear(width, len(words) + extra)
            for name, words in ATTRIBUTE_WORDS.items()
        }
    )


def head_loss(
    modules: torch.nn.Module, features: torch.Tensor, classes: torch.Tensor, silent: bool
) -> torch.Tensor:
    """Mean cross entropy over attributes; ``silent`` counts "nothing" as the last class."""
    import torch
    from torch.nn.functional import cross_entropy

    bank = cast("torch.nn.ModuleDict", modules)
    losses = []
    for index, name in enumerate(ATTRIBUTES):
        target = classes[:, index]
        logits = bank[name](features).float()
        if silent:
            target = torch.where(target == NOTHING, logits.shape[1] - 1, target)
        elif bool((target == NOTHING).all()):
            continue
        losses.append(cross_entropy(logits, target, ignore_index=NOTHING))
    return torch.stack(losses).mean()


def contrastive(image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The symmetric contrastive loss of CLIP (Radford et al., 2021); features are not normalised.

    Both are ``[batch, width]``; ``scale`` is the logarithm of the inverse temperature.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    logits = normalize(image, dim=-1) @ normalize(text, dim=-1).T * scale.clamp(max=4.0).exp()
    target = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def pixels(data: NDArray[np.uint8], device: str) -> torch.Tensor:
    """Pictures as ``float32 [n, 3, 32, 32]`` in -1..1."""
    import torch

    raw = torch.from_numpy(np.ascontiguousarray(data)).to(device)
    return raw.permute(0, 3, 1, 2).contiguous().float().div(127.5).sub(1)


def batch_of(
    data: Data, rows: NDArray[np.int64], rng: np.random.Generator, device: str
) -> dict[str, torch.Tensor]:
    """Pictures, one caption each, and the classes of both, for the given picture numbers."""
    import torch

    which = rng.integers(data.tokens.shape[1], size=len(rows))

    def number(values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.int64)).to(device)

    return {
        "pixels": pixels(data.pictures[rows], device),
        "tokens": number(data.tokens[rows, which]),
        "seen": number(data.seen[rows]),
        "said": number(data.said[rows, which]),
    }


def build_clip(run: Run, data: Data, tokenizer: CLIPTokenizer) -> None:
    """Train the towers; the finished weights go to ``clip.pt`` in the build folder."""
    import torch
    from safetensors.torch import load_file

    if run.done("clip").exists():
        return
    sizes = run.sizes
    torch.manual_seed(sizes.seed)
    module = _towers(tokenizer, sizes)
    for name, parameter in module.named_parameters():
        if name == "scale.weight":
            torch.nn.init.constant_(parameter, START_SCALE)
        elif name.endswith("token_embedding.weight"):
            torch.nn.init.normal_(parameter, std=0.04)
    if run.start is not None:
        # The shipped text tower is kept as it is: the UNet is conditioned on its states.
        weights = load_file(run.start / "base" / "text_encoder" / "model.safetensors")
        module["text"].load_state_dict(weights)
        torch.save(module.state_dict(), run.done("clip"))
        run.log("clip", event="taken from earlier weights")
        return
    module.to(run.device)
    rows = batches(len(data.pictures), sizes.clip_batch, sizes.seed, STAGE)

    def loss_at(step: int) -> torch.Tensor:
        rng = draws(sizes.seed, STAGE, step)
        batch = batch_of(data, rows(step), rng, run.device)
        with torch.autocast(run.device, torch.bfloat16):
            state = module["text"](batch["tokens"]).pooler_output
            seen = module["vision"](batch["pixels"]).pooler_output
            image = module["vision_projection"](seen)
            text = module["text_projection"](state)
            hear = head_loss(module["text_heads"], state, batch["said"], silent=True)
            see = head_loss(module["vision_heads"], image, batch["seen"], silent=False)
        scale = module["scale"](torch.ones(1, device=run.device))[0]
        match = contrastive(image.float(), text.float(), scale)
        return match + see + 0.5 * hear

    def report(step: int) -> dict[str, object]:
        return {"accuracy": _accuracy(module, data, run.device)}

    train_stage(
        run,
        "clip",
        module,
        loss_at,
        steps=sizes.clip_steps,
        peak=sizes.clip_rate,
        report=(max(1, sizes.clip_steps // 8), report),
    )


def _accuracy(module: torch.nn.ModuleDict, data: Data, device: str) -> dict[str, float]:
    """How often the heads are right on some training pictures and captions."""
    import torch

    rows = np.arange(0, len(data.pictures), max(1, len(data.pictures) // 400))
    batch = batch_of(data, rows, np.random.default_rng(0), device)
    shares: dict[str, float] = {}
    with torch.no_grad():
        state = module["text"](batch["tokens"]).pooler_output
        image = module["vision_projection"](module["vision"](batch["pixels"]).pooler_output)
        for index, name in enumerate(ATTRIBUTES):
            for kind, classes, feature in (("text", "said", state), ("vision", "seen", image)):
                target = batch[classes][:, index]
                bank = cast("torch.nn.ModuleDict", module[f"{kind}_heads"])
                guess = bank[name](feature)[:, : len(ATTRIBUTE_WORDS[name])]
                known = target != NOTHING
                right = (guess.argmax(1) == target)[known].float().mean()
                shares[f"{kind} {name}"] = round(float(right), 3) if bool(known.any()) else 0.0
    return shares
