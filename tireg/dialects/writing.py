"""Write an embedding as the file that another tool accepts."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tireg.dialects.content import ReadEmbedding
from tireg.dialects.metadata import Extra, family_of, metadata_for
from tireg.dialects.png_writer import card
from tireg.dialects.safetensors_file import build_safetensors
from tireg.dialects.torch_writer import original_file, webui_file
from tireg.domain.catalogue import candidates
from tireg.domain.tensors import Tensor, canonical_key, is_output_key
from tireg.errors import InputError

LONE = ("clip_l", "clip_h", "shapes", "unknown")
COMFY_NAMES = {"mistral_small": "mistral3_24b"}
# Users of these tools type the file's name in a prompt. Brackets are weights there; ComfyUI
# (`_try_get_embedding`) reads up to a space, InvokeAI (`extract_ti_triggers_from_prompt`) knows
# few characters.
ENDS_A_NAME = {
    "webui": r"[()\[\]{}]+",
    "comfyui": r"[\s(){}\[\],]+",
    "invokeai": r"[^A-Za-z0-9., _-]+",
}
ONETRAINER_NAMES = {"t5xxl": "t5", "gemma2_2b": "gemma"}
COMFY_KEYS = frozenset(
    "clip_l clip_g clip_h t5xxl umt5xxl pile_t5xl llama gemma2_2b gemma3_4b qwen25_3b qwen25_7b "
    "qwen3_4b qwen3_8b mistral_small shapes unknown".split()
)
ONETRAINER_KEYS = frozenset("clip_l clip_g clip_h t5xxl llama gemma2_2b shapes unknown".split())


def make_embedding(
    token: str,
    tensors: Mapping[str, Tensor],
    *,
    family: str | None = None,
    name: str | None = None,
    kind: str | None = None,
    negative: bool | None = None,
) -> ReadEmbedding:
    """An embedding to write, from a token and its tensors by encoder key.

    Key aliases are resolved. Without ``family`` the catalogue's candidates are taken. Raises
    InputError for no tensors or an unknown encoder key.
    """
    canonical: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        known = canonical_key(key)
        if known is None:
            raise InputError(f"there is no text encoder called {key!r}")
        canonical[known] = tensor
    if not canonical:
        raise InputError("an embedding needs at least one tensor")
    fitting = (family,) if family else tuple(row.id for row in candidates(canonical))
    readable = name or token.strip("<> ") or token
    return ReadEmbedding(token, token, readable, canonical, fitting, kind, negative)


@dataclass(frozen=True)
class Dialect:
    """One kind of file: which tensors it holds, and how its files are made.

    ``holds`` gives the encoder keys that fit; ``render`` gives ``{file name: bytes}`` for an
    embedding reduced to those, a file stem and an optional extension of the user's.
    """

    holds: Callable[[ReadEmbedding], set[str]]
    render: Callable[[ReadEmbedding, Extra, str, str], dict[str, bytes]]
    folder_stem: str | None = None


def losses(dialect: str, embedding: ReadEmbedding) -> list[str]:
    """One phrase for each thing that a file of ``dialect`` cannot hold; empty for none.

    Raises InputError for an unknown dialect, or where the dialect can hold nothing of it.
    """
    kept = _dialect(dialect).holds(embedding) & set(embedding.tensors)
    if not kept:
        raise InputError(
            f"a {dialect} file cannot hold an embedding for {', '.join(embedding.tensors)}",
            hint=f"one of these can: {', '.join(_able(embedding)) or 'none'}",
        )
    return [
        f"the {key} vectors ({tensor.vectors} of width {tensor.width}) are left out: "
        f"{dialect} files do not hold them"
        for key, tensor in embedding.tensors.items()
        if key not in kept
    ]


def _able(embedding: ReadEmbedding) -> list[str]:
    return [
        name for name, kind in DIALECTS.items() if kind.holds(embedding) & set(embedding.tensors)
    ]


def render(
    dialect: str,
    embedding: ReadEmbedding,
    *,
    stem: str,
    suffix: str = "",
    extra: Extra | None = None,
) -> dict[str, bytes]:
    """The files of ``dialect`` as ``{file name: bytes}``, without what it cannot hold.

    ``suffix`` (``.pt``, ``.safetensors``) picks the container where the tool takes several.
    """
    kind = _dialect(dialect)
    kept = kind.holds(embedding)
    part = {key: tensor for key, tensor in embedding.tensors.items() if key in kept}
    return kind.render(replace(embedding, tensors=part), extra or Extra(), stem, suffix)


def write(
    dialect: str,
    out: Path | str,
    embedding: ReadEmbedding,
    *,
    extra: Extra | None = None,
    lossy: bool = False,
) -> list[Path]:
    """Write ``embedding`` for ``dialect`` and return the files made, each replaced in one step.

    ``out`` is a folder (existing, or a path without an extension), or the file to make; a
    second encoder of the diffusers dialect then goes to ``NAME_2``. Raises InputError where the
    dialect cannot hold all of it and ``lossy`` is not set.
    """
    lost = losses(dialect, embedding)
    if lost and not lossy:
        raise InputError("; ".join(lost), hint="add --lossy to write it all the same")
    place = Path(out)
    as_folder = place.is_dir() or not place.suffix
    folder = place if as_folder else place.parent
    default = _dialect(dialect).folder_stem or safe_stem(embedding.name, dialect)
    stem, suffix = (default, "") if as_folder else (place.stem, place.suffix.lower())
    files = render(dialect, embedding, stem=stem, suffix=suffix, extra=extra)
    folder.mkdir(parents=True, exist_ok=True)
    return [_replace(folder / name, data) for name, data in files.items()]


def _replace(path: Path, data: bytes) -> Path:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tireg-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def safe_stem(name: str, dialect: str = "") -> str:
    """``name`` as a file stem on any system: no separators, control or reserved characters,
    and nothing at which the tool of ``dialect`` ends the name that its users type."""
    stem = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]+', "_", name)
    stem = re.sub(ENDS_A_NAME.get(dialect, "(?!)"), "_", stem).strip(" ._")
    if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", stem):
        stem += "_"
    return stem[:120] or "embedding"


def _dialect(name: str) -> Dialect:
    found = DIALECTS.get(name)
    if found is None:
        raise InputError(
            f"there is no dialect called {name!r}", hint=f"--to {', '.join(DIALECTS)} or all"
        )
    return found


def _need_suffix(dialect: str, suffix: str, *allowed: str) -> None:
    if suffix and suffix not in allowed:
        raise InputError(f"a {dialect} file ends in {' or '.join(allowed)}, not in {suffix}")


def _safetensors(
    embedding: ReadEmbedding,
    named: Mapping[str, Tensor],
    extra: Extra,
    dialect: str,
    keys: list[str],
) -> bytes:
    told = metadata_for(embedding, extra, dialect)
    if len(keys) == 1:
        told["tireg.encoder"] = keys[0]
    return build_safetensors({n: (t.dtype, t.shape, t.data) for n, t in named.items()}, told)


def _token_rows(embedding: ReadEmbedding) -> set[str]:
    return {key for key in embedding.tensors if not is_output_key(key)}


def _diffusers(embedding: ReadEmbedding, extra: Extra, stem: str, suffix: str) -> dict[str, bytes]:
    """``{token: [n, width]}``, one file per encoder, numbered as the pipeline's components."""
    _need_suffix("diffusers", suffix, ".safetensors")
    row = family_of(embedding)
    files = {}
    for position, (key, tensor) in enumerate(embedding.tensors.items(), start=1):
        encoder = row.encoder(key) if row else None
        number = encoder.component.removeprefix("text_encoder") if encoder else f"_{position}"
        tail = "" if number in ("", "_1", encoder and encoder.component) else number
        named = {embedding.token: tensor}
        files[f"{stem}{tail}.safetensors"] = _safetensors(
            embedding, named, extra, "diffusers", [key]
        )
    return files


def _clip_or_pair(embedding: ReadEmbedding) -> set[str]:
    keys = set(embedding.tensors)
    if {"clip_l", "clip_g"} <= keys:
        return {"clip_l", "clip_g"}
    return set(next(((key,) for key in LONE if key in keys), ()))


def _lone(*keys: str) -> Callable[[ReadEmbedding], set[str]]:
    def holds(embedding: ReadEmbedding) -> set[str]:
        return set(next(((key,) for key in keys if key in embedding.tensors), ()))

    return holds


def _webui(embedding: ReadEmbedding, extra: Extra, stem: str, suffix: str) -> dict[str, bytes]:
    """A1111's and Forge's file: safetensors, or ``.pt`` where that is asked for."""
    _need_suffix("webui", suffix, ".safetensors", ".pt", ".bin")
    if suffix in ("", ".safetensors"):
        return _params("emb_params", "webui")(embedding, extra, stem, suffix)
    if len(embedding.tensors) > 1:
        raise InputError(
            f"A1111's {suffix} files hold one encoder", hint="end the name in .safetensors"
        )
    ((key, tensor),) = embedding.tensors.items()
    told = {**metadata_for(embedding, extra, "webui"), "tireg.encoder": key}
    checkpoint = extra.checkpoint or None
    data = webui_file(stem, tensor, embedding.token, extra.step, checkpoint, told)
    return {f"{stem}{suffix}": data}


def _original(embedding: ReadEmbedding, extra: Extra, stem: str, suffix: str) -> dict[str, bytes]:
    _need_suffix("original", suffix, ".pt")
    ((key, tensor),) = embedding.tensors.items()
    told = {**metadata_for(embedding, extra, "original"), "tireg.encoder": key}
    return {f"{stem}.pt": original_file(stem, tensor, told)}


def _png(embedding: ReadEmbedding, extra: Extra, stem: str, suffix: str) -> dict[str, bytes]:
    _need_suffix("png", suffix, ".png")
    ((key, tensor),) = embedding.tensors.items()
    told = {**metadata_for(embedding, extra, "png"), "tireg.encoder": key}
    checkpoint = extra.checkpoint or None
    data = card(tensor, embedding.token, extra.step, checkpoint, told, extra.picture)
    return {f"{stem}.png": data}


def _params(
    lone: str, dialect: str
) -> Callable[[ReadEmbedding, Extra, str, str], dict[str, bytes]]:
    """``{lone: tensor}`` for one encoder, ``{clip_l, clip_g}`` for SDXL."""

    def make(embedding: ReadEmbedding, extra: Extra, stem: str, suffix: str) -> dict[str, bytes]:
        _need_suffix(dialect, suffix, ".safetensors")
        keys = list(embedding.tensors)
        named = dict(embedding.tensors)
        if len(keys) == 1 and keys[0] != "clip_g":
            named = {lone: embedding.tensors[keys[0]]}
        return {f"{stem}.safetensors": _safetensors(embedding, named, extra, dialect, keys)}

    return make


def _comfyui(embedding: ReadEmbedding, extra: Extra, stem: str, suffix: str) -> dict[str, bytes]:
    _need_suffix("comfyui", suffix, ".safetensors")
    named = {COMFY_NAMES.get(key, key): tensor for key, tensor in embedding.tensors.items()}
    data = _safetensors(embedding, named, extra, "comfyui", list(embedding.tensors))
    return {f"{stem}.safetensors": data}


def _onetrainer(embedding: ReadEmbedding, extra: Extra, stem: str, suffix: str) -> dict[str, bytes]:
    _need_suffix("onetrainer", suffix, ".safetensors")
    keys = list(embedding.tensors)
    encoders = {key.removesuffix("_out") for key in keys}
    named = {}
    for key, tensor in embedding.tensors.items():
        base, tail = key.removesuffix("_out"), "_out" if is_output_key(key) else ""
        alone = len(encoders) == 1 and base in LONE
        named[("emp_params" if alone else ONETRAINER_NAMES.get(base, base)) + tail] = tensor
    told_keys = sorted(encoders) if len(encoders) == 1 else keys
    return {f"{stem}.safetensors": _safetensors(embedding, named, extra, "onetrainer", told_keys)}


def _holds_among(allowed: frozenset[str], outputs: bool) -> Callable[[ReadEmbedding], set[str]]:
    def holds(embedding: ReadEmbedding) -> set[str]:
        return {
            key
            for key in embedding.tensors
            if key.removesuffix("_out") in allowed and (outputs or not is_output_key(key))
        }

    return holds


def _invokeai_holds(embedding: ReadEmbedding) -> set[str]:
    return _clip_or_pair(embedding) or {"clip_g"} & set(embedding.tensors)


DIALECTS: dict[str, Dialect] = {
    "diffusers": Dialect(_token_rows, _diffusers, folder_stem="learned_embeds"),
    "webui": Dialect(_clip_or_pair, _webui),
    "comfyui": Dialect(_holds_among(COMFY_KEYS, outputs=False), _comfyui),
    "invokeai": Dialect(_invokeai_holds, _params("emb_params", "invokeai")),
    "kohya": Dialect(_clip_or_pair, _params("emb_params", "kohya")),
    "onetrainer": Dialect(_holds_among(ONETRAINER_KEYS, outputs=True), _onetrainer),
    "original": Dialect(_lone(*LONE, "bert"), _original),
    "png": Dialect(_lone(*LONE), _png),
}
