"""Score an embedding: draw with the word and without it at the same seeds, compare, record."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tireg
from tireg.domain.model import canonical_json
from tireg.domain.scores import Run, RunFile
from tireg.domain.suites import suite_names
from tireg.errors import BaseError, ConfigError, HubError, InputError
from tireg.store.home import check_writable
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.environment import package_versions
from tireg.workflows.making import remember_base, utc_now
from tireg.workflows.progress import Listener, Notice, silent

if TYPE_CHECKING:
    from tireg.metrics import CompatScore
    from tireg.workflows.eval_setup import Opened


@dataclass(frozen=True)
class EvalRequest:
    """Which embedding, asked which questions, on which base. None: the suite's or family's."""

    ref: str
    suite: str | None = None
    base: str | None = None
    base_config: str | None = None
    encoders: Sequence[str] = ()
    references: Sequence[str] = ()
    """Other embeddings whose pictures identifiability and bleeding compare with."""
    device: str = "auto"
    dtype: str = "auto"
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    size: int | None = None
    batch: int = 16
    rescore: bool = False
    """From kept pictures alone."""
    images: Path | None = None
    manifest: Path | None = None
    compat: Sequence[str] = ()
    per_picture: Path | None = None
    """Where to write the per-picture scores, too."""


@dataclass(frozen=True)
class Evaluation:
    """A finished run, and whether it is new to the registry."""

    version: Version
    run: Run
    added: bool
    sheet: Path | None
    compat: tuple[CompatScore, ...] = ()


def evaluate(request: EvalRequest, *, home: Path, listen: Listener = silent) -> Evaluation:
    """Draw, measure and record one evaluation; pictures drawn before are used again.

    Pictures made elsewhere are measured and not recorded: they say nothing of the embedding's
    vectors. Raises RefError, SuiteError, BaseError, InputError or ConfigError for what was asked
    wrongly, and EvaluationError when the scoring encoder or kept pictures cannot be had.
    """
    check_request(request)
    check_writable(home)
    first = _at_home(request, home, listen)
    return evaluate_beside(request, first, home=home, listen=listen)


def evaluate_beside(
    request: EvalRequest, first: Run | None, *, home: Path, listen: Listener = silent
) -> Evaluation:
    """As :func:`evaluate`, where the run on the embedding's own base is known.

    ``first`` is that run; None: there is none, or ``request`` speaks of that very base.
    """
    from tireg.workflows.eval_setup import open_evaluation

    began = time.monotonic()
    opened = open_evaluation(request, home, listen, home_run=first)
    return _finish(request, opened, first, home, began)


def _finish(
    request: EvalRequest, opened: Opened, first: Run | None, home: Path, began: float
) -> Evaluation:
    from tireg.metrics import compat_scores, compute_all, scores_of
    from tireg.workflows.measuring import kept_file, make_sheet, measure_samples, per_picture
    from tireg.workflows.transfer import transfer

    job, spec = opened.job, opened.spec
    samples, pictures = measure_samples(job)
    results = compute_all(samples)
    scores = scores_of(results)
    published = tuple(c for form in request.compat for c in compat_scores(samples, form))
    lines = per_picture(samples, results.values())
    _write_lines(request.per_picture, lines)
    objects: dict[str, bytes] = {}
    files: tuple[RunFile, ...] = ()
    if job.given is None:
        name = job.record.name
        files = (
            kept_file(objects, "sheet", f"{name}-sheet.png", make_sheet(job, pictures)),
            kept_file(objects, "samples", f"{name}-pictures.jsonl", lines),
        )
    run = Run(
        run_id=hashlib.sha256(canonical_json(spec.model_dump(mode="json"))).hexdigest(),
        record=opened.version.record_sha,
        spec=spec,
        scores=scores,
        files=files,
        packages=package_versions(),
        verdict=opened.verdict.verdict if opened.verdict else None,
        verdict_reason=opened.verdict.reason if opened.verdict else "",
        transfer=transfer(first.scores, scores) if first else (),
        accuracy=job.lookers.accuracy,
        seconds=round(time.monotonic() - began, 2),
        created=utc_now(),
        tireg_version=tireg.__version__,
    )
    if job.given is not None:
        return Evaluation(opened.version, run, False, None, published)
    added, sheet = _record(opened, run, objects, home)
    return Evaluation(opened.version, run, added, sheet, published)


def _record(
    opened: Opened, run: Run, objects: dict[str, bytes], home: Path
) -> tuple[bool, Path | None]:
    """Put the run into the registry; whether it is new, and where its contact sheet lies."""
    from tireg.workflows.verdicts import keep

    with Registry.open(home) as registry:
        if opened.place is not None:
            remember_base(registry, opened.ref, opened.place)
        if opened.verdict is not None and opened.ref is not None:
            keep(registry, opened.made_on, opened.ref.fingerprint, opened.verdict)
        added = registry.add_run(run, objects)
        sheet = registry.objects.path(run.files[0].sha256)
        return added, sheet if sheet.is_file() else None


def _at_home(request: EvalRequest, home: Path, listen: Listener) -> Run | None:
    """The run on the embedding's own base, where ``--base`` names another one.

    What was drawn for it before is used again, so that this costs little the second time.
    """
    from tireg.workflows.eval_setup import is_another_base

    if request.base is None or request.rescore or request.images is not None:
        return None
    if not is_another_base(request, home):
        return None
    listen(Notice("scoring on its own base first, to tell how much is left on the other"))
    own = replace(request, base=None, compat=(), per_picture=None)
    try:
        return evaluate(own, home=home, listen=listen).run
    except (BaseError, HubError) as error:
        listen(Notice(f"how much of each score is left cannot be told: {error.message}"))
        return None


def default_suite(family: str, kind: str | None) -> str:
    """The suite to use when none is named: the family's own, else the one for that kind."""
    wanted = [f"{family}-{kind}", family, str(kind or "object")]
    return next(name for name in [*wanted, "object"] if name in suite_names())


def evaluation_as_json(done: Evaluation) -> dict[str, Any]:
    """A run as ``tireg eval --json`` prints it.

    ``accuracy`` is there where it is known of an encoder, ``compat`` with ``--compat``,
    ``verdict`` and ``transfer`` where the base is not the one the embedding was made on.
    """
    run, spec = done.run, done.run.spec
    data: dict[str, Any] = {
        "run_id": run.run_id,
        "embedding": {
            "name": done.version.name,
            "version": done.version.version,
            "tensor_hash": spec.embedding,
        },
        "base": spec.base,
        "suite": spec.suite.model_dump(mode="json"),
        "scores": [score.printed() for score in run.scores],
    }
    if run.accuracy:
        data["accuracy"] = [one.model_dump(mode="json") for one in run.accuracy]
    if done.compat:
        data["compat"] = [vars(score) for score in done.compat]
    if run.verdict is not None:
        data["verdict"] = {"verdict": run.verdict, "reason": run.verdict_reason}
        data["transfer"] = [one.model_dump(mode="json") for one in run.transfer]
    return data


def check_request(request: EvalRequest) -> None:
    """InputError for wishes that contradict each other."""
    if (request.images is None) != (request.manifest is None):
        raise InputError(
            "pictures made elsewhere take a folder and a manifest that says what they are",
            hint="--images DIR --manifest FILE",
        )
    if request.images is not None and not request.images.is_dir():
        raise InputError(f"there is no folder '{request.images}'", hint="--images DIR")
    told = (request.sampler, request.steps, request.guidance, request.size)
    if request.rescore and request.images is not None:
        raise InputError("--rescore looks at kept pictures, --images at others", hint="give one")
    if (request.rescore or request.images is not None) and any(t is not None for t in told):
        raise InputError(
            "nothing is drawn, so a sampler, steps, guidance or size change nothing",
            hint="leave them out",
        )


def _write_lines(path: Path | None, lines: bytes) -> None:
    if path is None:
        return
    try:
        path.write_bytes(lines)
    except OSError as error:
        raise ConfigError(
            f"'{path}' cannot be written: {error.strerror}", hint="--per-picture FILE"
        ) from error
