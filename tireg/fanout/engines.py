"""What every engine does: take units, give each back as made or failed, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tireg.errors import CorruptError
from tireg.fanout.results import Results
from tireg.fanout.units import Desk, Made, MissingInputError, Trouble, Unit, do_unit, reader


@dataclass(frozen=True)
class Failure:
    """A unit that made nothing, and why. ``code`` 2: what was asked for is wrong; 1: all else.

    ``lost``: no worker lived to say anything.
    """

    message: str
    hint: str = ""
    code: int = 1
    trace: str = ""
    lost: bool = False


@dataclass(frozen=True)
class Settled:
    """A unit that is over.

    ``attempts`` counts how often a worker was given it: 0 where its result was here before, more
    than 1 where workers were lost over it.
    """

    unit: Unit
    made: Made | None
    failure: Failure | None
    attempts: int


@dataclass(frozen=True)
class Tick:
    """How far all workers are, and what one of them is doing."""

    done: int
    total: int
    workers: int
    note: str = ""


@dataclass(frozen=True)
class Shop:
    """What all units of a run share.

    ``works`` maps names to ``package.module:function``. ``cache`` is a folder that workers on
    this machine share; with ``results`` what units make is kept, and not made again.
    """

    works: Mapping[str, str]
    cache: Path
    results: Results | None
    listen: Callable[[Tick], None]


class Engine(Protocol):
    """Something that does units, ``workers`` of them at a time."""

    @property
    def workers(self) -> int:
        """How many units are done at a time."""

    def run(self, units: Sequence[Unit], shop: Shop) -> Iterator[Settled]:
        """Give back each unit once, as soon as it is over. Closing the iterator ends the work."""

    def close(self) -> None:
        """Let the workers go, which stay from one run to the next with what they have open."""


def run_units(engine: Engine, units: Sequence[Unit], shop: Shop) -> Iterator[Settled]:
    """Every unit once: at first those whose results are here, then the others as they are done.

    Units with one key are done once; only the first of them is given back.
    """
    missing: list[Unit] = []
    total = len({unit.key for unit in units})
    done = 0
    for unit in {unit.key: unit for unit in reversed(units)}.values():
        made = shop.results.get(unit.key) if shop.results else None
        if made is None:
            missing.append(unit)
        else:
            done += 1
            yield Settled(unit, made, None, 0)
    missing.reverse()
    if not missing:
        return
    shop.listen(Tick(done, total, engine.workers))

    def listen(tick: Tick) -> None:
        shop.listen(Tick(done + tick.done, total, tick.workers, tick.note))

    yield from engine.run(missing, Shop(shop.works, shop.cache, shop.results, listen))


class InProcess:
    """One unit after the other, in this process."""

    workers = 1

    def run(self, units: Sequence[Unit], shop: Shop) -> Iterator[Settled]:
        """As :meth:`Engine.run`."""
        with tempfile.TemporaryDirectory(prefix="tireg-") as scratch:
            for number, unit in enumerate(units):
                shop.listen(Tick(number, len(units), 1, unit.label))
                yield self._settled(unit, number, len(units), shop, Path(scratch))
        shop.listen(Tick(len(units), len(units), 1))

    def close(self) -> None:
        """As :meth:`Engine.close`: there is nobody to let go."""

    def _settled(self, unit: Unit, done: int, total: int, shop: Shop, scratch: Path) -> Settled:
        files = {sha: str(path) for sha, path in unit.files.items()}

        def tell(words: str) -> None:
            shop.listen(Tick(done, total, 1, f"{unit.label}: {words}"))

        desk = Desk(scratch, shop.cache, reader(files, {}), tell)
        try:
            answer = do_unit(shop.works, unit.work, unit.given, desk)
        except MissingInputError as error:
            answer = Trouble(f"an input file is gone: {error}", "tireg verify")
        if isinstance(answer, Made) and shop.results is not None:
            shop.results.put(unit.key, answer)
        return settled(unit, answer, 1)


def settled(unit: Unit, answer: Made | Trouble, attempts: int) -> Settled:
    """The unit with what a worker answered."""
    if isinstance(answer, Made):
        return Settled(unit, answer, None, attempts)
    failure = Failure(answer.message, answer.hint, answer.code, answer.trace)
    return Settled(unit, None, failure, attempts)


def fetched(unit: Unit, shop: Shop, attempts: int) -> Settled:
    """The unit with the result that a worker put into the folder of results."""
    made = shop.results.get(unit.key) if shop.results is not None else None
    if made is None:
        error = CorruptError(f"the result of '{unit.label}' was kept and cannot be read back")
        return Settled(unit, None, Failure(error.message, "run the same command again"), attempts)
    return Settled(unit, made, None, attempts)


def lost(unit: Unit, attempts: int) -> Settled:
    """A unit over which workers were lost too often."""
    times = {1: "once", 2: "twice"}.get(attempts, f"{attempts} times")
    failure = Failure(
        f"the worker was killed {times} while it did this, perhaps for want of memory",
        "fewer --jobs, or a smaller --batch; the same command tries it again",
        lost=True,
    )
    return Settled(unit, None, failure, attempts)
