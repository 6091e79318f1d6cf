"""Units in processes of this machine; one that is killed costs the unit it was doing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tireg.errors import TiregError
from tireg.fanout.engines import Settled, Shop, Tick, fetched, lost, settled
from tireg.fanout.results import Results
from tireg.fanout.units import Desk, Made, MissingInputError, Trouble, Unit, do_unit, reader

TELL_SECONDS = 0.5
"""The least time between two words of a worker about what it does."""
LEAVE_SECONDS = 5.0
"""How long a worker that is told to end may take."""
KEPT = "kept"


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    slot: int
    unit: Unit | None = None
    note: str = ""


class Processes:
    """``jobs`` worker processes of this machine, started when there is work for them.

    A unit over which a worker died is given to another one ``retries`` times. Workers stay for
    the next run, with the models they have open, until :meth:`close` or until this is gone.
    """

    def __init__(self, jobs: int, *, retries: int = 1) -> None:
        self.workers = jobs
        self.retries = retries
        self._staff = _Staff(jobs)
        weakref.finalize(self, self._staff.leave)

    def run(self, units: Sequence[Unit], shop: Shop) -> Iterator[Settled]:
        """As :meth:`Engine.run`."""
        self._staff.serve(shop)
        try:
            yield from _Shift(self._staff, self.retries, units, shop).work()
        except BaseException:
            self._staff.leave()
            raise

    def close(self) -> None:
        """As :meth:`Engine.close`."""
        self._staff.leave()


class _Staff:
    """The workers, from the first run to the last."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.workers: list[_Worker] = []
        self._told: tuple[dict[str, str], str] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def serve(self, shop: Shop) -> None:
        """Get ready for the works and the cache of ``shop``."""
        told = (dict(shop.works), str(shop.cache))
        if told != self._told:
            self.leave()
            self._told = told

    def free(self) -> list[_Worker]:
        """Those that wait for work. One that died while it waited is no loss."""
        free = [worker for worker in self.workers if worker.unit is None]
        for worker in free:
            if not worker.process.is_alive():
                self.dismiss(worker)
        return [worker for worker in free if worker in self.workers]

    def hire(self) -> _Worker:
        """One worker more."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="tireg-", ignore_cleanup_errors=True)
        taken = {worker.slot for worker in self.workers}
        slot = next(n for n in range(self.jobs) if n not in taken)
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        works, cache = self._told or ({}, "")
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, slot, works, cache, self._scratch.name),
            daemon=True, name=f"tireg-worker-{slot}",
        )  # fmt: skip
        with _surroundings(self.jobs):
            process.start()
        theirs.close()
        worker = _Worker(process, ours, slot)
        self.workers.append(worker)
        return worker

    def dismiss(self, worker: _Worker) -> None:
        """One worker less: it is dead."""
        worker.pipe.close()
        worker.process.join(LEAVE_SECONDS)
        self.workers.remove(worker)

    def leave(self) -> None:
        """End every worker, whatever it is doing: what is kept is whole."""
        for worker in self.workers:
            worker.pipe.close()
            if worker.unit is not None:
                worker.process.terminate()
        end = time.monotonic() + LEAVE_SECONDS
        for worker in self.workers:
            worker.process.join(max(0.0, end - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self.workers.clear()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


class _Shift:
    """One run: units go out to the staff and come back."""

    def __init__(self, staff: _Staff, retries: int, units: Sequence[Unit], shop: Shop) -> None:
        self.staff, self.retries, self.shop = staff, retries, shop
        self.waiting = deque(units)
        self.total, self.done = len(units), 0
        self.attempts: dict[str, int] = {}

    def work(self) -> Iterator[Settled]:
        self._hand_out()
        while self._busy():
            busy = self._busy()
            ready = wait([w.pipe for w in busy] + [w.process.sentinel for w in busy])
            heard = [w for w in busy if w.pipe in ready or w.process.sentinel in ready]
            over = [one for worker in heard for one in self._hear(worker)]
            self._hand_out()  # so that nobody waits while what is over is taken care of
            self.done += len(over)
            yield from over
            self._show()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self.staff.workers if worker.unit is not None]

    def _hand_out(self) -> None:
        free = self.staff.free()
        results = str(self.shop.results.folder) if self.shop.results is not None else None
        while self.waiting and (free or len(self.staff.workers) < self.staff.jobs):
            worker = free.pop() if free else self.staff.hire()
            unit = self.waiting.popleft()
            task = {
                "key": unit.key,
                "work": unit.work,
                "given": unit.given,
                "files": {sha: str(path) for sha, path in unit.files.items()},
                "results": results,
            }
            worker.unit, worker.note = unit, ""
            self.attempts[unit.key] = self.attempts.get(unit.key, 0) + 1
            # A worker that died a moment ago is seen by its sentinel.
            with contextlib.suppress(OSError):
                worker.pipe.send(task)

    def _hear(self, worker: _Worker) -> Iterator[Settled]:
        """Everything a worker has to say; the unit it is done with, or that it was lost over."""
        try:
            while worker.unit is not None and worker.pipe.poll():
                word, content = worker.pipe.recv()
                if word == "doing":
                    worker.note = str(content)
                    continue
                unit, worker.unit = worker.unit, None
                attempts = self.attempts[unit.key]
                if word == KEPT:
                    yield fetched(unit, self.shop, attempts)
                else:
                    yield settled(unit, content, attempts)
            dead = not worker.process.is_alive()
        except (EOFError, OSError):
            dead = True
        if dead:
            yield from self._bury(worker)

    def _bury(self, worker: _Worker) -> Iterator[Settled]:
        self.staff.dismiss(worker)
        unit = worker.unit
        if unit is None:
            return
        attempts = self.attempts[unit.key]
        if self.shop.results is not None and self.shop.results.get(unit.key) is not None:
            # It was killed after its work was kept.
            yield fetched(unit, self.shop, attempts)
        elif attempts <= self.retries:
            self.waiting.append(unit)
        else:
            yield lost(unit, attempts)

    def _show(self) -> None:
        busy = self._busy()
        note = ", ".join(f"{w.unit.label}: {w.note}" for w in busy if w.unit and w.note)
        self.shop.listen(Tick(self.done, self.total, self.staff.jobs, note))


@contextlib.contextmanager
def _surroundings(jobs: int) -> Iterator[None]:
    """What a new process inherits: deaf to Ctrl-C, which the parent answers for all, and with its
    share of the processor's threads, unless the user has said how many."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    threads = "OMP_NUM_THREADS" not in os.environ
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(max(1, processors() // jobs))
    try:
        yield
    finally:
        if threads:
            del os.environ["OMP_NUM_THREADS"]
        if main:
            signal.signal(signal.SIGINT, before)


def processors() -> int:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve(pipe: Connection, slot: int, works: Mapping[str, str], cache: str, scratch: str) -> None:
    """A worker process: do units until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _quiet()
    _take_gpu(slot)
    own = Path(tempfile.mkdtemp(dir=scratch))
    said = 0.0

    def tell(words: str) -> None:
        nonlocal said
        if time.monotonic() - said >= TELL_SECONDS:
            said = time.monotonic()
            pipe.send(("doing", words))

    while True:
        try:
            task: dict[str, Any] = pipe.recv()
        except (EOFError, OSError):
            return
        desk = Desk(own, Path(cache), reader(task["files"], {}), tell)
        answer = _answer(works, task, desk)
        try:
            pipe.send(answer)
        except OSError:
            return  # nobody waits for it any more; it is kept


def _answer(
    works: Mapping[str, str], task: Mapping[str, Any], desk: Desk
) -> tuple[str, Made | Trouble | None]:
    store = Results(Path(task["results"])) if task["results"] is not None else None
    try:
        made = do_unit(works, task["work"], task["given"], desk)
        if store is None or not isinstance(made, Made):
            return "over", made
        store.put(task["key"], made)
    except MissingInputError as error:
        return "over", Trouble(f"an input file is gone: {error}", "tireg verify")
    except TiregError as error:
        return "over", Trouble(error.message, error.hint, error.exit_code)
    return KEPT, None


def _quiet() -> None:
    """Libraries stay as quiet as in the parent, whose settings are inherited."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _take_gpu(slot: int) -> None:
    """With several GPUs, this worker's own one; before anything looks for them."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None:
        cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*"))
        names = [str(n) for n in range(len(cards))]
    else:
        names = [name for name in told.split(",") if name.strip()]
    if len(names) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = names[slot % len(names)]
