"""The 22 layouts of embedding files, made the way the tools that write them do."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float32]


def rows(count: int, width: int, seed: int = 0) -> Array:
    """``count`` vectors as fp32."""
    return (
        np.random.default_rng(seed + 1000 * width + count).normal(size=(count, width)).astype("f4")
    )


L2, L1, H3 = rows(2, 768), rows(1, 768), rows(3, 1024)
G2, T2, GEMMA, LLAMA, BERT = (rows(2, w) for w in (1280, 4096, 2304, 4096, 1280))


def as_torch(array: Array) -> torch.Tensor:
    import torch

    return torch.from_numpy(array.copy())


def torch_file(value: Any, **options: Any) -> bytes:
    """What torch.save writes."""
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def safetensors_file(tensors: dict[str, Array], metadata: dict[str, str] | None = None) -> bytes:
    """What the safetensors library writes."""
    from safetensors.numpy import save

    return save(tensors, metadata=metadata)


def webui_table(vectors: Array, name: str = "my cat") -> dict[str, Any]:
    """A1111's table."""
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": as_torch(vectors).requires_grad_(True)},
        "name": name,
        "step": 500,
        "sd_checkpoint": "e6e8e1fc",
        "sd_checkpoint_name": "model",
    }


def original() -> bytes:
    import torch

    params = torch.nn.ParameterDict({"*": torch.nn.Parameter(as_torch(L2))})
    return torch_file({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": params})


def pti(folder: Path) -> bytes:
    (folder / "special_params.json").write_text('{"TOK": "<s0><s1>"}')
    return safetensors_file({"text_encoders_0": L2, "text_encoders_1": G2})


@dataclass(frozen=True)
class Layout:
    """A file, and what must be read out of it: (token, {encoder: rows}) for each embedding."""

    name: str
    file: str
    make: Callable[[Path], bytes]
    embeddings: list[tuple[str, dict[str, Array]]]
    family: str | None
    dialect: str
    options: dict[str, str] = field(default_factory=dict)


def _split(folder: Path) -> bytes:
    second = safetensors_file({"<cat>": G2})
    (folder / "learned_embeds_2.safetensors").write_bytes(second)
    return safetensors_file({"<cat>": L2})


def _bundle(_: Path) -> bytes:
    down = np.zeros((4, 320), dtype="f4")
    return safetensors_file(
        {
            "lora_unet_down_blocks_0.lora_down.weight": down,
            "bundle_emb.cat.string_to_param.*": L2,
            "bundle_emb.dog.string_to_param.*": L1,
        }
    )


def _lists(_: Path) -> bytes:
    return torch_file([{"<a>": as_torch(L1[0])}, {"<b>": as_torch(rows(1, 768, 5)[0])}])


LAYOUTS = [
    Layout("original", "embeddings.pt", lambda _: original(), [("*", {"clip_l": L2})], "sd1",
           "original"),
    Layout("webui-pt", "my cat.pt", lambda _: torch_file(webui_table(L2)),
           [("my cat", {"clip_l": L2})], "sd1", "webui"),
    Layout("emb-params", "EasyCat.safetensors", lambda _: safetensors_file({"emb_params": L2}),
           [("EasyCat", {"clip_l": L2})], "sd1", "webui"),
    Layout("onetrainer-sd1", "cat.safetensors", lambda _: safetensors_file({"emp_params": L2}),
           [("cat", {"clip_l": L2})], "sd1", "onetrainer"),
    Layout("diffusers-one", "learned_embeds.bin", lambda _: torch_file({"<cat>": as_torch(L1[0])}),
           [("<cat>", {"clip_l": L1})], "sd1", "diffusers"),
    Layout("diffusers-many", "learned_embeds.safetensors",
           lambda _: safetensors_file({"<cat>": H3}), [("<cat>", {"clip_h": H3})], "sd2",
           "diffusers"),
    Layout("two-tokens", "learned_embeds.bin",
           lambda _: torch_file({"<a>": as_torch(L1[0]), "<b>": as_torch(L2)}),
           [("<a>", {"clip_l": L1}), ("<b>", {"clip_l": L2})], "sd1", "diffusers"),
    Layout("counted-rows", "learned_embeds.bin",
           lambda _: torch_file({"tok": as_torch(L2[0]), "tok_1": as_torch(L2[1])}),
           [("tok", {"clip_l": L2})], "sd1", "diffusers"),
    Layout("sdxl-pair", "cat-xl.safetensors",
           lambda _: safetensors_file({"clip_l": L2, "clip_g": G2}),
           [("cat-xl", {"clip_l": L2, "clip_g": G2})], "sdxl", "kohya"),
    Layout("sdxl-two-files", "learned_embeds.safetensors", _split,
           [("<cat>", {"clip_l": L2, "clip_g": G2})], "sdxl", "diffusers"),
    Layout("clip-g", "cat-g.safetensors", lambda _: safetensors_file({"clip_g": G2}),
           [("cat-g", {"clip_g": G2})], "sdxl", "kohya"),
    Layout("onetrainer-sd3", "cat.safetensors",
           lambda _: safetensors_file({"clip_l": L2, "clip_g": G2, "t5": T2}),
           [("cat", {"clip_l": L2, "clip_g": G2, "t5xxl": T2})], "sd3", "onetrainer"),
    Layout("onetrainer-flux", "cat.safetensors",
           lambda _: safetensors_file({"clip_l": L2, "t5": T2}),
           [("cat", {"clip_l": L2, "t5xxl": T2})], "flux1", "onetrainer"),
    Layout("onetrainer-sana", "cat.safetensors", lambda _: safetensors_file({"gemma": GEMMA}),
           [("cat", {"gemma2_2b": GEMMA})], "sana", "onetrainer"),
    Layout("hidream", "cat.safetensors",
           lambda _: safetensors_file({"clip_l": L2, "clip_g": G2, "t5": T2, "llama": LLAMA}),
           [("cat", {"clip_l": L2, "clip_g": G2, "t5xxl": T2, "llama": LLAMA})], "hidream",
           "onetrainer"),
    Layout("outputs", "cat.safetensors",
           lambda _: safetensors_file({"clip_l": L2, "clip_l_out": L1, "t5": T2, "t5_out": T2}),
           [("cat", {"clip_l": L2, "clip_l_out": L1, "t5xxl": T2, "t5xxl_out": T2})], "flux1",
           "onetrainer"),
    Layout("lora-bundle", "lora.safetensors", _bundle,
           [("cat", {"clip_l": L2}), ("dog", {"clip_l": L1})], "sd1", "lora-bundle"),
    Layout("list", "tokens.pt", _lists,
           [("<a>", {"clip_l": L1}), ("<b>", {"clip_l": rows(1, 768, 5)})], "sd1", "list"),
    Layout("bare", "vector.pt", lambda _: torch_file(as_torch(L2)), [("<cat>", {"clip_l": L2})],
           "sd1", "bare", {"family": "sd1", "token": "<cat>"}),
    Layout("pti", "embeddings.pti", pti, [("TOK", {"clip_l": L2, "clip_g": G2})], "sdxl", "pti"),
    Layout("hunyuan", "cat.safetensors",
           lambda _: safetensors_file({"clip_l": L2, "llama": LLAMA}),
           [("cat", {"clip_l": L2, "llama": LLAMA})], "hunyuan_video", "comfyui"),
    Layout("original-bert", "embeddings.pt",
           lambda _: torch_file({"string_to_token": {"*": 1}, "string_to_param": {
               "*": as_torch(BERT)}}),
           [("*", {"bert": BERT})], "ldm", "original"),
    Layout("t5-alone", "T5-Neg.safetensors", lambda _: safetensors_file({"t5xxl": T2}),
           [("T5-Neg", {"t5xxl": T2})], "sd3", "comfyui"),
    Layout("xl-inversion", "puppet.pt",
           lambda _: torch_file({"emb": as_torch(L1[0]), "emb2": as_torch(rows(1, 1280)[0])}),
           [("puppet", {"clip_l": L1, "clip_g": rows(1, 1280)})], "sdxl", "xl_inversion"),
]  # fmt: skip
