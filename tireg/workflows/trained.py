"""The records of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import tireg
from tireg.domain.concepts import Concept
from tireg.domain.fingerprints import BaseRef
from tireg.domain.records import (
    CurvePoint,
    Record,
    Source,
    Training,
    Variant,
)
from tireg.domain.tensors import tensor_hash
from tireg.workflows.environment import package_versions
from tireg.workflows.making import png_bytes, stored, utc_now
from tireg.workflows.vectors import FILE_NAME, MEDIA_TYPE, describe, pack_vectors

if TYPE_CHECKING:
    import numpy as np

    from tireg.training.images import Photo
    from tireg.training.stopping import Check, Rows
    from tireg.workflows.concept_input import ConceptInput
    from tireg.workflows.teaching import Learned
    from tireg.workflows.train import TrainRequest

KEPT_SIDE = 512
VARIANTS: tuple[Variant, ...] = ("balanced", "faithful", "editable")


@dataclass(frozen=True)
class Made:
    """A record, the objects it names by their sha256, and the aliases it is to have."""

    record: Record
    objects: dict[str, bytes]
    aliases: tuple[str, ...] = ()


def make_records(
    request: TrainRequest, concept: ConceptInput, ref: BaseRef, learned: Learned
) -> list[Made]:
    """One record per distinct choice of rows, the picked one last."""
    outcome = learned.outcome
    picked = outcome.variants.get(request.pick)
    chosen = (picked[0], picked[2]) if picked else (outcome.step, outcome.rows)
    made = []
    if request.variants and outcome.learned:
        others = {s: r for s, _, r in outcome.variants.values() if s != chosen[0]}
        for step, rows in sorted(others.items()):
            bare = replace(learned, previews=[])
            made.append(_made(request, concept, ref, bare, step, rows))
    return [*made, _made(request, concept, ref, learned, *chosen)]


def _made(
    request: TrainRequest,
    concept: ConceptInput,
    ref: BaseRef,
    learned: Learned,
    step: int,
    rows: Rows,
) -> Made:
    kept = learned.outcome.variants
    names = [name for name in VARIANTS if name in kept and kept[name][0] == step]
    variant = request.pick if request.pick in names else next(iter(names), None)
    tensors = {key: value.numpy() for key, value in rows.items()}
    objects: dict[str, bytes] = {}
    record = _record(request, concept, ref, learned, tensors, objects)
    training = _training(request, learned, step, variant)
    record = record.model_copy(update={"training": training})
    wanted = request.variants and learned.outcome.learned
    return Made(record, objects, tuple(names) if wanted else ())


def _record(
    request: TrainRequest,
    concept: ConceptInput,
    ref: BaseRef,
    learned: Learned,
    tensors: dict[str, np.ndarray],
    objects: dict[str, bytes],
) -> Record:
    packed = pack_vectors(request.token, tensors)
    files = [stored(objects, "embedding", FILE_NAME, packed, MEDIA_TYPE)]
    for number, (prompt, data) in enumerate(learned.previews, 1):
        files.append(stored(objects, "preview", f"preview-{number}.png", data, "image/png", prompt))
    if learned.strip is not None:
        files.append(stored(objects, "sheet", "samples.png", learned.strip, "image/png"))
    for number, data in enumerate(_kept_pictures(concept.photos, request.recipe.resolution), 1):
        files.append(stored(objects, "picture", f"picture-{number:02}.png", data, "image/png"))
    taught = Concept(
        kind=request.kind or "object",
        class_noun=request.class_noun,
        pictures=tuple(photo.picture for photo in concept.photos),
        templates=concept.plan.templates,
    )
    return Record(
        name=request.name,
        token=request.token,
        kind=request.kind,
        class_noun=request.class_noun,
        negative=bool(request.negative),
        tensor_hash=tensor_hash(tensors),
        tensors=describe(tensors),
        families=(ref.family,),
        files=tuple(files),
        base=ref,
        concept=taught,
        recipe=request.recipe,
        source=Source(how="trained"),
        license=request.license or ref.license,
        notes=concept.plan.notes,
        created=utc_now(),
        tireg_version=tireg.__version__,
    )


def _training(
    request: TrainRequest, learned: Learned, step: int, variant: Variant | None
) -> Training:
    outcome, recipe = learned.outcome, request.recipe
    last = outcome.checks[-1]
    failed = None if outcome.learned else "the loss on the fixed samples did not fall"
    return Training(
        steps=last.step,
        samples=last.step * recipe.batch,
        looked=learned.looked,
        # To the microsecond: two quick runs of one recipe are two versions, not one record.
        seconds=round(last.seconds, 6),
        device=learned.device,
        dtype=learned.dtype,
        threads=learned.threads,
        curve=tuple(_point(check) for check in outcome.checks),
        packages=package_versions(),
        chosen_step=step,
        variant=variant,
        stopped=outcome.reason,
        started=learned.started,
        lineage=learned.lineage,
        gain=outcome.gain,
        gain_error=outcome.gain_error,
        failed=failed,
    )


def _point(check: Check) -> CurvePoint:
    look = check.look
    return CurvePoint(
        step=check.step,
        loss=check.loss,
        validation=check.validation,
        gain=check.gain,
        gain_error=check.gain_error,
        norm=check.norm,
        cosine=check.cosine,
        rate=check.rate,
        seconds=round(check.seconds, 6),
        fidelity=look.fidelity if look else None,
        editability=look.editability if look else None,
    )


def _kept_pictures(photos: Sequence[Photo], side: int) -> list[bytes]:
    """The pictures as they were learned from, at most 512 pixels, without any metadata.

    They stay on this machine: scoring compares with them. Publishing leaves them out.
    """
    import numpy as np

    from tireg.training.images import square

    return [png_bytes(np.asarray(square(p.image, min(side, KEPT_SIDE)))) for p in photos]
