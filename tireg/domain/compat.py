"""Whether an embedding means on one base what it meant on another: the rule, as plain data.

Only measured fingerprints say that it does. The width of a vector can say that it does not,
never more: CLIP-L of every fine-tune is 768 wide, and 4096 is the width of four encoders.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tireg.domain import sketches
from tireg.domain.fingerprints import EncoderFingerprint, Fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Level = Literal["exact", "near", "partial", "incompatible", "unknown"]
Denoiser = Literal["same", "other", "unknown"]

ORDER: tuple[Level, ...] = ("exact", "near", "partial", "unknown", "incompatible")
GOOD: frozenset[str] = frozenset({"exact", "near"})

# Conventions, not laws of transfer: tireg eval on the other base measures what a word is worth
# there. Above NEAR are the usual fine-tunes; two encoders below UNRELATED share no more than
# a beginning.
NEAR = 0.9
UNRELATED = 0.5

ERRORS = 3.0  # bounds are this many standard errors wide
ROUNDING = 5e-4  # of fp16 sketches


@dataclass(frozen=True)
class Cosine:
    """An estimated cosine, and how far it may be off (about 3 standard errors)."""

    value: float
    error: float

    @property
    def low(self) -> float:
        """The least it may be."""
        return max(-1.0, self.value - self.error)

    @property
    def high(self) -> float:
        """The most it may be."""
        return min(1.0, self.value + self.error)

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


@dataclass(frozen=True)
class EncoderVerdict:
    """What is known of one encoder; ``table`` and ``behaviour`` where they could be compared."""

    encoder: str
    verdict: Level
    reason: str
    advice: str
    table: Cosine | None = None
    behaviour: Cosine | None = None


@dataclass(frozen=True)
class Compatibility:
    """What is known of an embedding on a base: per encoder, of the denoiser, and overall."""

    verdict: Level
    reason: str
    advice: str
    encoders: tuple[EncoderVerdict, ...]
    denoiser: Denoiser
    denoiser_reason: str


@dataclass(frozen=True)
class Target:
    """A base as far as it is known: its encoders' widths by key, and its fingerprint."""

    name: str
    widths: Mapping[str, int]
    fingerprint: Fingerprint | None = None


def judge(rows: Mapping[str, int], made: Fingerprint | None, target: Target) -> Compatibility:
    """Whether an embedding works on ``target`` as it did where it was made.

    ``rows`` maps each encoder key the embedding has vectors for to their width; ``made`` is the
    fingerprint of the base it was made on, None where that is not known.
    """
    verdicts = tuple(_judge_encoder(key, width, made, target) for key, width in rows.items())
    verdict, reason, advice = _overall(verdicts, rows, target)
    denoiser, why = _denoiser(made, target.fingerprint)
    return Compatibility(verdict, reason, advice, verdicts, denoiser, why)


def _judge_encoder(
    key: str, width: int, made: Fingerprint | None, target: Target
) -> EncoderVerdict:
    wanted = target.widths.get(key)
    if wanted is None:
        has = ", ".join(target.widths)
        return EncoderVerdict(
            key, "incompatible", f"{target.name} has no encoder {key}; it has {has}",
            "use a base of the embedding's own family",
        )  # fmt: skip
    if wanted != width:
        return EncoderVerdict(
            key, "incompatible", f"its vectors are {width} wide and those of {key} there {wanted}",
            "use a base of the embedding's own family",
        )  # fmt: skip
    there = target.fingerprint.encoder(key) if target.fingerprint else None
    if there is None:
        return EncoderVerdict(
            key, "unknown", f"{target.name} was not measured; equal width proves nothing",
            "measure it: tireg bases add BASE",
        )  # fmt: skip
    here = made.encoder(key) if made else None
    if here is None:
        return EncoderVerdict(
            key, "unknown", "the base it was made on is not known; equal width proves nothing",
            "try it there: tireg eval NAME --base BASE",
        )  # fmt: skip
    if made and target.fingerprint and made.method != target.fingerprint.method:
        return EncoderVerdict(
            key, "unknown", "the two bases were measured by different versions of tireg",
            "measure it again: tireg bases add BASE",
        )  # fmt: skip
    return compare_encoders(here, there)


def compare_encoders(a: EncoderFingerprint, b: EncoderFingerprint) -> EncoderVerdict:
    """The verdict between two measured encoders of the same key and width."""
    differing = [
        word
        for word, equal in {
            "token table": (a.table_sha256, a.rows) == (b.table_sha256, b.rows),
            "layers": a.layers_sha256 == b.layers_sha256,
            "config": a.config_sha256 == b.config_sha256,
            "tokenizer": a.tokenizer_sha256 == b.tokenizer_sha256,
        }.items()
        if not equal
    ]
    if not differing:
        return EncoderVerdict(
            a.key, "exact", "token table, layers, config and tokenizer are equal", "use it"
        )
    table = _table_cosine(a, b)
    behaviour = _behaviour_cosine(a, b)
    level, why = _level(table, behaviour)
    other = " and ".join(filter(None, [", ".join(differing[:-1]), differing[-1]]))
    told = [f"table cosine {table}" if table else "", f"behaviour cosine {behaviour}"]
    measured = ", ".join(t for t, c in zip(told, (table, behaviour), strict=True) if c)
    advice = {
        "near": "use it, and look: tireg eval NAME --base BASE tells what it is worth there",
        "incompatible": "train it again on that base, or use a base nearer to its own",
        "unknown": "try it there: tireg eval NAME --base BASE",
    }[level]
    reason = f"another {other}; {why}" + (f" ({measured})" if measured else "")
    return EncoderVerdict(a.key, level, reason, advice, table, behaviour)


def _level(
    table: Cosine | None, behaviour: Cosine | None
) -> tuple[Literal["near", "incompatible", "unknown"], str]:
    if table is None or behaviour is None:
        missing = "table" if table is None else "behaviour"
        return "unknown", f"their {missing} sketches cannot be compared"
    if table.low >= NEAR and behaviour.low >= NEAR:
        return "near", "it reads words and prompts nearly alike"
    if table.high < UNRELATED and behaviour.high < UNRELATED:
        return "incompatible", "it is another encoder of the same width"
    return "unknown", "it is a relative that has moved away"


def _table_cosine(a: EncoderFingerprint, b: EncoderFingerprint) -> Cosine | None:
    if (a.table_sha256, a.rows) == (b.table_sha256, b.rows):
        return Cosine(1.0, 0.0)
    return sketch_cosine(a.sketch, b.sketch)


def _behaviour_cosine(a: EncoderFingerprint, b: EncoderFingerprint) -> Cosine | None:
    if a.behaviour is None or b.behaviour is None:
        return None
    return sketch_cosine(a.behaviour, b.behaviour, centred=True)


def sketch_cosine(a: str, b: str, *, centred: bool = False) -> Cosine | None:
    """The cosine between what two packed sketches stand for; None where they do not compare.

    The error is 3 standard errors of the jackknife (Efron and Stein, 1981), over the rows and
    over the directions, which are both drawn; and the rounding of the sketches.
    """
    one, two = sketches.unpack(a), sketches.unpack(b)
    if one is None or two is None or one.shape != two.shape:
        return None
    value = sketches.cosine(one, two, centred=centred)
    if not math.isfinite(value):
        return None
    if centred:
        one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    spread = math.hypot(_jackknife(one, two, axis=1), _jackknife(one, two, axis=0))
    return Cosine(value, ERRORS * spread + ROUNDING)


def _jackknife(a: NDArray[np.float64], b: NDArray[np.float64], *, axis: int) -> float:
    """Standard error of the cosine from leaving out one row, or one direction, at a time.

    ``axis`` 1 leaves out rows, 0 leaves out directions.
    """
    import numpy as np

    ab, aa, bb = ((x * y).sum(axis=axis) for x, y in ((a, b), (a, a), (b, b)))
    lengths = np.sqrt(np.maximum((aa.sum() - aa) * (bb.sum() - bb), 1e-300))
    left = (ab.sum() - ab) / lengths
    count = len(left)
    if count < 2:
        return math.inf
    return float(np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum()))


def _overall(
    verdicts: tuple[EncoderVerdict, ...], rows: Mapping[str, int], target: Target
) -> tuple[Level, str, str]:
    """The worst of its encoders, or partial where some are covered and others are not."""
    good = [v for v in verdicts if v.verdict in GOOD]
    rest = [v for v in verdicts if v.verdict not in GOOD]
    bare = [key for key in target.widths if key not in rows]
    if good and (rest or bare):
        lacking = [f"{v.encoder} is {v.verdict}" for v in rest]
        lacking += [f"it has no vectors for {key}" for key in bare]
        covered = ", ".join(f"{v.encoder} is {v.verdict}" for v in good)
        advice = "use it, and expect a weaker word: the other encoders do not know it"
        return "partial", f"{covered}; {'; '.join(lacking)}", advice
    worst = max(verdicts, key=lambda v: ORDER.index(v.verdict), default=None)
    if worst is None:
        return "unknown", "it has no vectors", "tireg inspect FILE"
    if rest and any(v.verdict == "unknown" for v in rest):
        worst = next(v for v in rest if v.verdict == "unknown")
    return worst.verdict, f"{worst.encoder}: {worst.reason}", worst.advice


def _denoiser(made: Fingerprint | None, there: Fingerprint | None) -> tuple[Denoiser, str]:
    if made is None or made.denoiser_sha256 is None:
        return "unknown", "what drew where it was made was not measured"
    if there is None or there.denoiser_sha256 is None:
        return "unknown", "what draws there was not measured"
    if made.denoiser_sha256 == there.denoiser_sha256:
        return "same", "its sampled weights are equal"
    return "other", "its sampled weights differ: a fine-tune, or a copy in other numbers (bf16)"
