"""From a concept and an open base to learned rows: everything between reading and recording."""

from __future__ import annotations

import hashlib
import math
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tireg
from tireg.domain.concepts import prompts_for
from tireg.domain.fingerprints import BaseRef
from tireg.errors import ConfigError
from tireg.store.registry import Registry
from tireg.workflows.environment import package_versions
from tireg.workflows.learning import Watch, follow, open_board, run_loop
from tireg.workflows.places import Place
from tireg.workflows.previews import StripPainter, draw_previews
from tireg.workflows.progress import Event, Listener, Notice
from tireg.workflows.run_folder import RunFolder

if TYPE_CHECKING:
    from tireg.domain.recipes import Recipe
    from tireg.models.bases import Base
    from tireg.training.checkpoint import State
    from tireg.training.data import Data
    from tireg.training.loop import Learning, Outcome, Run
    from tireg.training.processes import Team
    from tireg.training.starting import Rank
    from tireg.workflows.concept_input import ConceptInput
    from tireg.workflows.probing import Prober
    from tireg.workflows.starting import Start
    from tireg.workflows.train import Ready, TrainRequest

MAX_CONFIG = 2**24


@dataclass(frozen=True)
class Learned:
    """What a run leaves behind before it is recorded. ``looked``: samples without a gradient."""

    outcome: Outcome
    previews: list[tuple[str, bytes]]
    strip: bytes | None
    folder: RunFolder
    device: str
    dtype: str
    threads: int
    looked: int
    started: str
    lineage: dict[str, str]


def prepare_folder(
    request: TrainRequest, concept: ConceptInput, ref: BaseRef, place: Place, home: Path
) -> RunFolder:
    """Where this very run is kept: the same command again means the same folder."""
    about = {
        "name": request.name,
        "token": request.token,
        "kind": request.kind,
        "class_noun": request.class_noun,
        "negative": request.negative,
        "templates": list(concept.plan.templates),
        "pictures": [photo.picture.sha256 for photo in concept.photos],
        "captions": [list(own) for own in concept.captions],
        "masks": [_mask_hash(mask) for mask in concept.masks],
        "recipe": request.recipe.model_dump(mode="json"),
        "base": ref.fingerprint.identity if ref.fingerprint else ref.id,
        "files": base_files(place),
        "init_from": start_of(request.recipe.init_from, home),
        "dtype": request.dtype,
        "encoder": request.encoder,
        "variants": request.variants,
        "pick": request.pick,
    }
    return RunFolder(home, about)


def base_files(place: Place) -> dict[str, str]:
    """What decides the vectors beside the weights that a fingerprint covers."""
    found = {}
    config = place.config or place.folder
    if place.folder.is_file():
        status = place.folder.stat()
        found["file"] = f"{status.st_size} {status.st_mtime_ns}"
    for path in [*config.glob("*/*.json"), *config.glob("vae/*.safetensors")]:
        size = path.stat().st_size
        whole = path.suffix == ".json" and size < MAX_CONFIG
        told = hashlib.sha256(path.read_bytes()).hexdigest() if whole else str(size)
        found[path.relative_to(config).as_posix()] = told
    return found


def start_of(ref: str, home: Path) -> str:
    """What ``init_from`` names now: the hash of a file, or of a record."""
    if not ref:
        return ""
    path = Path(ref.partition("#")[0]).expanduser()
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with Registry.open(home) as registry:
        return registry.resolve(ref).record_sha


def _mask_hash(mask: Any) -> str | None:
    return None if mask is None else hashlib.sha256(mask.tobytes()).hexdigest()


@dataclass(frozen=True)
class Lesson:
    """A run whose words its base has, ready for its first step or the one it was stopped at."""

    ready: Ready
    learning: Learning
    watch: Watch
    start: Start
    prober: Prober | None
    painter: StripPainter
    surroundings: dict[str, Any]


def teach(ready: Ready, home: Path, listen: Listener, team: Team) -> Learned | None:
    """Open the base, run the loop, draw the previews; None in any but the main process."""

    def begun() -> Lesson:
        board = open_board(request.keeping.tensorboard, ready.folder.key) if team.main else None
        base = open_for(request, ready.place, listen)
        fit_memory(base, team.own(request.recipe), request.memory, listen)
        return begin_lesson(ready, base, board, home, listen, team)

    request = ready.request
    lesson = team.each(begun)
    if not team.main:
        follow(lesson.learning)
        return None
    return end_lesson(lesson, run_loop(lesson.learning, lesson.watch))


def open_for(request: TrainRequest, place: Place, listen: Listener) -> Base:
    """The base in memory, on the device and in the precision that ``request`` asks for."""
    from tireg.models.bases import open_base

    listen(Event("opening the base", 0, 1, place.id))
    base = open_base(place.folder, device=request.device, dtype=request.dtype, config=place.config)
    listen(Event("opening the base", 1, 1, place.id))
    return base


def begin_lesson(
    ready: Ready,
    base: Base,
    board: Any,
    home: Path,
    listen: Listener,
    team: Team | None = None,
    **surroundings: str,
) -> Lesson:
    """Prepare a run, or take up where it was stopped if its request says so.

    ``board`` is TensorBoard's writer or None. ``team`` are the processes that share the run; None
    for one alone. ``surroundings`` are further facts that the last bits of the vectors depend on.
    """
    from tireg.models.bases import check_new_word
    from tireg.training.loop import Learning
    from tireg.training.processes import Team

    request, folder, team = ready.request, ready.folder, team or Team()
    check_new_word(base, request.token)
    run, start, prober = set_up(request, ready.concept, base, ready.place, home, listen, team)
    around = environment(base) | {"probe": prober.encoder.name if prober else "none"} | surroundings
    around["processes"] = team.count
    saved = team.tell(lambda: _taken_up(ready, around, listen))
    painter = StripPainter(request, ready.concept.plan.templates, base, folder, listen)
    watch = Watch(folder, request.keeping, listen, painter, board, request.pick)
    return Lesson(ready, Learning(run, saved, team), watch, start, prober, painter, around)


def _taken_up(ready: Ready, around: dict[str, Any], listen: Listener) -> State | None:
    """The state to go on from; None where the run begins, whose folder is then ready for it."""
    request, folder = ready.request, ready.folder
    saved = folder.load(around, anyway=request.resume_anyway) if request.resume else None
    if saved is None:
        if folder.waiting():
            listen(Notice("an earlier try of this run is begun anew; --resume would go on with it"))
        folder.begin(around)
    return saved


def end_lesson(lesson: Lesson, outcome: Outcome) -> Learned:
    """What is left of a run that has ended; the previews are drawn with the words it left."""
    from tireg.models.bases import dtype_name

    ready, base, listen = lesson.ready, lesson.learning.run.base, lesson.watch.listen
    return Learned(
        outcome=outcome,
        previews=draw_previews(ready.request, ready.concept, base, listen),
        strip=lesson.painter.strip(),
        folder=ready.folder,
        device=lesson.learning.team.where(base.device),
        dtype=dtype_name(base.dtype),
        threads=lesson.surroundings["threads"],
        looked=lesson.learning.looked + _probed(lesson.learning, lesson.prober),
        started=lesson.start.why,
        lineage=lesson.start.lineage,
    )


def _probed(learning: Learning, prober: Prober | None) -> int:
    """Denoiser samples of all looks, the one at the class noun included."""
    if prober is None:
        return 0
    return prober.cost * (1 + sum(check.look is not None for check in learning.checks))


def fit_memory(base: Base, recipe: Recipe, wish: str, listen: Listener) -> bool:
    """Say what a step will take, spare memory where it is short, refuse where it cannot fit.

    Returns whether memory is spared for time.
    """
    from tireg.training.memory import available_memory, estimate_memory, for_training

    batch = math.ceil(recipe.batch / recipe.accumulate)

    def needed(checkpointing: bool) -> int:
        return estimate_memory(
            base, resolution=recipe.resolution, batch=batch, checkpointing=checkpointing
        )

    free = available_memory(base.device)
    parts = [p for p in base.pipe.components.values() if hasattr(p, "parameters")]
    there = sum(w.nbytes for part in parts for w in part.parameters())
    spare = wish == "low"
    need = needed(spare)
    # What is already loaded is not asked for again.
    if wish == "auto" and free is not None and need - there > free:
        spare, need = True, needed(True)
    for_training(base, checkpointing=spare)
    told = f"about {need / 2**30:.1f} GB"
    if free is not None:
        told += f" needed, {(free + there) / 2**30:.1f} GB there"
    if spare:
        told += "; blocks are computed again on the way back, which is slower and takes less"
    listen(Event("checking memory", 1, 1, told))
    if wish != "fast" and free is not None and need - there > free:
        raise ConfigError(
            f"training takes {told} on {base.device}",
            hint="--batch 1, --accumulate, a smaller --resolution, --dtype bf16, or --memory fast "
            "to try all the same",
        )
    return spare


def environment(base: Base) -> dict[str, Any]:
    """What the last bits of the vectors depend on besides the recipe."""
    import torch

    from tireg.models.bases import dtype_name

    where = platform.machine()
    if base.device.type == "cuda":
        where = torch.cuda.get_device_name(base.device)
    return {
        "tireg version": tireg.__version__,
        "device": f"{base.device.type} ({where})",
        "dtype": dtype_name(base.dtype),
        "threads": torch.get_num_threads(),
        **{f"{name} version": version for name, version in package_versions().items()},
    }


def set_up(
    request: TrainRequest,
    concept: ConceptInput,
    base: Base,
    place: Place,
    home: Path,
    listen: Listener,
    team: Team | None = None,
) -> tuple[Run, Start, Prober | None]:
    """The run, ready for its first step: rows in the encoders, latents encoded, probe armed.

    In a ``team`` the main process chooses the rows for all, and alone has a probe.
    """
    from tireg.models import bases
    from tireg.models.conditioning import Conditioning
    from tireg.training.loop import Run
    from tireg.training.objective import Objective
    from tireg.training.processes import Team

    recipe, token, team = request.recipe, request.token, team or Team()
    listen(Event("encoding the pictures", 0, 1))
    data, prompts = encode_concept(concept, base, recipe, token)
    listen(Event("encoding the pictures", 1, 1))
    start = team.tell(lambda: _start(request, concept, base, (data, prompts), home, listen))
    wrappers = bases.load(base.pipe, {token: start.rows}, family=base.family)
    conditioning = Conditioning(base, prompts, token)
    objective = Objective(base, conditioning, snr_gamma=recipe.snr_gamma)
    prober = None
    if recipe.steps == "auto" and team.main:
        prober = make_prober(request, concept, base, place, listen)
    run = Run(base, objective, data, recipe, wrappers, start.scales, prober)
    return run, start, prober


def _start(
    request: TrainRequest,
    concept: ConceptInput,
    base: Base,
    encoded: tuple[Data, list[str]],
    home: Path,
    listen: Listener,
) -> Start:
    """Where the rows begin; said where the pictures decided it."""
    from tireg.workflows.starting import probe_for, starting_rows

    recipe, (data, prompts) = request.recipe, encoded
    loss = None
    if recipe.init == "auto" and not recipe.init_from:
        loss = probe_for(base, recipe, data, prompts, request.token)
    start = starting_rows(
        base,
        recipe,
        class_noun=request.class_noun,
        photos=concept.photos,
        registry_home=home,
        listen=listen,
        templates=concept.plan.templates,
        rank=_ranker(request, concept, base),
        loss=loss,
    )
    if recipe.init == "auto":
        listen(Notice(start.why))
    return start


def encode_concept(
    concept: ConceptInput, base: Base, recipe: Recipe, token: str
) -> tuple[Data, list[str]]:
    """The pictures as latents in buckets, and every prompt they may be shown with."""
    from tireg.models.latents import free_vae
    from tireg.training.crops import prepare
    from tireg.training.data import encode_data

    prompts, shown = prompts_for(
        concept.plan.kind,
        concept.plan.templates,
        concept.captions if recipe.captions else None,
        token,
        len(concept.photos),
    )
    prepared = prepare(
        concept.photos,
        concept.masks if recipe.masks else None,
        recipe.resolution,
        buckets=recipe.buckets,
        crops=recipe.crops,
        flip=recipe.flip,
        seed=recipe.seed,
    )
    data = encode_data(base, prepared, shown)
    free_vae(base)
    return data, prompts


def _ranker(request: TrainRequest, concept: ConceptInput, base: Base) -> Rank | None:
    """What ranks words for ``--init auto`` where an encoder was asked for by name."""
    if request.encoder is None or request.recipe.init != "auto":
        return None
    from tireg.models.encoders import open_encoder
    from tireg.workflows.starting import rank_by

    encoder = open_encoder(request.encoder, device=base.device)
    return rank_by(encoder, concept.photos, concept.plan.templates[0])


def make_prober(
    request: TrainRequest, concept: ConceptInput, base: Base, place: Place, listen: Listener
) -> Prober | None:
    """A probe for a run that stops on evidence; None where no scoring encoder can be had."""
    from tireg.training.images import square
    from tireg.workflows.evaluate import default_suite
    from tireg.workflows.probing import Prober, open_scorer, probe_prompts

    if request.negative:
        listen(Notice("a negative word is not looked at while it is learned; the loss decides"))
        return None
    encoder = open_scorer(place, base, request.encoder, listen)
    if encoder is None:
        return None
    listen(Event("looking at the class noun", 0, 1))
    size = request.recipe.resolution
    pictures = [square(photo.image, min(size, 512)) for photo in concept.photos]
    prompts = probe_prompts(default_suite(base.family.id, request.kind), request.kind or "object")
    prober = Prober(base, encoder, pictures, prompts, (request.token, request.class_noun), size)
    listen(Event("looking at the class noun", 1, 1))
    return prober
