"""Every scored embedding of the registry, ranked: one table per question, never mixed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tireg.domain.comparable import Frame, Question, newest_of_each_frame, question_of
from tireg.domain.ranking import goodness, interval_of_goodness, ranks
from tireg.domain.scores import Direction, Run, Score
from tireg.errors import InputError
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.store.scored import scored
from tireg.workflows.compare import Wanted

HEADLINES = ("concept_fidelity", "prompt_fidelity", "semantic_collapse")
"""What is ranked where no metric is named: likeness, obedience, and what buys the first."""


@dataclass(frozen=True)
class Filters:
    """What to rank; None or empty: everything (of metrics: the headlines)."""

    suite: str | None = None
    base: str | None = None
    metrics: tuple[str, ...] = ()
    kind: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class _Entry:
    version: Version
    run: Run
    score: Score


def leaderboard(home: Path, filters: Filters) -> list[dict[str, Any]]:
    """The groups, each with its rows best first; frames with most entries first.

    One group is one suite's prompts on one base's weights, drawn in one way, seen by one
    encoder's weights, measured by one version of one metric. Each version stands in it with its
    newest run. ``rank`` is 1 + how many are surely better by their intervals; ``tied`` marks a
    rank that several share. Raises InputError for a metric that nobody was scored by.
    """
    groups: dict[tuple[Frame, Question], list[_Entry]] = defaultdict(list)
    seen: set[str] = set()
    for version, runs in _runs(home, filters):
        for frame, run in newest_of_each_frame(runs).items():
            for score in run.scores:
                seen.add(score.metric)
                groups[frame, question_of(run, score)].append(_Entry(version, run, score))
    wanted = filters.metrics or HEADLINES
    if unknown := [name for name in filters.metrics if seen and name not in seen]:
        raise InputError(
            f"nothing here was scored by '{unknown[0]}'", hint=f"--metric {', '.join(sorted(seen))}"
        )
    sizes: dict[Frame, int] = defaultdict(int)
    for (frame, _), entries in groups.items():
        sizes[frame] = max(sizes[frame], len(entries))
    order = {name: place for place, name in enumerate(wanted)}
    asked = [key for key in groups if key[1].metric in order]
    asked.sort(key=lambda key: (-sizes[key[0]], key[0], order[key[1].metric], str(key[1])))
    return [_group(question, groups[frame, question], filters.limit) for frame, question in asked]


def _runs(home: Path, filters: Filters) -> Iterator[tuple[Version, list[Run]]]:
    """Every scored version of the kind, with those of its runs that are asked for."""
    wanted = Wanted(filters.suite, filters.base)
    with Registry.open(home, create=False) as registry:
        for found in scored(registry.store):
            version = registry.resolve(found.ref)
            if filters.kind is not None and version.record.kind != filters.kind:
                continue
            if runs := wanted.runs(registry.runs(found.record_sha)):
                yield version, runs


def _group(question: Question, entries: Sequence[_Entry], limit: int | None) -> dict[str, Any]:
    """One table: what was asked, then who answered, best first."""
    run = entries[0].run
    direction: Direction = entries[0].score.direction
    target = _target(question.metric)
    known = [entry for entry in entries if entry.score.value is not None]
    known.sort(key=lambda e: (-goodness(e.score.value or 0.0, direction, target), e.version.ref))
    places = ranks(
        [interval_of_goodness(e.score.value or 0.0, e.score.ci, direction, target) for e in known]
    )
    return {
        "suite": run.spec.suite.model_dump(mode="json"),
        "base": run.spec.base,
        "base_fingerprint": run.spec.base_fingerprint,
        "seeds": list(run.spec.seeds),
        "sampling": run.spec.sampling.model_dump(mode="json", exclude={"device", "batch"}),
        "negative": run.spec.negative,
        "metric": question.metric,
        "metric_version": question.version,
        "encoder": question.encoder,
        "encoder_sha256": question.encoder_sha256,
        "direction": direction,
        "target": target,
        "scored": len(known),
        "rows": [
            _row(entry, rank, tied=places.count(rank) > 1)
            for entry, rank in zip(known, places, strict=True)
        ][:limit],
        "unscored": [
            {
                "name": entry.version.name,
                "version": entry.version.version,
                "unscored": entry.score.unscored,
            }
            for entry in entries
            if entry.score.value is None
        ],
    }


def _row(entry: _Entry, rank: int, *, tied: bool) -> dict[str, Any]:
    score, record = entry.score, entry.version.record
    return {
        "rank": rank,
        "tied": tied,
        "name": entry.version.name,
        "version": entry.version.version,
        "token": record.token,
        "kind": record.kind,
        "value": score.value,
        "ci": score.ci,
        "level": score.level,
        "baseline": score.baseline,
        "n_prompts": score.n_prompts,
        "n_seeds": score.n_seeds,
        "run_id": entry.run.run_id,
        "created": entry.run.created,
    }


def _target(metric: str) -> float | None:
    """Where a metric should be; None for those that should be high or low, or are not known."""
    from tireg.metrics import METRICS

    return METRICS[metric].target if metric in METRICS else None
