"""Units as tasks of a Ray cluster, on this machine or on many.

Everything about placing work on machines is Ray's; here units are handed to it a few at a time,
those that went down with a worker or a machine are handed out again, and results are brought home.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import tempfile
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tireg
from tireg.errors import TiregError
from tireg.fanout.engines import Failure, Settled, Shop, Tick, fetched, lost, settled
from tireg.fanout.ray_cluster import joined
from tireg.fanout.results import Results
from tireg.fanout.units import Desk, Made, MissingInputError, Trouble, Unit, do_unit, reader

AHEAD = 2
"""Units handed to Ray for each one that can run, so that no worker waits for the next."""
WAIT_SECONDS = 1.0
SEEN = "seen-by-workers"
_desk_folder: list[Path] = []


@dataclass(frozen=True)
class _Answer:
    """What a task gives back: ``kept`` without content is in the shared folder of results."""

    word: str
    content: Made | Trouble | None = None


class RayTasks:
    """Units on the Ray cluster at ``address``, one per processor that it offers.

    ``address`` is ``auto`` (the cluster this machine belongs to), ``host:port``, ``ray://host:port``
    or ``local`` (one started for this run). A unit that is lost with its worker or machine is
    handed out again ``retries`` times. With ``gpu`` each unit is given a GPU where there are any.
    Machines that see the folder of results put theirs there; others send them. The cluster stays
    joined from one run to the next, until :meth:`close` or until this is gone.
    """

    def __init__(self, address: str, *, retries: int = 3, gpu: bool = True) -> None:
        self.address = address
        self.retries = retries
        self.gpu = gpu
        self.workers = 1
        self._ray: Any = None
        self._stay = contextlib.ExitStack()
        weakref.finalize(self, self._stay.close)

    def run(self, units: Sequence[Unit], shop: Shop) -> Iterator[Settled]:
        """As :meth:`Engine.run`. Raises MissingPackageError and ConfigError as ``joined`` does."""
        if self._ray is None:
            self._ray = self._stay.enter_context(joined(self.address))
        ray = self._ray
        offered = ray.cluster_resources()
        gpus = offered.get("GPU", 0) if self.gpu else 0
        self.workers = max(1, int(min(offered.get("CPU", 1), gpus or float("inf"))))
        options = {"max_retries": 0, "num_cpus": 1, "num_gpus": 1 if gpus else 0}
        task = ray.remote(serve_one).options(**options)
        with _marker(shop) as marker:
            yield from _Batch(ray, task, units, shop, marker, self).work()

    def close(self) -> None:
        """As :meth:`Engine.close`."""
        self._ray = None
        self._stay.close()


class _Batch:
    """The units of one run, and those that Ray has of them."""

    def __init__(
        self, ray: Any, task: Any, units: Sequence[Unit], shop: Shop, marker: dict[str, str],
        engine: RayTasks,
    ) -> None:  # fmt: skip
        self.ray, self.task, self.shop, self.marker, self.engine = ray, task, shop, marker, engine
        self.waiting = deque(units)
        self.total, self.done = len(units), 0
        self.attempts: dict[str, int] = {}
        self.under_way: dict[Any, Unit] = {}
        self.carry = False
        self.carried: set[str] = set()

    def work(self) -> Iterator[Settled]:
        try:
            while self.waiting or self.under_way:
                while self.waiting and len(self.under_way) < AHEAD * self.engine.workers:
                    self._hand_out(self.waiting.popleft())
                refs = list(self.under_way)
                ready, _ = self.ray.wait(refs, num_returns=1, timeout=WAIT_SECONDS)
                for ref in ready:
                    over = self._over(ref)
                    if over is not None:
                        self.done += 1
                        yield over
                self._show()
        finally:
            for ref in self.under_way:
                with contextlib.suppress(self.ray.exceptions.RayError):
                    self.ray.cancel(ref, force=True)

    def _hand_out(self, unit: Unit, *, again: bool = False) -> None:
        carried = {}
        if self.carry:
            self.carried.add(unit.key)
            carried = {sha: path.read_bytes() for sha, path in unit.files.items() if path.is_file()}
        told = {
            "key": unit.key,
            "work": unit.work,
            "given": unit.given,
            "files": {sha: str(path) for sha, path in unit.files.items()},
            "works": dict(self.shop.works),
            "version": tireg.__version__,
            **self.marker,
        }
        if not again:
            self.attempts[unit.key] = self.attempts.get(unit.key, 0) + 1
        self.under_way[self.task.remote(told, carried)] = unit

    def _over(self, ref: Any) -> Settled | None:
        """The unit that a task was; None where it is handed out again."""
        unit = self.under_way.pop(ref)
        attempts = self.attempts[unit.key]
        results = self.shop.results
        try:
            answer: _Answer = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            told = str(error).strip().rpartition("\n")[2]
            failure = Failure(f"a worker cannot do this: {told}", "install the same tireg there")
            return Settled(unit, None, failure, attempts)
        except self.ray.exceptions.RayError:
            if results is not None and results.get(unit.key) is not None:
                return fetched(unit, self.shop, attempts)
            if attempts > self.engine.retries:
                return lost(unit, attempts)
            self.waiting.append(unit)
            return None
        if answer.word == "missing":
            if unit.key not in self.carried:
                self.carry = True
                self._hand_out(unit, again=True)
                return None
            answer = _Answer("over", Trouble("an input file is gone", "tireg verify"))
        if answer.word == "kept" or answer.content is None:
            return fetched(unit, self.shop, attempts)
        if isinstance(answer.content, Made) and results is not None:
            results.put(unit.key, answer.content)
        return settled(unit, answer.content, attempts)

    def _show(self) -> None:
        again = sum(count - 1 for count in self.attempts.values())
        note = f"{again} handed out again" if again else ""
        self.shop.listen(Tick(self.done, self.total, self.engine.workers, note))


@contextlib.contextmanager
def _marker(shop: Shop) -> Iterator[dict[str, str]]:
    """A small file by which a worker knows that it sees the very folders of this machine."""
    told = {"cache": str(shop.cache.absolute()), "nonce": secrets.token_hex(16)}
    told |= {"marker": "", "results": ""}
    if shop.results is not None:
        told["results"] = str(shop.results.folder.absolute())
    try:
        shop.cache.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=shop.cache, prefix=f"{SEEN}-")
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(told["nonce"])
    except OSError:
        yield told  # nothing is shared then
        return
    try:
        yield told | {"marker": name}
    finally:
        Path(name).unlink(missing_ok=True)


def serve_one(told: Mapping[str, Any], carried: Mapping[str, bytes]) -> _Answer:
    """One unit, in a worker of Ray."""
    if told["version"] != tireg.__version__:
        words = f"a worker has tireg {tireg.__version__}, this machine {told['version']}"
        return _Answer("over", Trouble(words, "install the same tireg on every machine"))
    shared = _sees(told)
    desk = Desk(
        _own_folder(),
        Path(told["cache"]) if shared else None,
        reader(told["files"], carried),
        lambda _: None,
    )
    try:
        made = do_unit(told["works"], told["work"], told["given"], desk)
        if shared and told["results"] and isinstance(made, Made):
            Results(Path(told["results"])).put(told["key"], made)
            return _Answer("kept")
    except MissingInputError:
        return _Answer("missing")
    except TiregError as error:
        return _Answer("over", Trouble(error.message, error.hint, error.exit_code))
    return _Answer("over", made)


def _sees(told: Mapping[str, Any]) -> bool:
    try:
        nonce: str = told["nonce"]
        return Path(told["marker"]).read_text(encoding="ascii") == nonce
    except (OSError, ValueError):
        return False


def _own_folder() -> Path:
    """A folder for all units of this worker, gone when it ends."""
    if not _desk_folder:
        folder = Path(tempfile.mkdtemp(prefix="tireg-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _desk_folder.append(folder)
    return _desk_folder[0]
