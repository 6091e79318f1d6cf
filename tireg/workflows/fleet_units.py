"""What workers of a fleet do: learn a few concepts, and give back what is to be recorded.

A worker never writes to the registry. On the machine that hands out the work it reads it and
keeps checkpoints where runs of that registry keep theirs; elsewhere it works in a registry of its
own, and keeps checkpoints in that machine's.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tireg.domain.recipes import Recipe
from tireg.errors import ConfigError, TrainingFailedError
from tireg.fanout import Desk, Made
from tireg.store.home import registry_home
from tireg.store.registry import Registry
from tireg.workflows.learning import Keeping, interruption
from tireg.workflows.many_units import Ground
from tireg.workflows.progress import Event, Listener, Notice
from tireg.workflows.train import TrainRequest

if TYPE_CHECKING:
    from tireg.workflows.fleet import Ended
    from tireg.workflows.teaching import Learned
    from tireg.workflows.train import Ready

Tree = Mapping[str, Any]
"""``pictures``: paths inside; ``files``: path inside to sha256."""


def learn_concepts(given: Mapping[str, Any], desk: Desk) -> Made:
    """Learn the concepts of one unit side by side.

    ``given``: ``requests`` as :func:`request_as_json` makes them, ``labels``, ``ground``, and
    ``trees``, the files of each concept for a machine that does not have them. What is made is
    ``ended``, one entry for each concept with the records of those that went well, and
    ``notices``.
    """
    home = _home(desk, given["ground"])
    requests = [request_of(told) for told in given["requests"]]
    if desk.cache is None:
        requests = [
            replace(_unpacked(request, tree, number, desk), base=given["ground"]["id"])
            for number, (request, tree) in enumerate(zip(requests, given["trees"], strict=True))
        ]
    parcels: dict[int, dict[str, Any]] = {}
    files: dict[str, bytes] = {}
    notices: list[str] = []

    def keep(number: int, ready: Ready, learned: Learned, _: Listener) -> None:
        parcels[number] = _parcel(ready, learned, files)

    ended = _learn(requests, home, given["labels"], _telling(desk, notices), keep)
    lines = [
        {
            "name": one.name, "status": one.status, "steps": one.steps,
            "error": [type(one.error).__name__, one.error.message, one.error.hint]
            if one.error else None,
            "parcel": parcels.get(number),
        }
        for number, one in enumerate(ended)
    ]  # fmt: skip
    return Made({"ended": lines, "notices": notices}, files)


def _learn(
    requests: Sequence[TrainRequest], home: Path, labels: Sequence[str], listen: Listener,
    keep: Any,
) -> list[Ended]:  # fmt: skip
    from tireg.workflows.fleet import learn_together

    apart = multiprocessing.parent_process() is not None
    stopping: AbstractContextManager[list[int]] = _ending() if apart else interruption()
    try:
        return learn_together(requests, home, len(requests), labels, listen, stopping, keep)
    except KeyboardInterrupt as stop:
        if not apart:
            raise
        raise SystemExit(0) from stop


@contextlib.contextmanager
def _ending() -> Iterator[list[int]]:
    """A list that becomes true when this process is told to end, so that its runs are saved."""
    caught: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGTERM, before)


def _parcel(ready: Ready, learned: Learned, files: dict[str, bytes]) -> dict[str, Any]:
    """What a run left, as JSON and files; the run is said to be about to be recorded."""
    from tireg.workflows.trained import make_records

    made = make_records(ready.request, ready.concept, ready.ref, learned)
    for one in made:
        files[one.record.sha256] = one.record.canonical()
        files.update(one.objects)
    learned.folder.announce([one.record.sha256 for one in made])
    outcome = learned.outcome
    return {
        "records": [
            {"sha256": m.record.sha256, "objects": sorted(m.objects), "aliases": list(m.aliases)}
            for m in made
        ],
        "run": learned.folder.about,
        "learned": outcome.learned,
        "gain": outcome.gain,
        "gain_error": outcome.gain_error,
    }


def request_as_json(request: TrainRequest) -> dict[str, Any]:
    """A settled request for a worker, whose machine may know none of this one's files."""
    told = {
        name: getattr(request, name)
        for name in TrainRequest.__dataclass_fields__
        if name not in ("pictures", "recipe", "keeping")
    }
    recipe, keeping = request.recipe, asdict(request.keeping)
    board = keeping["tensorboard"]
    return told | {
        "pictures": [str(path.resolve()) for path in request.pictures],
        "templates": list(told["templates"]) if told["templates"] else None,
        "recipe": {name: getattr(recipe, name) for name in sorted(recipe.model_fields_set)},
        "keeping": keeping | {"tensorboard": str(board.resolve()) if board else None},
    }


def request_of(told: Mapping[str, Any]) -> TrainRequest:
    """The request that :func:`request_as_json` wrote down."""
    keeping = dict(told["keeping"])
    board = keeping.pop("tensorboard")
    return TrainRequest(
        **{
            **told,
            "pictures": tuple(Path(path) for path in told["pictures"]),
            "templates": tuple(told["templates"]) if told["templates"] else None,
            "recipe": Recipe.model_validate(told["recipe"]),
            "keeping": Keeping(**keeping, tensorboard=Path(board) if board else None),
        }
    )


def _home(desk: Desk, told: Mapping[str, Any]) -> Path:
    """The registry to read from, whose folder keeps the checkpoints."""
    if desk.cache is not None:
        return desk.cache.absolute().parent
    home = desk.scratch / "fleet-home"
    home.mkdir(parents=True, exist_ok=True)
    kept = registry_home() / "training"
    kept.mkdir(parents=True, exist_ok=True)
    # Where links are not allowed a lost worker begins its unit anew.
    with contextlib.suppress(OSError):
        (home / "training").symlink_to(kept.absolute(), target_is_directory=True)
    with Registry.open(home) as registry:
        registry.add_base(Ground(**told).row())
    return home


def _unpacked(request: TrainRequest, tree: Tree, number: int, desk: Desk) -> TrainRequest:
    """``request`` for files of a concept laid out in this worker's own folder."""
    if request.recipe.init_from:
        raise ConfigError(
            f"the concept starts from '{request.recipe.init_from}', which is on another machine",
            hint="--jobs N on the machine that has it",
        )
    root = desk.scratch / "concepts" / str(number)
    for inside, sha in tree["files"].items():
        target = root / inside
        if not target.resolve().is_relative_to(root.resolve()):
            raise ConfigError(f"'{inside}' leads out of the concept's folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(desk.read(sha))
    return replace(request, pictures=tuple(root / inside for inside in tree["pictures"]))


def _telling(desk: Desk, notices: list[str]) -> Listener:
    def listen(event: Event | Notice) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)
        else:
            desk.tell(event.note or event.task)

    return listen


def failure_of(told: Sequence[str]) -> Exception:
    """The error that a worker wrote down, of the same kind where there is such a kind."""
    from tireg import errors

    kind = getattr(errors, told[0], TrainingFailedError)
    found: Exception = kind(told[1], hint=told[2])
    return found
