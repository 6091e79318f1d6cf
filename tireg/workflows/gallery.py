"""The registry, or a part of it, as a folder of pages.

What goes in is what ``publish`` would show of each word, and less: its record without captions
and training pictures, notes only where they still are those it was recorded with, its scores
without contact sheets, no path of this machine, no base that these words have nothing to do with.
Tags are shown as they are now.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tireg
from tireg.domain.comparable import frame_of
from tireg.domain.compat import ORDER, Target, judge
from tireg.domain.families import find_family
from tireg.domain.fingerprints import BaseRef, Fingerprint
from tireg.domain.records import Record
from tireg.domain.scores import Run, Score
from tireg.domain.tensors import encoder_of
from tireg.errors import CorruptError, RefError, SchemaTooNewError
from tireg.report.gallery import Built, write_gallery
from tireg.report.gallery_data import (
    BaseVerdict,
    MetricInfo,
    Parent,
    Preview,
    RunPart,
    ScoreLine,
    Site,
    VersionPart,
    Word,
)
from tireg.store.finding import found_where, load
from tireg.store.registry import Registry
from tireg.store.search import Query
from tireg.workflows.progress import Event, Listener, Notice, silent

if TYPE_CHECKING:
    from tireg.store.rows import Found, Version

TITLE = "Words"
SHOWN_METADATA = 60


@dataclass(frozen=True)
class GalleryRequest:
    """Where to write which words. ``refs`` beat ``query``; ``name@3`` takes that version alone.

    ``also`` are ids of known bases to judge every word against, besides those that the words
    were learned or scored on. ``hub`` also tells where a word is published.
    """

    folder: Path
    refs: tuple[str, ...] = ()
    query: Query = field(default_factory=lambda: Query(limit=None))
    title: str = ""
    also: tuple[str, ...] = ()
    hub: bool = False


def build_gallery(request: GalleryRequest, *, home: Path, listen: Listener = silent) -> Built:
    """Write the gallery, or bring it up to date.

    Raises RefError for a reference or base that means nothing, ConfigError for a folder that
    holds something else.
    """
    with Registry.open(home, create=False) as registry:
        site = gather(registry, request, listen)
        return write_gallery(
            site,
            request.folder,
            lambda sha: _object(registry, sha),
            lambda task, done, total: listen(Event(task, done, total)),
        )


def gather(registry: Registry, request: GalleryRequest, listen: Listener = silent) -> Site:
    """Everything the pages will say, as plain data."""
    groups = list(_selected(registry, request))
    loaded: list[list[Version]] = []
    for number, group in enumerate(groups, 1):
        if versions := list(_loaded(registry, group, listen)):
            loaded.append(versions)
        if number % 50 == 0 or number == len(groups):
            listen(Event("records", number, len(groups)))
    runs = {v.record_sha: registry.runs(v.record_sha) for vs in loaded for v in vs}
    judges = _Judges(_targets(registry, request.also, loaded, runs))
    words = [
        _word(versions, runs, judges, _places(registry, versions) if request.hub else ())
        for versions in loaded
    ]
    # By what is shown first: equal galleries have equal files.
    words.sort(key=lambda word: word.name)
    words.sort(key=lambda word: word.newest.created, reverse=True)
    return Site(request.title or TITLE, tuple(words), _metrics(), f"tireg {tireg.__version__}")


def _selected(registry: Registry, request: GalleryRequest) -> Iterator[list[Found]]:
    """For every word the versions to show, newest first."""
    if not request.refs:
        for row in registry.search(request.query).rows:
            yield _all_versions(registry, registry.find(row.name))
        return
    chosen: dict[int, dict[int, Found]] = {}
    for ref in request.refs:
        found = registry.find(ref)
        whole = unicodedata.normalize("NFC", ref.strip()) == found.name
        versions = _all_versions(registry, found) if whole else [found]
        chosen.setdefault(found.embedding_id, {}).update({v.version: v for v in versions})
    for by_number in chosen.values():
        yield [by_number[number] for number in sorted(by_number, reverse=True)]


def _all_versions(registry: Registry, found: Found) -> list[Found]:
    with registry.store.reading() as db:
        where = "v.embedding_id = ? AND v.trashed IS NULL"
        every = found_where(db, where, [found.embedding_id])
    return sorted(every, key=lambda version: version.version, reverse=True)


def _loaded(registry: Registry, group: list[Found], listen: Listener) -> Iterator[Version]:
    for found in group:
        try:
            yield load(registry.store, found)
        except (CorruptError, SchemaTooNewError) as error:
            listen(Notice(f"'{found.ref}' is left out: {error.message}"))


def _object(registry: Registry, sha: str) -> bytes | None:
    """A picture's bytes; None where it is missing or damaged, which a page can live with."""
    try:
        return registry.objects.read(sha)
    except CorruptError:
        return None


def _places(registry: Registry, versions: list[Version]) -> tuple[str, ...]:
    return tuple(remote.repo for remote in registry.remotes(versions[0].name))


def _word(
    versions: list[Version],
    runs: Mapping[str, list[Run]],
    judges: _Judges,
    places: tuple[str, ...],
) -> Word:
    newest = versions[0]
    record = newest.record
    return Word(
        name=newest.name,
        token=record.token,
        kind=record.kind,
        class_noun=record.class_noun,
        negative=record.negative,
        author=record.author,
        notes=record.notes if newest.notes == record.notes else "",
        tags=newest.tags,
        versions=tuple(_version(version, runs[version.record_sha]) for version in versions),
        verdicts=judges.verdicts(record),
        commands=_commands(newest.name, record, places),
    )


def _version(version: Version, runs: list[Run]) -> VersionPart:
    record = version.record
    training = record.training
    lineage = training.lineage if training else {}
    parent = Parent(last_part(lineage.get("init_from", "?")), lineage.get("record"))
    return VersionPart(
        number=version.version,
        record=version.record_sha,
        tensor_hash=record.tensor_hash,
        created=record.created,
        base=base_name(record.base.id) if record.base else None,
        families=(record.base.family,) if record.base else record.families,
        license=record.license,
        vectors=", ".join(f"{t.encoder} {t.vectors} × {t.width}" for t in record.tensors),
        facts=_facts(version),
        recipe=_recipe(record),
        training=_training(record),
        aliases=version.aliases,
        parent=parent if lineage else None,
        previews=tuple(
            Preview(file.sha256, file.text or "") for file in record.files if file.role == "preview"
        ),
        runs=tuple(_run(run) for run in runs),
    )


def _facts(version: Version) -> tuple[tuple[str, str], ...]:
    record = version.record
    base, source = record.base, record.source
    where = f" from {base_name(source.where)}" if source.where else ""
    facts = {
        "how": f"{source.how}{where}",
        "author": record.author or "",
        "class noun": record.class_noun or "",
        "base revision": base.revision or "" if base else "",
        "learned from": f"{len(record.concept.pictures)} pictures" if record.concept else "",
        "vectors": ", ".join(
            f"{t.encoder} {t.vectors} × {t.width} {t.dtype}" for t in record.tensors
        ),
        "tensor hash": record.tensor_hash,
        "record": version.record_sha,
        "written by": f"tireg {record.tireg_version}",
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _recipe(record: Record) -> tuple[tuple[str, str], ...]:
    if record.recipe is None:
        return ()
    knobs = record.recipe.model_dump(mode="json", exclude={"format_version"})
    knobs["init_from"] = last_part(knobs.get("init_from") or "")
    told = sorted((name.replace("_", " "), value) for name, value in knobs.items())
    return tuple(
        (name, {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value}")
        for name, value in told
        if value not in ("", None)
    )


def _training(record: Record) -> tuple[tuple[str, str], ...]:
    training = record.training
    if training is None:
        return ()
    gain = f"{training.gain:.4f}" if training.gain is not None else ""
    error = f" ± {training.gain_error:.4f}" if training.gain_error is not None else ""
    told = {
        "steps": f"{training.steps}",
        "samples": f"{training.samples}",
        "time": f"{training.seconds:.0f} s on {training.device} in {training.dtype}",
        "chosen step": "" if training.chosen_step is None else f"{training.chosen_step}",
        "chosen for": training.variant or "",
        "stopped": training.stopped or "",
        "fall of the loss": f"{gain}{error}" if gain else "",
    }
    return tuple((name, value) for name, value in told.items() if value)


def _run(run: Run) -> RunPart:
    spec = run.spec
    return RunPart(
        base=base_name(spec.base),
        suite=spec.suite.name,
        suite_version=spec.suite.version,
        seeds=len(spec.seeds),
        sampler=spec.sampling.sampler,
        steps=spec.sampling.steps,
        created=run.created,
        frame=hashlib.sha256(repr(frame_of(run)).encode()).hexdigest()[:8],
        scores=tuple(_score(score) for score in run.scores),
    )


def _score(score: Score) -> ScoreLine:
    low, high = score.ci or (None, None)
    return ScoreLine(
        metric=score.metric,
        value=score.value,
        low=low,
        high=high,
        level=score.level,
        baseline=score.baseline,
        baseline_name=score.baseline_name,
        # A CLIP of the user's own is named by where it lay.
        encoder=base_name(score.encoder) if score.encoder else None,
        prompts=score.n_prompts,
        unscored=score.unscored or "",
    )


def _metrics() -> dict[str, MetricInfo]:
    from tireg.metrics import METRICS

    return {name: MetricInfo(m.direction, m.target, m.bad) for name, m in METRICS.items()}


def _commands(name: str, record: Record, places: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    quoted = shlex.quote(name)
    templates = record.concept.templates if record.concept else ("a picture of {token}",)
    prompt = shlex.quote(templates[0].replace("{token}", record.token))
    base = base_name(record.base.id) if record.base else "BASE"
    asked = f" --base {shlex.quote(base)}" if record.base is None else ""
    draw = f"--negative {shlex.quote(record.token)} 'a picture'" if record.negative else prompt
    owner, _, folder = places[0].partition("/")[2].partition("/") if places else ("", "", "")
    commands = []
    if places:
        repo = f"{places[0].partition('/')[0]}/{owner}"
        inside = f" --folder {shlex.quote(folder)}" if folder else ""
        commands.append(("get it", f"tireg pull {shlex.quote(repo)}{inside}"))
    return (
        *commands,
        ("draw with it", f"tireg generate {draw} --with {quoted}{asked}"),
        ("take it to another tool", f"tireg export {quoted} --to webui"),
        ("see what it runs on", f"tireg compat {quoted}"),
        ("all there is to know", f"tireg show {quoted}"),
    )


def last_part(text: str) -> str:
    """What is behind the last slash of a path; a name is itself."""
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1]


def base_name(text: str) -> str:
    """A Hub id or a name as it is; of what is a path of some machine, the last part."""
    is_hub_id = re.fullmatch(r"[\w.-]+(?:/[\w.-]+){0,2}", text) and ".." not in text
    plain = not re.search(r"[\\/]", text) or is_hub_id
    return text if plain and not text.startswith("~") else last_part(text)


class _Judges:
    """Verdicts by what decides them: a fingerprint and widths. Most words share a few."""

    def __init__(self, targets: dict[str, list[Target]]) -> None:
        self.targets = targets
        self.known: dict[tuple[str, str], tuple[BaseVerdict, ...]] = {}

    def verdicts(self, record: Record) -> tuple[BaseVerdict, ...]:
        """One per base, the best first."""
        made = record.base.fingerprint if record.base else None
        widths = {encoder_of(info.encoder): info.width for info in record.tensors}
        key = (made.identity if made else "", json.dumps(widths, sort_keys=True))
        if key not in self.known:
            found = [self._best(name, widths, made) for name in self.targets]
            found.sort(key=lambda verdict: (ORDER.index(verdict.verdict), verdict.base))
            self.known[key] = tuple(found)
        return self.known[key]

    def _best(self, name: str, widths: dict[str, int], made: Fingerprint | None) -> BaseVerdict:
        judged = [judge(widths, made, target) for target in self.targets[name]]
        best = min(judged, key=lambda found: ORDER.index(found.verdict))
        return BaseVerdict(name, best.verdict, best.reason)


def _targets(
    registry: Registry,
    also: tuple[str, ...],
    loaded: list[list[Version]],
    runs: Mapping[str, list[Run]],
) -> dict[str, list[Target]]:
    """The bases to judge by, as they are to be called; each with what was measured of it."""
    refs: list[BaseRef] = [
        v.record.base for versions in loaded for v in versions if v.record.base is not None
    ]
    scored = {run.spec.base for several in runs.values() for run in several}
    known = registry.bases()
    if unknown := [name for name in also if name not in {row.id for row in known}]:
        names = ", ".join(sorted({row.id for row in known})[:5])
        raise RefError(
            f"no base is called '{unknown[0]}' here",
            hint=f"known: {names}" if names else f"tireg bases add {shlex.quote(unknown[0])}",
        )
    prints: dict[str, dict[str, Target]] = {}
    wanted = {*also, *scored, *(ref.id for ref in refs)}
    sources: list[tuple[str, str, Fingerprint | None]] = [
        *((ref.id, ref.family, ref.fingerprint) for ref in refs),
        *((row.id, row.family, row.fingerprint) for row in known if row.id in wanted),
    ]
    identities: dict[int, str] = {}
    for ident, family, measured in sources:
        identity = ""
        if measured is not None:
            identity = identities.setdefault(id(measured), measured.identity)
        name = base_name(ident)
        prints.setdefault(name, {}).setdefault(identity, _target(name, family, measured))
    return {
        name: [target for key, target in found.items() if key or len(found) == 1]
        for name, found in prints.items()
    }


def _target(name: str, family: str, measured: Fingerprint | None) -> Target:
    if measured is not None:
        return Target(name, {e.key: e.width for e in measured.encoders}, measured)
    row = find_family(family)
    return Target(name, {e.key: e.width for e in row.encoders} if row else {})


__all__ = ["Built", "GalleryRequest", "build_gallery", "gather"]
