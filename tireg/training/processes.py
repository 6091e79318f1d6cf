"""Several processes that learn one concept together: one decides and writes, all take steps.

Every process has the base, the pictures and the same generator of random numbers. It draws the
samples of all, keeps its own share, and the gradients are added up; so each step is the one that a
single process would take with the batch of all. Only the new rows have gradients: a few kilobytes,
which go through memory (gloo) whatever the devices are, so that GPUs of any make, or none, do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch

from tireg.domain.launching import Launch, check_launch, is_told, launched, mark_told
from tireg.domain.recipes import Recipe
from tireg.errors import ConfigError, TiregError

T = TypeVar("T")

# How long the others are waited for at the beginning, and while the main one measures and draws.
JOINING = timedelta(minutes=10)
WAITING = timedelta(hours=2)


@dataclass
class Team:
    """The processes of a run, seen from one of them; one process alone is a team, too.

    ``wishes`` is true once this process was asked to stop, ``stopping`` once any of them was and
    all know. Methods must be called by all processes in the same order. Each raises what went
    wrong in any of them, in all of them, and TiregError where another one is gone.
    """

    launch: Launch = field(default_factory=lambda: Launch(0, 1, 0))
    group: Any = None
    wishes: Sequence[object] = ()
    _stopping: bool = field(default=False, init=False)

    @property
    def count(self) -> int:
        """How many processes there are."""
        return self.launch.count

    @property
    def main(self) -> bool:
        """Whether this is the process that measures, decides and writes."""
        return self.launch.main

    @property
    def stopping(self) -> bool:
        """Whether all are to stop after the step that was just taken."""
        return bool(self.wishes) if self.count == 1 else self._stopping

    def share(self, batch: int) -> tuple[int, int]:
        """First and last (not included) of the ``batch`` samples of a step that are ours."""
        first, last = self.launch.index, self.launch.index + 1
        return batch * first // self.count, batch * last // self.count

    def own(self, recipe: Recipe) -> Recipe:
        """``recipe`` with our share of its batch: what this process needs memory for."""
        first, last = self.share(recipe.batch)
        return recipe.model_copy(update={"batch": last - first})

    def where(self, device: torch.device) -> str:
        """The devices as records name them: ``cuda:0``, or ``2 x cuda`` for two processes."""
        return str(device) if self.count == 1 else f"{self.count} x {device.type}"

    def device(self, wish: str) -> str:
        """Where this process computes: with several on a machine, a GPU of its own each.

        Which one the launcher counts up: GPU ``LOCAL_RANK``. ConfigError for a device with a
        number, which all would crowd on.
        """
        if self.count == 1:
            return wish
        if ":" in wish:
            raise ConfigError(
                f"the device '{wish}' is a single one, for {self.count} processes",
                hint="--device cuda; CUDA_VISIBLE_DEVICES says which GPUs there are",
            )
        if wish == "auto" and os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true"):
            return "cpu"
        if wish in ("auto", "cuda") and torch.cuda.is_available():
            return f"cuda:{self.launch.local % torch.cuda.device_count()}"
        return wish

    def tell(self, make: Callable[[], T]) -> T:
        """What ``make`` gives in the main process, for all; the others do not call it."""
        if self.count == 1:
            return make()
        results: list[T] = self._all(make if self.main else lambda: None)
        return results[0]

    def each(self, make: Callable[[], T]) -> T:
        """Every process's own result of ``make``, once all have one; it may use this team."""
        if self.count == 1:
            return make()
        made: list[T] = []
        self._all(lambda: made.append(make()))
        return made[0]

    def first(self, make: Callable[[], T]) -> T:
        """Every process's own result of ``make``; the main one calls it before all others do."""
        if self.count == 1:
            return make()
        made = [self.each(make)] if self.main else []
        if not self.main:
            self.each(lambda: None)
        self.each(lambda: None if self.main else made.append(make()))
        return made[0]

    def add_up(
        self, learn: Callable[[], torch.Tensor], rows: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Call ``learn``, then add up what it returned (a loss) and the gradients of ``rows``.

        One message holds them all, whether a process failed, and whether one was asked to stop.
        A gradient that is not there counts as zero.
        """
        if self.count == 1:
            return learn()
        failed: Exception | None = None
        loss = torch.zeros(())
        try:
            loss = learn()
        except Exception as error:  # noqa: BLE001  raised in all processes below
            failed = error
        told = [float(loss), float(failed is not None), float(bool(self.wishes))]
        parts = [torch.zeros_like(r) if r.grad is None else r.grad for r in rows]
        flat = torch.cat([*(p.detach().float().cpu().flatten() for p in parts), torch.tensor(told)])
        self._talk(lambda: torch.distributed.all_reduce(flat, group=self.group))
        *sums, told_all = torch.split(flat, [*(r.numel() for r in rows), len(told)])
        if told_all[1] > 0:
            self._all(lambda: _raise(failed))
        self._stopping = bool(told_all[2] > 0)
        for row, total in zip(rows, sums, strict=True):
            row.grad = total.reshape(row.shape).to(row.device)
        total_loss: torch.Tensor = told_all[0].to(loss.device)
        return total_loss

    def wait_for_main(self) -> None:
        """Return when the main process leaves the others: one that ends first would end it, too."""
        try:
            self.tell(lambda: None)
        except TiregError:
            return

    def check_same(self, told: object, what: str) -> None:
        """ConfigError where ``told`` is not the same in all processes; ``what`` it is about."""
        if self.count == 1:
            return
        for index, other in enumerate(self._all(lambda: told)):
            if other != told:
                error = ConfigError(
                    f"process {index} of this run has other {what} than process 0",
                    hint="every process needs the same files and settings",
                )
                mark_told(error)
                raise error

    def _all(self, make: Callable[[], Any]) -> list[Any]:
        """What ``make`` gives in each process, by index; raises the first error in all of them."""
        result: Any = None
        failed: Exception | None = None
        try:
            result = make()
        except Exception as error:
            if is_told(error):
                raise
            failed = error
        told: list[Any] = [None] * self.count
        message = (self._portable(failed), result)
        self._talk(lambda: torch.distributed.all_gather_object(told, message, group=self.group))
        for index, (problem, _) in enumerate(told):
            if problem is not None:
                raised = problem if failed is None or index != self.launch.index else failed
                mark_told(raised)
                raise raised
        return [given for _, given in told]

    def _portable(self, error: Exception | None) -> TiregError | None:
        """``error`` in a form that other processes can read."""
        if error is None or isinstance(error, TiregError):
            return error
        text = str(error).strip().partition("\n")[0]
        return TiregError(
            f"process {self.launch.index} of this run failed: {type(error).__name__}: {text}",
            hint="set TIREG_DEBUG=1 for the traceback",
        )

    def _talk(self, send: Callable[[], Any]) -> None:
        try:
            send()
        except RuntimeError as error:
            lost = TiregError(
                "another process of this run ended before its time, or could not be reached",
                hint="see what it said; --resume goes on from the last save",
            )
            if not self.main:
                mark_told(lost)
            raise lost from error


@contextmanager
def together() -> Iterator[Team]:
    """The team that this process was started in: of one where no launcher started several.

    Inside, all others are there. A process that leaves with an error of its own leaves the others
    with one, too. ConfigError where they do not come, or the launcher started too few.
    """
    check_launch()
    launch = launched()
    if launch is None:
        yield Team()
        return
    group = _joined(launch)
    try:
        yield Team(launch, group)
    except BaseException as error:
        mark_told(error, bool(is_told(error)))
        torch.distributed.destroy_process_group()
        raise


def _joined(launch: Launch) -> Any:
    """The processes' way to talk; they stay together to the end, through one run or several."""
    from accelerate import PartialState

    if "MASTER_ADDR" not in os.environ:
        raise ConfigError(
            f"this is said to be one of {launch.count} processes, but not where they meet",
            hint="start it with accelerate launch, or unset WORLD_SIZE and RANK",
        )
    try:
        if not torch.distributed.is_initialized():
            PartialState(cpu=True, backend="gloo", timeout=JOINING)
        return torch.distributed.new_group(backend="gloo", timeout=WAITING)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ.get('MASTER_PORT', '')}"
        raise ConfigError(
            f"the {launch.count} processes of this run did not find each other at {where}",
            hint="start all of them with accelerate launch, or unset WORLD_SIZE and RANK",
        ) from error


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
