"""All that the page about one embedding says, joined from registry, caches and bases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tireg.domain.scores import Run, Score
from tireg.report.report_data import Photo, PromptRow, ReportPage, ScoreRow, Verdict
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.report import ReportRequest, made_words
from tireg.workflows.report_facts import (
    about,
    asked_of,
    commands,
    compat_rows,
    identity,
    left_of,
    recipe_facts,
    training_note,
    usual_knobs,
)
from tireg.workflows.report_likeness import copies_of, ladder_of, space_of
from tireg.workflows.report_pictures import (
    MOST_LEARNED,
    MOST_PREVIEWS,
    Drawn,
    Hashes,
    drawn_of,
    extremes_of,
    hashes_of,
    mark_equal,
    references_of,
    stored_photo,
    stored_photos,
    suite_of,
)
from tireg.workflows.report_words import score_row, title_of, verdict_of

if TYPE_CHECKING:
    from tireg.domain.suites import Suite
    from tireg.report.report_data import Copies, Ladder

MOST_PROMPTS = 100
MOST_SCORES = 100
COPY_THRESHOLD = 0.5
"""Where the detector's authors take a picture for a copy (Pizzi et al., 2022)."""


def page_of(
    request: ReportRequest, version: Version, runs: Sequence[Run], run: Run | None, home: Path
) -> ReportPage:
    """The page; without a run it has no scores, and says which command makes them."""
    from tireg.workflows.compat import compat

    record = version.record
    # By its hash: a file in this folder may have the name of the version.
    known = compat(home, version.record_sha)
    with Registry.open(home, create=False) as registry:
        learned = _kept(stored_photos(registry, record.files, "picture", MOST_LEARNED))
        previews = _kept(stored_photos(registry, record.files, "preview", MOST_PREVIEWS))
        seen = _seen(registry, version, run, home, request) if run else _Unseen(version)
    extremes = extremes_of(run, seen.drawn.prompts) if run else ()
    picked = {pick.row.id for extreme in extremes for pick in extreme.picks}
    prompts, cut = _most(seen.drawn.prompts, picked)
    free, free_cut = _most(seen.drawn.free, set())
    return ReportPage(
        ref=version.ref,
        token=record.token,
        about=about(record, version),
        verdict=seen.verdict,
        made=made_words(),
        learned=learned,
        previews=previews,
        ladder=seen.ladder,
        asked=asked_of(run) if run else "",
        scores=_scores(run) if run else (),
        unscored=_unscored(run.scores) if run else (),
        noun=_noun(run) if run else "the class noun",
        prompts=prompts,
        free=free,
        pictures_note=" ".join(note for note in (seen.drawn.note, cut or free_cut) if note),
        sheet=seen.sheet,
        extremes=extremes,
        copies=seen.copies,
        copies_note=seen.copies_note,
        training=record.training,
        training_note=training_note(record.training, record),
        home_words=_home_words(run) if run else "",
        left=left_of(run) if run else (),
        compat=compat_rows(known),
        other_runs=_others(runs, run),
        recipe=recipe_facts(record.recipe),
        usual=usual_knobs(record.recipe),
        identity=identity(version, run),
        commands=commands(version, run, request.suite, report_command(request)),
        notes=version.notes,
    )


def report_command(request: ReportRequest) -> list[str]:
    """The command that makes this page."""
    words = ["tireg", "report", *request.refs]
    words += ["--suite", request.suite] if request.suite else []
    words += ["--base", request.base] if request.base else []
    return words + (["--out", str(request.target)] if request.target else [])


class _Unseen:
    """What there is to say of pictures and likeness without an evaluation."""

    def __init__(self, version: Version) -> None:
        self.verdict = unscored_verdict(version)
        self.drawn = Drawn()
        self.ladder: Ladder | None = None
        self.copies: Copies | None = None
        self.copies_note = ""
        self.sheet: Photo | None = None


def unscored_verdict(version: Version) -> Verdict:
    """What to say of an embedding that was never scored."""
    told = f"How good it is has not been measured. This command does: tireg eval {version.ref}"
    return Verdict("unknown", "Not scored yet.", cautions=(told,))


def _seen(
    registry: Registry, version: Version, run: Run, home: Path, request: ReportRequest
) -> _Unseen:
    """What the evaluation left: pictures, features, its contact sheet."""
    found = _Unseen(version)
    found.verdict = verdict_of(run)
    suite = suite_of(run, request.suite)
    hashes = hashes_of(registry, run)
    drawn = drawn_of(run, version.record, suite, home, hashes, f"tireg eval {version.ref}")
    free = mark_equal(drawn.free, run, hashes)
    found.drawn = Drawn(drawn.prompts, free, drawn.note, drawn.kept)
    if not drawn.kept:
        sheet = next((file for file in run.files if file.role == "sheet"), None)
        if sheet is not None and registry.objects.has(sheet.sha256):
            found.sheet = stored_photo(
                registry, sheet.sha256, "the contact sheet of the evaluation"
            )
    if run.spec.negative:
        return found
    if suite is None or not run.spec.references:
        found.copies_note = "No training pictures are kept here, so nothing is known of copies."
        return found
    _add_likeness(found, registry, version, run, suite, hashes, home)
    return found


def _add_likeness(
    found: _Unseen,
    registry: Registry,
    version: Version,
    run: Run,
    suite: Suite,
    hashes: Hashes,
    home: Path,
) -> None:
    scores = {score.metric: score for score in run.scores}
    references = references_of(registry, run, version.record)
    copying = scores.get("copying")
    detector = copying if copying is not None and copying.encoder else None
    likeness = space_of(run, scores.get("concept_fidelity"), suite, hashes, references, home)
    found.ladder = ladder_of(run, likeness)
    space = space_of(run, detector, suite, hashes, references, home) if detector else likeness
    if space is None:
        found.copies_note = (
            "The training pictures, or what the encoder saw of the pictures, are not kept here any "
            f"more, so the nearest ones cannot be told. tireg eval {version.ref} keeps them again."
        )
        return
    threshold = COPY_THRESHOLD if detector else None
    found.copies = copies_of(run, space, found.drawn.prompts, threshold=threshold)
    if not detector:
        found.copies_note = (
            "A copy detector tells copies from likeness: "
            f"tireg eval {version.ref} --encoder sscd:FILE"
        )


def _most(rows: Sequence[PromptRow], wanted: set[str]) -> tuple[tuple[PromptRow, ...], str]:
    """As many prompts as one page can hold, those that are ``wanted`` among them."""
    if len(rows) <= MOST_PROMPTS:
        return tuple(rows), ""
    shown = [row for n, row in enumerate(rows) if n < MOST_PROMPTS or row.id in wanted]
    return tuple(shown), f"{len(shown)} of {len(rows)} prompts are shown."


def _kept(photos: Sequence[Photo]) -> tuple[Photo, ...]:
    return tuple(photo for photo in photos if photo.read() is not None)


def _scores(run: Run) -> tuple[ScoreRow, ...]:
    return tuple(row for row in map(score_row, run.scores[:MOST_SCORES]) if row is not None)


def _noun(run: Run) -> str:
    if run.spec.negative:
        return "nothing"
    return f"'{run.spec.class_noun}'" if run.spec.class_noun else "nothing"


def _unscored(scores: Sequence[Score]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (title_of(s.metric), s.unscored or "not known")
        for s in scores[:MOST_SCORES]
        if s.value is None
    )


def _home_words(run: Run) -> str:
    if run.verdict is None:
        return ""
    return f"{run.spec.base} is not the base it was made on: {run.verdict}, {run.verdict_reason}."


def _others(runs: Sequence[Run], chosen: Run | None) -> tuple[tuple[str, str], ...]:
    found = []
    for run in reversed(runs):
        if chosen is None or run.run_id != chosen.run_id:
            suite = run.spec.suite
            told = f"{suite.name} version {suite.version} on {run.spec.base}, run {run.run_id[:12]}"
            found.append((run.created, told))
    return tuple(found[:20])
