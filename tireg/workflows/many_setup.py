"""What many evaluations need, found once: versions, bases, the suite; and the units they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tireg
from tireg.domain.families import Family
from tireg.domain.fingerprints import BaseRef
from tireg.domain.scores import Run
from tireg.domain.suites import load_suite, suite_names, suite_path
from tireg.errors import EvaluationError, InputError, TiregError
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.bases import fingerprint_if_any
from tireg.workflows.environment import package_versions
from tireg.workflows.evaluate import EvalRequest, default_suite
from tireg.workflows.making import remember_base
from tireg.workflows.many_units import Ground, every_file
from tireg.workflows.places import BUILT_IN, Place, find_base
from tireg.workflows.progress import Event, Listener, Notice

if TYPE_CHECKING:
    from tireg.fanout import Failure, Unit

OPTIONS = ("base_config", "encoders", "device", "dtype", "sampler", "steps", "guidance", "size",
           "batch")  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A base that was found and measured."""

    place: Place
    ref: BaseRef
    ground: Ground


@dataclass(frozen=True)
class Cell:
    """One embedding on one base."""

    version: Version
    base: str
    """Id of the base, or what was asked for where there is none."""
    own: bool
    """Whether it is the base the embedding was made on, or takes the place of it."""
    ground: Ground | None
    failure: Failure | None = None

    @property
    def place(self) -> tuple[str, str]:
        """What tells it from every other."""
        return self.version.record_sha, self.base


@dataclass
class Setup:
    """All pairs, and what their units are made of."""

    asked: list[Cell]
    home_cells: list[Cell]
    away_cells: list[Cell]
    each: EvalRequest
    others: tuple[str, ...]
    other_files: dict[str, Path]
    files: dict[str, dict[str, Path]]
    """By record: its own file and its objects."""
    found: dict[str, Found]
    told: dict[str, Any] = field(default_factory=dict)
    suites: dict[str, tuple[dict[str, str], dict[str, Path]]] = field(default_factory=dict)
    """By name, read once: a suite is long, and there may be many pairs."""

    def unit(self, cell: Cell, first: Run | None, *, compared: bool | None = None) -> Unit:
        """The unit of one pair; ``first`` is the run on its own base that it is compared with.

        ``compared`` says for the key alone whether there will be one.
        """
        from tireg.fanout import make_unit

        if cell.ground is None:
            raise EvaluationError(f"there is no base for '{cell.version.name}'")
        record = cell.version.record_sha
        suite, suite_files = self._suite(cell)
        files = self.files[record] | self.other_files
        given = {
            "record": record,
            "others": list(self.others),
            "objects": sorted(files),
            "ground": asdict(cell.ground),
            "options": self.options(),
            "suite": suite,
            "home_run": first.model_dump(mode="json") if first is not None else None,
        }
        identity = {
            **self.identity(cell.ground, suite),
            "record": record,
            "others": list(self.others),
            "pictures": sorted(set(files) - {record}),
            "compared": first is not None if compared is None else compared,
        }
        return make_unit(
            "evaluate", given, identity=identity, files=files | suite_files,
            label=f"{cell.version.ref} on {cell.base}",
        )  # fmt: skip

    def options(self) -> dict[str, Any]:
        """The request's options that are the same for all pairs, as JSON."""
        told = {name: getattr(self.each, name) for name in OPTIONS}
        return told | {"encoders": list(self.each.encoders)}

    def identity(self, ground: Ground, suite: dict[str, str]) -> dict[str, Any]:
        """What any result on ``ground`` depends on besides the embedding."""
        if not self.told:
            self.told = {
                "tireg": tireg.__version__,
                "packages": package_versions(),
                "options": self.options(),
                "encoder files": [_signature(name) for name in self.each.encoders],
            }
        return self.told | {
            "base": [ground.id, ground.revision, ground.fingerprint], "suite": suite,
        }  # fmt: skip

    def baselines(self, cells: Sequence[Cell]) -> list[Unit]:
        """Units that draw the pictures which two or more of ``cells`` need."""
        from tireg.fanout import make_unit

        wanted: dict[tuple[str, str, str | None], list[Cell]] = {}
        for cell in cells:
            if cell.ground is None or cell.failure is not None:
                continue
            suite = str(sorted(self._suite(cell)[0].items()))
            noun = cell.version.record.class_noun or ""
            nouns = [noun] if noun else []
            for word in [None, *nouns]:
                wanted.setdefault((cell.ground.id, suite, word), []).append(cell)
        units = []
        for (_, _, word), group in wanted.items():
            cell = group[0]
            if len(group) < 2 or cell.ground is None:
                continue
            told, files = self._suite(cell)
            given = {"ground": asdict(cell.ground), "options": self.options(), "suite": told,
                     "noun": word}  # fmt: skip
            units.append(
                make_unit("draw baselines", given, files=files,
                          label=f"{word or 'nothing'} on {cell.base}")
            )  # fmt: skip
        return units

    def remember(self, cell: Cell, registry: Registry) -> None:
        """Keep in the registry where a base is, and what it is to the embedding's own."""
        from tireg.workflows.eval_setup import verdict_on
        from tireg.workflows.verdicts import keep

        found = self.found.get(cell.base)
        if found is None:
            return
        remember_base(registry, found.ref, found.place)
        made_on, verdict = verdict_on(cell.version.record, found.ref)
        if verdict is not None:
            keep(registry, made_on, found.ref.fingerprint, verdict)

    def _suite(self, cell: Cell) -> tuple[dict[str, str], dict[str, Path]]:
        """The suite as a worker is told of it, and the file that goes along."""
        record, ground = cell.version.record, cell.ground
        family = record.base.family if record.base else (ground.family if ground else "")
        name = self.each.suite or default_suite(family, record.kind)
        if name not in self.suites:
            self.suites[name] = _told_suite(name)
        return self.suites[name]


def _told_suite(name: str) -> tuple[dict[str, str], dict[str, Path]]:
    if name in suite_names():
        return {"name": name, "sha256": load_suite(name).sha256}, {}
    path = suite_path(name)
    sha = sha256(path.read_bytes()).hexdigest()
    return {"sha256": sha}, {sha: path}


def prepare(
    refs: Sequence[str], bases: Sequence[str], each: EvalRequest, home: Path, listen: Listener
) -> Setup:
    """Find everything. Raises for what was asked wrongly; an embedding whose own base cannot be
    had is a failed pair."""
    if each.suite is not None:
        load_suite(each.suite)
    with Registry.open(home) as registry:
        versions = {v.record_sha: v for v in map(registry.resolve, refs)}
        others = {v.record_sha: v for v in map(registry.resolve, each.references)}
        known = {row.id: row.path for row in registry.bases() if row.path}
        files: dict[str, dict[str, Path]] = {
            sha: {
                sha: registry.store.record_path(sha),
                **dict(every_file([version.record], registry)),
            }
            for sha, version in (versions | others).items()
        }
    if not versions:
        raise InputError("no embedding is named", hint="tireg list")
    if same := next((v for sha, v in versions.items() if sha in others), None):
        raise InputError(
            f"'{same.name}' is scored, so it cannot be compared with itself",
            hint="--reference another embedding",
        )
    search = _Search(home, known, each.base_config, listen)
    asked, homes, aways = _pairs(list(versions.values()), bases, search)
    merged: dict[str, Path] = {}
    for sha in others:
        merged |= files[sha]
    return Setup(asked, homes, aways, each, tuple(others), merged, files, search.by_id)


def _pairs(
    versions: Sequence[Version], bases: Sequence[str], search: _Search
) -> tuple[list[Cell], list[Cell], list[Cell]]:
    """What was asked; the pairs that need no other; those compared with the embedding's own base.

    Pairs of one base stand together, so that a worker opens it once.
    """
    grounds = [search.find(name, name) for name in dict.fromkeys(bases)]
    grounds = list({found.ref.id: found for found in grounds}.values())
    asked: list[Cell] = []
    if not bases:
        asked = [_own_cell(version, search) for version in versions]
        return asked, sorted(asked, key=lambda cell: cell.base), []
    homes: dict[tuple[str, str], Cell] = {}
    aways: list[Cell] = []
    for version in versions:
        record = version.record
        made_on = record.base.fingerprint if record.base else None
        for found in grounds:
            there = found.ref.fingerprint
            away = made_on is not None and not (there is not None and there.same_as(made_on))
            cell = Cell(version, found.ref.id, not away, found.ground)
            asked.append(cell)
            (aways.append(cell) if away else homes.setdefault(cell.place, cell))
        mine = [c for c in asked if c.version is version]
        if any(not c.own for c in mine) and not any(c.own for c in mine):
            own = _own_cell(version, search)
            if own.failure is None:
                homes.setdefault(own.place, own)
            else:
                words = f"how much of each score of '{version.name}' is left cannot be told: "
                search.listen(Notice(f"{words}{own.failure.message}"))
    return (
        asked,
        sorted(homes.values(), key=lambda c: c.base),
        sorted(aways, key=lambda c: c.base),
    )


def _own_cell(version: Version, search: _Search) -> Cell:
    from tireg.fanout import Failure

    base = version.record.base
    if base is None:
        words = f"'{version.name}' does not say which base it is for"
        return Cell(version, "-", True, None, Failure(words, "give one: --bases BASE", 2))
    try:
        found = search.find(base.id, None)
    except TiregError as error:
        failure = Failure(error.message, error.hint, error.exit_code)
        return Cell(version, base.id, True, None, failure)
    return Cell(version, found.ref.id, True, found.ground)


class _Search:
    """Finds and measures each base once."""

    def __init__(
        self, home: Path, known: dict[str, str], config: str | None, listen: Listener
    ) -> None:
        self.home, self.known, self.config, self.listen = home, known, config, listen
        self.kept: dict[tuple[str, str | None], Found] = {}
        self.by_id: dict[str, Found] = {}

    def find(self, name: str, asked: str | None) -> Found:
        """The base called ``name``; ``asked`` is what a worker asks for, None for its own."""
        if (name, asked) not in self.kept:
            self.kept[name, asked] = self._find(name, asked)
        return self.kept[name, asked]

    def _find(self, name: str, asked: str | None) -> Found:
        from tireg.workflows.measuring import fingerprint_hash

        self.listen(Event("finding the bases", len(self.by_id), len(self.by_id) + 1, name))
        place = find_base(name, self.known, config=self.config)
        family = family_at(place)
        ref = BaseRef(
            id=place.id,
            revision=place.revision,
            family=family.id,
            fingerprint=fingerprint_if_any(self.home, place.folder, family),
            license=place.license,
        )
        if asked is not None:
            named = name in BUILT_IN or not Path(name).expanduser().exists()
            asked = place.id if named else str(place.folder)
        ground = Ground(
            asked, place.id, family.id, str(place.folder), place.revision, place.license,
            str(place.config) if place.config else None, fingerprint_hash(ref),
        )  # fmt: skip
        found = Found(place, ref, ground)
        self.by_id.setdefault(place.id, found)
        return found


def family_at(place: Place) -> Family:
    """The family of a base's folder or file. BaseError where it is of none."""
    if place.folder.is_file():
        from tireg.models.opening import family_of_file

        return family_of_file(place.folder)
    from tireg.models.bases import identify

    return identify(place.folder)


def _signature(encoder: str) -> list[Any]:
    """Changes with the files of an encoder that lies in a folder or file of its own."""
    path = Path(encoder.partition(":")[2] or encoder).expanduser()
    path = path if path.exists() else Path(encoder).expanduser()
    if not path.exists():
        return [encoder]
    files = sorted(path.glob("*")) if path.is_dir() else [path]
    return [encoder, [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]]
