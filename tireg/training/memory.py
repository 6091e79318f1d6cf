"""How much memory a step takes, how much there is, and what spares it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from tireg.models.bases import Base, TextEncoder
from tireg.models.conditioning import WAYS
from tireg.models.readings import Reading, prompt_length
from tireg.models.tokens import TokenRows, attach_rows, original_tokenizer
from tireg.training.data import Batch
from tireg.training.objective import Objective

# What a step holds at its height besides weights and what is kept for the way back: gradients
# in flight, buffers of convolutions and attention, and the allocator's rounding.
IN_FLIGHT = 1.25


def for_training(base: Base, *, checkpointing: bool) -> None:
    """Choose whether blocks are computed again on the way back, which spares memory for time.

    Applies to the denoiser and to the text encoders; numbers stay the same. The blocks of a text
    encoder are told that they train, since transformers asks for it, but nothing inside them is:
    no dropout begins to act.
    """
    denoiser = getattr(base.pipe, base.family.denoiser)
    if checkpointing:
        denoiser.enable_gradient_checkpointing()
    else:
        denoiser.disable_gradient_checkpointing()
    for encoder in base.encoders.values():
        if not encoder.model.supports_gradient_checkpointing:
            continue
        if checkpointing:
            encoder.model.activation_checkpointing_enable()
        else:
            encoder.model.activation_checkpointing_disable()
        for module in encoder.model.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.training = checkpointing


def estimate_memory(base: Base, *, resolution: int, batch: int, checkpointing: bool = False) -> int:
    """Bytes that training takes at its height on the base's device, its weights included.

    One step is walked through on torch's meta device, which computes shapes and nothing else;
    what autograd keeps is added up and raised by a quarter for what is in flight. With
    ``checkpointing`` what is kept is the blocks' inputs and one block's inside.
    """
    parts = [p for p in base.pipe.components.values() if isinstance(p, nn.Module)]
    weights = {id(w): w.nbytes for part in parts for w in part.parameters()}
    replica, rows = _on_meta(base)
    return sum(weights.values()) + round(
        IN_FLIGHT * _kept(replica, rows, resolution, batch, checkpointing)
    )


def _kept(base: Base, rows: nn.Parameter, resolution: int, batch: int, checkpointing: bool) -> int:
    """Bytes kept between the way forth and the way back of one step, all tensors on meta."""
    own = {w.untyped_storage()._cdata for part in _parts(base) for w in part.parameters()}
    own.add(rows.untyped_storage()._cdata)
    count = _Count(own)
    if checkpointing:
        for part in _parts(base):
            for module in part.modules():
                if hasattr(module, "gradient_checkpointing"):
                    module.gradient_checkpointing = True  # type: ignore[assignment]
                    module._gradient_checkpointing_func = count.block  # type: ignore[assignment]
                    module.training = True
    side = resolution // base.pipe.vae_scale_factor
    channels = int(base.pipe.vae.config.latent_channels)
    latents = torch.empty(batch, channels, side, side, device="meta")
    index = torch.empty(batch, dtype=torch.long, device="meta")
    picture = Batch(latents, latents, index, index, (resolution, resolution))
    readings = {}
    for key, encoder in base.encoders.items():
        ids = torch.empty(1, prompt_length(base.pipe, encoder), dtype=torch.long, device="meta")
        readings[key] = Reading(ids, torch.ones_like(ids))
    way = WAYS[base.family.pipeline]

    def condition(index: torch.Tensor, size: tuple[int, int]) -> dict[str, Any]:
        return way(base, readings, index, size)

    objective = Objective(base, condition)  # type: ignore[arg-type]
    with _Attention(), torch.autograd.graph.saved_tensors_hooks(count.keep, lambda kept: kept):
        objective(picture)
    return count.total + count.largest


class _Count:
    """Adds up the storages that autograd keeps, each once, without those in ``own``."""

    def __init__(self, own: set[int]) -> None:
        self.seen: dict[int, torch.UntypedStorage] = {}
        self.own = own
        self.total = 0
        self.largest = 0

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.own and storage._cdata not in self.seen:
            self.seen[storage._cdata] = storage
            self.total += storage.nbytes()
        return tensor

    def block(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        """In place of a checkpointed block: its inputs are kept, its inside only for a while."""
        inside = _Count(self.own | set(self.seen))
        with torch.autograd.graph.saved_tensors_hooks(inside.keep, lambda tensor: tensor):
            out = module(*args, **kwargs)
        for value in args:
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                self.keep(value)
        self.largest = max(self.largest, inside.total)
        return out


class _Attention(TorchFunctionMode):
    """Attention as fused kernels keep it, without its matrix, which meta would write out."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is nn.functional.scaled_dot_product_attention:
            given = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
            return _Fused.apply(given["query"], given["key"], given["value"])
        return func(*args, **(kwargs or {}))


class _Fused(torch.autograd.Function):
    """Keeps what a fused attention keeps: its inputs and its answer."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any) -> torch.Tensor:
        answer: torch.Tensor = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, answer)
        return answer

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        query, key, value, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _parts(base: Base) -> list[nn.Module]:
    return [getattr(base.pipe, base.family.denoiser), *(e.model for e in base.encoders.values())]


def _on_meta(base: Base) -> tuple[Base, nn.Parameter]:
    """A base of the same shape on the meta device, with one row in every encoder."""
    pipe = copy.copy(base.pipe)
    denoiser = getattr(base.pipe, base.family.denoiser)
    with torch.device("meta"):
        setattr(
            pipe,
            base.family.denoiser,
            type(denoiser).from_config(denoiser.config).to(base.dtype).requires_grad_(False),
        )
        encoders = {}
        rows = nn.Parameter(torch.empty(0))
        for key, encoder in base.encoders.items():
            model = type(encoder.model)(encoder.model.config)
            model.to(base.dtype).requires_grad_(False).eval()
            tokenizer = original_tokenizer(encoder.tokenizer)
            width = model.get_input_embeddings().weight.shape[1]
            rows = nn.Parameter(torch.empty(1, width))
            wrapper: TokenRows = attach_rows(model, rows, len(tokenizer), tokenizer.eos_token_id)
            wrapper.rows.requires_grad_(True)
            setattr(pipe, encoder.component, model)
            encoders[key] = TextEncoder(
                key, encoder.component, encoder.tokenizer_component, model, tokenizer
            )
    found = Base(base.folder, base.family, pipe, encoders, torch.device("meta"), base.dtype)
    return found, rows


def available_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on ``device``; None where nobody says.

    On the CPU the least of what the kernel calls available and what the control group of this
    process leaves (version 2 or 1).
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch holds for reuse counts as free.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + kept)
    if device.type != "cpu":
        return None
    left = [found for found in (_kernel_says(), _group_leaves()) if found is not None]
    return min(left, default=None)


def _kernel_says(path: Path = Path("/proc/meminfo")) -> int | None:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return None  # not Linux
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _group_leaves(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the control group's limit leaves; caches that can be dropped are not counted as used."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, now = (root / limit).read_text().strip(), int((root / used).read_text())
            stat = (root / limit).with_name("memory.stat").read_text().split()
        except (OSError, ValueError):
            continue
        if not most.isdigit() or int(most) >= 1 << 60:
            return None
        facts = dict(zip(stat[::2], stat[1::2], strict=False))
        return max(0, int(most) - now + int(facts.get(cache, 0)))
    return None
