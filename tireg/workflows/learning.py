"""Run the loop: checkpoints, log, progress, sample strip; from an open base to learned rows."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from tireg.errors import ConfigError, MissingPackageError, TrainingFailedError
from tireg.workflows.progress import Event, Listener, Notice
from tireg.workflows.run_folder import RunFolder

if TYPE_CHECKING:
    from tireg.training.loop import Learning, Outcome, Tick
    from tireg.training.stopping import Check

SAVE_SECONDS = 60.0


@dataclass(frozen=True)
class Keeping:
    """What is kept of a run while it goes on.

    A checkpoint is written at every check, every ``save_every`` steps (0: not by steps) and every
    ``SAVE_SECONDS``; samples are drawn every ``samples_every`` steps (0: never).
    """

    save_every: int = 0
    samples_every: int = 0
    tensorboard: Path | None = None


class Painter(Protocol):
    """Draws the same few prompts with the rows as they are; for the strip of samples."""

    def __call__(self, step: int) -> None:
        """Draw and keep the pictures of ``step``."""


@dataclass
class Watch:
    """What :func:`run_loop` needs besides the run: where to keep it and whom to tell.

    ``said`` is what the last check said, ``saved`` when the state was kept last.
    """

    folder: RunFolder
    keeping: Keeping
    listen: Listener
    paint: Painter | None = None
    board: Any = None
    pick: str = "balanced"
    said: str = ""
    saved: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """Write out what TensorBoard has not yet; the run has ended, well or not."""
        if self.board is not None:
            self.board.close()


def run_loop(learning: Learning, watch: Watch) -> Outcome:
    """Iterate to the end; what happens is logged, shown and saved. Ctrl-C saves, then stops."""
    listen, team = watch.listen, learning.team
    if learning.step:
        listen(Notice(f"going on from step {learning.step}"))
    try:
        with interruption() as team.wishes:
            for moment in learning:
                note(learning, watch, moment, save=team.stopping)
                if team.stopping:
                    listen(Notice(f"stopped and saved at step {moment.step}: --resume goes on"))
                    raise KeyboardInterrupt
    except TrainingFailedError as error:
        watch.folder.fail(learning.good, error.message)
        raise
    finally:
        watch.close()
    return ending(learning, watch)


def follow(learning: Learning) -> None:
    """Take every step beside the main process of a run, which does all else, to the end."""
    team = learning.team
    with interruption() as team.wishes:
        for _ in learning:
            if team.stopping:
                team.wait_for_main()
                raise KeyboardInterrupt


def note(learning: Learning, watch: Watch, moment: Check | Tick, *, save: bool = False) -> None:
    """Log, show and draw one moment of a run; keep its state where that is due, or ``save``."""
    from tireg.training.stopping import Check

    folder = watch.folder
    if isinstance(moment, Check):
        folder.log("check", moment.step, **_facts(moment))
        watch.said = line(moment)
        _to_board(watch.board, moment)
    watch.listen(Event("learning", moment.step, learning.recipe.last_step, watch.said))
    every = watch.keeping.samples_every
    if watch.paint is not None and every and moment.step % every == 0:
        watch.paint(moment.step)
    if isinstance(moment, Check) or _is_due(watch, moment.step) or save:
        folder.save(learning.state())
        watch.saved = time.monotonic()


def ending(learning: Learning, watch: Watch) -> Outcome:
    """What a run that has ended leaves; its last line is written to the log."""
    outcome = learning.outcome(watch.pick)
    watch.folder.log("end", outcome.step, reason=outcome.reason, gain=outcome.gain,
                     gain_error=outcome.gain_error, learned=outcome.learned)  # fmt: skip
    return outcome


def _is_due(watch: Watch, step: int) -> bool:
    every = watch.keeping.save_every
    return (every > 0 and step % every == 0) or time.monotonic() - watch.saved > SAVE_SECONDS


@contextmanager
def interruption() -> Iterator[list[int]]:
    """A list that becomes true at the first Ctrl-C; the second one interrupts at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, before)


def _facts(check: Check) -> dict[str, Any]:
    facts = asdict(check)
    facts.pop("step")
    look = facts.pop("look")
    return facts | (look or {})


def line(check: Check) -> str:
    """What to show beside the bar."""
    look = check.look
    seen = f"  like {look.fidelity:.2f}  obeys {look.editability:.2f}" if look else ""
    return (
        f"loss {check.loss:.4f}  fixed {check.gain:+.4f}  norm {check.norm:.2f}"
        f"  cosine {check.cosine:.2f}{seen}"
    )


def open_board(folder: Path | None, key: str) -> Any:
    """A TensorBoard writer for this run under ``folder``, or None where none is asked for."""
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackageError(
            "TensorBoard is not installed", hint="pip install 'tireg[tensorboard]'"
        ) from error
    try:
        return SummaryWriter(str(folder / key[:12]))
    except OSError as error:
        raise ConfigError(
            f"TensorBoard cannot write to '{folder}': {(error.strerror or str(error)).lower()}",
            hint="--tensorboard FOLDER",
        ) from error


def _to_board(board: Any, check: Check) -> None:
    if board is not None:
        for name, value in _facts(check).items():
            board.add_scalar(f"tireg/{name}", value, check.step)
