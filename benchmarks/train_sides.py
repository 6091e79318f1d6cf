"""The two sides of `benchmarks.train_step`, each run in a process of its own.

python -m benchmarks.train_sides peer|tireg TASK.json
"""

from __future__ import annotations

import json
import resource
import runpy
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TOKEN = "<concept>"


@dataclass(frozen=True)
class Task:
    """One side's run: ``warm`` steps that are not counted, then ``steps`` that are."""

    model: str
    pictures: str
    out: str
    side: int
    batch: int
    steps: int
    warm: int
    word: str
    peer: str = ""


@dataclass
class Stamps:
    """When steps ended; wall and processor seconds, and the peak of memory so far."""

    cuda: bool
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: int = 0

    def take(self) -> None:
        """Note that a step has ended."""
        import torch

        if self.cuda:
            torch.cuda.synchronize()
            self.peak = torch.cuda.max_memory_allocated()
        else:
            unit = 1 if sys.platform == "darwin" else 1024
            self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())


def run_peer(task: Task) -> dict[str, Any]:
    """The peer's script in this process, from the outside unchanged; see the module."""
    import diffusers.utils
    import torch
    import transformers
    from torch.optim.optimizer import register_optimizer_step_post_hook

    diffusers.utils.check_min_version = lambda _: None
    if not hasattr(transformers.CLIPTextModel, "text_model"):
        transformers.CLIPTextModel.text_model = property(lambda self: self)
    stamps = Stamps(torch.cuda.is_available())
    register_optimizer_step_post_hook(lambda *_: stamps.take())
    total = task.steps + task.warm
    options = {
        "pretrained_model_name_or_path": task.model,
        "train_data_dir": task.pictures,
        "placeholder_token": TOKEN,
        "initializer_token": task.word,
        "output_dir": task.out,
        "resolution": task.side,
        "train_batch_size": task.batch,
        "max_train_steps": total,
        "checkpointing_steps": total,
        "seed": 0,
    }
    sys.argv = [task.peer, *(str(x) for k, v in options.items() for x in (f"--{k}", v))]
    runpy.run_path(task.peer, run_name="__main__")
    folder = Path(task.out) / f"checkpoint-{total}"
    saved = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return {**asdict(stamps), "checkpoint": saved, "once": 0.0}


def run_ours(task: Task) -> dict[str, Any]:
    """Tireg's training on the same, put together as `tireg train` does it."""
    import torch

    from tireg.domain.concepts import TEMPLATES
    from tireg.domain.recipes import Recipe
    from tireg.models import bases
    from tireg.models.conditioning import Conditioning
    from tireg.models.latents import free_vae
    from tireg.training.checkpoint import pack
    from tireg.training.data import Data, encode_pictures
    from tireg.training.images import load_photos, to_tensor
    from tireg.training.loop import Learning, Run
    from tireg.training.objective import Objective
    from tireg.training.rows import start_rows, words_norm
    from tireg.training.validation import count_of

    # The peer mirrors half of its pictures, at random; here both are encoded, once.
    recipe = Recipe(
        steps=100_000, batch=task.batch, resolution=task.side, vectors=1, flip=True, init=task.word
    )
    base = bases.open_base(Path(task.model), dtype="fp32")
    rows, scales = {}, {}
    for key, encoder in base.encoders.items():
        table = encoder.model.get_input_embeddings().weight
        rows[key] = start_rows(encoder.tokenizer, table, task.word, 1, seed=0).numpy()
        scales[key] = words_norm(encoder.tokenizer, table)
    wrappers = bases.load(base.pipe, {TOKEN: rows}, family=base.family)
    prompts = [template.replace("{token}", TOKEN) for template in TEMPLATES["object"]]
    objective = Objective(base, Conditioning(base, prompts, TOKEN), snr_gamma=recipe.snr_gamma)
    began = time.perf_counter()
    photos = load_photos(sorted(Path(task.pictures).iterdir()))
    pictures = to_tensor(photos, task.side, flip=recipe.flip)
    data = Data((encode_pictures(base, pictures, [torch.arange(len(prompts))] * len(pictures)),))
    free_vae(base)
    once = time.perf_counter() - began
    learning = Learning(Run(base, objective, data, recipe, wrappers, scales))
    # What a checkpoint holds of the fixed samples; their losses are a check's, not a step's.
    learning.start = torch.zeros(sum(map(count_of, learning.fixed)))
    stamps = Stamps(base.device.type == "cuda")
    for _ in range(task.steps + task.warm):
        learning.advance()
        stamps.take()
    return {**asdict(stamps), "checkpoint": len(pack(learning.state())), "once": once}


def worker(side: str, file: Path) -> int:
    """One side's run as ``file`` says; the result is written beside it."""
    import torch

    task = Task(**json.loads(file.read_text(encoding="utf-8")))
    result = run_peer(task) if side == "peer" else run_ours(task)
    result["threads"] = torch.get_num_threads()
    result["device"] = torch.cuda.get_device_name() if result["cuda"] else "cpu"
    file.with_suffix(".result.json").write_text(json.dumps(result), encoding="utf-8")
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run one side."""
    side, file = arguments
    return worker(side, Path(file))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
