"""Small real pipelines with random weights, in the folder layout that diffusers reads.

Every file is what a real base has: class names, configs, tokenizers with ordinary words as
single tokens, safetensors. Only the widths are small, so that one builds and runs in a second.
"""

from __future__ import annotations

import gzip
import json
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

START, END = "<|startoftext|>", "<|endoftext|>"
REAL_MERGES = 48894  # what the 49,408 ids of CLIP hold besides bytes and the two specials

ORDINARY_WORDS = (
    "cat dog toy chair circle square triangle star ring cross house tree car bird fish flower "
    "person painting drawing photo picture style red green blue yellow purple orange white black "
    "small large left right top bottom background beach forest street kitchen snow table shape "
    "texture pattern striped dotted sketch watercolour backpack vase teapot clock boot"
).split()


def clip_vocabulary(
    merges: int = 2000, words: tuple[str, ...] = tuple(ORDINARY_WORDS)
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's own byte-pair vocabulary, cut to its first ``merges``, with ``words`` made whole.

    The layout is that of the real one: 256 bytes, 256 bytes at a word's end, merges, start, end.
    """
    pairs = _real_merges()[:merges]
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    for word in words:
        parts = _apply([*word[:-1], word[-1] + "</w>"], ranks)
        while len(parts) > 1:
            ranks[parts[0], parts[1]] = len(ranks)
            parts = [parts[0] + parts[1], *parts[2:]]
    alphabet = _byte_alphabet()
    tokens = [*alphabet, *(a + "</w>" for a in alphabet), *("".join(p) for p in ranks), START, END]
    vocabulary: dict[str, int] = {}
    for token in tokens:
        vocabulary.setdefault(token, len(vocabulary))
    return vocabulary, list(ranks)


def _real_merges() -> list[tuple[str, str]]:
    spec = find_spec("open_clip")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : REAL_MERGES + 1]
    return [(first, second) for first, second in (line.split() for line in lines)]


def _byte_alphabet() -> list[str]:
    """One printable character per byte, in the order of GPT-2's and CLIP's vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def _apply(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        best = min(pairs, key=lambda pair: ranks.get(pair, math.inf))
        if best not in ranks:
            break
        at = pairs.index(best)
        parts = [*parts[:at], "".join(best), *parts[at + 2 :]]
    return parts


def write_tokenizer(
    folder: Path, *, pad: str = END, merges: int = 2000, words: tuple[str, ...] | None = None
) -> dict[str, int]:
    """Write the four files of a CLIPTokenizer; returns ids: ``size``, ``bos``, ``eos``, ``pad``."""
    vocabulary, pairs = clip_vocabulary(merges, tuple(ORDINARY_WORDS) if words is None else words)
    folder.mkdir(parents=True)
    _write_json(folder / "vocab.json", vocabulary)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in pairs)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    specials = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad}
    _write_json(folder / "special_tokens_map.json", specials)
    config = {
        **specials,
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "do_lower_case": True,
        "errors": "replace",
        "add_prefix_space": False,
    }
    _write_json(folder / "tokenizer_config.json", config)
    ids = {"bos": vocabulary[START], "eos": vocabulary[END], "pad": vocabulary[pad]}
    return {"size": len(vocabulary), **ids}


def build_sd1(
    folder: Path,
    *,
    seed: int = 0,
    width: int = 32,
    merges: int = 2000,
    legacy_eos: bool = False,
    variant: str | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> Path:
    """A StableDiffusionPipeline like SD1: one quick-gelu CLIP of ``width``, epsilon prediction.

    Draws 64 px pictures. ``legacy_eos`` writes the ids that old configs have (0, 2, 1);
    ``variant`` and ``dtype`` name and store the weights as half-precision checkpoints do.
    """
    import torch

    with _seeded(seed):
        ids = write_tokenizer(folder / "tokenizer", merges=merges)
        parts = {
            "text_encoder": _text_encoder(ids, width, "quick_gelu", legacy_eos=legacy_eos),
            "unet": _unet(width),
            "vae": _vae(0.18215),
        }
        for name, part in parts.items():
            if dtype != "float32":
                part.to(getattr(torch, dtype))
            part.save_pretrained(folder / name, variant=variant)
    _write_scheduler(folder, "PNDMScheduler", skip_prk_steps=True)
    classes = _classes(parts) | {
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    return _write_index(folder, "StableDiffusionPipeline", classes, requires_safety_checker=False)


def build_sd2(folder: Path, *, seed: int = 0, width: int = 48) -> Path:
    """A StableDiffusionPipeline like SD2.1: gelu CLIP, v-prediction, padding with ``!``."""
    with _seeded(seed):
        ids = write_tokenizer(folder / "tokenizer", pad="!")
        parts = {
            "text_encoder": _text_encoder(ids, width, "gelu", layers=3),
            "unet": _unet(width, use_linear_projection=True),
            "vae": _vae(0.18215),
        }
        for name, part in parts.items():
            part.save_pretrained(folder / name)
    _write_scheduler(folder, "DDIMScheduler", prediction_type="v_prediction")
    classes = _classes(parts) | {
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    return _write_index(folder, "StableDiffusionPipeline", classes, requires_safety_checker=False)


def build_sdxl(folder: Path, *, seed: int = 0, width: int = 32, width_2: int = 48) -> Path:
    """A StableDiffusionXLPipeline: two tokenizers, a CLIP and a projected one, size conditions."""
    time_width = 8
    with _seeded(seed):
        ids = write_tokenizer(folder / "tokenizer")
        ids_2 = write_tokenizer(folder / "tokenizer_2", pad="!")
        parts = {
            "text_encoder": _text_encoder(ids, width, "quick_gelu", projection=width),
            "text_encoder_2": _text_encoder(
                ids_2, width_2, "gelu", layers=3, projection=width_2, projected=True
            ),
            "unet": _unet(
                width + width_2,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=time_width,
                projection_class_embeddings_input_dim=width_2 + 6 * time_width,
            ),
            "vae": _vae(0.13025),
        }
        for name, part in parts.items():
            part.save_pretrained(folder / name)
    _write_scheduler(folder, "EulerDiscreteScheduler", timestep_spacing="leading")
    classes = _classes(parts) | {
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "image_encoder": [None, None],
        "feature_extractor": [None, None],
    }
    return _write_index(
        folder, "StableDiffusionXLPipeline", classes, force_zeros_for_empty_prompt=True
    )


def build_sd15_real(
    folder: Path, *, seed: int = 0, dtype: Literal["float32", "float16"] = "float16"
) -> Path:
    """Random weights in the architecture of SD1.5: a UNet of 860 million, 2 GB as float16.

    The models are laid out on torch's meta device and written tensor by tensor, so that no more
    than one tensor is in memory. Linear and convolution weights are scaled by their fan-in, so
    that activations stay finite. Not for fast tests.
    """
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    ids = write_tokenizer(folder / "tokenizer", merges=REAL_MERGES, words=())
    text = CLIPTextConfig(
        vocab_size=ids["size"], hidden_size=768, intermediate_size=3072, projection_dim=768,
        num_hidden_layers=12, num_attention_heads=12, max_position_embeddings=77,
        hidden_act="quick_gelu", bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )  # fmt: skip
    with torch.device("meta"):
        parts = {
            "text_encoder": CLIPTextModel(text),
            "unet": UNet2DConditionModel(
                sample_size=64, cross_attention_dim=768, attention_head_dim=8,
                block_out_channels=(320, 640, 1280, 1280), layers_per_block=2,
            ),
            "vae": AutoencoderKL(
                sample_size=512, latent_channels=4, block_out_channels=(128, 256, 512, 512),
                layers_per_block=2, norm_num_groups=32, scaling_factor=0.18215,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
            ),
        }  # fmt: skip
    for name, part in parts.items():
        (folder / name).mkdir()
        if name == "text_encoder":
            part.config.architectures = ["CLIPTextModel"]
            part.config.save_pretrained(folder / name)
        else:
            part.save_config(folder / name)
        file = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        _stream_random(part, folder / name / f"{file}.safetensors", seed, getattr(torch, dtype))
    _write_scheduler(folder, "PNDMScheduler", skip_prk_steps=True)
    classes = _classes(parts) | {
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    return _write_index(folder, "StableDiffusionPipeline", classes, requires_safety_checker=False)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _text_encoder(
    ids: dict[str, int],
    width: int,
    act: str,
    *,
    layers: int = 2,
    projection: int | None = None,
    projected: bool = False,
    legacy_eos: bool = False,
) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=ids["size"],
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=projection or width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=77,
        hidden_act=act,
        bos_token_id=0 if legacy_eos else ids["bos"],
        eos_token_id=2 if legacy_eos else ids["eos"],
        pad_token_id=1 if legacy_eos else ids["pad"],
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def _unet(cross_attention_dim: int, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=8,
        cross_attention_dim=cross_attention_dim,
        **more,
    ).eval()


def _vae(scaling_factor: float) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        sample_size=64,
        latent_channels=4,
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
        scaling_factor=scaling_factor,
    ).eval()


def _write_scheduler(folder: Path, name: str, **more: Any) -> None:
    (folder / "scheduler").mkdir()
    config = {
        "_class_name": name,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "steps_offset": 1,
        **({"clip_sample": False} if name == "DDIMScheduler" else {}),
        **({} if name == "EulerDiscreteScheduler" else {"set_alpha_to_one": False}),
        **more,
    }
    _write_json(folder / "scheduler" / "scheduler_config.json", config)


def _classes(parts: dict[str, Any]) -> dict[str, list[str | None]]:
    return {
        name: [type(part).__module__.partition(".")[0], type(part).__name__]
        for name, part in parts.items()
    }


def _write_index(
    folder: Path, pipeline: str, classes: dict[str, list[str | None]], **more: Any
) -> Path:
    import diffusers

    index = {
        "_class_name": pipeline,
        "_diffusers_version": diffusers.__version__,
        **classes,
        **more,
    }
    _write_json(folder / "model_index.json", index)
    return folder


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _stream_random(module: Any, path: Path, seed: int, dtype: torch.dtype) -> None:
    """Write random values for a module on the meta device as one safetensors file.

    The format is 8 bytes of header length, a JSON header, then the tensors' bytes in order.
    """
    import torch

    size = torch.empty((), dtype=dtype).element_size()
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name, shape in shapes.items():
        end = at + math.prod(shape) * size
        label = "F16" if dtype is torch.float16 else "F32"
        header[name] = {"dtype": label, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()
    generator = torch.Generator().manual_seed(seed)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for name, shape in shapes.items():
            value = torch.zeros(shape)
            if len(shape) > 1:
                value.normal_(0, math.prod(shape[1:]) ** -0.5, generator=generator)
            elif name.endswith("weight"):
                value.fill_(1.0)
            file.write(value.to(dtype).numpy().tobytes())
