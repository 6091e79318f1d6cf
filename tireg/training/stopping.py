"""When to stop, and which rows to keep: decided on evidence, never on the raw training loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

Rows = dict[str, torch.Tensor]

# Looks without a better balance before a run ends, and what counts as better. The rate falls to
# the end, and rows go on settling where a probe of six pictures sees no difference, so that
# patience is cheap and haste is not.
PATIENCE = 4
BETTER = 0.02
# Two looks this far under the best are evidence of harm: the word takes over, or falls apart.
FALLEN = 0.15
# Without a probe: standard errors that the fixed loss must still fall by to go on.
STILL_FALLING = 0.5
# A variant for editing must still show the concept, one for fidelity still obey the prompt.
LEAST = 0.35
LOST = 100.0
# Differences of a probe's score that six pictures cannot tell from chance.
TIE = 0.1
VARIANTS = ("balanced", "faithful", "editable")


@dataclass(frozen=True)
class Look:
    """What a probe saw in a few samples with the current rows.

    ``fidelity`` is 0 at the class noun's own pictures and 1 at the training pictures;
    ``editability`` is 1 where prompts are followed as well as with the class noun.
    """

    fidelity: float
    editability: float

    @property
    def balance(self) -> float:
        """Harmonic mean of both, each within 0 … 1: high only where both are."""
        first, second = (min(1.0, max(0.0, v)) for v in (self.fidelity, self.editability))
        return 0.0 if first + second == 0 else 2 * first * second / (first + second)


@dataclass(frozen=True)
class Check:
    """One moment of a run.

    ``loss`` is the mean over the steps since the last check, ``validation`` the mean loss of the
    first part of the fixed samples, ``gain`` its fall since the start and ``gain_error`` the
    standard error of that, both paired by sample. ``norm`` and ``cosine`` (to the beginning) are
    means over rows, norms in lengths of words in use; ``seconds`` is time spent learning.
    """

    step: int
    loss: float
    validation: float
    gain: float
    gain_error: float
    norm: float
    cosine: float
    rate: float
    seconds: float
    look: Look | None = None


@dataclass
class Front:
    """The rows worth keeping of all that were looked at: one per variant.

    Newer rows win where they are within ``TIE`` of the best that was ever seen: the rate falls,
    so that of rows that look alike the later have settled more.
    """

    kept: dict[str, tuple[int, Look, Rows]] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)

    @classmethod
    def again(cls, kept: Mapping[str, tuple[int, Look, Rows]], checks: Sequence[Check]) -> Front:
        """A front as it was, from what it kept and the checks that were made."""
        front = cls(dict(kept))
        for check in checks:
            if check.look is not None:
                front._see(check.look)
        return front

    def offer(self, step: int, look: Look, rows: Rows) -> None:
        """Keep ``rows`` [n, width] per encoder where they are good enough for a variant."""
        self._see(look)
        for variant in VARIANTS:
            if worth(variant, look) >= self.best[variant] - TIE:
                self.kept[variant] = (step, look, rows)

    def _see(self, look: Look) -> None:
        for variant in VARIANTS:
            self.best[variant] = max(self.best.get(variant, -math.inf), worth(variant, look))


def worth(variant: str, look: Look) -> float:
    """What a variant is chosen by; rows that lose the other side altogether come last."""
    if variant == "faithful":
        return look.fidelity - (LOST if look.editability < LEAST else 0.0)
    if variant == "editable":
        return look.editability - (LOST if look.fidelity < LEAST else 0.0)
    return look.balance


def why_stop(checks: Sequence[Check]) -> str | None:
    """The reason to end now, or None. ``checks`` are all so far, the newest last.

    With a probe: two looks in a row whose balance lies ``FALLEN`` under the best, or no better
    balance for ``PATIENCE`` looks. Without: the fixed loss has not fallen by half a standard
    error over the last third of the checks.
    """
    looks = [(c.step, c.look.balance) for c in checks if c.look is not None]
    if looks:
        balances = [balance for _, balance in looks]
        best = max(range(len(looks)), key=lambda i: balances[i])
        if max(balances[-2:]) < balances[best] - FALLEN:
            return f"likeness and obedience together fell after step {looks[best][0]}"
        if len(looks) > PATIENCE and max(balances[-PATIENCE:]) < (
            max(balances[:-PATIENCE]) + BETTER
        ):
            return f"likeness and obedience together grew no better after step {looks[best][0]}"
        return None
    learned = [c for c in checks if c.step > 0]
    if len(learned) < 6:
        return None
    old, new = learned[-1 - len(learned) // 3], learned[-1]
    if new.gain - old.gain < STILL_FALLING * new.gain_error:
        return "the loss on the fixed samples has stopped falling"
    return None


def gain(start: torch.Tensor, now: torch.Tensor) -> tuple[float, float]:
    """Mean fall of paired losses [n] and its standard error; the error is 0 for one sample."""
    fall = (start - now).double()
    error = float(fall.std() / math.sqrt(len(fall))) if len(fall) > 1 else 0.0
    return float(fall.mean()), error


def has_learned(mean: float, error: float) -> bool:
    """Whether the fixed loss ended lower than two standard errors under its start."""
    return mean > 2 * error and mean > 0
