"""Many concepts learned side by side on one frozen base, their samples in the same batch.

Each keeps all that a single run has: rows, optimiser, generator, schedule, checks and stopping.
Only the passes through encoders and denoiser are shared. No sample sees another one there, and
losses are summed, so that every concept gets the gradient it would have got alone, up to the
rounding of sums in another order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from tireg.errors import TiregError, TrainingFailedError
from tireg.models.bases import Base
from tireg.training.data import Batch
from tireg.training.fleet_rows import JointRows, Seat
from tireg.training.loop import Learning, Tick
from tireg.training.stopping import Check

Moment = Check | Tick | TiregError
Share = tuple[str, Batch]


@dataclass(frozen=True)
class Member:
    """A run that learns in a fleet, and its words as the base is to have them for its checks."""

    learning: Learning
    seat: Seat


class Fleet:
    """Runs that learn together. Add them, ask for rounds, take out those that have a reason.

    Between two rounds ``members[name].learning.state()`` is all that one needs to go on later,
    here or alone. ``most`` is how many samples go through the denoiser at once; 0 is all of them,
    and it falls by itself where a GPU's memory is too small.
    """

    def __init__(self, base: Base, *, most: int = 0) -> None:
        self.base, self.most = base, most
        self.members: dict[str, Member] = {}
        self.joint: JointRows | None = None
        self.places: dict[str, int] = {}

    def add(self, name: str, learning: Learning) -> None:
        """Take in a run of this base whose words the base has at this moment."""
        self.members[name] = Member(learning, Seat.of(self.base))
        self.joint = None

    def remove(self, name: str) -> None:
        """Let a run go; there is room for another."""
        del self.members[name]
        self.joint = None

    @contextmanager
    def seated(self, name: str) -> Iterator[Learning]:
        """The base has the words of ``name`` alone inside: to draw or measure with them."""
        member = self.members[name]
        member.seat.take(self.base)
        member.learning.piece = self._piece(member.learning.recipe.batch)
        yield member.learning

    def _piece(self, batch: int) -> int:
        """Samples to look at in one pass: as many as a step of the fleet has."""
        samples = sum(member.learning.recipe.batch for member in self.members.values())
        return max(batch, min(samples, self.most) if self.most else samples)

    def round(self) -> dict[str, Moment]:
        """One step of every run, or its first measurement; what happened, by name.

        A run that fails is taken out and its error is what happened to it; the others have taken
        their step. A run whose ``reason`` is set has ended and must be taken out by the caller.
        """
        moments: dict[str, Moment] = {}
        fresh = [name for name, member in self.members.items() if not member.learning.checks]
        going = [name for name in self.members if name not in fresh]
        for name in fresh:
            moments[name] = self._first(name)
        moments |= self._step(going)
        return moments

    def _first(self, name: str) -> Moment:
        try:
            with self.seated(name) as learning:
                return learning.first()
        except TiregError as error:
            self.remove(name)
            return error

    def _step(self, names: list[str]) -> dict[str, Moment]:
        began = time.monotonic()
        drawn = {name: self.members[name].learning.draw() for name in names}
        moments: dict[str, Moment] = {}
        for shares in _passes(drawn):
            for name in self._learn([share for share in shares if share[0] not in moments]):
                moments[name] = _too_large(self.base)
        spent = time.monotonic() - began
        samples = sum(self.members[name].learning.recipe.batch for name in names)
        for name in names:
            learning = self.members[name].learning
            share = spent * learning.recipe.batch / samples
            if name in moments:
                self.remove(name)
            else:
                moments[name] = self._settle(name, share)
        return moments

    def _settle(self, name: str, share: float) -> Moment:
        """Move one run's rows and measure where it is time; ``share`` is its part of the pass."""
        began, learning = time.monotonic(), self.members[name].learning
        try:
            learning.move()
            if not learning.due:
                return learning.settle()
            with self.seated(name):
                return learning.settle()
        except TiregError as error:
            self.remove(name)
            return error
        finally:
            learning.seconds += share + time.monotonic() - began

    def _learn(self, shares: list[Share]) -> list[str]:
        """Forward and backward, in pieces that fit; the names of runs that fit in no piece."""
        lost: list[str] = []
        for piece in _pieces(shares, self.most):
            try:
                self._pass(piece)
                continue
            except torch.OutOfMemoryError:
                # Tried again below, when what this try held is free.
                names = [name for name, _ in piece]
            if len(names) == 1:
                lost += names
            else:
                self.most = max(1, sum(len(batch.prompts) for _, batch in piece) // 2)
                half = len(piece) // 2
                lost += self._learn(piece[:half]) + self._learn(piece[half:])
        return lost

    def _pass(self, shares: list[Share]) -> None:
        """One forward and one backward for samples of one size, of several runs."""
        joint = self._joined()
        names, batches = [name for name, _ in shares], [batch for _, batch in shares]
        learnings = [self.members[name].learning for name in names]
        numbers = [self.places[name] for name in names]
        errors = learnings[0].run.objective.errors(
            join_batches(batches), joint.condition(numbers, batches)
        )
        counts = [len(batch.prompts) for batch in batches]
        losses = [
            (part * learning.run.objective.weights[batch.timesteps]).sum() / learning.recipe.batch
            for part, learning, batch in zip(
                torch.split(errors, counts), learnings, batches, strict=True
            )
        ]
        joint.give(numbers, torch.stack(losses).sum() * learnings[0].loss_scale)
        for learning, loss in zip(learnings, losses, strict=True):
            learning.loss_sum += loss.detach()

    def _joined(self) -> JointRows:
        if self.joint is None:
            self.joint = JointRows(self.base, [m.learning.run for m in self.members.values()])
            self.places = {name: number for number, name in enumerate(self.members)}
        self.joint.refresh()
        return self.joint


def _passes(drawn: dict[str, list[Batch]]) -> Iterator[list[Share]]:
    """What goes through together: the same pass of every run's step, pictures of one size."""
    for number in range(max(map(len, drawn.values()), default=0)):
        alike: dict[object, list[Share]] = {}
        for name, parts in drawn.items():
            if number < len(parts):
                batch = parts[number]
                alike.setdefault((batch.size, batch.latents.shape[1:]), []).append((name, batch))
        yield from alike.values()


def _pieces(shares: list[Share], most: int) -> Iterator[list[Share]]:
    """``shares`` in order, at most ``most`` samples together where more than one run is there."""
    piece: list[Share] = []
    count = 0
    for name, batch in shares:
        if piece and 0 < most < count + len(batch.prompts):
            yield piece
            piece, count = [], 0
        piece.append((name, batch))
        count += len(batch.prompts)
    if piece:
        yield piece


def join_batches(batches: list[Batch]) -> Batch:
    """Batches of one size as one; a mask of ones stands for none where others have one.

    ``prompts`` are left as they are: indices of each run's own prompts.
    """
    masks = None
    if any(batch.masks is not None for batch in batches):
        masks = torch.cat(
            [torch.ones_like(b.latents[:, :1]) if b.masks is None else b.masks for b in batches]
        )
    return Batch(
        torch.cat([b.latents for b in batches]),
        torch.cat([b.noise for b in batches]),
        torch.cat([b.timesteps for b in batches]),
        torch.cat([b.prompts for b in batches]),
        batches[0].size,
        masks,
    )


def _too_large(base: Base) -> TrainingFailedError:
    return TrainingFailedError(
        f"a step of this concept alone does not fit into the memory of {base.device}",
        hint="batch: 1, accumulate, a smaller resolution, or --memory low",
    )
