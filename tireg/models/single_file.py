"""Measure a checkpoint that is one safetensors file, in the layout of Stability's own code.

SD1, SD2 and SDXL. Only the text encoders are read; their architecture is that of the family's
row, and their tokenizer CLIP's own, because such a file holds neither.
"""

from __future__ import annotations

import gzip
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from tireg.domain.families import Encoder, Family, family
from tireg.domain.fingerprints import EncoderFingerprint, Fingerprint
from tireg.errors import BaseError
from tireg.models.fingerprint import load_tokenizer, measure_encoder
from tireg.models.folders import read_config
from tireg.models.weight_files import sampled_digest, tensors_of

DENOISER = "model.diffusion_model."
MERGES = 48894
START, END = "<|startoftext|>", "<|endoftext|>"

# Where each family keeps its encoders, and in whose naming.
PLACES: dict[str, dict[str, tuple[str, str]]] = {
    "sdxl": {
        "clip_l": ("conditioner.embedders.0.transformer.", "transformers"),
        "clip_g": ("conditioner.embedders.1.model.", "open_clip"),
    },
    "sd2": {"clip_h": ("cond_stage_model.model.", "open_clip")},
    "sd1": {"clip_l": ("cond_stage_model.transformer.", "transformers")},
}


def measure_file(path: Path) -> tuple[str, Fingerprint]:
    """The family and fingerprint of a single-file checkpoint.

    Raises BaseError for pickles, which are never opened, and for files of other families.
    """
    check_safetensors(path)
    ident = places_in({tensor.name for tensor in tensors_of(path)})
    if ident is None:
        raise BaseError(
            f"'{path.name}' is not an SD1, SD2 or SDXL checkpoint with its text encoders inside",
            hint="give the diffusers folder or Hub id of the model",
        )
    row = family(ident)
    encoders = tuple(_measure(path, row, key, *place) for key, place in PLACES[ident].items())
    denoiser = sampled_digest([path], prefix=DENOISER)
    return ident, Fingerprint(encoders=encoders, denoiser_sha256=denoiser)


def encoder_of_file(path: Path, row: Family, key: str, config: Path | None) -> tuple[Any, Any]:
    """One text encoder of a single file and its tokenizer, without the rest of the checkpoint.

    ``config`` is the diffusers folder of the configs and tokenizers that go with the file; without
    it they are those of the family. Raises BaseError where they do not fit, and for families whose
    text encoders are not read out of files.
    """
    encoder = row.encoder(key)
    if encoder is None or row.id not in PLACES:
        raise BaseError(f"the text encoders of a {row.title} file cannot be read out of it")
    prefix, naming = PLACES[row.id][key]
    model = _build(encoder, _read(path, prefix), prefix, naming, config)
    tokenizer = clip_tokenizer() if config is None else load_tokenizer(config, encoder)
    rows = model.get_input_embeddings().weight.shape[0]
    if rows != len(tokenizer):
        raise BaseError(
            f"the token table of '{path.name}' has {rows} rows, its tokenizer {len(tokenizer)}",
            hint="--base-config with the diffusers folder that it was made from",
        )
    return model, tokenizer


def check_safetensors(path: Path) -> None:
    """BaseError for a file that is no safetensors by its name: a pickle, which is never opened."""
    if path.suffix.lower() not in (".safetensors", ".sft"):
        raise BaseError(
            f"'{path.name}' is no safetensors file, and tireg opens no pickled checkpoints",
            hint="look for the .safetensors file of the model",
        )


def places_in(names: Collection[str]) -> str | None:
    """The id of the family whose text encoders are among the tensors ``names``, or None."""
    for ident, places in PLACES.items():
        if all(any(n.startswith(prefix) for n in names) for prefix, _ in places.values()):
            return ident
    return None


def _measure(path: Path, row: Family, key: str, prefix: str, naming: str) -> EncoderFingerprint:
    encoder = row.encoder(key)
    assert encoder is not None
    weights = _read(path, prefix)
    model = _build(encoder, weights, prefix, naming)
    return measure_encoder(key, model, clip_tokenizer())


def _read(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as opened:
        names = [name for name in opened.keys() if name.startswith(prefix)]  # noqa: SIM118  no dict
        return {name: opened.get_tensor(name) for name in names}


def _build(
    encoder: Encoder,
    weights: dict[str, torch.Tensor],
    prefix: str,
    naming: str,
    folder: Path | None = None,
) -> Any:
    """The encoder as transformers has it, in the numbers of the file.

    Its architecture is that of the config in ``folder``, else the family's.
    """
    import transformers

    if folder is None:
        config = _family_config(encoder, weights, naming)
    else:
        told = read_config(folder, encoder.component)
        config = transformers.CLIPTextConfig.from_dict(told)
    with torch.device("meta"):
        model = transformers.CLIPTextModel(config).eval()
    if naming == "open_clip":
        from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

        named = convert_open_clip_checkpoint(model, weights, prefix=prefix)
    else:
        named = {name.removeprefix(prefix): weight for name, weight in weights.items()}
    _fill(model, encoder, named)
    return model


def _family_config(encoder: Encoder, weights: dict[str, torch.Tensor], naming: str) -> Any:
    import transformers

    table = "token_embedding.weight"
    rows, width = next(w.shape for name, w in weights.items() if name.endswith(table))
    mark = "transformer.resblocks." if naming == "open_clip" else "encoder.layers."
    depth = 1 + max(int(n.split(mark)[1].split(".")[0]) for n in weights if mark in n)
    return transformers.CLIPTextConfig(
        vocab_size=rows, hidden_size=width, intermediate_size=4 * width,
        num_hidden_layers=min(depth, encoder.layers or depth), projection_dim=width,
        num_attention_heads=max(1, width // 64), max_position_embeddings=encoder.max_length or 77,
        hidden_act=encoder.activation or "quick_gelu",
    )  # fmt: skip


def _fill(model: Any, encoder: Encoder, named: dict[str, torch.Tensor]) -> None:
    """Put the weights into the model. BaseError for one that is missing or of another size."""
    wanted = model.state_dict()
    bare = {name.removeprefix("text_model."): weight for name, weight in named.items()}
    found = {name: bare.get(name.removeprefix("text_model.")) for name in wanted}
    lacking = [
        name for name, weight in found.items() if weight is None and "position_ids" not in name
    ]
    if lacking:
        raise BaseError(f"the text encoder {encoder.key} in the file lacks {lacking[0]}")
    odd = [
        name for name, weight in found.items()
        if weight is not None and weight.shape != wanted[name].shape
    ]  # fmt: skip
    if odd:
        raise BaseError(f"the text encoder {encoder.key} in the file has an unknown size: {odd[0]}")
    kept = {name: weight for name, weight in found.items() if weight is not None}
    model.load_state_dict(kept, strict=False, assign=True)
    positions = torch.arange(model.config.max_position_embeddings).expand((1, -1))
    for module in model.modules():
        if "position_ids" in dict(module.named_buffers(recurse=False)):
            module.register_buffer("position_ids", positions, persistent=False)


def clip_tokenizer() -> Any:
    """CLIP's own tokenizer of 49,408 entries, from the vocabulary that open_clip carries."""
    import transformers

    spec = find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise BaseError("CLIP's vocabulary is missing", hint="pip install open_clip_torch")
    packed = Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(packed.read_bytes()).decode("utf-8").split("\n")[1 : MERGES + 1]
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]
    entries = [*letters, *(c + "</w>" for c in letters), *("".join(m) for m in merges), START, END]
    vocabulary = {entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    return transformers.CLIPTokenizer(
        vocab=vocabulary, merges=merges, bos_token=START, eos_token=END, unk_token=END,
        pad_token=END, model_max_length=77,
    )  # fmt: skip
