"""The scores of one version as a file for other tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tireg.domain.score_forms import (
    csv_text,
    eval_results,
    jsonl_text,
    latest_runs,
    model_index,
    score_rows,
)
from tireg.domain.scores import Run
from tireg.domain.suites import Suite, load_suite, suite_names
from tireg.errors import ConfigError, InputError
from tireg.store.registry import Registry
from tireg.workflows.compare import Wanted

Form = Literal["csv", "jsonl", "model-index", "eval-results"]
FORMS: tuple[Form, ...] = ("csv", "jsonl", "model-index", "eval-results")


def export_scores(
    home: Path,
    ref: str,
    form: Form,
    *,
    suite: str | None = None,
    base: str | None = None,
    every: bool = False,
    as_json: bool = False,
) -> str:
    """The text of the file: the latest run on each suite and base, or ``every`` run.

    ``model-index`` and ``eval-results`` are YAML, or JSON with ``as_json``. Raises RefError or
    SuiteError for what is not there, and InputError where nothing was scored or the form cannot
    hold it.
    """
    with Registry.open(home, create=False) as registry:
        version = registry.resolve(ref)
        runs = Wanted(suite, base).runs(registry.runs(version.record_sha))
    if not runs:
        more = f" --suite {suite}" if suite else ""
        more += f" --base {base}" if base else ""
        asked = " there" if more else ""
        raise InputError(
            f"{version.ref} was not scored{asked}", hint=f"tireg eval {version.ref}{more}"
        )
    kept = runs if every else latest_runs(runs)
    if form in ("csv", "jsonl"):
        rows = score_rows(version.name, version.version, kept)
        return csv_text(rows) if form == "csv" else jsonl_text(rows)
    if form == "model-index":
        return _dump({"model-index": model_index(version.name, kept)}, as_json)
    return _dump(_eval_results(latest_runs(kept), suite, version.ref), as_json)


def write_text(path: Path, text: str) -> None:
    """Write a new file whole. ConfigError where it is there already or cannot be written."""
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"'{path}' is there already", hint="take another --out, or remove it"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"'{path}' cannot be written: {error.strerror}", hint="--out FILE"
        ) from error


def _eval_results(runs: Sequence[Run], given: str | None, ref: str) -> list[dict[str, Any]]:
    """Entries of every run whose suite is a benchmark; InputError where none is."""
    entries: list[dict[str, Any]] = []
    refused: InputError | None = None
    for run in runs:
        try:
            entries += eval_results(run, _suite_of(run, given))
        except InputError as error:
            refused = error
    if not entries and refused is not None:
        hint = refused.hint or f"tireg scores {ref} --to model-index"
        raise InputError(refused.message, hint=hint) from refused
    return entries


def benchmark_scores(runs: Sequence[Run], suites: Sequence[str], ref: str) -> dict[str, bytes]:
    """By suite name, the ``.eval_results`` file of the latest run on it and the word's own base.

    Suites that are no registered benchmark have none, as its readers take nothing else. Raises
    SuiteError for a suite that is none, InputError for one of ``suites`` without such scores.
    """
    home = latest_runs([run for run in runs if run.verdict is None])
    found: dict[str, bytes] = {}
    asked_of = {run.spec.suite.name for run in home}
    for name in (*(n for n in suite_names() if n in asked_of), *suites):
        suite = load_suite(name)
        asked = [run for run in home if run.spec.suite.sha256 == suite.sha256]
        if asked and (suite.benchmark is not None or name in suites):
            found[suite.name] = _dump(eval_results(asked[-1], suite), False).encode()
        elif name in suites:
            raise InputError(
                f"{ref} was not scored on the suite '{suite.name}'",
                hint=f"tireg eval {ref} --suite {name}",
            )
    return found


def _suite_of(run: Run, given: str | None) -> Suite:
    """The suite a run was asked, found again by its hash."""
    if given is not None:
        return load_suite(given)
    for name in suite_names():
        suite = load_suite(name)
        if suite.sha256 == run.spec.suite.sha256:
            return suite
    raise InputError(
        f"the suite '{run.spec.suite.name}' of this run is a file of your own",
        hint="give it: --suite FILE",
    )


def _dump(data: Any, as_json: bool) -> str:
    if as_json:
        return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    import yaml

    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return text
