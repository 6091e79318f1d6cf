"""The training loop: only the new rows move; everything else is as it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from tireg.domain.recipes import Recipe
from tireg.errors import TrainingFailedError
from tireg.models.bases import Base
from tireg.models.tokens import TokenRows
from tireg.training.checkpoint import State
from tireg.training.data import Batch, Data, draw_batch
from tireg.training.objective import Objective
from tireg.training.optimisers import limit_norms, make_optimiser, rate_at
from tireg.training.processes import Team
from tireg.training.stopping import Check, Front, Look, Rows, gain, has_learned, why_stop
from tireg.training.validation import Part, count_of, fixed_batches, fixed_losses

# A check every 25 steps, but never fewer than 12 in a run nor more than 40.
CHECKS, MOST_CHECKS, STEPS_OF_A_CHECK = 12, 40, 25
# A probe draws pictures, which costs as much as many steps: one at every third check.
PROBE_EVERY = 3
FP16_SCALE = 4096.0

Probe = Callable[[], Look]


@dataclass
class Run:
    """One concept being learned: what is fixed, and the rows that move.

    ``scales`` are the mean row norms of words in use, per encoder. ``probe`` looks at a few
    samples drawn with the rows as they are in the wrappers at that moment.
    """

    base: Base
    objective: Objective
    data: Data
    recipe: Recipe
    wrappers: dict[str, TokenRows]
    scales: dict[str, float]
    probe: Probe | None = None
    begin: Rows = field(init=False)

    def __post_init__(self) -> None:
        for wrapper in self.wrappers.values():
            wrapper.rows.requires_grad_(True)
        self.begin = self.rows()

    def rows(self) -> Rows:
        """A copy of the current rows by encoder key, fp32 [n, width], on the CPU."""
        return {k: w.rows.detach().cpu().clone() for k, w in self.wrappers.items()}

    @torch.no_grad()
    def put(self, rows: Rows) -> None:
        """Make ``rows`` the current ones."""
        for key, wrapper in self.wrappers.items():
            wrapper.rows.copy_(rows[key])

    def new_table(self) -> Rows:
        """Zeros in the shape of the rows, on their device."""
        return {k: torch.zeros_like(w.rows, requires_grad=False) for k, w in self.wrappers.items()}


@dataclass(frozen=True)
class Tick:
    """A step was taken; nothing was measured."""

    step: int


@dataclass(frozen=True)
class Outcome:
    """What a run ended with: the chosen rows, the variants by name, and the evidence.

    ``gain`` is the fall of the mean loss over all fixed samples from start to end, with its
    standard error; ``learned`` says whether it is more than two of those.
    """

    rows: Rows
    variants: dict[str, tuple[int, Look, Rows]]
    step: int
    reason: str
    gain: float
    gain_error: float
    checks: tuple[Check, ...]

    @property
    def learned(self) -> bool:
        """Whether the run is worth keeping."""
        return has_learned(self.gain, self.gain_error)


class Learning:
    """A run under way. Iterate over it for its moments; then ask :meth:`outcome`.

    Between two moments :meth:`state` is all that is needed to go on later, bit for bit, on the
    same device with the same number of threads and the same libraries. Raises
    TrainingFailedError while iterating when a loss or a row is not finite, or when no gradient
    reaches the rows.

    In a ``team`` of several processes each takes its share of every step's ``recipe.batch``
    samples; the main one alone measures, probes, and has an outcome and a state.
    """

    def __init__(self, run: Run, saved: State | None = None, team: Team | None = None) -> None:
        self.run, self.recipe, self.team = run, run.recipe, team or Team()
        self.generator = torch.Generator().manual_seed(run.recipe.seed)
        self.movers = {
            key: make_optimiser(run.recipe, wrapper.rows, run.scales[key])
            for key, wrapper in run.wrappers.items()
        }
        self.fixed = fixed_batches(run.data, run.objective)
        checks = max(CHECKS, min(MOST_CHECKS, run.recipe.last_step // STEPS_OF_A_CHECK))
        self.every = max(1, math.ceil(run.recipe.last_step / checks))
        self.sums, self.count = run.new_table(), 0
        self.loss_sum = torch.zeros((), device=run.base.device)
        self.step, self.seconds = 0, 0.0
        # The samples of a step that this process takes.
        self.own = slice(*self.team.share(run.recipe.batch))
        # Samples that are looked at in one pass; a fleet has room for more than one run's step.
        self.piece = self._most
        # Gradients at low noise are below what fp16 can hold; the rows' own are fp32.
        self.loss_scale = FP16_SCALE if run.base.dtype == torch.float16 else 1.0
        self.checks: list[Check] = []
        self.front = Front()
        self.start: torch.Tensor | None = None
        self.reason: str | None = None
        self.good, self.good_step = run.rows(), 0
        if saved is not None:
            self._restore(saved)

    @property
    def auto(self) -> bool:
        """Whether the run stops on evidence."""
        return self.recipe.steps == "auto"

    def __iter__(self) -> Iterator[Check | Tick]:
        if not self.checks:
            yield self.first()
        while self.reason is None:
            began = time.monotonic()
            self.advance()
            moment = self.settle()
            self.seconds += time.monotonic() - began
            yield moment

    @property
    def _most(self) -> int:
        """Samples that are known to fit through in one pass, since a step of one process does."""
        return self.own.stop - self.own.start

    def first(self) -> Check:
        """Measure the fixed samples before the first step."""
        check = self.team.tell(self._measure_start)
        if not self.team.main:
            self.checks.append(check)
        return check

    def _measure_start(self) -> Check:
        self.start = self._losses(self.fixed)
        if not bool(self.start.isfinite().all()):
            raise TrainingFailedError(
                "the base's loss is not finite before the first step", hint="try --dtype fp32"
            )
        return self._note(self.start.mean().item(), self.start[: count_of(self.fixed[0])])

    def advance(self) -> None:
        """One step: draw, forward, backward, add up what all processes found, move."""
        rows = [wrapper.rows for wrapper in self.run.wrappers.values()]
        self.loss_sum += self.team.add_up(self._learn, rows)
        self.move()

    def _learn(self) -> torch.Tensor:
        """Leave the gradient of our samples in the rows; their part of the step's mean loss."""
        total = torch.zeros_like(self.loss_sum)
        for part in self.draw():
            loss = self.run.objective(part).sum() / self.recipe.batch
            (loss * self.loss_scale).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def draw(self) -> list[Batch]:
        """Our samples of the next step, in as many passes as the recipe splits it into.

        The samples of all are drawn, so that together they are those of a process alone.
        """
        recipe, run = self.recipe, self.run
        batch = draw_batch(
            run.data,
            recipe.batch,
            run.objective.timesteps,
            self.generator,
            stratified=recipe.timesteps == "stratified",
            paired=recipe.paired_noise,
        )
        first, last = self.own.start, self.own.stop
        size = math.ceil((last - first) / recipe.accumulate)
        return [batch.part(at, min(at + size, last)) for at in range(first, last, size)]

    def move(self) -> None:
        """Move the rows by the gradients that they have, which are of the scaled loss."""
        recipe, run = self.recipe, self.run
        if self.loss_scale != 1:
            for wrapper in run.wrappers.values():
                if wrapper.rows.grad is not None:
                    wrapper.rows.grad.div_(self.loss_scale)
        if self.step == 0:
            check_gradient(run)
        rate = rate_at(recipe, self.step)
        averaged = self.auto or self.step >= self._tail()
        for key, mover in self.movers.items():
            mover.step(rate)
            limit_norms(recipe, run.wrappers[key].rows, run.scales[key], self.step)
            if averaged:
                self.sums[key] += run.wrappers[key].rows.detach()
        self.count += averaged
        self.step += 1

    @property
    def due(self) -> bool:
        """Whether the step that was just taken is one to measure after."""
        return self.step % self.every == 0 or self.step == self.recipe.last_step

    def settle(self) -> Check | Tick:
        """What is to be said of the step that was just taken."""
        return self._check() if self.due else Tick(self.step)

    def _tail(self) -> int:
        """The first step whose rows go into the mean that a run of fixed length ends with."""
        return self.recipe.last_step - round(self.recipe.last_step * self.recipe.average_last)

    def _check(self) -> Check:
        """Measure, or do as the main process says, which has measured."""
        check, self.reason, rows = self.team.tell(self._measure)
        if not self.team.main:
            self.checks.append(check)
            self.run.put(rows)
            self.loss_sum.zero_()
            if self.auto:
                self.sums, self.count = self.run.new_table(), 0
        return check

    def _measure(self) -> tuple[Check, str | None, Rows]:
        """What is measured, why to end or None, and the rows to go on with.

        In a run on evidence the mean rows since the last check are what is judged.
        """
        run, last = self.run, self.step == self.recipe.last_step
        current = run.rows()
        candidate = self._mean() if self.count and (self.auto or last) else current
        run.put(candidate)
        steps = (self.step - 1) % self.every + 1
        mean_loss = self.loss_sum.item() / steps
        self.loss_sum.zero_()
        losses = self._losses(self.fixed[:1])
        self._check_finite(mean_loss, losses, current)
        number = math.ceil(self.step / self.every)
        look = None
        if self.auto and run.probe is not None and (number % PROBE_EVERY == 0 or last):
            look = run.probe()
            self.front.offer(self.step, look, candidate)
        check = self._note(mean_loss, losses, look)
        # Without a probe the lowest fixed loss is what there is to choose by.
        if not self.auto or run.probe is not None or check.gain >= self._best_gain():
            self.good = candidate
            self.good_step = self.step
        if self.auto:
            self.sums, self.count = run.new_table(), 0
            self.reason = why_stop(self.checks)
        if last and self.reason is None:
            self.reason = "the last step was reached"
        if self.reason is None:
            run.put(current)
        return check, self.reason, run.rows()

    def _best_gain(self) -> float:
        """The largest fall of the fixed loss so far, the beginning left out."""
        return max((check.gain for check in self.checks[1:]), default=-math.inf)

    def _note(self, loss: float, losses: torch.Tensor, look: Look | None = None) -> Check:
        assert self.start is not None
        fall, error = gain(self.start[: len(losses)], losses)
        norm, cosine = self._shape()
        rate = rate_at(self.recipe, max(0, self.step - 1))
        check = Check(
            self.step, loss, float(losses.mean()), fall, error, norm, cosine, rate,
            self.seconds, look,
        )  # fmt: skip
        self.checks.append(check)
        return check

    def _losses(self, parts: list[Part]) -> torch.Tensor:
        try:
            return fixed_losses(self.run.objective, parts, self.piece)
        except torch.OutOfMemoryError:
            if self.piece <= self._most:
                raise
        self.piece = self._most
        return fixed_losses(self.run.objective, parts, self.piece)

    def _mean(self) -> Rows:
        """Mean of the rows summed up (Polyak averaging); directional rows keep their length."""
        rows = {}
        for key, total in self.sums.items():
            mean = total / self.count
            if self.recipe.method == "directional":
                length = self.run.scales[key]
                mean = mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-12) * length
            rows[key] = mean.detach().cpu().clone()
        return rows

    @torch.no_grad()
    def _shape(self) -> tuple[float, float]:
        """Mean norm against words in use, and mean cosine to the beginning."""
        norms, cosines = [], []
        for key, rows in self.run.rows().items():
            norms.append(float(rows.norm(dim=-1).mean()) / self.run.scales[key])
            cosines.append(float(torch.cosine_similarity(rows, self.run.begin[key]).mean()))
        return sum(norms) / len(norms), sum(cosines) / len(cosines)

    def _check_finite(self, loss: float, losses: torch.Tensor, rows: Rows) -> None:
        fine = math.isfinite(loss) and bool(losses.isfinite().all())
        if fine and all(bool(r.isfinite().all()) for r in rows.values()):
            return
        self.run.put(self.good)
        raise TrainingFailedError(
            f"training became non-finite before step {self.step}",
            hint="try a lower --lr or --dtype fp32",
        )

    def outcome(self, pick: str = "balanced") -> Outcome:
        """What the run ended with; the rows of the variant ``pick`` are left in the wrappers."""
        assert self.start is not None
        assert self.reason is not None
        step, rows = self.good_step, self.good
        if pick in self.front.kept:
            step, _, rows = self.front.kept[pick]
        self.run.put(rows)
        fall, error = gain(self.start, self._losses(self.fixed))
        return Outcome(
            rows, dict(self.front.kept), step, self.reason, fall, error, tuple(self.checks)
        )

    @property
    def looked(self) -> int:
        """Samples of the fixed loss so far, those of the start and the end included."""
        first = count_of(self.fixed[0])
        return first * (len(self.checks) - 1) + 2 * sum(map(count_of, self.fixed))

    def state(self) -> State:
        """Everything that going on needs."""
        assert self.start is not None
        return State(
            step=self.step,
            seconds=self.seconds,
            reason=self.reason,
            rows=self.run.rows(),
            moments={key: mover.state() for key, mover in self.movers.items()},
            sums={key: value.cpu().clone() for key, value in self.sums.items()},
            count=self.count,
            loss_sum=self.loss_sum.cpu().clone(),
            generator=self.generator.get_state(),
            start=self.start,
            checks=tuple(self.checks),
            good=self.good,
            good_step=self.good_step,
            front=dict(self.front.kept),
        )

    def _restore(self, saved: State) -> None:
        self.step, self.seconds, self.reason = saved.step, saved.seconds, saved.reason
        self.run.put(saved.rows)
        for key, moments in saved.moments.items():
            if moments:
                self.movers[key].restore(moments)
            self.sums[key].copy_(saved.sums[key])
        self.count, self.good, self.start = saved.count, saved.good, saved.start
        self.good_step = saved.good_step
        self.loss_sum.copy_(saved.loss_sum)
        self.generator.set_state(saved.generator)
        self.checks = list(saved.checks)
        self.front = Front.again(saved.front, saved.checks)


def check_gradient(run: Run) -> None:
    """TrainingFailedError if the first gradient of any encoder's rows is missing or zero."""
    for key, wrapper in run.wrappers.items():
        gradient = wrapper.rows.grad
        if gradient is None or not bool(gradient.abs().sum() > 0):
            raise TrainingFailedError(
                f"no gradient reaches the new rows of {key}: nothing would be learned",
                hint="try --dtype fp32",
            )
