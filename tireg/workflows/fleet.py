"""Learn many words side by side on one base; each is recorded as a run of its own would be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tireg.domain.launching import check_alone
from tireg.errors import ConceptError, NameInUseError, TiregError, TrainingFailedError
from tireg.store.home import check_writable
from tireg.store.rows import Version
from tireg.workflows.fanning import Fan
from tireg.workflows.fleet_file import named_by_folder
from tireg.workflows.fleet_progress import FleetProgress
from tireg.workflows.learning import ending, interruption, note, open_board
from tireg.workflows.progress import Listener, Notice, silent
from tireg.workflows.train import (
    Ground,
    Ready,
    TrainRequest,
    find_ground,
    keep,
    make_ready,
    plan_run,
    recorded,
)

if TYPE_CHECKING:
    from tireg.models.bases import Base
    from tireg.training.fleet import Fleet, Moment
    from tireg.workflows.concept_input import ConceptPlan
    from tireg.workflows.learning import Painter
    from tireg.workflows.teaching import Learned, Lesson

    Keeper = Callable[[int, "Ready", "Learned", Listener], Version | None]

# Samples that are worth taking through the denoiser at once, where memory allows them: above
# this the time that each takes hardly falls any more.
SAMPLES = 32
# Share of the free memory that a fleet may plan with.
SAFE = 0.9


@dataclass(frozen=True)
class Ended:
    """What became of one concept.

    ``there``: this very run was recorded before. ``steps`` are those that its run took now or
    before it was stopped; ``error`` says why it failed. ``version`` is None where it failed, and
    in a worker, which does not record.
    """

    name: str
    status: Literal["trained", "there", "failed"]
    version: Version | None = None
    steps: int = 0
    error: TiregError | None = None


def train_fleet(
    requests: Sequence[TrainRequest],
    *,
    home: Path,
    width: int | None = None,
    fan: Fan | None = None,
    labels: Sequence[str] | None = None,
    listen: Listener = silent,
) -> list[Ended]:
    """Train and record every request; what became of each, in their order.

    All are for the base of the first one, on its device, in its precision. ``width`` is how many
    learn at the same time; None: by the memory there is. With ``fan`` workers learn them, some
    concepts each. ``labels`` are what to call the requests in what is told, their names where it
    is None. Runs that were recorded before are not run again, runs that were stopped go on. A
    concept that fails is an entry with its error; what concerns all of them is raised: InputError
    kinds for the base, StoreError for ``home``. KeyboardInterrupt once all runs under way are
    saved.
    """
    check_alone("a fleet")
    check_writable(home)
    if fan is not None and (fan.jobs is not None or fan.ray is not None):
        from tireg.workflows.fleet_fan import learn_apart

        return learn_apart(requests, home, width, fan, labels, listen)
    return learn_together(requests, home, width, labels, listen, interruption())


def learn_together(
    requests: Sequence[TrainRequest],
    home: Path,
    width: int | None,
    labels: Sequence[str] | None,
    listen: Listener,
    stopping: AbstractContextManager[list[int]],
    keeper: Keeper | None = None,
) -> list[Ended]:
    """All in this process; ``stopping`` gives a list that becomes true when it is to end.

    ``keeper`` takes what a run left, by its place in the list; None: it is recorded in ``home``.
    """
    progress = FleetProgress(listen, [r.recipe.last_step for r in requests])
    work = _Work(home, width, progress, labels, keeper)
    work.plan(requests)
    if work.waiting:
        work.ground = find_ground(work.waiting[0].request, home)
        with stopping as stop:
            while work.waiting or work.lessons:
                work.fill(stop)
                work.round(stop)
    return [work.ended[number] for number in range(len(requests))]


def look_over(
    requests: Sequence[TrainRequest], home: Path, labels: Sequence[str] | None, listen: Listener
) -> tuple[dict[int, Ended], dict[int, tuple[TrainRequest, str]], Ground | None]:
    """What is over before any work, and what is left to do: settled requests, keys of their runs.

    Both by place in the list. The ground is None where nothing is left.
    """
    progress = FleetProgress(listen, [r.recipe.last_step for r in requests])
    work = _Work(home, None, progress, labels, None)
    work.plan(requests)
    left: dict[int, tuple[TrainRequest, str]] = {}
    if work.waiting:
        work.ground = find_ground(work.waiting[0].request, home)
    for planned in work.waiting:
        ready = work.get_ready(planned)
        if ready is not None:
            left[planned.number] = planned.request, ready.folder.key
    return work.ended, left, work.ground


@dataclass(frozen=True)
class _Planned:
    """One concept that can be begun: its place in the list, its request, its pictures."""

    number: int
    request: TrainRequest
    plan: ConceptPlan


@dataclass(frozen=True)
class _UnderWay:
    """One concept that learns."""

    number: int
    name: str
    lesson: Lesson


@dataclass
class _Work:
    """A fleet under way: who waits, who learns by the key of its run, who has ended."""

    home: Path
    width: int | None
    progress: FleetProgress
    labels: Sequence[str] | None
    keeper: Keeper | None
    waiting: deque[_Planned] = field(default_factory=deque)
    lessons: dict[str, _UnderWay] = field(default_factory=dict)
    ended: dict[int, Ended] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    ground: Ground | None = None
    fleet: Fleet | None = None

    def name(self, number: int, request: TrainRequest) -> str:
        """What to call a concept where it is spoken of."""
        return self.labels[number] if self.labels is not None else request.name

    def plan(self, requests: Sequence[TrainRequest]) -> None:
        """Look at every request without opening pictures; what is wrong there ends at once."""
        taken: dict[str, TrainRequest] = {}
        for number, given in enumerate(requests):
            name = self.name(number, given) or given.pictures[0].name
            try:
                request, plan = plan_run(named_by_folder(replace(given, resume=True)), self.home)
                name = self.name(number, request)
                first = taken.setdefault(request.name, request)
                if (first.token, first.kind) != (request.token, request.kind):
                    raise NameInUseError(
                        f"another concept of this fleet is called '{request.name}': "
                        f"the {first.kind} with token {first.token}",
                        hint="another name, or that token and kind for a further version of it",
                    )
                self.waiting.append(_Planned(number, request, plan))
            except TiregError as error:
                self.end(number, Ended(name, "failed", error=error))

    def fill(self, stop: list[int]) -> None:
        """Begin runs until there is no more room; the base is opened for the first of them."""
        while self.waiting and not stop:
            if self.width is not None and len(self.lessons) >= self.width:
                return
            planned = self.waiting.popleft()
            ready = self.get_ready(planned)
            if ready is None:
                continue
            if self.fleet is None:
                self.fleet, self.width = self.open(planned)
            try:
                self.begin(planned.number, ready, self.fleet)
            except TiregError as error:
                name = self.name(planned.number, planned.request)
                self.end(planned.number, Ended(name, "failed", error=error))

    def get_ready(self, planned: _Planned) -> Ready | None:
        """One concept with its pictures open; None where it has ended by that."""
        assert self.ground is not None
        number, name = planned.number, self.name(planned.number, planned.request)
        self.progress.show(f"{name}: opening the pictures")
        try:
            ready = make_ready(
                planned.request, planned.plan, self.ground, self.home, self.progress.of(name)
            )
            key = ready.folder.key
            if key in self.runs:
                raise ConceptError(
                    f"this is the same run as '{self.runs[key]}' of this fleet",
                    hint="give it another seed, or leave it out",
                )
            self.runs[key] = name
            version = recorded(ready, self.home)
        except TiregError as error:
            self.end(number, Ended(name, "failed", error=error))
            return None
        if version is not None:
            self.end(number, Ended(name, "there", version))
            return None
        return ready

    def open(self, planned: _Planned) -> tuple[Fleet, int]:
        """The base in memory and how many concepts learn on it at the same time."""
        from tireg.training.fleet import Fleet
        from tireg.workflows.teaching import open_for

        assert self.ground is not None
        listen = self.progress.of(self.ground.place.id)
        base = open_for(planned.request, self.ground.place, listen)
        requests = [planned.request, *(other.request for other in self.waiting)]
        return Fleet(base), _width(base, requests, self.width, listen)

    def begin(self, number: int, ready: Ready, fleet: Fleet) -> None:
        """Let one concept join those that learn, or end at once where only its end was left."""
        from tireg.models.bases import unload
        from tireg.models.latents import restore_vae
        from tireg.workflows.teaching import begin_lesson

        request, key = ready.request, ready.folder.key
        name = self.name(number, request)
        board = open_board(request.keeping.tensorboard, key)
        unload(fleet.base.pipe)
        restore_vae(fleet.base)
        lesson = begin_lesson(
            ready, fleet.base, board, self.home, self.progress.of(name), batching="fleet"
        )
        fleet.add(key, lesson.learning)
        lesson.watch.paint = _Seated(fleet, key, lesson.painter)
        self.lessons[key] = _UnderWay(number, name, lesson)
        self.progress.learning = len(self.lessons)
        if lesson.learning.reason is not None:
            self.finish(key)

    def round(self, stop: list[int]) -> None:
        """One step of all that learn. After Ctrl-C all are saved and KeyboardInterrupt raised."""
        if not self.lessons and not stop:
            return
        moments = self.fleet.round() if self.fleet is not None else {}
        for key, moment in moments.items():
            self.note(key, moment, save=bool(stop))
        if stop:
            self.progress.listen(
                Notice(f"stopped and saved {len(self.lessons)} runs: the same command goes on")
            )
            raise KeyboardInterrupt
        for key in [k for k, one in self.lessons.items() if one.lesson.learning.reason]:
            self.finish(key)

    def note(self, key: str, moment: Moment, *, save: bool) -> None:
        """Log, show and keep one moment of one run; a run that failed is let go."""
        one = self.lessons[key]
        if isinstance(moment, TiregError):
            self.fail(key, moment)
            return
        try:
            note(one.lesson.learning, one.lesson.watch, moment, save=save)
        except TiregError as error:
            self.fail(key, error)
            return
        self.progress.step(one.number, moment.step)
        said = one.lesson.watch.said
        self.progress.show(f"{one.name}: {said}" if said else one.name)

    def finish(self, key: str) -> None:
        """Record a run that has ended, and let it go."""
        from tireg.models.latents import drawing
        from tireg.workflows.teaching import end_lesson

        assert self.fleet is not None
        one, base = self.lessons[key], self.fleet.base
        lesson = one.lesson
        steps = lesson.learning.step
        try:
            with self.fleet.seated(key), drawing(base):
                learned = end_lesson(lesson, ending(lesson.learning, lesson.watch))
            listen = self.progress.of(one.name)
            if self.keeper is None:
                version: Version | None = keep(lesson.ready, learned, self.home, listen)
            else:
                version = self.keeper(one.number, lesson.ready, learned, listen)
            ended = Ended(one.name, "trained", version, steps)
        except TiregError as error:
            ended = Ended(one.name, "failed", None, steps, error)
        self.leave(key, ended)

    def fail(self, key: str, error: TiregError) -> None:
        """Let a run go that broke; where training broke it, its last good rows are kept."""
        one = self.lessons[key]
        learning, folder = one.lesson.learning, one.lesson.ready.folder
        if isinstance(error, TrainingFailedError):
            folder.fail(learning.good, error.message)
        self.leave(key, Ended(one.name, "failed", None, learning.step, error))

    def leave(self, key: str, ended: Ended) -> None:
        """Make room."""
        assert self.fleet is not None
        one = self.lessons.pop(key)
        one.lesson.watch.close()
        if key in self.fleet.members:
            self.fleet.remove(key)
        self.end(one.number, ended)

    def end(self, number: int, ended: Ended) -> None:
        """Write down what became of a concept, and say so where it is not as it should be."""
        self.ended[number] = ended
        self.progress.learning = len(self.lessons)
        self.progress.end(number, failed=ended.error is not None)
        if ended.error is not None:
            self.progress.listen(Notice(f"{ended.name} drops out: {ended.error.message}"))


@dataclass(frozen=True)
class _Seated:
    """A painter that draws with the words of one run."""

    fleet: Fleet
    key: str
    painter: Painter

    def __call__(self, step: int) -> None:
        """Draw and keep the pictures of ``step``."""
        with self.fleet.seated(self.key):
            self.painter(step)


def _width(
    base: Base, requests: Sequence[TrainRequest], wanted: int | None, listen: Listener
) -> int:
    """How many concepts learn at the same time: as wanted, or as memory allows and time repays.

    ConfigError where not even the largest of them fits alone.
    """
    from tireg.training.memory import available_memory, estimate_memory
    from tireg.workflows.teaching import fit_memory

    side = max(r.recipe.resolution or base.family.resolution for r in requests)
    batch = max(-(-r.recipe.batch // r.recipe.accumulate) for r in requests)
    largest = requests[0].recipe.model_copy(
        update={"resolution": side, "batch": batch, "accumulate": 1}
    )
    spare = fit_memory(base, largest, requests[0].memory, listen)
    if wanted is not None:
        return wanted
    repaid = max(1, SAMPLES // batch)
    free = available_memory(base.device)
    if free is None:
        return repaid
    one, two = (
        estimate_memory(base, resolution=side, batch=n * batch, checkpointing=spare) for n in (1, 2)
    )
    weights = one - (two - one)
    parts = [p for p in base.pipe.components.values() if hasattr(p, "parameters")]
    there = sum(w.nbytes for part in parts for w in part.parameters())
    fitting = int((SAFE * (free + there) - weights) // max(1, two - one))
    return max(1, min(repaid, fitting))
