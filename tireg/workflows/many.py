"""Score many embeddings on many bases: one unit of work for each pair, recorded as it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.domain.model import validate_document
from tireg.domain.scores import Run
from tireg.errors import InputError, RefError, TiregError
from tireg.store.home import check_writable
from tireg.store.registry import Registry
from tireg.workflows.evaluate import EvalRequest, Evaluation, check_request, evaluation_as_json
from tireg.workflows.fanning import Fan, engine_for, failure_line, fan_out, results_folder
from tireg.workflows.many_setup import Cell, Setup, prepare
from tireg.workflows.progress import Listener, Notice, silent

if TYPE_CHECKING:
    from tireg.fanout import Engine, Failure, Made, Results, Settled, Unit

TASK = "evaluating"


@dataclass(frozen=True)
class ManyRequest:
    """Which embeddings on which bases; ``each`` says how, its ``ref`` and ``base`` do not count.

    Without ``bases`` each is scored on the one it was made on.
    """

    refs: Sequence[str]
    bases: Sequence[str] = ()
    each: EvalRequest = field(default_factory=lambda: EvalRequest(ref=""))
    fan: Fan = field(default_factory=Fan)


@dataclass(frozen=True)
class Scored:
    """One pair: its evaluation, or why there is none.

    ``attempts`` counts the workers that were given it, 0 where it was here before.
    """

    cell: Cell
    done: Evaluation | None
    failure: Failure | None
    attempts: int

    def as_json(self) -> dict[str, Any]:
        """As ``tireg eval --json`` prints it, or the pair with ``error`` and ``hint``."""
        if self.done is not None:
            return evaluation_as_json(self.done)
        version, failure = self.cell.version, self.failure
        return {
            "embedding": {
                "name": version.name,
                "version": version.version,
                "tensor_hash": version.record.tensor_hash,
            },
            "base": self.cell.base,
            "error": failure.message if failure else "",
            "hint": failure.hint if failure else "",
        }


def evaluate_many(
    request: ManyRequest, *, home: Path, listen: Listener = silent, engine: Engine | None = None
) -> list[Scored]:
    """Score every pair, in the order of refs, then bases; one that fails is a line of the result.

    What was done before is not done again. Results do not depend on who did the work. Raises
    RefError, SuiteError, BaseError, InputError or ConfigError for what was asked wrongly.
    """
    check_many(request)
    check_writable(home)
    setup = prepare(request.refs, request.bases, request.each, home, listen)
    engine = engine or engine_for(request.fan, gpu=request.each.device != "cpu")
    with closing(engine), Registry.open(home) as registry:
        run = _ManyRun(setup, engine, registry, home, listen)
        run.draw_what_is_shared(wide=request.fan.wide or engine.workers > 1)
        run.evaluate(setup.home_cells, {})
        homes = {
            cell.version.record_sha: over.done.run
            for cell in setup.home_cells
            if (over := run.over[cell.place]).done is not None
        }
        run.evaluate(setup.away_cells, homes)
    for text in dict.fromkeys(run.notices):
        listen(Notice(text))
    return [run.over[cell.place] for cell in setup.asked]


def check_many(request: ManyRequest) -> None:
    """InputError for options that speak of one embedding alone."""
    each = request.each
    check_request(each)
    one = {
        "--images": each.images, "--rescore": each.rescore, "--compat": tuple(each.compat),
        "--per-picture": each.per_picture,
    }  # fmt: skip
    if given := [name for name, value in one.items() if value]:
        raise InputError(
            f"{given[0]} is for one embedding on one base, without --jobs and --ray",
            hint="leave it out",
        )
    if each.base is not None:
        raise InputError("--base and --bases say the same thing", hint="give one of them")


class _ManyRun:
    """One run over many pairs: hands out, takes back, records."""

    def __init__(
        self, setup: Setup, engine: Engine, registry: Registry, home: Path, listen: Listener
    ) -> None:
        from tireg.fanout import Results

        self.setup, self.engine, self.registry = setup, engine, registry
        self.home, self.listen = home, listen
        self.results: Results = Results(results_folder(home))
        self.over: dict[tuple[str, str], Scored] = {}
        self.notices: list[str] = []
        self.remembered: set[str] = set()

    def draw_what_is_shared(self, *, wide: bool) -> None:
        """Where several workers would draw the same pictures at once, they are drawn first.

        A failure here is none: who needs the pictures draws them, and says what is wrong.
        """
        if not wide:
            return
        cells = [*self.setup.home_cells, *self.setup.away_cells]
        alone = {c.version.record_sha for c in self.setup.home_cells}
        missing = [
            cell
            for cell in cells
            if cell.failure is None
            and not self._known(
                self.setup.unit(
                    cell, None, compared=not cell.own and cell.version.record_sha in alone
                )
            )
        ]
        units = self.setup.baselines(missing)
        for _ in fan_out(
            units, engine=self.engine, home=self.home, task="drawing what they share",
            listen=self.listen, keep=False,
        ):  # fmt: skip
            continue

    def evaluate(self, cells: Sequence[Cell], homes: Mapping[str, Run]) -> None:
        """Score pairs; ``homes`` has the runs on their own base that they are compared with."""
        units: dict[str, tuple[Unit, Cell]] = {}
        for cell in cells:
            if cell.failure is not None:
                self.over[cell.place] = Scored(cell, None, cell.failure, 0)
                continue
            unit = self.setup.unit(cell, homes.get(cell.version.record_sha))
            self._known(unit)
            units[unit.key] = (unit, cell)
        todo = [unit for unit, _ in units.values()]
        if not todo:
            return
        handed = fan_out(todo, engine=self.engine, home=self.home, task=TASK, listen=self.listen)
        with closing(handed):  # type: ignore[type-var]
            for settled in handed:
                cell = units[settled.unit.key][1]
                self.over[cell.place] = self._recorded(cell, settled)

    def _known(self, unit: Unit) -> bool:
        """Whether a result is kept. One that was recorded and is gone from the registry is not."""
        made = self.results.get(unit.key)
        if made is not None and "run" not in made.record:
            try:
                self.registry.run(made.record["run_id"])
            except (RefError, KeyError):
                self.results.forget(unit.key)
                return False
        return made is not None

    def _recorded(self, cell: Cell, settled: Settled) -> Scored:
        from tireg.fanout import Failure

        if settled.made is None:
            return Scored(cell, None, settled.failure, settled.attempts)
        try:
            done = self._record(cell, settled.unit, settled.made)
        except TiregError as error:
            failure = Failure(error.message, error.hint, error.exit_code)
            return Scored(cell, None, failure, settled.attempts)
        return Scored(cell, done, None, settled.attempts)

    def _record(self, cell: Cell, unit: Unit, made: Made) -> Evaluation:
        """Put a run into the registry; nobody but this process writes there."""
        if "run" not in made.record:
            run = self.registry.run(made.record["run_id"])
            return Evaluation(cell.version, run, False, self._sheet(run))
        run = validate_document(Run, made.record["run"], name="a worker's run")
        self.notices += made.record["notices"]
        if cell.ground is not None and cell.ground.id not in self.remembered:
            self.setup.remember(cell, self.registry)
            self.remembered.add(cell.ground.id)
        added = self.registry.add_run(run, made.files)
        self.results.settle(unit.key, {"run_id": run.run_id})
        return Evaluation(cell.version, run, added, self._sheet(run))

    def _sheet(self, run: Run) -> Path | None:
        path = self.registry.objects.path(run.files[0].sha256) if run.files else None
        return path if path is not None and path.is_file() else None


def headlines(scored: Sequence[Scored]) -> Iterator[dict[str, Any]]:
    """One row per pair: the headline scores with a value, the verdict on the base, or the error."""
    for one in scored:
        version = one.cell.version
        row: dict[str, Any] = {"embedding": version.ref, "base": one.cell.base}
        if one.done is None:
            yield {**row, "result": "failed"}
            continue
        run = one.done.run
        values = {score.metric: score.value for score in run.scores}
        own = run.verdict is None
        yield row | values | {"result": "its own base" if own else run.verdict}


def failures(scored: Sequence[Scored]) -> Iterator[dict[str, Any]]:
    """The pairs that failed: ``embedding``, ``base``, ``error`` and ``hint``."""
    for one in scored:
        if one.failure is not None:
            label = {"embedding": one.cell.version.ref, "base": one.cell.base}
            yield failure_line(label, one.failure)
