"""Registry entries with runs whose values by prompt are made up, to compare and to rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.store import make
from tireg.domain.records import Record
from tireg.domain.scores import EncoderRef, Run, Score
from tireg.domain.statistics import clustered_mean
from tireg.store.registry import Registry

PROMPTS = 20


def score(metric: str, values: np.ndarray | None, **changes: Any) -> Score:
    """A score whose value is the mean of one number per prompt; None: unscored."""
    common: dict[str, Any] = {
        "metric": metric, "version": 1, "encoder": "clip", "direction": "higher", "n_seeds": 4,
    }  # fmt: skip
    if values is None:
        unscored = {"value": None, "n_prompts": 0, "unscored": "no pictures are kept"}
        return Score(**{**common, **unscored, **changes})
    estimate = clustered_mean(values)
    known = {
        "value": estimate.value,
        "ci": None if estimate.low is None else (estimate.low, estimate.high),
        "n_prompts": len(values),
        "prompt_values": {f"p{n}": float(value) for n, value in enumerate(values)},
    }
    return Score(**{**common, **known, **changes})


def add(
    home: Path,
    name: str,
    *scores: Score,
    spec: dict[str, Any] | None = None,
    sampling: dict[str, Any] | None = None,
    created: str = "2026-08-02T12:00:00Z",
    **changes: Any,
) -> Run:
    """Record ``name`` (once) and a run of these scores about it."""
    record, objects = make.record(name, **changes)
    run = a_run(record, scores, spec or {}, sampling or {}, created)
    with Registry.open(home) as registry:
        registry.add(record, objects)
        registry.add_run(run, {})
    return run


def a_run(
    record: Record,
    scores: tuple[Score, ...],
    spec: dict[str, Any],
    sampling: dict[str, Any],
    created: str,
) -> Run:
    """A run with an identity of its own."""
    run, _ = make.run(record, created=created)
    told = run.spec.model_copy(
        update={
            "encoders": (EncoderRef(name="clip", sha256=make.sha("clip")),),
            "sampling": run.spec.sampling.model_copy(update=sampling),
            **spec,
        }
    )
    ident = make.sha(f"{record.sha256}{told!r}{created}{scores!r}")
    return run.model_copy(update={"run_id": ident, "spec": told, "scores": scores, "files": ()})
