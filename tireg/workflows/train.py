"""Learn a word from pictures and record it as the next version of its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tireg.domain.concepts import Kind
from tireg.domain.families import Family
from tireg.domain.fingerprints import BaseRef
from tireg.domain.recipes import Recipe, check_knob
from tireg.domain.records import Variant
from tireg.errors import (
    ConceptError,
    ConfigError,
    NameInUseError,
    RecipeError,
    RefError,
    TrainingFailedError,
)
from tireg.store.adding import Item
from tireg.store.home import check_writable
from tireg.store.names import check_name
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.bases import fingerprint_if_any
from tireg.workflows.learning import Keeping
from tireg.workflows.making import remember_base
from tireg.workflows.places import Place, find_base
from tireg.workflows.progress import Listener, Notice, silent

if TYPE_CHECKING:
    from tireg.training.processes import Team
    from tireg.workflows.concept_input import ConceptInput, ConceptPlan, Typed
    from tireg.workflows.run_folder import RunFolder
    from tireg.workflows.teaching import Learned


@dataclass(frozen=True)
class TrainRequest:
    """What to learn, on which base, by which recipe, and what to keep of it.

    ``pictures`` are files, folders, or one concept file, whose entries the other fields override
    where they are given. ``variants`` keeps the front between likeness and obedience as versions
    with the aliases ``faithful``, ``balanced`` and ``editable``; ``pick`` is which of them becomes
    the newest version.
    """

    pictures: Sequence[Path]
    base: str
    name: str = ""
    token: str = ""
    kind: Kind | None = None
    recipe: Recipe = field(default_factory=Recipe)
    class_noun: str = ""
    base_config: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    templates: Path | tuple[str, ...] | None = None
    license: str | None = None
    negative: bool | None = None
    encoder: str | None = None
    keeping: Keeping = field(default_factory=Keeping)
    resume: bool = False
    resume_anyway: bool = False
    variants: bool = False
    pick: Variant = "balanced"
    memory: str = "auto"
    keep_anyway: bool = False


def train(request: TrainRequest, *, home: Path, listen: Listener = silent) -> Version:
    """Train and record; the version that was picked.

    Nothing is recorded unless all goes well, but for a run that learned nothing: that is kept in
    the trash, with its reason; with ``keep_anyway`` in the list. Raises InputError kinds for what
    cannot be used, TrainingFailedError when nothing was learned, StoreError when it cannot be
    saved.

    Where accelerate or torchrun started several processes, all of them call this and learn the
    one word together, ``recipe.batch`` pictures each. The main process alone listens and writes;
    the recipe that is recorded has the pictures of all as its batch, so that one process with
    that recipe learns the same vectors.
    """
    from tireg.training.processes import together

    with together() as team:
        return _train(request, home, listen if team.main else silent, team)


def _train(request: TrainRequest, home: Path, listen: Listener, team: Team) -> Version:
    from tireg.workflows.teaching import teach

    ready = team.first(lambda: _prepare(request, home, listen, team))
    team.check_same({**ready.folder.about, "files": None}, "pictures, settings or base")
    version = team.tell(lambda: recorded(ready, home) if request.resume else None)
    if version is not None:
        listen(Notice("this run is complete: nothing is left to do"))
        return version
    learned = teach(ready, home, listen, team)
    return team.tell(lambda: keep(ready, _there(learned), home, listen))


def _prepare(request: TrainRequest, home: Path, listen: Listener, team: Team) -> Ready:
    """Settle the run in this process; with several, the batch is that of all of them."""
    if team.main:
        check_writable(home)
    request, plan = plan_run(request, home)
    if team.count > 1:
        batch = request.recipe.batch * team.count
        check_knob("batch", batch, shown=f"the --batch of {team.count} processes together,")
        recipe = request.recipe.model_copy(update={"batch": batch})
        request = replace(request, recipe=recipe, device=team.device(request.device))
    return make_ready(request, plan, find_ground(request, home), home, listen)


def _there(learned: Learned | None) -> Learned:
    assert learned is not None, "the main process has what it learned"
    return learned


@dataclass(frozen=True)
class Ground:
    """A base that was found, not yet opened."""

    place: Place
    family: Family

    def ref(self, home: Path) -> BaseRef:
        """How records name it; its fingerprint is measured once and remembered in ``home``."""
        return BaseRef(
            id=self.place.id,
            revision=self.place.revision,
            family=self.family.id,
            fingerprint=fingerprint_if_any(home, self.place.folder, self.family),
            license=self.place.license,
        )


@dataclass(frozen=True)
class Ready:
    """A run with nothing left to be settled: what to learn, where on, and where it is kept."""

    request: TrainRequest
    concept: ConceptInput
    ref: BaseRef
    place: Place
    folder: RunFolder


def plan_run(request: TrainRequest, home: Path) -> tuple[TrainRequest, ConceptPlan]:
    """The request with what the concept file says, and its pictures, none opened yet.

    Raises what :func:`train` does for words that are missing or wrong, and NameInUseError.
    """
    from tireg.workflows.concept_input import plan_concept

    plan = plan_concept(request.pictures, _typed(request))
    request = _settled(request, plan)
    with Registry.open(home) as registry:
        _check_name(registry, request)
    return request, plan


def find_ground(request: TrainRequest, home: Path) -> Ground:
    """The base that ``request`` names; BaseError where there is none."""
    with Registry.open(home) as registry:
        known = {row.id: row.path for row in registry.bases() if row.path}
    place = find_base(request.base, known, config=request.base_config)
    return Ground(place, _family_of(place))


def make_ready(
    request: TrainRequest, plan: ConceptPlan, ground: Ground, home: Path, listen: Listener
) -> Ready:
    """Settle the recipe by the base, and open the pictures. ConceptError names what is wrong."""
    from tireg.workflows.concept_input import load_concept
    from tireg.workflows.teaching import prepare_folder

    side = request.recipe.resolution or ground.family.resolution
    check_side(side)
    check_fits(request, ground.family)
    request = replace(
        request, recipe=request.recipe.model_copy(update={"resolution": side}).resolved()
    )
    concept = load_concept(
        plan, captions=request.recipe.captions, masks=request.recipe.masks, resolution=side
    )
    for note in concept.warnings:
        listen(Notice(note))
    ref = ground.ref(home)
    folder = prepare_folder(request, concept, ref, ground.place, home)
    return Ready(request, concept, ref, ground.place, folder)


def check_side(side: int) -> None:
    """RecipeError for a side of training pictures that no VAE can halve three times."""
    if side % 8 or side < 16:
        raise RecipeError(
            f"a resolution of {side} pixels is not a multiple of 8, or too small",
            hint=f"--resolution {max(16, side // 8 * 8)}",
        )


def check_fits(request: TrainRequest, family: Family) -> None:
    """ConfigError for wishes that contradict each other."""
    if request.variants and (request.recipe.steps != "auto" or request.negative):
        raise ConfigError(
            "variants are chosen by a probe, which a run of fixed steps or of a negative word "
            "does not have",
            hint="leave out --variants, or train with --steps auto",
        )
    if request.encoder and (request.recipe.steps != "auto" or request.negative):
        raise ConfigError(
            "the scoring encoder is for the probe, which a run of fixed steps or of a negative "
            "word does not have",
            hint="leave out --encoder, or train with --steps auto",
        )
    if request.negative and family.pipeline == "FluxPipeline":
        raise ConfigError(
            f"{family.title} reads no negative prompt, so a negative word does nothing there",
            hint="a base of another family",
        )


def _family_of(place: Place) -> Family:
    if place.folder.is_file():
        from tireg.models.opening import family_of_file

        return family_of_file(place.folder)
    from tireg.models.bases import identify

    return identify(place.folder)


def _typed(request: TrainRequest) -> Typed:
    from tireg.workflows.concept_input import Typed

    return Typed(
        token=request.token,
        kind=request.kind,
        name=request.name,
        class_noun=request.class_noun.strip(),
        license=request.license,
        negative=request.negative,
        templates=request.templates,
    )


def _settled(request: TrainRequest, plan: ConceptPlan) -> TrainRequest:
    """The request with what the concept file says where nothing was typed."""
    init = request.recipe.init.strip()
    noun = plan.class_noun or (init if init not in ("auto", "random") else "")
    if not noun:
        raise ConceptError(
            "there is no ordinary word for what is to be learned",
            hint="--class NOUN, such as --class cat, or --init WORDS",
        )
    return replace(
        request,
        name=check_name(plan.name) if plan.name else _no_name(),
        token=plan.token,
        kind=plan.kind,
        class_noun=noun,
        templates=plan.templates,
        license=plan.license,
        negative=plan.negative,
        recipe=request.recipe.model_copy(update={"init": init or noun}),
    )


def _no_name() -> str:
    raise ConceptError("there is no name to record it under", hint="--name my-cat")


def _check_name(registry: Registry, request: TrainRequest) -> None:
    """NameInUseError, before any work, if the name belongs to another token or kind."""
    try:
        record = registry.resolve(request.name, trashed=True).record
    except RefError:
        return
    if (record.token, record.kind) != (request.token, request.kind):
        raise NameInUseError(
            f"the name '{request.name}' belongs to the {record.kind or 'embedding'} "
            f"with token {record.token}",
            hint="use that token and kind to add a version, or another --name; one that is in "
            "the trash keeps its name until tireg gc",
        )


def recorded(ready: Ready, home: Path) -> Version | None:
    """The version that this very run was recorded as; None where it was not, or is not there.

    TrainingFailedError for one that learned nothing, unless it is to be kept anyway.
    """
    shas, request = ready.folder.finished(), ready.request
    if not shas:
        return None
    with Registry.open(home) as registry:
        found = [match.found for match in registry.lookup(shas[-1])]
        if not found:
            return None
        version = registry.resolve(found[0].ref, trashed=True)
        training = version.record.training
        if training is None or training.failed is None:
            return version
        if not request.keep_anyway:
            raise TrainingFailedError(
                f"this run is complete: '{found[0].ref}' learned nothing",
                hint="--keep-anyway, or a run with another --init, --lr or more steps",
            )
        if found[0].trashed is not None:
            registry.restore(found[0].ref)
    return version


def keep(ready: Ready, learned: Learned, home: Path, listen: Listener) -> Version:
    """Record what was learned; a run that learned nothing goes to the trash and is an error."""
    from tireg.workflows.trained import make_records

    request, outcome = ready.request, learned.outcome
    made = make_records(request, ready.concept, ready.ref, learned)
    learned.folder.announce([one.record.sha256 for one in made])
    with Registry.open(home) as registry:
        remember_base(registry, ready.ref, ready.place)
        # One group: a process that is killed leaves all of them or none.
        items = [Item(o.record, o.objects, None, o.aliases, collision="new") for o in made]
        version = registry.resolve(registry.add_many(items)[-1].found.ref)
        if not outcome.learned and not request.keep_anyway:
            registry.remove(f"{version.name}@{version.version}")
    learned.folder.finish()
    if not outcome.learned:
        change = f"fell by {outcome.gain:.5f}, not" if outcome.gain > 0 else "did not fall"
        told = (
            f"'{request.name}' learned nothing: the loss on the fixed samples {change} by more "
            f"than two standard errors of {outcome.gain_error:.5f}"
        )
        if request.keep_anyway:
            listen(Notice(told))
            return version
        raise TrainingFailedError(
            told,
            hint="more --steps, another --init, clearer pictures, or a --base that can draw such "
            f"things; '{version.name}@{version.version}' is in the trash, its log is "
            f"{learned.folder.log_path}",
        )
    return version
