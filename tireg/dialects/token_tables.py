"""Layouts whose keys are the tokens: diffusers' tables, and tokens inside LoRA files."""

from __future__ import annotations

import re
from typing import Any

from tireg.dialects import lookalikes
from tireg.dialects.content import RawTensor, article, printable, quoted
from tireg.dialects.drafts import Draft, Found, Hints, readable_name
from tireg.domain.catalogue import known_width
from tireg.domain.tensors import ENCODER_WIDTHS, canonical_key
from tireg.errors import FileRefusedError

BUNDLED = re.compile(
    r"^bundle_emb\.(?P<name>.+?)\.(?P<part>string_to_param\.\*?.*|[A-Za-z0-9_-]+)$"
)
SPECIAL_TOKEN = re.compile(r"<[^<>]+>")
MOST_TOKENS = 200
# The lengths to which prompts are padded: CLIP's one to three windows, T5's usual ones.
PROMPT_LENGTHS = frozenset({77, 154, 231, 256, 300, 512, 1024})


def bundle(tree: dict[Any, Any], hints: Hints) -> Found | None:
    """Embeddings that travel inside a LoRA file under ``bundle_emb.NAME.``."""
    groups: dict[str, dict[str, RawTensor]] = {}
    for key, raw in tree.items():
        match = BUNDLED.match(key) if isinstance(key, str) else None
        if match is not None and isinstance(raw, RawTensor):
            groups.setdefault(match["name"], {})[match["part"]] = raw
    if not groups:
        return None
    found = Found("lora-bundle", [])
    for name, parts in groups.items():
        keyed = all(canonical_key(part) is not None for part in parts)
        if not keyed and len(parts) > 1:
            raise FileRefusedError(f"its bundled embedding {quoted(name)} has unknown parts")
        found.drafts.append(
            Draft(name, name, readable_name(name, hints), list(parts.items()), keyed=keyed)
        )
    found.warnings.append("it is a LoRA with embeddings in it; only the embeddings are read")
    return found


def marked_tokens(tree: dict[Any, Any], hints: Hints) -> Found | None:
    """Tokens among LoRA tensors: marked ``<embed>`` in the metadata, or in angle brackets."""
    tokens = {
        key: raw
        for key, raw in tree.items()
        if isinstance(key, str)
        and isinstance(raw, RawTensor)
        and raw.looks_like_vectors
        and (hints.told.get(key) == "<embed>" or SPECIAL_TOKEN.fullmatch(key))
    }
    rest = {key: value for key, value in tree.items() if key not in tokens}
    if not tokens or not rest or lookalikes.describe(rest) is None:
        return None
    found = Found("lora-bundle", [])
    found.drafts = [
        Draft(token, token, readable_name(token, hints), [(token, raw)])
        for token, raw in tokens.items()
    ]
    found.warnings.append("it is a LoRA with embeddings in it; only the embeddings are read")
    return found


def token_table(tree: dict[Any, Any], hints: Hints) -> Found:
    """The diffusers ``{token: vectors}``; one embedding for each token."""
    entries: list[tuple[str, RawTensor]] = []
    found = Found("diffusers", [])
    for key, value in tree.items():
        if isinstance(value, dict) and isinstance(key, str) and _encoder_table(value):
            found.drafts.append(
                Draft(key, key, readable_name(key, hints), list(value.items()), keyed=True)
            )
        elif isinstance(key, str) and isinstance(value, RawTensor):
            entries.append((key, value))
        elif isinstance(value, RawTensor) or not isinstance(value, (str, int, float, type(None))):
            raise FileRefusedError(
                f"its entry {quoted(key)} is {article(value)}: it cannot be told to be an embedding"
            )
    _refuse_networks(entries)
    if hints.family is None:
        _refuse_prompts(entries)
    for token, raws in _joined_rows(entries, found.warnings):
        word = _identified(token, hints, found.warnings) if len(entries) == 1 else token
        raw = raws[0] if len(raws) == 1 else _stack(raws)
        found.drafts.append(Draft(word, word, readable_name(word, hints), [(token, raw)]))
    if not found.drafts:
        raise FileRefusedError("it holds no tensors")
    return found


def _encoder_table(value: dict[Any, Any]) -> bool:
    return bool(value) and all(
        isinstance(key, str) and canonical_key(key) in ENCODER_WIDTHS and isinstance(raw, RawTensor)
        for key, raw in value.items()
    )


def _identified(token: str, hints: Hints, warnings: list[str]) -> str:
    """The token as the folder's token_identifier.txt has it, where there is one."""
    own = hints.identifier or hints.told.get("tireg.token")
    if own and own != token:
        warnings.append(
            f"its key is {quoted(token)}; its description says {quoted(own)}, which is "
            "taken as its token"
        )
    return own or token


def _refuse_networks(entries: list[tuple[str, RawTensor]]) -> None:
    if len(entries) > MOST_TOKENS:
        raise FileRefusedError(
            f"it holds {len(entries)} tensors, the first called {quoted(entries[0][0])}: "
            "weights of a network, not words"
        )
    for name, raw in entries:
        shape = list(raw.shape)
        if not raw.looks_like_vectors:
            raise FileRefusedError(
                f"its tensor {quoted(name)} has type {raw.dtype} and shape {shape}: it "
                "cannot be told to be an embedding"
            )
        bracketed = SPECIAL_TOKEN.fullmatch(name.strip()) is not None
        if not known_width(raw.width) and not bracketed:
            raise FileRefusedError(
                f"its tensor {quoted(name)} has shape {shape}, and no known text encoder has "
                f"vectors of width {raw.width}: it cannot be told to be an embedding"
            )
        if re.search(r"\.(weight|bias|running_mean|running_var)$", name):
            raise FileRefusedError(
                f"its tensor {quoted(name)} is a weight of a network, not a word"
            )


def _refuse_prompts(entries: list[tuple[str, RawTensor]]) -> None:
    for name, raw in entries:
        rows = raw.shape[0] if len(raw.shape) == 2 else 1
        if rows in PROMPT_LENGTHS and SPECIAL_TOKEN.fullmatch(name.strip()) is None:
            raise FileRefusedError(
                f"its tensor {quoted(name)} has {rows} rows, as many as a prompt has states: it "
                "may be a cached prompt; say --family to read it as a word"
            )


def _joined_rows(
    entries: list[tuple[str, RawTensor]], warnings: list[str]
) -> list[tuple[str, list[RawTensor]]]:
    """Tokens with their tensors; ``tok``, ``tok_1``, ``tok_2`` are the rows of one ``tok``.

    diffusers calls the further rows of a multi-vector token so; only single vectors of one
    type and width that count up without a gap are joined.
    """
    table = dict(entries)
    joined: list[tuple[str, list[RawTensor]]] = []
    taken: set[str] = set()
    for name, raw in entries:
        if name in taken:
            continue
        rows = [raw]
        while (more := table.get(f"{name}_{len(rows)}")) is not None and _alike(raw, more):
            taken.add(f"{name}_{len(rows)}")
            rows.append(more)
        if len(rows) > 1:
            warnings.append(
                f"its entries {quoted(name)} to {printable(f'{name}_{len(rows) - 1}')!r} are "
                f"read as the {len(rows)} vectors of one token"
            )
        joined.append((name, rows))
    return [item for item in joined if item[0] not in taken]


def _alike(first: RawTensor, other: RawTensor) -> bool:
    single = all(len(raw.shape) == 1 or raw.shape[0] == 1 for raw in (first, other))
    return single and first.dtype == other.dtype and first.width == other.width


def _stack(raws: list[RawTensor]) -> RawTensor:
    return RawTensor(
        raws[0].dtype, (len(raws), raws[0].width), lambda: b"".join(raw.read() for raw in raws)
    )
