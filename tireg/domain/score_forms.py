"""Scores in the forms that other places read: model-index, eval results, rows of a table.

Formats: ``model-index`` is the head of a model card on the Hub (its older form for scores);
``.eval_results/*.yaml`` is the newer one, for data sets registered there as a benchmark.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tireg.domain.scores import Run, Score
from tireg.domain.suites import Suite
from tireg.errors import InputError


def latest_runs(runs: Sequence[Run]) -> list[Run]:
    """The newest run on each base and suite, in a fixed order."""
    newest: dict[tuple[str, str, int], Run] = {}
    for run in sorted(runs, key=lambda r: (r.created, r.run_id)):
        newest[(run.spec.base, run.spec.suite.name, run.spec.suite.version)] = run
    return [newest[key] for key in sorted(newest)]


def model_index(name: str, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The latest scores as the Hub's ``model-index``; empty where nothing was scored.

    Unscored metrics are left out: the format has no way to say why.
    """
    results = []
    for run in latest_runs(runs):
        metrics = [_metric(score) for score in run.scores if score.value is not None]
        if metrics:
            suite = run.spec.suite
            results.append(
                {
                    "task": {"type": "text-to-image", "name": "Textual inversion"},
                    "dataset": {
                        "type": suite.name,
                        "name": f"{suite.name} version {suite.version} on {run.spec.base}",
                        "revision": suite.sha256,
                    },
                    "metrics": metrics,
                }
            )
    return [{"name": name, "results": results}] if results else []


def _metric(score: Score) -> dict[str, Any]:
    args: dict[str, Any] = {"version": score.version, "direction": score.direction}
    if score.ci:
        args["interval"] = [round(bound, 6) for bound in score.ci]
        args["level"] = score.level
    if score.baseline is not None:
        args["baseline"] = round(score.baseline, 6)
        args["baseline_name"] = score.baseline_name
    value = round(score.value, 6) if score.value is not None else None
    return {"type": score.metric, "name": score.metric, "value": value, "args": args}


def score_rows(name: str, version: int, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One flat row per score, unscored ones too, full precision; the same keys in each."""
    rows = []
    for run in runs:
        spec, sampling = run.spec, run.spec.sampling
        weights = {encoder.name: encoder.sha256 for encoder in spec.encoders}
        for score in run.scores:
            low, high = score.ci or (None, None)
            rows.append(
                {
                    "name": name,
                    "version": version,
                    "token": spec.token,
                    "tensor_hash": spec.embedding,
                    "run_id": run.run_id,
                    "created": run.created,
                    "base": spec.base,
                    "base_revision": spec.base_revision,
                    "base_fingerprint": spec.base_fingerprint,
                    "suite": spec.suite.name,
                    "suite_version": spec.suite.version,
                    "suite_sha256": spec.suite.sha256,
                    "sampler": sampling.sampler,
                    "steps": sampling.steps,
                    "guidance": sampling.guidance,
                    "width": sampling.width,
                    "height": sampling.height,
                    "dtype": sampling.dtype,
                    "metric": score.metric,
                    "metric_version": score.version,
                    "encoder": score.encoder,
                    "encoder_sha256": weights.get(score.encoder or ""),
                    "value": score.value,
                    "ci_low": low,
                    "ci_high": high,
                    "level": score.level,
                    "n_prompts": score.n_prompts,
                    "n_seeds": score.n_seeds,
                    "baseline": score.baseline,
                    "baseline_name": score.baseline_name,
                    "difference": score.difference,
                    "p_value": score.p_value,
                    "p_adjusted": score.p_adjusted,
                    "effect_size": score.effect_size,
                    "minimum_effect": score.minimum_effect,
                    "direction": score.direction,
                    "unscored": score.unscored,
                }
            )
    return rows


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with equal keys as CSV (RFC 4180, but for plain newlines); None is an empty field.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    target = io.StringIO()
    writer = csv.DictWriter(target, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return target.getvalue()


def _cell(value: Any) -> Any:
    formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if formula else value


def jsonl_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def eval_results(run: Run, suite: Suite) -> list[dict[str, Any]]:
    """One run as entries of ``.eval_results/*.yaml``, one per metric that is a task there.

    The format has no field for an interval, so it stands in ``notes``. Raises InputError where
    the suite names no registered benchmark, or no score of the run is one of its tasks.
    """
    benchmark = suite.benchmark
    if benchmark is None:
        raise InputError(
            f"the suite '{suite.name}' is no benchmark registered on the Hub, and its eval results "
            "may hold nothing else"
        )
    dataset: dict[str, Any] = {"id": benchmark.dataset}
    if benchmark.revision is not None:
        dataset["revision"] = benchmark.revision
    entries = [
        {
            "dataset": {**dataset, "task_id": benchmark.tasks[score.metric]},
            "value": round(score.value, 6),
            "date": run.created,
            "notes": _notes(run, score),
        }
        for score in run.scores
        if score.value is not None and score.metric in benchmark.tasks
    ]
    if not entries:
        raise InputError(
            f"no score is a task of the benchmark '{benchmark.dataset}', which knows "
            f"{', '.join(benchmark.tasks)}"
        )
    return entries


def _notes(run: Run, score: Score) -> str:
    parts = [f"{score.metric} version {score.version}"]
    if score.encoder:
        parts.append(f"encoder {score.encoder}")
    if score.ci:
        parts.append(f"{score.level:.0%} interval {score.ci[0]:.4f} to {score.ci[1]:.4f}")
    parts.append(f"{score.n_prompts} prompts x {score.n_seeds} seeds on {run.spec.base}")
    return ", ".join(parts)
