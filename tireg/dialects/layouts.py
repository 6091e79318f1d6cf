"""Every layout that embedding tools write, told apart by what a file holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tireg.dialects import lookalikes
from tireg.dialects.content import RawTensor, Tree, article, plain, quoted, rows_of
from tireg.dialects.drafts import Draft, Found, Hints, readable_name, told_token
from tireg.dialects.token_tables import bundle, marked_tokens, token_table
from tireg.domain.tensors import canonical_key, is_output_key
from tireg.errors import FileRefusedError

SPECIAL_TOKEN = re.compile(r"<[^<>]+>")
PLAIN_PARAMS = {"emb_params": "webui", "emp_params": "onetrainer"}
A1111_FIELDS = ("step", "sd_checkpoint", "sd_checkpoint_name", "hash")


def find(tree: Tree, hints: Hints) -> Found:
    """The embeddings in ``tree``. Raises FileRefusedError with what the file is instead."""
    if isinstance(tree, RawTensor):
        return _bare(tree, hints)
    if isinstance(tree, (list, tuple)):
        return _list(tree, hints)
    if not isinstance(tree, dict):
        raise FileRefusedError(f"it holds {article(tree)}, not tensors")
    if not tree:
        raise FileRefusedError("it is a valid file with nothing in it")
    for reader in (_string_to_param, bundle, _plain_params, _encoders, _pti, _xl_inversion):
        found = reader(tree, hints)
        if found is not None:
            return found
    marked = marked_tokens(tree, hints)
    if marked is not None:
        return marked
    thing = lookalikes.describe(tree)
    if thing is not None:
        raise FileRefusedError(f"it is {thing}")
    return token_table(tree, hints)


def _bare(raw: RawTensor, hints: Hints) -> Found:
    shape = list(raw.shape)
    if not raw.looks_like_vectors:
        raise FileRefusedError(f"it is one bare {raw.dtype} tensor of shape {shape}, not a word")
    if hints.family is None or hints.token is None:
        raise FileRefusedError(
            f"it is one bare tensor of shape {shape} with no name: it may be a word, or a vector "
            "of a picture (an aesthetic embedding); say --family and --token to read it as a word"
        )
    draft = Draft(hints.token, hints.token, readable_name(hints.token, hints), [("tensor", raw)])
    return Found("bare", [draft])


def _list(tree: list[Any] | tuple[Any, ...], hints: Hints) -> Found:
    if tree and all(isinstance(item, RawTensor) for item in tree):
        raise FileRefusedError("it is a list of nameless tensors, as early LoRA files are")
    if not tree or not all(isinstance(item, dict) for item in tree):
        raise FileRefusedError("it holds a list, and not one of embeddings")
    found = Found("list", [])
    for number, item in enumerate(tree):
        inner = find(item, hints)
        found.warnings += inner.warnings
        for draft in inner.drafts:
            name = f"{draft.name}-{number:02d}" if len(tree) > 1 else draft.name
            found.drafts.append(
                Draft(draft.token, draft.trigger, name, draft.parts, draft.keyed, draft.bert)
            )
    if len(found.drafts) > len({draft.token for draft in found.drafts}):
        found.warnings.append(
            f"it is a list of {len(tree)} embeddings with the same token, perhaps the steps of "
            "one training"
        )
    return found


def _string_to_param(tree: dict[Any, Any], hints: Hints) -> Found | None:
    """The original paper's file, and A1111's, which adds a name, a step and a checkpoint."""
    params = tree.get("string_to_param")
    if not isinstance(params, dict):
        return None
    tensors = {k: v for k, v in params.items() if isinstance(k, str) and isinstance(v, RawTensor)}
    if not tensors:
        raise FileRefusedError("it has the layout of an embedding and holds no vectors")
    name = tree.get("name")
    named = isinstance(name, str) and name.strip() != ""
    found = Found("webui" if "name" in tree else "original", [])
    found.metadata = {key: plain(tree[key]) for key in ("name", *A1111_FIELDS) if key in tree}
    for key, raw in tensors.items():
        if named and len(tensors) == 1:
            token = str(name)
        elif "name" in tree and len(tensors) == 1:
            token = hints.stem
        else:
            token = key
        token = hints.told.get("tireg.token", token) if len(tensors) == 1 else token
        if key != "*" and named and key != token:
            found.warnings.append(f"its name is {quoted(name)} and its placeholder {quoted(key)}")
        found.drafts.append(
            Draft(
                token=token,
                trigger=hints.stem if len(tensors) == 1 and not hints.card else token,
                name=readable_name(token, hints),
                parts=[(key, raw)],
                bert="name" not in tree,
                metadata=found.metadata,
            )
        )
    if named and hints.stem != name and not hints.card and "tireg.token" not in hints.told:
        found.warnings.append(
            f"its own name is {quoted(name)}; A1111 and Forge users type the file name, "
            f"{quoted(hints.stem)}"
        )
    return found


def _plain_params(tree: dict[Any, Any], hints: Hints) -> Found | None:
    for key, dialect in PLAIN_PARAMS.items():
        parts = [(n, tree[n]) for n in (key, key + "_out") if isinstance(tree.get(n), RawTensor)]
        if not parts or parts[0][0] != key:
            continue
        found = Found(_tool(hints) or dialect, [])
        token = told_token(hints, hints.stem, found.warnings)
        found.drafts = [Draft(token, hints.stem, readable_name(token, hints), parts)]
        if len(tree) > len(parts):
            found.warnings.append(f"{len(tree) - len(parts)} further entries are left out")
        return found
    return None


def _tool(hints: Hints) -> str | None:
    told = hints.told.get("tireg.dialect") or hints.told.get("modelspec.implementation", "")
    words = told.lower()
    for mark, dialect in (
        ("kohya", "kohya"),
        ("sd-scripts", "kohya"),
        ("onetrainer", "onetrainer"),
    ):
        if mark in words:
            return dialect
    return words if words in {"webui", "comfyui", "invokeai"} else None


def _encoders(tree: dict[Any, Any], hints: Hints) -> Found | None:
    """One tensor per encoder, named by the encoder: kohya, ComfyUI, OneTrainer, A1111."""
    tensors = {k: v for k, v in tree.items() if isinstance(v, RawTensor) and isinstance(k, str)}
    keys = {name: canonical_key(name) for name in tensors}
    known = [name for name, key in keys.items() if key is not None]
    # Beside other tensors, only exact encoder names count: a checkpoint may have a key "t5".
    if not known or len(known) != len(tree):
        return None
    found = Found(_tool(hints) or _encoder_dialect(tensors), [])
    token = told_token(hints, hints.stem, found.warnings)
    parts = [(name, tensors[name]) for name in tensors]
    found.drafts = [Draft(token, hints.stem, readable_name(token, hints), parts, keyed=True)]
    outputs = [key for key in keys.values() if key is not None and is_output_key(key)]
    if outputs:
        found.warnings.append(
            f"it holds output vectors ({', '.join(outputs)}), which only OneTrainer uses"
        )
    return found


def _encoder_dialect(names: Mapping[str, RawTensor]) -> str:
    if any(is_output_key(name) or name in {"t5", "gemma"} for name in names):
        return "onetrainer"
    return "kohya" if set(names) <= {"clip_l", "clip_g"} else "comfyui"


def _pti(tree: dict[Any, Any], hints: Hints) -> Found | None:
    """Replicate's cog files: ``text_encoders_0`` and ``_1``, tokens in special_params.json."""
    names = sorted(k for k in tree if isinstance(k, str) and re.fullmatch(r"text_encoders_\d", k))
    if not names or len(names) != len(tree):
        return None
    raws = [tree[name] for name in names]
    if not all(isinstance(raw, RawTensor) and raw.looks_like_vectors for raw in raws):
        raise FileRefusedError("its text_encoders entries are not vectors")
    words = {word: SPECIAL_TOKEN.findall(value) for word, value in hints.params.items()}
    rows = {raw.shape[0] if len(raw.shape) == 2 else 1 for raw in raws}
    found = Found("pti", [])
    if words and rows == {sum(len(parts) for parts in words.values())}:
        start = 0
        for word, parts in words.items():
            part = [(n, rows_of(r, start, len(parts))) for n, r in zip(names, raws, strict=True)]
            found.drafts.append(Draft(word, "".join(parts), readable_name(word, hints), part))
            start += len(parts)
        return found
    if words:
        found.warnings.append("its special_params.json names another number of vectors")
    token = told_token(hints, hints.stem, found.warnings)
    parts = list(zip(names, raws, strict=True))
    found.drafts = [Draft(token, token, readable_name(token, hints), parts)]
    return found


def _xl_inversion(tree: dict[Any, Any], hints: Hints) -> Found | None:
    """The XL_Inversion notebook's ``{emb, emb2}``: the two halves of SDXL."""
    if set(tree) != {"emb", "emb2"}:
        return None
    if not all(isinstance(raw, RawTensor) for raw in tree.values()):
        return None
    found = Found("xl_inversion", [])
    token = told_token(hints, hints.stem, found.warnings)
    found.drafts = [Draft(token, token, readable_name(token, hints), list(tree.items()))]
    return found
