"""Open everything that one evaluation works with, and say what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.domain.compat import Compatibility, Target, judge
from tireg.domain.fingerprints import BaseRef, Fingerprint
from tireg.domain.records import Record
from tireg.domain.scores import ReferenceSet, Run, RunSpec, Sampling, SuiteRef
from tireg.domain.suites import Suite, load_suite
from tireg.domain.tensors import encoder_of
from tireg.errors import BaseError, EvaluationError, InputError, SuiteError
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.bases import fingerprint_if_any, fingerprint_of
from tireg.workflows.drawing import Loaded, PictureCache, Shot
from tireg.workflows.evaluate import EvalRequest, default_suite
from tireg.workflows.given import Given, read_given
from tireg.workflows.looking import FeatureCache, Lookers, open_lookers
from tireg.workflows.measuring import Job, fingerprint_hash, plan
from tireg.workflows.places import BUILT_IN, Place, find_base
from tireg.workflows.progress import Event, Listener, Notice
from tireg.workflows.shelf import kept_open
from tireg.workflows.vectors import unpack_vectors

if TYPE_CHECKING:
    import numpy as np
    import torch

    from tireg.models.bases import Base

ELSEWHERE = "elsewhere"
"""What stands for the sampler where pictures were made by something else."""


@dataclass(frozen=True)
class Opened:
    """One evaluation, ready to run."""

    version: Version
    job: Job
    spec: RunSpec
    place: Place | None
    """None: no base was opened."""
    ref: BaseRef | None
    made_on: Fingerprint | None
    verdict: Compatibility | None
    """None: the base is the one the embedding was made on, or none was opened."""


@dataclass(frozen=True)
class _Subject:
    """What the registry holds of the embedding, and of those it is compared with."""

    version: Version
    word: Loaded
    references: list[Shot]
    shas: tuple[str, ...]
    others: list[tuple[ReferenceSet, list[Shot]]]
    known: dict[str, str]
    """Ids of bases used before to their folders."""
    runs: list[Run]
    home: Path
    listen: Listener


def open_evaluation(
    request: EvalRequest, home: Path, listen: Listener, *, home_run: Run | None = None
) -> Opened:
    """Open what ``request`` needs: the base where something is drawn, the encoders always."""
    with Registry.open(home) as registry:
        subject = _subject(request, registry, home, listen)
    if not subject.references and not subject.version.record.negative:
        listen(Notice("no training pictures are kept, so likeness to them stays unscored"))
    if request.rescore:
        return _rescored(request, subject)
    if request.images is not None and request.manifest is not None:
        return _elsewhere(request, request.images, request.manifest, subject)
    return _drawn(request, subject, home_run)


def is_another_base(request: EvalRequest, home: Path) -> bool:
    """Whether ``--base`` names one that differs from the base the embedding was made on."""
    from tireg.models.folders import identify

    with Registry.open(home) as registry:
        record = registry.resolve(request.ref).record
        known = {row.id: row.path for row in registry.bases() if row.path}
    made_on = record.base.fingerprint if record.base else None
    if made_on is None or request.base is None:
        return False
    folder = find_base(request.base, known, config=request.base_config).folder
    if not folder.is_dir():
        return False
    return not fingerprint_of(home, folder, identify(folder)).same_as(made_on)


def _subject(request: EvalRequest, registry: Registry, home: Path, listen: Listener) -> _Subject:
    version = registry.resolve(request.ref)
    record = version.record
    vectors = record.file("embedding")
    if vectors is None:
        raise EvaluationError(f"'{record.name}' has no vectors", hint="tireg verify")
    rows = unpack_vectors(record, registry.objects.read(vectors.sha256))
    references = _pictures(registry, record)
    others = []
    for ref in request.references:
        other = registry.resolve(ref).record
        shots = _pictures(registry, other)
        if other.tensor_hash == record.tensor_hash:
            raise InputError(
                f"'{ref}' is the embedding that is scored, so it cannot be compared with itself",
                hint="--reference another embedding",
            )
        if not shots:
            raise InputError(
                f"no training pictures of '{ref}' are kept here, so it compares with nothing",
                hint="tireg list",
            )
        told = ReferenceSet(name=other.name, embedding=other.tensor_hash, pictures=tuple(shots))
        others.append((told, list(shots.values())))
    others.sort(key=lambda one: one[0].embedding)
    return _Subject(
        version,
        Loaded(record.token, record.tensor_hash, rows),
        list(references.values()),
        tuple(references),
        others,
        {row.id: row.path for row in registry.bases() if row.path},
        registry.runs(version.record_sha),
        home,
        listen,
    )


def _pictures(registry: Registry, record: Record) -> dict[str, Shot]:
    """The training pictures that are kept, by sha256, in an order that no file name decides."""
    kept = {f.sha256: f.name for f in record.files if f.role == "picture"}
    return {
        sha: Shot(kept[sha], _reader(registry.objects.read(sha)))
        for sha in sorted(kept)
        if registry.objects.has(sha)
    }


def _reader(data: bytes) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        import io

        import numpy as np
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    return read


def _drawn(request: EvalRequest, subject: _Subject, home_run: Run | None) -> Opened:
    from tireg.models.bases import dtype_name, open_base

    record = subject.version.record
    base_name = request.base or (record.base.id if record.base else None)
    if base_name is None:
        raise BaseError(
            f"'{record.name}' does not say which base it is for", hint="give one: --base BASE"
        )
    suite = load_suite(request.suite) if request.suite else None
    place = find_base(base_name, subject.known, config=request.base_config)
    subject.listen(Event("opening the models", 0, 2, place.id))
    told = (place.folder, request.device, request.dtype, place.config)
    base = kept_open(
        "base", told,
        lambda: open_base(
            place.folder, device=request.device, dtype=request.dtype, config=place.config
        ),
    )  # fmt: skip
    ref = BaseRef(
        id=place.id,
        revision=place.revision,
        family=base.family.id,
        fingerprint=fingerprint_if_any(subject.home, base.folder, base.family),
        license=place.license,
    )
    if request.base is None:
        _check_same_base(record, ref)
    subject.listen(Event("opening the models", 1, 2, place.id))
    lookers = _open_lookers(request, record, place.id, base.device)
    subject.listen(Event("opening the models", 2, 2))
    if suite is None:
        family = record.base.family if record.base else base.family.id
        suite = load_suite(default_suite(family, record.kind))
    sampling = sampling_of(request, suite, base, dtype_name(base.dtype))
    job = _job(
        subject, suite, lookers, sampling,
        base=base, base_id=ref.id, fingerprint=fingerprint_hash(ref),
    )  # fmt: skip
    spec = _spec(job, subject, ref.revision, home_run=home_run)
    made_on, verdict = verdict_on(record, ref)
    return Opened(subject.version, job, spec, place, ref, made_on, verdict)


def _rescored(request: EvalRequest, subject: _Subject) -> Opened:
    """From the newest run that fits: the same pictures, looked at again."""
    from tireg.models.bases import pick_device

    record = subject.version.record
    fitting = [
        run
        for run in subject.runs
        if run.files and (run.spec.base == request.base if request.base else not run.spec.home)
    ]
    suite = load_suite(request.suite) if request.suite else None
    if suite is not None:
        fitting = [run for run in fitting if run.spec.suite.sha256 == suite.sha256]
    if not fitting:
        raise EvaluationError(
            f"there is no run of '{record.name}' on these prompts whose pictures were drawn here",
            hint=f"tireg eval {request.ref}",
        )
    old = fitting[-1].spec
    suite = suite or load_suite(old.suite.name)
    if suite.sha256 != old.suite.sha256:
        raise SuiteError(
            f"the suite '{suite.name}' has changed since its pictures were drawn",
            hint=f"tireg eval {request.ref} draws them for the suite as it is now",
        )
    subject.listen(Event("opening the models", 0, 1, "scorer"))
    lookers = _open_lookers(request, record, old.base, pick_device(request.device))
    subject.listen(Event("opening the models", 1, 1))
    job = _job(
        subject, suite, lookers, old.sampling,
        base=None, base_id=old.base, fingerprint=old.base_fingerprint,
    )  # fmt: skip
    spec = _spec(job, subject, old.base_revision)
    return Opened(subject.version, job, spec, None, None, None, None)


def _elsewhere(request: EvalRequest, images: Path, manifest: Path, subject: _Subject) -> Opened:
    """Pictures that something else made, in the frame of the suite."""
    from tireg.models.bases import pick_device

    record = subject.version.record
    base = request.base or (record.base.id if record.base else ELSEWHERE)
    family = record.base.family if record.base else ""
    suite = load_suite(request.suite or default_suite(family, record.kind))
    given = read_given(images, manifest, suite)
    if given.unlisted:
        subject.listen(Notice(f"{given.unlisted} pictures of '{images}' are not in the manifest"))
    subject.listen(Event("opening the models", 0, 1, "scorer"))
    lookers = _open_lookers(request, record, base, pick_device(request.device))
    subject.listen(Event("opening the models", 1, 1))
    sampling = Sampling(
        sampler=ELSEWHERE, steps=0, guidance=0.0, width=given.size[0], height=given.size[1],
        dtype=ELSEWHERE, device=ELSEWHERE, batch=0,
    )  # fmt: skip
    ref = BaseRef(id=base, family=family)
    job = _job(
        subject, suite, lookers, sampling,
        base=None, base_id=base, fingerprint=fingerprint_hash(ref), given=given,
    )  # fmt: skip
    spec = _spec(job, subject, None, given=given)
    return Opened(subject.version, job, spec, None, None, None, None)


def _job(
    subject: _Subject,
    suite: Suite,
    lookers: Lookers,
    sampling: Sampling,
    *,
    base: Base | None,
    base_id: str,
    fingerprint: str,
    given: Given | None = None,
) -> Job:
    return Job(
        record=subject.version.record,
        base=base,
        base_id=base_id,
        fingerprint=fingerprint,
        suite=suite,
        seeds=given.seeds if given else suite.seeds,
        sampling=sampling,
        lookers=lookers,
        word=subject.word,
        references=subject.references,
        others=subject.others,
        given=given.pictures if given else None,
        cache=PictureCache(subject.home / "cache" / "pictures"),
        features=FeatureCache(subject.home / "cache" / "features"),
        listen=subject.listen,
    )


def _open_lookers(
    request: EvalRequest, record: Record, base_id: str, device: torch.device
) -> Lookers:
    """The encoders asked for; a built-in base brings a scorer that others of its kind share."""
    made_on = record.base.id if record.base else ""
    built_in = BUILT_IN.get(base_id) or BUILT_IN.get(made_on)
    name = base_id if base_id in BUILT_IN else made_on
    default = str(built_in.scorer()) if built_in else ""
    label = f"{name}-scorer" if built_in else None
    told = (tuple(request.encoders), default, str(device), label)
    return kept_open(
        "encoders", told,
        lambda: open_lookers(request.encoders, default, device=device, label=label),
    )  # fmt: skip


def sampling_of(request: EvalRequest, suite: Suite, base: Base, dtype: str) -> Sampling:
    """How every picture is drawn: what was asked for, else the suite's or the family's way."""
    family = base.family
    side = request.size or suite.size or family.resolution
    return Sampling(
        sampler=request.sampler or suite.sampler or family.sampler,
        steps=request.steps or suite.steps or family.steps,
        guidance=_first((request.guidance, suite.guidance, family.guidance)),
        width=side,
        height=side,
        dtype=dtype,
        device=base.device.type,
        batch=request.batch,
    )


def _first(values: Sequence[float | None]) -> float:
    return next(value for value in values if value is not None)


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


def verdict_on(record: Record, ref: BaseRef) -> tuple[Fingerprint | None, Compatibility | None]:
    """Where the embedding was made, and the verdict on ``ref`` unless it is the same base."""
    made_on = record.base.fingerprint if record.base else None
    if made_on is None or ref.fingerprint is None or made_on.same_as(ref.fingerprint):
        return made_on, None
    widths = {encoder_of(info.encoder): info.width for info in record.tensors}
    there = {e.key: e.width for e in ref.fingerprint.encoders}
    return made_on, judge(widths, made_on, Target(ref.id, there, ref.fingerprint))


def _spec(
    job: Job,
    subject: _Subject,
    revision: str | None,
    *,
    home_run: Run | None = None,
    given: Given | None = None,
) -> RunSpec:
    from tireg.metrics import METRICS

    suite = job.suite
    conditions = tuple(sorted(given.pictures)) if given else plan(suite, job.record).conditions()
    told: dict[str, Any] = {
        "embedding": job.record.tensor_hash,
        "token": job.record.token,
        "class_noun": job.noun,
        "base": job.base_id,
        "base_revision": revision,
        "base_fingerprint": job.fingerprint,
        "suite": SuiteRef(name=suite.name, version=suite.version, sha256=suite.sha256),
        "seeds": job.seeds,
        "sampling": job.sampling,
        "encoders": job.lookers.refs,
        "references": subject.shas,
        "metrics": tuple(f"{m.name}@{m.version}" for m in METRICS.values()),
    }
    return RunSpec(
        **told,
        conditions=conditions,
        negative=job.negative,
        others=tuple(reference for reference, _ in job.others),
        pictures=given.sha256 if given else None,
        home=home_run.run_id if home_run else None,
    )
