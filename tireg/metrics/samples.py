"""What metrics read: features of pictures and texts, laid out by prompt and seed.

Built once per run and given to every metric. Nothing here knows an encoder or a file.

Feature kinds (what saw the picture):
    concept     the encoder for likeness to the references (f in the formulas)
    clip        the picture side of the encoder that also reads texts (I; its texts are T)
    copy        a copy detector (SSCD)
    background  f on the picture with the concept masked out
    crop        f on the concept's crop, in pictures that show two concepts
    perceptual  a distance between two pictures (LPIPS): no features, but ``distances``

Conditions (how the picture was drawn): ``token``, ``class`` and ``empty`` as in a suite, ``base``
(class noun or token-free prompt on the base without the embedding), ``pair`` ("V_a and V_b") and
``pair_class`` ("V_a and a k_b").

Text variants: ``class`` (the prompt with the class noun), ``empty`` (nothing in the slot),
``context`` (the words for everything but the concept).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tireg.domain.statistics import FloatArray
from tireg.domain.suites import FREE_ROLES, SLOT, SLOT_ROLES, Prompt, fill
from tireg.errors import EvaluationError

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

__all__ = ["FREE_ROLES", "SLOT_ROLES", "Samples", "Words", "pack", "pack_text", "text_forms"]


@dataclass(frozen=True)
class Words:
    """A vocabulary as the text encoder sees it: names ``W`` and unit-norm features ``[W, d]``."""

    names: tuple[str, ...]
    features: FloatArray

    def __post_init__(self) -> None:
        _check_unit(self.features, "the vocabulary")
        if len(self.names) != len(self.features):
            raise EvaluationError(
                f"the vocabulary has {len(self.names)} names and {len(self.features)} features"
            )

    def indices(self, names: Sequence[str]) -> list[int]:
        """Positions of those of ``names`` that the vocabulary has, in its order."""
        wanted = set(names)
        return [i for i, name in enumerate(self.names) if name in wanted]


@dataclass(frozen=True)
class Samples:
    """Everything measured of one run. All features are unit-norm float64; NaN is "not drawn".

    Shapes: P prompts, S seeds, R references, d the width of the kind's features.
    """

    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...]
    images: Mapping[str, Mapping[str, FloatArray]] = field(default_factory=dict)
    """Kind, then condition: ``[P, S, d]``."""
    distances: Mapping[str, Mapping[str, FloatArray]] = field(default_factory=dict)
    """Kind, then condition: ``[P, S, S]`` between the pictures of one prompt, 0 on the diagonal,
    NaN where either was not drawn."""
    references: Mapping[str, FloatArray] = field(default_factory=dict)
    """Kind: ``[R, d]``, the training pictures."""
    held_out: Mapping[str, FloatArray] = field(default_factory=dict)
    """Kind: ``[H, d]``, pictures of the concept that were not trained on."""
    texts: Mapping[str, FloatArray] = field(default_factory=dict)
    """Variant: ``[P, d]`` in the space of ``clip``; NaN where the prompt has none."""
    others: Mapping[str, Mapping[str, FloatArray]] = field(default_factory=dict)
    """Kind, then name of another concept of the same class: ``[R', d]``."""
    partner: Mapping[str, FloatArray] = field(default_factory=dict)
    """Kind: ``[R', d]``, references of the second concept in ``pair`` pictures."""
    words: Mapping[str, Words] = field(default_factory=dict)
    """``background`` and ``object`` vocabularies, in the space of ``clip``."""
    training_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per vocabulary, the words that are true of the training pictures."""
    probe: Mapping[str, FloatArray] = field(default_factory=dict)
    """``token`` and ``class``: ``[A, d]``, the generator's own text features of A contexts."""
    pixels: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    """Condition: ``[P, S]`` sha256 of the pixels, "" where not drawn."""
    encoders: Mapping[str, str] = field(default_factory=dict)
    """Kind: name of the encoder, part of every score's identity."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Kind, ``references`` or ``others``: why there is nothing of it."""
    copy_threshold: float = 0.5
    """Cosine of ``copy`` features above which a picture is a copy; 0.5 is SSCD's."""

    def __post_init__(self) -> None:
        shape = (len(self.prompts), len(self.seeds))
        for kind, conditions in self.images.items():
            for condition, features in conditions.items():
                name = f"{kind} features of the {condition} pictures"
                if features.ndim != 3 or features.shape[:2] != shape:
                    raise EvaluationError(
                        f"the {name} have shape {features.shape}, "
                        f"not [{shape[0]} prompts, {shape[1]} seeds, width]"
                    )
                _check_unit(features, name)
        for kind, tables in self.distances.items():
            for condition, table in tables.items():
                if table.shape != (*shape, shape[1]):
                    raise EvaluationError(
                        f"the {kind} distances of the {condition} pictures have shape "
                        f"{table.shape}, not [{shape[0]} prompts, {shape[1]} seeds, {shape[1]}]"
                    )
        for variant, texts in self.texts.items():
            if texts.ndim != 2 or len(texts) != shape[0]:
                raise EvaluationError(f"the '{variant}' texts are not [{shape[0]} prompts, width]")
            _check_unit(texts, f"'{variant}' texts")
        for condition, probe in self.probe.items():
            _check_unit(probe, f"text features of the '{condition}' probe")
        for condition, hashes in self.pixels.items():
            if hashes.shape != shape:
                raise EvaluationError(f"pixel hashes of '{condition}' are not [prompts, seeds]")
        for group in (self.references, self.held_out, self.partner, *self.others.values()):
            for name, features in group.items():
                if features.ndim != 2:
                    raise EvaluationError(f"the reference features '{name}' are not [R, width]")
                _check_unit(features, f"reference features '{name}'")

    def rows(self, roles: Sequence[str]) -> IntArray:
        """Indices of the prompts of these roles."""
        return np.array([i for i, p in enumerate(self.prompts) if p.role in roles], dtype=np.int64)

    def paired(
        self, kind: str, conditions: Sequence[str], rows: IntArray
    ) -> tuple[IntArray, dict[str, FloatArray]]:
        """Features of these prompts, only where every condition was drawn at that seed.

        Returns the indices of the prompts that have at least one full pair, and per condition
        ``[len(indices), S, d]`` with NaN rows at unpaired seeds.
        """
        blocks = {c: self.images[kind][c][rows] for c in conditions}
        together = np.logical_and.reduce([drawn(b) for b in blocks.values()])
        kept = together.any(axis=1)
        masked = {c: np.where(together[:, :, None], b, np.nan)[kept] for c, b in blocks.items()}
        return rows[kept], masked


def drawn(features: FloatArray) -> BoolArray:
    """Which of ``[..., d]`` exist: True where the feature row is not NaN."""
    result: BoolArray = ~np.isnan(features[..., 0])
    return result


def pack(
    features: npt.ArrayLike,
    prompt_index: Sequence[int],
    seed_index: Sequence[int],
    shape: tuple[int, int],
) -> FloatArray:
    """Lay rows ``[N, d]`` out as ``[P, S, d]``, unit-norm, NaN where nothing was drawn.

    Args: prompt_index and seed_index ``[N]``, positions in the suite; shape (P, S).
    Raises: EvaluationError for a picture given twice, out of range or with a zero feature.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or not len(rows) == len(prompt_index) == len(seed_index):
        raise EvaluationError("features, prompt indices and seed indices do not belong together")
    result = np.full((*shape, rows.shape[1]), np.nan)
    for row, p, s in zip(_unit(rows), prompt_index, seed_index, strict=True):
        if not (0 <= p < shape[0] and 0 <= s < shape[1]):
            raise EvaluationError(f"picture ({p}, {s}) lies outside the suite's {shape}")
        if not np.isnan(result[p, s, 0]):
            raise EvaluationError(f"picture ({p}, {s}) is given twice")
        result[p, s] = row
    return result


def pack_text(features: npt.ArrayLike, prompt_index: Sequence[int], n_prompts: int) -> FloatArray:
    """Lay text rows ``[N, d]`` out as ``[P, d]``, unit-norm, NaN where a prompt has none."""
    return pack(features, prompt_index, [0] * len(prompt_index), (n_prompts, 1))[:, 0]


def text_forms(prompt: Prompt, class_noun: str) -> dict[str, str]:
    """The texts of one prompt that metrics compare pictures with, by variant.

    ``class``, ``empty``, ``context`` and ``ti`` (as textual inversion's code words it). A variant
    that the prompt does not have is left out, as is ``class`` without a class noun; a prompt
    without a slot has none.
    """
    if not prompt.has_slot:
        return {}
    forms = {
        "class": fill(prompt, "class", class_noun) if class_noun else "",
        "empty": fill(prompt, "empty"),
        "context": prompt.context or "",
        "ti": prompt.text.replace(SLOT, ""),
    }
    return {variant: text for variant, text in forms.items() if text.strip()}


def _unit(rows: FloatArray) -> FloatArray:
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise EvaluationError("a feature is zero or not finite, so it has no direction")
    result: FloatArray = rows / norms
    return result


def _check_unit(features: FloatArray, name: str) -> None:
    present = features[drawn(features)]
    if present.size and not np.allclose(np.linalg.norm(present, axis=-1), 1.0, atol=1e-3):
        raise EvaluationError(f"the {name} are not unit-norm")
