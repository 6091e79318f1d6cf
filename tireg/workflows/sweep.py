"""Every recipe on every concept with every seed: learned as a fleet, scored, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tireg.domain.ranking import goodness
from tireg.domain.scores import Run
from tireg.domain.statistics import Estimate
from tireg.errors import EvaluationError
from tireg.store.registry import Registry
from tireg.workflows.evaluate import EvalRequest
from tireg.workflows.fanning import Fan
from tireg.workflows.fleet import Ended, train_fleet
from tireg.workflows.many import ManyRequest, Scored, evaluate_many
from tireg.workflows.progress import Listener, Notice, silent
from tireg.workflows.sweep_file import Sweep, Trial
from tireg.workflows.sweep_ranking import LEVEL, Pair, Standing, conclusion, rank, scored

BEST = "best"
Told = dict[str, dict[Pair, dict[str, float]]]


@dataclass(frozen=True)
class Tried:
    """One trial: what became of its run, and of its evaluation where there was a run."""

    trial: Trial
    ended: Ended
    scored: Scored | None

    @property
    def trouble(self) -> tuple[str, str] | None:
        """Why it has no scores: a sentence and a hint."""
        if self.ended.error is not None:
            return self.ended.error.message, self.ended.error.hint
        if self.scored is not None and self.scored.failure is not None:
            return self.scored.failure.message, self.scored.failure.hint
        return None


@dataclass(frozen=True)
class Swept:
    """A finished sweep. ``winners`` maps each concept to the version now called ``best``."""

    sweep: Sweep
    tried: tuple[Tried, ...]
    standings: tuple[Standing, ...]
    conclusion: str
    winners: dict[str, str]


def run_sweep(
    sweep: Sweep,
    *,
    home: Path,
    width: int | None = None,
    fan: Fan | None = None,
    each: EvalRequest | None = None,
    listen: Listener = silent,
) -> Swept:
    """Learn what is missing, score what is not scored, rank, and alias the winners.

    Every trial becomes a version of its concept's embedding with an alias of its own
    (``my-cat@wide-s1``), and the embedding gets the sweep's tag. A run that learned nothing is
    recorded and scored as it is: that is what the recipe did. ``each`` says how to score. Raises
    what :func:`train_fleet` and :func:`evaluate_many` do, and EvaluationError where no trial
    could be scored by the metrics that decide.
    """
    fan = fan or Fan()
    trials = sweep.trials
    requests = [replace(trial.request, keep_anyway=True) for trial in trials]
    labels = [f"{trial.concept} {trial.label}" for trial in trials]
    ended = train_fleet(requests, home=home, width=width, fan=fan, labels=labels, listen=listen)
    _label(sweep, ended, home)
    tried = _score(sweep, ended, home, fan, each or EvalRequest(ref=""), listen)
    values, raw = _values(sweep, tried)
    standings = rank(values, raw, sweep.recipes)
    winners = _crown(sweep, tried, standings[0].recipe, scored(values), home, listen)
    return Swept(sweep, tuple(tried), tuple(standings), conclusion(standings), winners)


def _label(sweep: Sweep, ended: Sequence[Ended], home: Path) -> None:
    """Aliases of versions and tags of embeddings, where they are not there yet."""
    with Registry.open(home) as registry:
        for trial, one in zip(sweep.trials, ended, strict=True):
            if one.version is None:
                continue
            ref = one.version.ref
            if ref_of(registry, trial) != one.version.record_sha:
                registry.alias(ref, trial.label)
            registry.tag(ref, [sweep.tag])


def ref_of(registry: Registry, trial: Trial) -> str | None:
    """Record hash of the version that a trial's alias means now."""
    from tireg.errors import RefError

    try:
        return registry.find(f"{trial.concept}@{trial.label}").record_sha
    except RefError:
        return None


def _score(
    sweep: Sweep, ended: Sequence[Ended], home: Path, fan: Fan, each: EvalRequest, listen: Listener
) -> list[Tried]:
    there = [one.version for one in ended if one.version is not None]
    by_record: dict[str, Scored] = {}
    if there:
        asked = ManyRequest(
            [version.ref for version in there], (), replace(each, suite=each.suite or sweep.suite),
            fan,
        )  # fmt: skip
        by_record = {
            one.cell.version.record_sha: one
            for one in evaluate_many(asked, home=home, listen=listen)
        }
    return [
        Tried(trial, one, by_record.get(one.version.record_sha) if one.version else None)
        for trial, one in zip(sweep.trials, ended, strict=True)
    ]


def _values(sweep: Sweep, tried: Sequence[Tried]) -> tuple[Told, Told]:
    """Goodness and value by recipe, pair and metric, of trials with every metric that decides."""
    found: Told = {}
    raw: Told = {}
    why = ""
    for one in tried:
        if one.scored is None or one.scored.done is None:
            why = why or (one.trouble or ("", ""))[0]
            continue
        told, values, lacking = _goodness(one.scored.done.run, sweep.rank_by)
        if lacking:
            why = why or lacking
        else:
            found.setdefault(one.trial.recipe, {})[one.trial.pair] = told
            raw.setdefault(one.trial.recipe, {})[one.trial.pair] = values
    if not found:
        raise EvaluationError(
            f"no trial could be ranked: {why}",
            hint="tireg eval on one of them says more, or another rank_by",
        )
    return found, raw


def _goodness(run: Run, metrics: Sequence[str]) -> tuple[dict[str, float], dict[str, float], str]:
    """Values turned so that larger is better, and as they are; or why one is not known."""
    from tireg.metrics import METRICS

    told: dict[str, float] = {}
    values: dict[str, float] = {}
    for metric in metrics:
        score = next((s for s in run.scores if s.metric == metric and s.value is not None), None)
        if score is None or score.value is None:
            reason = next((s.unscored for s in run.scores if s.metric == metric), None)
            return {}, {}, f"{metric} is unscored: {reason or 'the run does not have it'}"
        told[metric] = goodness(score.value, score.direction, METRICS[metric].target)
        values[metric] = score.value
    return told, values, ""


def _crown(
    sweep: Sweep,
    tried: Sequence[Tried],
    recipe: str,
    scores: dict[str, dict[Pair, float]],
    home: Path,
    listen: Listener,
) -> dict[str, str]:
    """Alias, for each concept, the winning recipe's best seed as ``best``."""
    winners: dict[str, str] = {}
    own = scores.get(recipe, {})
    with Registry.open(home) as registry:
        for concept in dict.fromkeys(trial.concept for trial in sweep.trials):
            mine = [t for t in tried if t.trial.recipe == recipe and t.trial.concept == concept]
            mine = [t for t in mine if t.trial.pair in own]
            if not mine:
                listen(Notice(f"'{concept}' has no winner: {recipe} has no scores there"))
                continue
            top = max(mine, key=lambda t: own[t.trial.pair])
            version = top.ended.version
            assert version is not None
            ref = f"{version.name}@{version.version}"
            _move_alias(registry, f"{version.name}@{BEST}", ref, version.record_sha, listen)
            winners[concept] = ref
    return winners


def _move_alias(
    registry: Registry, alias: str, ref: str, record_sha: str, listen: Listener
) -> None:
    from tireg.errors import RefError

    try:
        before = registry.find(alias)
    except RefError:
        registry.alias(ref, BEST)
        return
    if before.record_sha != record_sha:
        registry.alias(ref, BEST)
        listen(Notice(f"'{alias}' was {before.ref} and is {ref} now"))


def swept_as_json(swept: Swept) -> dict[str, Any]:
    """A sweep as ``tireg sweep --json`` prints it."""
    return {
        "tag": swept.sweep.tag,
        "rank_by": list(swept.sweep.rank_by),
        "level": LEVEL,
        "conclusion": swept.conclusion,
        "recipes": [_standing_as_json(one) for one in swept.standings],
        "winners": swept.winners,
        "trials": [_trial_as_json(one) for one in swept.tried],
    }


def _standing_as_json(one: Standing) -> dict[str, Any]:
    return {
        "recipe": one.recipe,
        "trials": one.pairs,
        "missing": one.missing,
        "score": _estimate(one.score),
        "metrics": {name: _estimate(estimate) for name, estimate in one.means.items()},
        "behind_best": _estimate(one.behind),
        "p_value": one.p_value,
        "p_adjusted": one.p_adjusted,
        "minimum_effect": one.least,
    }


def _estimate(one: Estimate | None) -> dict[str, Any] | None:
    if one is None:
        return None
    ci = [one.low, one.high] if one.low is not None else None
    return {"mean": one.value, "ci": ci, "n": one.n_clusters}


def _trial_as_json(one: Tried) -> dict[str, Any]:
    trouble, version = one.trouble, one.ended.version
    run = one.scored.done.run if one.scored and one.scored.done else None
    return {
        "recipe": one.trial.recipe,
        "concept": one.trial.concept,
        "seed": one.trial.seed,
        "result": one.ended.status,
        "version": version.ref if version else None,
        "run_id": run.run_id if run else None,
        "scores": {s.metric: s.value for s in run.scores} if run else {},
        "error": trouble[0] if trouble else None,
        "hint": trouble[1] or None if trouble else None,
    }
