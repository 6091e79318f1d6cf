"""A fleet divided among workers: units of some concepts, recorded here as they come back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tireg
from tireg.domain.model import read_document
from tireg.domain.records import Record
from tireg.errors import TiregError, TrainingFailedError
from tireg.store.adding import Item
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.environment import package_versions
from tireg.workflows.fanning import Fan, engine_for, fan_out, results_folder
from tireg.workflows.fleet import SAMPLES, Ended, look_over
from tireg.workflows.fleet_units import failure_of, request_as_json
from tireg.workflows.making import remember_base
from tireg.workflows.many_units import Ground as Told
from tireg.workflows.progress import Listener, Notice
from tireg.workflows.run_folder import RunFolder
from tireg.workflows.train import Ground, TrainRequest

if TYPE_CHECKING:
    from tireg.fanout import Made, Settled, Unit

# So many units at least, where there are as many concepts, so that workers end at about the same
# time. It does not follow the number of workers: then neither would the vectors' last bits.
UNITS = 8
# Files of one concept that are taken along to other machines.
MAX_FILES = 5000


def learn_apart(
    requests: Sequence[TrainRequest],
    home: Path,
    width: int | None,
    fan: Fan,
    labels: Sequence[str] | None,
    listen: Listener,
) -> list[Ended]:
    """As :func:`tireg.workflows.fleet.train_fleet`, by workers; ``width`` concepts in each unit.

    Pictures are opened here first, so that what is wrong with them is told before any work.
    """
    ended, left, ground = look_over(requests, home, labels, listen)
    if ground is not None and left:
        work = _Apart(home, fan, ground, listen, ended)
        work.divide(left, labels, width or unit_size([r for r, _ in left.values()]))
        work.learn()
    return [ended[number] for number in range(len(requests))]


def unit_size(requests: Sequence[TrainRequest]) -> int:
    """Concepts in one unit: as many as share a pass with profit, but at least UNITS units."""
    batch = max(math.ceil(r.recipe.batch / r.recipe.accumulate) for r in requests)
    return max(1, min(SAMPLES // batch, math.ceil(len(requests) / UNITS)))


@dataclass
class _Apart:
    """A fleet that is handed out, and what is known of it by now."""

    home: Path
    fan: Fan
    ground: Ground
    listen: Listener
    ended: dict[int, Ended]
    units: dict[str, tuple[Unit, tuple[int, ...]]] = field(default_factory=dict)
    requests: dict[int, TrainRequest] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def divide(
        self, left: Mapping[int, tuple[TrainRequest, str]], labels: Sequence[str] | None, size: int
    ) -> None:
        """Make units of ``size`` concepts, in the order of the list."""
        from tireg.fanout import make_unit

        self.requests = {number: request for number, (request, _) in left.items()}
        self.names = {n: labels[n] if labels else r.name for n, r in self.requests.items()}
        place = self.ground.place
        told = Told(
            place.id, place.id, self.ground.family.id, str(place.folder), place.revision,
            place.license, str(place.config) if place.config else None, "",
        )  # fmt: skip
        about = {"tireg": tireg.__version__, "packages": package_versions()}
        numbers = sorted(left)
        for start in range(0, len(numbers), size):
            part = tuple(numbers[start : start + size])
            trees, files = self._carried(part)
            given = {
                "requests": [request_as_json(left[n][0]) | self._base() for n in part],
                "labels": [self.names[n] for n in part],
                "ground": asdict(told),
                "trees": trees,
            }
            identity = about | {"runs": [left[n][1] for n in part], "given": given["requests"]}
            unit = make_unit(
                "learn concepts", given, identity=identity, files=files,
                label=self.names[part[0]] + (f" and {len(part) - 1} more" if part[1:] else ""),
            )  # fmt: skip
            self.units[unit.key] = unit, part

    def _base(self) -> dict[str, Any]:
        """What a worker asks for: a folder in the words that mean the same everywhere here."""
        given = Path(next(iter(self.requests.values())).base).expanduser()
        return {"base": str(given.resolve())} if given.exists() else {}

    def _carried(self, part: Sequence[int]) -> tuple[list[dict[str, Any]], dict[str, Path]]:
        """The files of concepts, for workers of a cluster that do not see this disk."""
        files: dict[str, Path] = {}
        if self.fan.ray is None:
            return [], files
        trees = []
        for number in part:
            inside: dict[str, str] = {}
            pictures = []
            for place, path in enumerate(self.requests[number].pictures):
                top = path if path.is_dir() else path.parent
                pictures.append(str(place) if path.is_dir() else f"{place}/{path.name}")
                for file in _files_of(path):
                    sha = hashlib.sha256(file.read_bytes()).hexdigest()
                    files[sha] = file
                    inside[f"{place}/{file.relative_to(top).as_posix()}"] = sha
            trees.append({"pictures": pictures, "files": inside})
        return trees, files

    def learn(self) -> None:
        """Hand out, record what comes back; a unit that is lost is a failure of its concepts."""
        from tireg.fanout import Results

        device = next(iter(self.requests.values())).device
        engine = engine_for(self.fan, gpu=device != "cpu")
        kept = Results(results_folder(self.home))
        todo = [unit for unit, _ in self.units.values()]
        with closing(engine), Registry.open(self.home) as registry:
            handed = fan_out(
                todo, engine=engine, home=self.home, task="learning the fleet", listen=self.listen
            )
            with closing(handed):  # type: ignore[type-var]
                for settled in handed:
                    self._settle(settled, registry)
                    kept.forget(settled.unit.key)

    def _settle(self, settled: Settled, registry: Registry) -> None:
        part = self.units[settled.unit.key][1]
        if settled.made is None:
            words = settled.failure
            error = TrainingFailedError(
                words.message if words else "the worker gave nothing back",
                hint="the same command goes on where the checkpoints are",
            )
            for number in part:
                self._end(number, Ended(self.names[number], "failed", error=error))
            return
        for text in settled.made.record["notices"]:
            self.listen(Notice(text))
        for number, line in zip(part, settled.made.record["ended"], strict=True):
            self._end(number, self._ended(number, line, settled.made, registry))

    def _ended(self, number: int, line: dict[str, Any], made: Made, registry: Registry) -> Ended:
        name, steps = self.names[number], line["steps"]
        try:
            if line["error"] is not None:
                raise failure_of(line["error"])
            version = self._record(self.requests[number], line["parcel"], made, registry)
        except TiregError as error:
            return Ended(name, "failed", None, steps, error)
        return Ended(name, "trained", version, steps)

    def _record(
        self, request: TrainRequest, parcel: dict[str, Any], made: Made, registry: Registry
    ) -> Version:
        """Record what a run left, as a run in this process is; nobody else writes there."""
        items = []
        for one in parcel["records"]:
            record = read_document(Record, made.files[one["sha256"]], name="a worker's record")
            objects = {sha: made.files[sha] for sha in one["objects"]}
            items.append(Item(record, objects, None, tuple(one["aliases"]), collision="new"))
        folder = RunFolder(self.home, parcel["run"])
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.announce([one["sha256"] for one in parcel["records"]])
        remember_base(registry, self.ground.ref(self.home), self.ground.place)
        version = registry.resolve(registry.add_many(items)[-1].found.ref)
        if not parcel["learned"] and not request.keep_anyway:
            registry.remove(f"{version.name}@{version.version}")
        folder.finish()
        if not parcel["learned"] and not request.keep_anyway:
            raise TrainingFailedError(
                f"'{request.name}' learned nothing: the loss on the fixed samples fell by "
                f"{parcel['gain']:.5f}, not by more than two standard errors of "
                f"{parcel['gain_error']:.5f}",
                hint="more --steps, another --init, clearer pictures, or another --base; "
                f"'{version.name}@{version.version}' is in the trash",
            )
        return version

    def _end(self, number: int, ended: Ended) -> None:
        self.ended[number] = ended


def _files_of(path: Path) -> list[Path]:
    """What a concept may read: a folder's files, those around a concept file or of its stem."""
    from tireg.domain.concept_files import CONCEPT_SUFFIXES
    from tireg.errors import ConceptError

    if path.is_dir() or path.suffix.lower() in CONCEPT_SUFFIXES:
        top = path if path.is_dir() else path.parent
        found = [p for p in sorted(top.rglob("*")) if p.is_file()]
        hidden = [p for p in found if any(n.startswith(".") for n in p.relative_to(top).parts)]
        found = [p for p in found if p not in set(hidden)]
    else:
        found = [p for p in sorted(path.parent.glob(f"{path.stem}*")) if p.is_file()]
        masks = path.parent / "masks"
        found += [p for p in sorted(masks.glob(f"{path.stem}*")) if p.is_file()]
    if len(found) > MAX_FILES:
        raise ConceptError(
            f"'{path}' has {len(found)} files, too many to take along",
            hint="a folder that holds the concept alone",
        )
    return found
