"""From named raw tensors to embeddings: which encoder each is for, and which families fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tireg.dialects import limits
from tireg.dialects.content import (
    RawTensor,
    ReadEmbedding,
    check_token,
    plain,
    quoted,
    to_tensor,
)
from tireg.domain import catalogue
from tireg.domain.tensors import (
    ENCODER_WIDTHS,
    OUTPUT_SUFFIX,
    Tensor,
    canonical_key,
    encoder_of,
    is_output_key,
    keys_of_width,
)
from tireg.errors import FileRefusedError

UNKNOWN = "unknown"
"""The encoder key of vectors whose width no catalogued encoder has."""


@dataclass(frozen=True)
class Hints:
    """What is known of a file besides its tensors.

    ``told`` are its string metadata, ``stem`` its file name without the extension. ``family``
    and ``token`` are the user's own words and win over everything. ``card`` marks PNG cards,
    where A1111 users type the name inside instead of the file's.
    """

    stem: str
    told: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    identifier: str | None = None
    kind: str | None = None
    family: catalogue.FamilyRow | None = None
    token: str | None = None
    card: bool = False

    @property
    def told_family(self) -> catalogue.FamilyRow | None:
        """The family that the file's own metadata name."""
        own = catalogue.find_row(self.told.get("tireg.family", ""))
        return own or catalogue.row_of_architecture(self.told.get("modelspec.architecture", ""))

    @property
    def negative(self) -> bool | None:
        """Whether the metadata call it a negative embedding."""
        word = self.told.get("modelspec.is_negative_embedding", "").strip().lower()
        return {"true": True, "false": False}.get(word)


@dataclass(frozen=True)
class Draft:
    """One embedding before its tensors are read.

    ``parts`` are (name as written, tensor); ``keyed`` says that the names are encoder keys.
    ``bert`` marks the original paper's layout, whose 1280-wide vectors are BERT's.
    """

    token: str
    trigger: str
    name: str
    parts: Sequence[tuple[str, RawTensor]]
    keyed: bool = False
    bert: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Found:
    """What a layout yields: drafts, its dialect, warnings, and metadata beside the tensors."""

    dialect: str
    drafts: list[Draft]
    warnings: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


def told_token(hints: Hints, fallback: str, warnings: list[str]) -> str:
    """The token where the layout has none: the metadata's own, else the file's name."""
    own = hints.told.get("tireg.token")
    if own:
        return own
    phrase = hints.told.get("modelspec.trigger_phrase", "").strip()
    if phrase and not re.search(r"[\s,]", phrase):
        if phrase != fallback:
            warnings.append(
                f"its metadata say the trigger is {quoted(phrase)}, its file name says "
                f"{quoted(fallback)}"
            )
        return phrase
    return fallback


def readable_name(token: str, hints: Hints) -> str:
    """A name for people: the token without its brackets, or the file name for ``*``."""
    own = hints.told.get("tireg.name")
    if own:
        return own
    bare = token.strip().strip("<>").strip()
    return bare if re.search(r"\w", bare) else hints.stem


def finish(found: Found, hints: Hints) -> tuple[list[ReadEmbedding], list[str]]:
    """Read the tensors of every draft. Returns the embeddings and all warnings.

    Raises FileRefusedError for tensors that no embedding has, and for a ``family`` or
    ``token`` of the user's that does not fit.
    """
    if len(found.drafts) > limits.EMBEDDINGS:
        raise FileRefusedError(f"it holds {len(found.drafts)} embeddings, which is too many")
    if hints.token is not None and len({draft.token for draft in found.drafts}) > 1:
        raise FileRefusedError(
            f"it holds {len(found.drafts)} embeddings; one token cannot name them all"
        )
    warnings = list(found.warnings)
    embeddings = []
    total = 0
    for draft in found.drafts:
        embedding = _finish_one(draft, hints, warnings)
        total += sum(len(tensor.data) for tensor in embedding.tensors.values())
        if total > limits.TOTAL_TENSOR_BYTES:
            raise FileRefusedError("its vectors are too large for embeddings")
        embeddings.append(embedding)
    return embeddings, list(dict.fromkeys(warnings))


def _finish_one(draft: Draft, hints: Hints, warnings: list[str]) -> ReadEmbedding:
    token = check_token(hints.token or draft.token, "its token")
    tensors: dict[str, Tensor] = {}
    for name, raw in draft.parts:
        tensor = to_tensor(raw, f"its tensor {quoted(name)}")
        key = _key(name, tensor.width, draft, hints, warnings)
        if key in tensors:
            raise FileRefusedError(f"it holds two tensors for the encoder {key}")
        tensors[key] = tensor
    tensors = dict(sorted(tensors.items(), key=lambda item: _rank(item[0])))
    _warn_odd_counts(tensors, warnings)
    return ReadEmbedding(
        token=token,
        trigger=check_token(draft.trigger, "its trigger"),
        name=check_token(draft.name, "its name"),
        tensors=tensors,
        families=tuple(_families(draft, tensors, hints, warnings)),
        kind=_kind(hints),
        negative=hints.negative,
        metadata=plain(dict(draft.metadata)),
    )


def _rank(key: str) -> tuple[int, bool]:
    """Encoders in the order in which pipelines number them, outputs after token rows."""
    known = list(ENCODER_WIDTHS)
    encoder = encoder_of(key)
    place = known.index(encoder) if encoder in known else len(known)
    return (place, is_output_key(key))


def _kind(hints: Hints) -> str | None:
    kind = (hints.kind or hints.told.get("tireg.kind", "")).strip().lower()
    return kind if kind in {"object", "style", "subject"} else None


def _key(name: str, width: int, draft: Draft, hints: Hints, warnings: list[str]) -> str:
    """The encoder key of one tensor: as written, else the user's family's, else by width."""
    told = hints.told.get("tireg.encoder", "")
    written = canonical_key(name) if draft.keyed else canonical_key(told)
    if written is None and told == UNKNOWN:
        written = UNKNOWN
    # OneTrainer's emp_params_out is the output half of emp_params.
    tail = OUTPUT_SUFFIX if not draft.keyed and name.endswith(OUTPUT_SUFFIX) else ""
    if written is not None:
        wanted = ENCODER_WIDTHS.get(encoder_of(written), width)
        if width != wanted and hints.family is None:
            warnings.append(f"its {written} vectors are {width} wide; that encoder has {wanted}")
        return written + tail
    return _key_of_width(width, draft, hints, warnings) + tail


def _key_of_width(width: int, draft: Draft, hints: Hints, warnings: list[str]) -> str:
    for row in (hints.family, hints.told_family):
        fitting = [e.key for e in row.encoders if e.width == width] if row else []
        if fitting:
            return fitting[0]
    if hints.family is not None:
        widths = ", ".join(str(encoder.width) for encoder in hints.family.encoders)
        raise FileRefusedError(
            f"its vectors are {width} wide and {hints.family.id} has encoders of width {widths}"
        )
    keys = keys_of_width(width)
    if not keys:
        warnings.append(f"no known text encoder has vectors of width {width}")
        return UNKNOWN
    if draft.bert and "bert" in keys:
        return "bert"
    if len(keys) > 1 and len(draft.parts) == 1:
        others = " or ".join(keys[1:])
        warnings.append(
            f"vectors of width {width} may be for {keys[0]} or {others}: read as {keys[0]}, "
            "the file does not say"
        )
    return keys[0]


def candidate_ids(draft_named: bool, tensors: Mapping[str, Tensor]) -> list[str]:
    """Ids of the families that these tensors fit; by width alone where no encoder is named."""
    widths = {key: tensor.width for key, tensor in tensors.items()}
    if not draft_named:
        return [row.id for row in catalogue.candidates_by_width(widths.values())]
    return [row.id for row in catalogue.candidates(tensors) if catalogue.widths_fit(row, widths)]


def _families(
    draft: Draft, tensors: Mapping[str, Tensor], hints: Hints, warnings: list[str]
) -> list[str]:
    widths = {key: tensor.width for key, tensor in tensors.items()}
    if hints.family is not None:
        if not catalogue.widths_fit(hints.family, widths):
            raise FileRefusedError(
                f"its encoders {_pairs(widths)} are not those of {hints.family.id}"
            )
        return [hints.family.id]
    told = hints.told_family
    # A miniature of a family has its encoders at other widths; the widths are warned of above.
    own = "tireg.family" in hints.told and UNKNOWN not in tensors
    encoders = {encoder_of(key) for key in tensors}
    if told is not None and (catalogue.widths_fit(told, widths) or (own and encoders <= told.keys)):
        missing = sorted(told.keys - encoders)
        if missing:
            warnings.append(f"it has no vectors for {', '.join(missing)} of {told.id}")
        return [told.id]
    if told is not None:
        warnings.append(
            f"its metadata say {told.id}, but its encoders {_pairs(widths)} are not that family's"
        )
    if UNKNOWN in tensors:
        return []
    named = draft.keyed or "tireg.encoder" in hints.told or draft.bert or len(tensors) > 1
    return candidate_ids(named, tensors)


def _pairs(widths: Mapping[str, int]) -> str:
    return ", ".join(f"{key} ({width})" for key, width in widths.items())


def _warn_odd_counts(tensors: Mapping[str, Tensor], warnings: list[str]) -> None:
    counts = {tensor.vectors for tensor in tensors.values()}
    if len(counts) > 1:
        warnings.append("its encoders have different numbers of vectors")
    if counts & {77}:
        warnings.append("it has 77 vectors, as many as a whole cached prompt has states")
