"""All that a comparison of embeddings says: every pair, side by side at the same seeds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from tireg.domain.comparable import Frame, newest_of_each_frame, question_of
from tireg.domain.scores import Run
from tireg.errors import InputError
from tireg.report.report_data import (
    ComparedScore,
    ComparePage,
    Group,
    Pair,
    PromptRow,
    Side,
)
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.compare import Wanted, compare, eval_command
from tireg.workflows.report import ReportRequest, choose_run, made_words
from tireg.workflows.report_facts import asked_of, recipe_differences
from tireg.workflows.report_page import MOST_PROMPTS, report_command, unscored_verdict
from tireg.workflows.report_pictures import drawn_of, hashes_of, stored_photos, suite_of
from tireg.workflows.report_words import score_row, title_of, verdict_of
from tireg.workflows.verdict_words import WORDS

PREVIEWS = 4


def comparison(
    request: ReportRequest, versions: Sequence[Version], home: Path
) -> tuple[ComparePage, tuple[str | None, ...]]:
    """The page, and the id of the evaluation that each side is shown by.

    All sides are shown by evaluations that were asked alike where there are such; else each by
    its own, without a common table.
    """
    with Registry.open(home, create=False) as registry:
        every = [registry.runs(version.record_sha) for version in versions]
        wanted = Wanted(request.suite, request.base)
        alike = _asked_alike([wanted.runs(runs) for runs in every])
        runs: list[Run | None] = (
            [*alike]
            if alike
            else [
                _any(version, found, request)
                for version, found in zip(versions, every, strict=True)
            ]
        )
        sides = tuple(
            _side(registry, version, run) for version, run in zip(versions, runs, strict=True)
        )
        rows, note = _prompts(registry, versions, alike, home, request) if alike else ((), "")
    pairs = tuple(
        _pair(home, a, b, request)
        for a, b in combinations([version.ref for version in versions], 2)
    )
    page = ComparePage(
        title=" against ".join(version.ref for version in versions),
        headline=_headline(pairs),
        made=made_words(),
        sides=sides,
        pairs=pairs,
        asked=asked_of(alike[0]) if alike else "",
        scores=_scores(alike) if alike else (),
        prompts=rows,
        pictures_note=note,
        recipes=recipe_differences([version.record.recipe for version in versions]),
        commands=_commands(request, versions, runs),
    )
    return page, tuple(run.run_id if run else None for run in runs)


def _asked_alike(kept: Sequence[Sequence[Run]]) -> list[Run] | None:
    """The newest evaluations of all sides that share suite, base, seeds and sampler."""
    frames = [newest_of_each_frame(runs) for runs in kept]
    shared: set[Frame] = set.intersection(*(set(found) for found in frames))
    if not shared:
        return None
    newest = max(shared, key=lambda frame: (min(found[frame].created for found in frames), frame))
    return [found[newest] for found in frames]


def _any(version: Version, runs: Sequence[Run], request: ReportRequest) -> Run | None:
    try:
        return choose_run(version, runs, request.suite, request.base)
    except InputError:
        return None


def _side(registry: Registry, version: Version, run: Run | None) -> Side:
    photos = stored_photos(registry, version.record.files, "preview", PREVIEWS)
    return Side(
        ref=version.ref,
        token=version.record.token,
        base=version.record.base.id if version.record.base else "",
        verdict=verdict_of(run) if run else unscored_verdict(version),
        previews=tuple(photo for photo in photos if photo.read() is not None),
    )


def _pair(home: Path, a: str, b: str, request: ReportRequest) -> Pair:
    try:
        found = compare(home, a, b, suite=request.suite, base=request.base)
    except InputError as error:
        return Pair(
            a, b, missing=f"{error.message[:1].upper()}{error.message[1:]}.", hint=error.hint
        )
    said: dict[str, list[str]] = {"better": [], "differ": [], "perhaps": [], "none": []}
    kinds = {"a": "better", "b": "better", "differ": "differ", "perhaps": "perhaps", "none": "none"}
    for row in found["metrics"]:
        if row["verdict"] in kinds:
            said[kinds[row["verdict"]]].append(_text(row))
    told: dict[str, Any] = {kind: tuple(texts) for kind, texts in said.items()}
    return Pair(a, b, notes=tuple(found["notes"]), **told)


def _text(row: dict[str, Any]) -> str:
    """The sentence about one metric, with a name that people read."""
    metric, text = str(row["metric"]), str(row["text"])
    if metric in WORDS:
        return text
    title = title_of(metric)
    return text.replace(metric, title[:1].lower() + title[1:])


def _headline(pairs: Sequence[Pair]) -> str:
    better = [text for pair in pairs for text in pair.better]
    if sure := better + [text for pair in pairs for text in pair.differ]:
        more = len(sure) - 1
        tail = (
            f" And {more} more sure {'difference' if more == 1 else 'differences'}." if more else ""
        )
        return f"{sure[0]}.{tail}"
    if all(pair.missing for pair in pairs):
        return "They were not asked alike, so nothing says which is better."
    return "No sure difference was found."


def _scores(runs: Sequence[Run]) -> tuple[ComparedScore, ...]:
    """Every question that any side answers, with everyone's answer."""
    tables = [{question_of(run, score): score for score in run.scores} for run in runs]
    found = []
    for question in dict.fromkeys(q for table in tables for q in table):
        scores = [table.get(question) for table in tables]
        cells = tuple(score_row(score) if score else None for score in scores)
        known = next((cell for cell in cells if cell is not None), None)
        if known is not None:
            found.append(ComparedScore(known.title, known.better, cells))
    return tuple(found)


def _prompts(
    registry: Registry,
    versions: Sequence[Version],
    runs: Sequence[Run],
    home: Path,
    request: ReportRequest,
) -> tuple[tuple[PromptRow, ...], str]:
    """Each prompt with every word, and with the class noun that the first one is held against."""
    suite = suite_of(runs[0], request.suite)
    found = [
        drawn_of(run, version.record, suite, home, hashes_of(registry, run),
                 f"tireg eval {version.ref}")
        for version, run in zip(versions, runs, strict=True)
    ]  # fmt: skip
    tables = [{row.id: row for row in drawn.prompts} for drawn in found]
    rows = []
    for prompt in dict.fromkeys(row.id for drawn in found for row in drawn.prompts):
        groups: list[Group] = []
        mine = [table[prompt] for table in tables if prompt in table]
        for version, table in zip(versions, tables, strict=True):
            if prompt in table:
                token = next(g for g in table[prompt].groups if g.kind == "token")
                groups.append(Group(version.ref, "token", token.text, token.photos))
        groups += [g for g in mine[0].groups if g.kind == "class"]
        rows.append(PromptRow(prompt, mine[0].role, tuple(groups)))
    rows = rows[:MOST_PROMPTS]
    notes = dict.fromkeys(drawn.note for drawn in found if drawn.note)
    return tuple(rows), " ".join(notes)


def _commands(
    request: ReportRequest, versions: Sequence[Version], runs: Sequence[Run | None]
) -> tuple[tuple[str, str], ...]:
    found = []
    for version, run in zip(versions, runs, strict=True):
        command = (
            eval_command(version.ref, run, suite=request.suite)
            if run
            else f"tireg eval {version.ref}"
        )
        found.append((f"Score {version.ref}", command))
    return (*found, ("Make this page", shlex.join(report_command(request))))
