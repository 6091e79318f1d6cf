"""Score an embedding: draw with the word and without it at the same seeds, compare, record."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tireg
from tireg.domain.fingerprints import BaseRef
from tireg.domain.model import canonical_json
from tireg.domain.records import Record
from tireg.domain.scores import EncoderRef, Run, RunSpec, Sampling, Score, SuiteRef
from tireg.domain.suites import load_suite, suite_names
from tireg.errors import BaseError, EvaluationError
from tireg.store.home import check_writable
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.bases import fingerprint_of
from tireg.workflows.drawing import Loaded, PictureCache
from tireg.workflows.environment import package_versions
from tireg.workflows.measuring import Job, make_sheet, measure_samples
from tireg.workflows.places import find_base
from tireg.workflows.progress import Event, Listener, Notice, silent
from tireg.workflows.train import remember_base, utc_now
from tireg.workflows.vectors import unpack_vectors

if TYPE_CHECKING:
    from tireg.metrics.base import MetricResult
    from tireg.metrics.samples import Samples


@dataclass(frozen=True)
class EvalRequest:
    """Which embedding, asked which questions, on which base."""

    ref: str
    suite: str | None = None
    base: str | None = None
    encoder: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    size: int | None = None
    batch: int = 16


@dataclass(frozen=True)
class Evaluation:
    """A finished run, and whether it is new to the registry."""

    version: Version
    run: Run
    added: bool
    sheet: Path | None


def evaluate(request: EvalRequest, *, home: Path, listen: Listener = silent) -> Evaluation:
    """Draw, measure and record one evaluation; pictures drawn before are used again.

    Raises RefError, SuiteError, BaseError or ConfigError for what was asked wrongly, and
    EvaluationError when the scoring encoder cannot be had.
    """
    check_writable(home)
    began = time.monotonic()
    with Registry.open(home) as registry:
        version = registry.resolve(request.ref)
        job = _open_job(request, version, registry, home, listen)
        spec = _spec(job)
        run_id = hashlib.sha256(canonical_json(spec.model_dump(mode="json"))).hexdigest()
    samples, pictures = measure_samples(job)
    results = _score(samples)
    objects: dict[str, bytes] = {}
    files = make_sheet(job, pictures, objects)
    run = Run(
        run_id=run_id,
        record=version.record_sha,
        spec=spec,
        scores=tuple(results),
        files=files,
        packages=package_versions(),
        seconds=round(time.monotonic() - began, 2),
        created=utc_now(),
        tireg_version=tireg.__version__,
    )
    with Registry.open(home) as registry:
        remember_base(registry, job.ref, job.place)
        added = registry.add_run(run, objects)
        sheet = registry.objects.path(files[0].sha256) if files else None
    return Evaluation(version, run, added, sheet)


def default_suite(family: str, kind: str | None) -> str:
    """The suite to use when none is named: the family's own, else the one for that kind."""
    wanted = [f"{family}-{kind}", family, str(kind or "object")]
    return next(name for name in [*wanted, "object"] if name in suite_names())


def _open_job(
    request: EvalRequest, version: Version, registry: Any, home: Path, listen: Listener
) -> Job:
    record = version.record
    base_name = request.base or (record.base.id if record.base else None)
    if base_name is None:
        raise BaseError(
            f"'{record.name}' does not say which base it is for", hint="give one: --base BASE"
        )
    suite = load_suite(request.suite) if request.suite else None
    known = {row.id: row.path for row in registry.bases() if row.path}
    place = find_base(base_name, known)
    objects = registry.objects
    vectors = record.file("embedding")
    if vectors is None:
        raise EvaluationError(f"'{record.name}' has no vectors", hint="tireg verify")
    rows = unpack_vectors(record, objects.read(vectors.sha256))
    kept = [f for f in record.files if f.role == "picture" and objects.has(f.sha256)]
    references = [_picture(objects.read(file.sha256)) for file in kept]

    from tireg.models.bases import dtype_name, open_base
    from tireg.models.encoders import DEFAULT_ENCODER, open_encoder

    listen(Event("opening the models", 0, 2, place.id))
    base = open_base(place.folder, device=request.device, dtype=request.dtype)
    ref = BaseRef(
        id=place.id,
        revision=place.revision,
        family=base.family.id,
        fingerprint=fingerprint_of(home, base.folder, base.family),
        license=place.license,
    )
    if request.base is None:
        _check_same_base(record, ref)
    listen(Event("opening the models", 1, 2, place.id))
    scorer = request.encoder or (str(place.scorer) if place.scorer else DEFAULT_ENCODER)
    label = f"{place.id}-scorer" if place.scorer and not request.encoder else None
    encoder = open_encoder(scorer, device=base.device, label=label)
    listen(Event("opening the models", 2, 2))
    if suite is None:
        suite = load_suite(default_suite(base.family.id, record.kind))
    family = base.family
    side = request.size or suite.size or family.resolution
    sampling = Sampling(
        sampler=request.sampler or suite.sampler or family.sampler,
        steps=request.steps or suite.steps or family.steps,
        guidance=_first(request.guidance, suite.guidance, family.guidance),
        width=side,
        height=side,
        dtype=dtype_name(base.dtype),
        device=base.device.type,
        batch=request.batch,
    )
    word = Loaded(record.token, record.tensor_hash, rows)
    if not references:
        listen(Notice("no training pictures are kept, so likeness to them stays unscored"))
    shas = tuple(file.sha256 for file in kept)
    cache = PictureCache(home / "cache" / "pictures")
    return Job(
        record, base, place, ref, suite, sampling, encoder, word, references, shas, cache, listen
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _picture(data: bytes) -> Any:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def _check_same_base(record: Record, ref: BaseRef) -> None:
    """BaseError if the base found under the record's base id is not the one trained on."""
    if record.base is None or record.base.fingerprint is None or ref.fingerprint is None:
        return
    if not record.base.fingerprint.same_as(ref.fingerprint):
        raise BaseError(
            f"the base '{ref.id}' is not the one '{record.name}' was trained on: "
            "its weights or tokenizer differ",
            hint=f"to score it on this one all the same: --base {ref.id}",
        )


def _spec(job: Job) -> RunSpec:
    from tireg.metrics import METRICS

    return RunSpec(
        embedding=job.record.tensor_hash,
        token=job.record.token,
        class_noun=job.record.class_noun or "",
        base=job.ref.id,
        base_revision=job.ref.revision,
        base_fingerprint=job.fingerprint,
        suite=SuiteRef(name=job.suite.name, version=job.suite.version, sha256=job.suite.sha256),
        seeds=job.suite.seeds,
        sampling=job.sampling,
        encoders=(EncoderRef(name=job.encoder.name, sha256=job.encoder.sha256),),
        references=job.reference_shas,
        metrics=tuple(f"{m.name}@{m.version}" for m in METRICS.values()),
    )


def _score(samples: Samples) -> list[Score]:
    """Every metric's score. Those that answer nothing here say why."""
    from tireg.metrics import compute_all

    results: dict[str, MetricResult] = compute_all(samples)
    return [result.to_score() for result in results.values()]
