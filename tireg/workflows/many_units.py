"""What workers do: score one embedding on one base, draw what several scores share.

A worker never touches the registry of the user. It gets records and vectors as files, works in a
small registry of its own, and gives back a run and its files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.domain.model import read_document
from tireg.domain.records import Record
from tireg.domain.scores import Run
from tireg.domain.suites import Suite, fill, load_suite
from tireg.errors import BaseError, CorruptError
from tireg.fanout import Desk, Made
from tireg.store.home import registry_home
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow
from tireg.workflows.evaluate import EvalRequest, evaluate_beside
from tireg.workflows.places import BUILT_IN
from tireg.workflows.progress import Event, Listener, Notice
from tireg.workflows.shelf import kept_open, shelf

if TYPE_CHECKING:
    from tireg.workflows.drawing import Wish

_open_models: dict[str, Any] = {}
_fetched: dict[tuple[str, str], Path] = {}
"""Folders of bases that this worker had to fetch."""


@dataclass(frozen=True)
class Ground:
    """A base as a worker is told of it: what to ask for, and where it lies on the first machine."""

    asked: str | None
    """None: the one the embedding was made on."""
    id: str
    family: str
    folder: str
    revision: str | None
    license: str | None
    config: str | None
    fingerprint: str

    def row(self) -> BaseRow:
        """What a worker's registry knows of it. Raises as :meth:`here`."""
        return BaseRow(self.id, self.family, self.revision, None, self.license, str(self.here()))

    def here(self) -> Path:
        """Its folder or file on this machine; what is on the Hub is fetched at the same commit.

        BaseError where it is a folder that this machine does not have, HubError where the Hub
        cannot be reached.
        """
        folder = Path(self.folder)
        if folder.exists():
            return folder
        if self.id in BUILT_IN:
            return BUILT_IN[self.id].folder()
        if self.revision is None:
            raise BaseError(
                f"the base '{self.id}' is not in {folder} on this machine",
                hint="give every machine its files in the same folder, or take one from the Hub",
            )
        if (self.id, self.revision) not in _fetched:
            from tireg.hub.fetch import fetch_base

            _fetched[self.id, self.revision] = fetch_base(self.id, self.revision).folder
        return _fetched[self.id, self.revision]


def evaluate_cell(given: Mapping[str, Any], desk: Desk) -> Made:
    """Score one embedding on one base; the run, and its contact sheet and lines per picture.

    ``given``: ``record`` and ``others`` (record sha256), ``objects`` (sha256 of their files),
    ``ground``, ``options`` of the EvalRequest, ``suite`` (a name, or the sha256 of a file) and
    ``home_run`` (a run or None).
    """
    ground = Ground(**given["ground"])
    notices: list[str] = []
    home = _own_home(desk, given, ground)
    options = dict(given["options"], references=given["others"])
    options["suite"] = str(_suite_file(desk, given["suite"]))
    request = EvalRequest(ref=given["record"], base=ground.asked, **options)
    first = None
    if given["home_run"] is not None:
        first = Run.model_validate(given["home_run"])
    with shelf(_open_models):
        done = evaluate_beside(request, first, home=home, listen=_telling(desk, notices))
    if done.run.spec.base_fingerprint != ground.fingerprint:
        raise BaseError(
            f"the base '{ground.id}' has other weights where this was done",
            hint="give every machine the same files of it",
        )
    with Registry.open(home) as registry:
        files = {f.sha256: registry.objects.read(f.sha256) for f in done.run.files}
    return Made({"run": done.run.model_dump(mode="json"), "notices": notices}, files)


def draw_baselines(given: Mapping[str, Any], desk: Desk) -> Made:
    """Draw the pictures that several embeddings are compared with, into the shared cache.

    ``given``: ``ground``, ``options``, ``suite``, and ``noun``: the class noun to draw, or None
    for the prompts without a slot and those with nothing in it.
    """
    from tireg.models.bases import dtype_name, open_base
    from tireg.workflows.drawing import PictureCache, keep_drawn
    from tireg.workflows.eval_setup import sampling_of
    from tireg.workflows.places import find_base

    ground = Ground(**given["ground"])
    options = given["options"]
    suite = load_suite(_suite_file(desk, given["suite"]))
    known = {ground.id: str(ground.here())}
    place = find_base(ground.asked or ground.id, known, config=ground.config)
    told = (place.folder, options["device"], options["dtype"], place.config)
    with shelf(_open_models):
        base = kept_open(
            "base", told,
            lambda: open_base(
                place.folder, device=options["device"], dtype=options["dtype"], config=place.config
            ),
        )  # fmt: skip
        request = EvalRequest(ref="", **options)
        sampling = sampling_of(request, suite, base, dtype_name(base.dtype))
        keys = keep_drawn(
            base, shared_wishes(suite, given["noun"]), sampling, ground.fingerprint,
            cache=PictureCache(_cache(desk) / "pictures"), listen=_telling(desk, []),
            task="drawing",
        )  # fmt: skip
    return Made({"pictures": len(keys)})


def shared_wishes(suite: Suite, noun: str | None) -> list[Wish]:
    """The pictures of a suite that hold no learned word: with ``noun`` in the slot, or (None) on
    prompts without a slot and with nothing in it."""
    from tireg.workflows.drawing import Wish

    found = []
    for prompt in suite.prompts:
        if prompt.has_slot:
            text = fill(prompt, "class", noun) if noun else fill(prompt, "empty")
        elif noun is None:
            text = prompt.text
        else:
            continue
        found += [Wish(text, seed) for seed in suite.seeds]
    return found


def _own_home(desk: Desk, given: Mapping[str, Any], ground: Ground) -> Path:
    """A registry of this worker that holds what the unit speaks of."""
    home = _home(desk)
    with Registry.open(home) as registry:
        registry.add_base(ground.row())
        for sha in (given["record"], *given["others"]):
            record = read_document(Record, desk.read(sha), name="the record")
            objects = {
                file.sha256: desk.read(file.sha256)
                for file in record.files
                if file.sha256 in given["objects"] and not registry.objects.has(file.sha256)
            }
            added = registry.add(record, objects, name=f"record-{sha[:32]}")
            if added.version.record_sha != sha:
                raise CorruptError("the record changed on its way", hint="tireg verify")
    return home


def _home(desk: Desk) -> Path:
    """This worker's own registry folder, whose cache is the shared one."""
    home = desk.scratch / "home"
    home.mkdir(parents=True, exist_ok=True)
    cache = _cache(desk)
    cache.mkdir(parents=True, exist_ok=True)
    # Where links are not allowed the cache is this worker's own, which costs time only.
    with contextlib.suppress(OSError):
        (home / "cache").symlink_to(cache, target_is_directory=True)
    return home


def _cache(desk: Desk) -> Path:
    return (desk.cache or registry_home() / "cache").absolute()


def _suite_file(desk: Desk, told: Mapping[str, str]) -> Path | str:
    """The shipped suite's name, or the file of one that came along."""
    if "name" in told:
        return told["name"]
    data = desk.read(told["sha256"])
    path = desk.scratch / f"{sha256(data).hexdigest()}.yaml"
    path.write_bytes(data)
    return path


def _telling(desk: Desk, notices: list[str]) -> Listener:
    """A listener whose events are short words and whose notices are collected."""

    def listen(event: Event | Notice) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)
        elif event.total:
            desk.tell(f"{event.task} {event.done}/{event.total}")

    return listen


def every_file(records: Sequence[Record], registry: Registry) -> Iterator[tuple[str, Path]]:
    """The files of records that are here, by sha256; what was foreign stays."""
    for record in records:
        for file in record.files:
            if file.role != "original" and registry.objects.has(file.sha256):
                yield file.sha256, registry.objects.path(file.sha256)
