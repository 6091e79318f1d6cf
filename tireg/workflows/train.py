"""Learn a word from pictures and record it as the next version of its name."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import tireg
from tireg.domain.concepts import TEMPLATES, Concept, Kind, check_templates, check_token
from tireg.domain.fingerprints import BaseRef
from tireg.domain.recipes import Recipe
from tireg.domain.records import CurvePoint, FileRole, Record, Source, StoredFile, Training
from tireg.domain.tensors import tensor_hash
from tireg.errors import ConfigError, NameInUseError, RecipeError, RefError
from tireg.store.home import check_writable
from tireg.store.names import check_name
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow, Version
from tireg.workflows.bases import fingerprint_of
from tireg.workflows.environment import package_versions
from tireg.workflows.places import Place, find_base
from tireg.workflows.progress import Event, Listener, Notice, silent
from tireg.workflows.vectors import FILE_NAME, MEDIA_TYPE, describe, pack_vectors

if TYPE_CHECKING:
    import numpy as np

    from tireg.models.bases import Base
    from tireg.training.images import Photo
    from tireg.training.stopping import Check

KEPT_SIDE = 512
MAX_PREVIEWS = 4


@dataclass(frozen=True)
class TrainRequest:
    """What to learn, on which base, by which recipe."""

    pictures: Sequence[Path]
    base: str
    name: str
    token: str
    kind: Kind
    recipe: Recipe
    class_noun: str = ""
    device: str = "auto"
    dtype: str = "auto"
    templates: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Learned:
    """What a run leaves behind before it is recorded."""

    tensors: dict[str, np.ndarray]
    moments: list[Check]
    previews: list[tuple[str, bytes]]


def train(request: TrainRequest, *, home: Path, listen: Listener = silent) -> Version:
    """Train and record. Nothing is recorded unless everything went well.

    Raises InputError kinds for what cannot be used, TrainingFailedError when nothing was
    learned, StoreError when it cannot be saved.
    """
    request = _resolved(request)
    check_writable(home)
    with Registry.open(home) as registry:
        _check_name(registry, request)
        known = {row.id: row.path for row in registry.bases() if row.path}
    from tireg.training.images import find_pictures, load_photos

    photos = load_photos(find_pictures(request.pictures))
    for note in (note for photo in photos for note in photo.notes):
        listen(Notice(note))
    place = find_base(request.base, known)

    from tireg.models.bases import check_new_word, open_base

    listen(Event("opening the base", 0, 1, place.id))
    base = open_base(place.folder, device=request.device, dtype=request.dtype)
    check_new_word(base, request.token)
    fingerprint = fingerprint_of(home, base.folder, base.family)
    listen(Event("opening the base", 1, 1, place.id))
    recipe = request.recipe
    if not recipe.resolution:
        recipe = recipe.model_copy(update={"resolution": base.family.resolution})
    request = replace(request, recipe=recipe)
    learned = _learn(base, photos, request, listen)
    ref = BaseRef(
        id=place.id,
        revision=place.revision,
        family=base.family.id,
        fingerprint=fingerprint,
        license=place.license,
    )
    record, objects = _record(request, photos, base, ref, learned)
    return _save(home, record, objects, place)


def _check_name(registry: Registry, request: TrainRequest) -> None:
    """NameInUseError, before any work, if the name belongs to another token or kind."""
    check_name(request.name)
    try:
        record = registry.resolve(request.name).record
    except RefError:
        return
    if (record.token, record.kind) != (request.token, request.kind):
        raise NameInUseError(
            f"the name '{request.name}' belongs to the {record.kind or 'embedding'} "
            f"with token {record.token}",
            hint="use that token and kind to add a version, or another --name",
        )


def _resolved(request: TrainRequest) -> TrainRequest:
    """The request with its defaults filled in; cheap checks come before anything slow."""
    check_token(request.token)
    templates = check_templates(request.templates or TEMPLATES[request.kind])
    init = request.recipe.init.strip()
    noun = request.class_noun.strip() or init
    if not noun:
        raise RecipeError("there is no word to start from", hint="--init WORDS, such as --init cat")
    recipe = request.recipe.model_copy(update={"init": init or noun})
    return replace(request, recipe=recipe, class_noun=noun, templates=templates)


def _learn(base: Base, photos: list[Photo], request: TrainRequest, listen: Listener) -> _Learned:
    """Run the loop on an open base and draw the previews."""
    import torch

    from tireg.models import bases
    from tireg.models.conditioning import Conditioning
    from tireg.training.data import Data, encode_pictures
    from tireg.training.images import to_tensor
    from tireg.training.loop import Learning, Run
    from tireg.training.objective import Objective
    from tireg.training.rows import start_rows, words_norm
    from tireg.training.stopping import Check

    recipe, token = request.recipe, request.token
    rows, scales = {}, {}
    used = sorted({w for t in request.templates for w in t.replace("{token}", "").split()})
    for key, encoder in base.encoders.items():
        table = encoder.model.get_input_embeddings().weight
        begin = start_rows(encoder.tokenizer, table, recipe.init, recipe.vectors, seed=recipe.seed)
        rows[key] = begin.numpy()
        scales[key] = words_norm(encoder.tokenizer, table, used)
    wrappers = bases.load(base.pipe, {token: rows}, family=base.family)
    prompts = [t.replace("{token}", token) for t in request.templates]
    conditioning = Conditioning(base, prompts, token)
    listen(Event("encoding the pictures", 0, 1))
    pictures = to_tensor(photos, recipe.resolution, flip=recipe.flip)
    every = torch.arange(len(prompts))
    data = Data((encode_pictures(base, pictures, [every] * len(pictures)),))
    listen(Event("encoding the pictures", 1, 1))
    run = Run(
        base,
        Objective(base, conditioning, snr_gamma=recipe.snr_gamma),
        data,
        recipe,
        wrappers,
        scales,
    )
    learning = Learning(run)
    for moment in learning:
        if isinstance(moment, Check):
            listen(Event("learning", moment.step, recipe.last_step, _line(moment)))
    outcome = learning.outcome
    return _Learned(
        {key: value.numpy() for key, value in outcome.rows.items()},
        list(outcome.checks),
        _previews(base, request, prompts, listen),
    )


def _line(moment: Check) -> str:
    return (
        f"loss {moment.loss:.4f}  fixed {moment.validation:.4f}  norm {moment.norm:.2f}"
        f"  cosine {moment.cosine:.2f}"
    )


def _previews(
    base: Base, request: TrainRequest, prompts: list[str], listen: Listener
) -> list[tuple[str, bytes]]:
    """One to four pictures with the new word; fewer where drawing would outlast the training."""
    from tireg.models.sampler import Draw, DrawSettings, draw

    family, recipe = base.family, request.recipe
    count = max(1, min(MAX_PREVIEWS, recipe.last_step * recipe.batch // family.steps))
    shown = [prompts[i % len(prompts)] for i in range(count)]
    settings = DrawSettings(
        family.sampler, family.steps, family.guidance, recipe.resolution, recipe.resolution, count
    )
    draws = [Draw(prompt, seed) for seed, prompt in enumerate(shown)]
    listen(Event("drawing previews", 0, count))
    pictures = []
    for index, picture in draw(base.pipe, draws, settings):
        pictures.append((draws[index].prompt, png_bytes(picture)))
        listen(Event("drawing previews", index + 1, count))
    return pictures


def png_bytes(picture: np.ndarray) -> bytes:
    """A uint8 picture [h, w, 3] as PNG, without any metadata."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _record(
    request: TrainRequest, photos: list[Photo], base: Base, ref: BaseRef, learned: _Learned
) -> tuple[Record, dict[str, bytes]]:
    """The record of a finished run, and the objects it names by their sha256."""
    from tireg.models.bases import dtype_name

    recipe = request.recipe
    objects: dict[str, bytes] = {}
    files = [
        stored(objects, "embedding", FILE_NAME, pack_vectors(request.token, learned.tensors),
               MEDIA_TYPE)
    ]  # fmt: skip
    for number, (prompt, data) in enumerate(learned.previews, 1):
        name = f"preview-{number}.png"
        files.append(stored(objects, "preview", name, data, "image/png", prompt))
    for number, data in enumerate(_kept_pictures(photos, recipe.resolution), 1):
        name = f"picture-{number:02}.png"
        files.append(stored(objects, "picture", name, data, "image/png"))
    last = learned.moments[-1]
    training = Training(
        steps=recipe.last_step,
        samples=recipe.last_step * recipe.batch,
        # To the microsecond: two quick runs of one recipe are two versions, not one record.
        seconds=round(last.seconds, 6),
        device=str(base.device),
        dtype=dtype_name(base.dtype),
        threads=_threads(),
        curve=tuple(
            CurvePoint(
                step=m.step, loss=m.loss, validation=m.validation, norm=m.norm, cosine=m.cosine
            )
            for m in learned.moments
        ),
        packages=package_versions(),
    )
    concept = Concept(
        kind=request.kind,
        class_noun=request.class_noun,
        pictures=tuple(photo.picture for photo in photos),
        templates=request.templates,
    )
    record = Record(
        name=request.name,
        token=request.token,
        kind=request.kind,
        class_noun=request.class_noun,
        tensor_hash=tensor_hash(learned.tensors),
        tensors=describe(learned.tensors),
        families=(ref.family,),
        files=tuple(files),
        base=ref,
        concept=concept,
        recipe=recipe,
        training=training,
        source=Source(how="trained"),
        license=ref.license,
        created=utc_now(),
        tireg_version=tireg.__version__,
    )
    return record, objects


def stored(
    objects: dict[str, bytes],
    role: FileRole,
    name: str,
    data: bytes,
    media_type: str,
    text: str | None = None,
) -> StoredFile:
    """Put ``data`` among ``objects`` and describe it for a record."""
    import hashlib

    sha = hashlib.sha256(data).hexdigest()
    objects[sha] = data
    return StoredFile(
        role=role, name=name, sha256=sha, bytes=len(data), media_type=media_type, text=text
    )


def _kept_pictures(photos: list[Photo], side: int) -> list[bytes]:
    """The pictures as they were learned from, at most 512 pixels, without any metadata.

    They stay on this machine: scoring compares with them. Publishing leaves them out.
    """
    import numpy as np

    from tireg.training.images import square

    return [png_bytes(np.asarray(square(p.image, min(side, KEPT_SIDE)))) for p in photos]


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def utc_now() -> str:
    """Now, UTC, ISO 8601, to the second; SOURCE_DATE_EPOCH fixes it for repeatable builds."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = datetime.fromtimestamp(int(fixed), UTC) if fixed else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError("SOURCE_DATE_EPOCH is not a number of seconds") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _save(home: Path, record: Record, objects: dict[str, bytes], place: Place) -> Version:
    with Registry.open(home) as registry:
        remember_base(registry, record.base, place)
        return registry.add(record, objects, again=True).version


def remember_base(registry: Registry, ref: BaseRef | None, place: Place) -> None:
    """Keep where the base was found, so that its id alone is enough next time."""
    if ref is not None:
        registry.add_base(replace(BaseRow.of(ref), path=str(place.folder)))
