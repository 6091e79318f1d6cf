"""What the scores of one run come to, in words; thresholds are those the metrics declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tireg.domain.scores import Run, Score
from tireg.domain.suite_checks import LEAST_PROMPTS
from tireg.report.report_data import Finding, ScoreRow, Status, Verdict

# What a score is called on a page, and what it asks. Others go by their own name.
ASKS = {
    "concept_fidelity": (
        "Concept fidelity",
        "Is it the thing in the pictures? 0: the class noun, 1: the pictures themselves.",
    ),
    "identifiability": (
        "Identifiability",
        "Is it told from other concepts like it?",
    ),
    "prompt_fidelity": (
        "Prompt fidelity",
        "Does the rest of the prompt count as with the class noun?",
    ),
    "prompt_retrieval": (
        "Prompt retrieval",
        "Do pictures show the context they were asked for?",
    ),
    "semantic_collapse": (
        "Semantic collapse",
        "What share of the prompt is lost to the word?",
    ),
    "semantic_collapse_text": (
        "Semantic collapse, in the text encoder",
        "The same, before anything is drawn.",
    ),
    "off_token_leakage": (
        "Off-token leakage",
        "Do prompts without the word move towards it?",
    ),
    "off_token_rate": (
        "Off-token rate",
        "How often do they?",
    ),
    "off_token_drift": (
        "Off-token drift",
        "Do prompts without the word change at all?",
    ),
    "background_leakage": (
        "Background leakage",
        "Does the place of the pictures show where another was asked for?",
    ),
    "background_leakage_masked": (
        "Background leakage, masked",
        "The same, with the concept masked out.",
    ),
    "copying": (
        "Copying",
        "What share of pictures copies a training picture?",
    ),
    "copying_gap": (
        "Copying gap",
        "Are training pictures nearer than held-out ones?",
    ),
    "diversity": (
        "Diversity",
        "Do seeds still give different pictures, as different as a fixed look allows?",
    ),
    "diversity_masked": (
        "Diversity, masked",
        "Do they beside the concept, set against the class noun's?",
    ),
    "diversity_lpips": (
        "Diversity, LPIPS",
        "Do they to LPIPS, set against the class noun's? It falls with fidelity, too.",
    ),
    "pair_bleeding": (
        "Bleeding into a second concept",
        "Does another concept take on its looks?",
    ),
    "concept_bleeding": (
        "Bleeding of other concepts",
        "Does it take on the looks of others?",
    ),
    "style_content_leakage": (
        "Style leakage",
        "Does the style bring things of its pictures along?",
    ),
    "style_intrusion": (
        "Style intrusion",
        "How often does one of them stand in for what was asked for?",
    ),
    "clip_image_similarity": (
        "Likeness to the pictures",
        "The plain cosine, as papers print it.",
    ),
    "clip_text_similarity/class": (
        "Likeness to the prompt, with the class noun",
        "The plain cosine.",
    ),
    "clip_text_similarity/empty": (
        "Likeness to the prompt, without it",
        "The plain cosine.",
    ),
    "clip_text_similarity/context": (
        "Likeness to the context alone",
        "The plain cosine.",
    ),
}
DIRECTIONS = {"higher": "higher", "lower": "lower", "target": "on target"}
RANK: dict[Status, int] = {"good": 0, "unknown": 1, "warn": 2, "bad": 3}
HALF, LITTLE = 0.5, 0.25
CLEAR_LOSS = -0.05
LOST = 0.25


def title_of(metric: str) -> str:
    """What a metric is called on a page."""
    return ASKS.get(metric, (metric, ""))[0]


def is_bad(score: Score) -> bool | None:
    """As the metric's own rule has it; None where there is no threshold or no interval."""
    from tireg.metrics import METRICS

    known = METRICS.get(score.metric)
    if known is None or score.difference is None or score.difference_ci is None:
        return None
    low, high = score.difference_ci
    if known.bad_above is not None:
        return score.difference > known.bad_above and low > 0.0
    if known.bad_below is not None:
        return score.difference < known.bad_below and high < 0.0
    return None


def target_of(metric: str) -> float | None:
    """Where a metric of direction ``target`` should be."""
    from tireg.metrics import METRICS

    known = METRICS.get(metric)
    return known.target if known else None


def score_row(score: Score) -> ScoreRow | None:
    """A score as a table shows it; None where it has no value."""
    from tireg.metrics import METRICS

    if score.value is None:
        return None
    title, asks = ASKS.get(score.metric, (score.metric, ""))
    target = target_of(score.metric)
    better = DIRECTIONS[score.direction]
    if score.direction == "target" and target is not None:
        better = f"nearest {target:g}"
    known = METRICS.get(score.metric)
    return ScoreRow(
        metric=score.metric,
        title=title,
        asks=asks,
        value=score.value,
        ci=score.ci,
        level=score.level,
        baseline=score.baseline,
        baseline_name=score.baseline_name.partition(" (")[0],
        better=better,
        bad=is_bad(score),
        bad_words=known.bad if known else "",
        n_prompts=score.n_prompts,
        n_seeds=score.n_seeds,
        p_adjusted=score.p_adjusted,
        encoder=score.encoder,
    )


def verdict_of(run: Run) -> Verdict:
    """The verdict on one run: a headline, what it rests on, and what is not known."""
    scores = {score.metric: score for score in run.scores}
    noun = f"'{run.spec.class_noun}'" if run.spec.class_noun else "the prompt without it"
    findings = []
    for metric, say in _SAYERS.items():
        score = scores.get(metric)
        if score is not None and score.value is not None:
            found = say(score, noun)
            if found is not None:
                findings.append(Finding(found[0], metric, found[1]))
    findings += [
        _beyond(score) for score in run.scores if score.metric not in _SAYERS and is_bad(score)
    ]
    unknown = tuple(
        f"{what} ({scores[metric].unscored})"
        for metric, what in _MISSED.items()
        if metric in scores and scores[metric].unscored and not _beside_the_point(metric, run)
    )
    status, headline = _headline(findings, run)
    return Verdict(status, headline, tuple(findings), unknown, _cautions(run))


def _beyond(score: Score) -> Finding:
    """A metric without words of its own that is past its threshold."""
    from tireg.metrics import METRICS

    bad = METRICS[score.metric].bad.rstrip(".")
    told = f"{title_of(score.metric)}: {_size(score.value or 0.0)}{_interval(score)}; bad is {bad}."
    return Finding("warn", score.metric, told)


def _beside_the_point(metric: str, run: Run) -> bool:
    """Whether nobody asked: a word for the negative prompt is not meant to be seen."""
    return run.spec.negative and metric == "concept_fidelity"


def _headline(findings: Sequence[Finding], run: Run) -> tuple[Status, str]:
    by = {finding.metric: finding for finding in findings}
    bad = [_FAULTS[f.metric] for f in findings if f.status == "bad" and f.metric in _FAULTS]
    like = by.get("concept_fidelity")
    if run.spec.negative:
        status: Status = "bad" if bad else "good" if findings else "unknown"
        return status, _sentence("For the negative prompt: what it does to pictures is below", bad)
    if like is None:
        opening = "How like its pictures it is cannot be known"
        return ("bad" if bad else "unknown"), _sentence(opening, bad)
    if like.status == "bad":
        return "bad", _sentence("It is no more like its pictures than the class noun", bad)
    value = next(s.value for s in run.scores if s.metric == "concept_fidelity") or 0.0
    part = "little" if value < LITTLE else "a part"
    opening = {
        "warn": f"It goes {part} of the way to its pictures",
        "good": "It looks like its pictures",
    }.get(like.status, "Its likeness to its pictures is not sure")
    if like.status == "unknown" or (like.status == "warn" and value > 1):
        opening = (
            "It may be too much like its pictures"
            if value > 1
            else "It may be no more like its pictures than the class noun"
        )
    if bad:
        return "bad", _sentence(opening, bad)
    doubts = [f for f in findings if f.status == "warn" and f.metric != "concept_fidelity"]
    if doubts:
        return "warn", f"{opening}; see the doubts below."
    fine = [f for f in findings if f.metric in ("prompt_fidelity", "semantic_collapse")]
    status = "good" if like.status == "good" else "warn"
    return status, f"{opening}{' and lets prompts count' if fine else ''}."


def _sentence(opening: str, faults: Sequence[str]) -> str:
    if not faults:
        return f"{opening}."
    told = faults[0] if len(faults) == 1 else f"{', '.join(faults[:-1])} and {faults[-1]}"
    return f"{opening}, but {told}."


def _cautions(run: Run) -> tuple[str, ...]:
    """How far to believe it."""
    asked = max((score.n_prompts for score in run.scores), default=0)
    found = []
    if 0 < asked < LEAST_PROMPTS:
        found.append(f"{asked} prompts are too few to tell much from chance.")
    elif 0 < asked < 20:
        found.append(
            f"{asked} prompts with {len(run.spec.seeds)} seeds: intervals are wide, as they should "
            "be. A larger suite tells more."
        )
    if any(score.value is not None and not score.prompt_values for score in run.scores):
        found.append("Scored by an older tireg that kept no values by prompt.")
    return tuple(found)


_Said = tuple[Status, str] | None


def _likeness(score: Score, noun: str) -> _Said:
    value, ci = score.value or 0.0, score.ci
    way = f"{_percent(value)} of the way from {noun} to the pictures it learned from"
    if ci is None:
        return "unknown", f"It goes {way}; one prompt gives no interval."
    between = f"{_percent(ci[0])} to {_percent(ci[1])}"
    if value <= 0 or ci[1] <= 0:
        return "bad", f"It goes no part of the way from {noun} to its pictures ({between})."
    if ci[0] <= 0:
        return "unknown", f"It goes {way}, but it may be none of it ({between})."
    if ci[0] > 1:
        return "warn", (
            f"It is more like its pictures than they are like each other ({between}); look for "
            "copies below."
        )
    if value < HALF:
        return "warn", f"It goes only {way} ({between})."
    return "good", f"It goes {way} ({between})."


def _following(score: Score, noun: str) -> _Said:
    value, between = score.value or 0.0, _interval(score)
    if is_bad(score):
        return "bad", f"Prompts are followed less than with {noun}: {_size(value)}{between}."
    if score.ci is None:
        return (
            "unknown",
            f"Against {noun}, prompts are followed by {_size(value)}, without interval.",
        )
    if score.ci[0] > CLEAR_LOSS:
        return "good", f"Prompts are followed as with {noun}: {_size(value)}{between}."
    return "warn", (
        f"Prompts may be followed less than with {noun}: {_size(value)}{between}; people see a "
        "difference of 0.05."
    )


def _collapse(score: Score, noun: str) -> _Said:
    value, between = score.value or 0.0, _interval(score, percent=True)
    if is_bad(score):
        return "bad", f"It drowns {_percent(value)} of the rest of a prompt{between}."
    if score.ci is None or score.ci[1] <= LOST:
        lost = f"{_percent(value)} is lost" if value > 0 else "nothing is lost"
        return "good", f"The rest of a prompt keeps its weight: {lost}{between}."
    return "warn", f"It may drown a part of the rest of a prompt: {_percent(value)}{between}."


def _leak(score: Score, noun: str) -> _Said:
    if score.details.get("identical_pictures") == 1.0:
        return "good", "Prompts without the word give the same pictures, to the last pixel."
    if is_bad(score):
        return "bad", (
            f"It shows where it was not asked for: {_size(score.value or 0.0)}{_interval(score)}."
        )
    return "warn", "Prompts without the word change when it is loaded, which a word should not do."


def _places(score: Score, noun: str) -> _Said:
    told = f"{_size(score.value or 0.0)}{_interval(score)}"
    if is_bad(score):
        return "bad", f"The place of its pictures comes along where another is asked for: {told}."
    return "good", f"The place of its pictures was not seen to come along: {told}."


def _copies(score: Score, noun: str) -> _Said:
    if not score.value:
        return "good", "No picture copies a training picture."
    between = _interval(score, percent=True)
    told = f"{_percent(score.value)} of its pictures copy a training picture{between}."
    return ("bad" if is_bad(score) else "warn"), told


def _things(score: Score, noun: str) -> _Said:
    told = f"{_size(score.value or 0.0)}{_interval(score)}"
    if is_bad(score):
        return "bad", f"The style brings things of its pictures along: {told}."
    return "good", f"The things of its pictures were not seen to come along: {told}."


_SAYERS: Mapping[str, Callable[[Score, str], _Said]] = {
    "concept_fidelity": _likeness,
    "prompt_fidelity": _following,
    "semantic_collapse": _collapse,
    "off_token_leakage": _leak,
    "background_leakage": _places,
    "style_content_leakage": _things,
    "copying": _copies,
}
_FAULTS = {
    "prompt_fidelity": "it follows prompts less",
    "semantic_collapse": "it drowns the rest of a prompt",
    "off_token_leakage": "it shows where it was not asked for",
    "background_leakage": "it brings its background along",
    "style_content_leakage": "it brings things of its pictures along",
    "copying": "it copies training pictures",
}
_MISSED = {
    "concept_fidelity": "likeness to its pictures",
    "copying": "copies of its pictures",
    "background_leakage": "leakage of their background",
}


def _percent(value: float) -> str:
    return f"{value:.0%}".replace("-", "\u2212")


def _size(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\u2212")


def _interval(score: Score, *, percent: bool = False) -> str:
    if score.ci is None:
        return ""
    low, high = (_percent(b) if percent else _size(b) for b in score.ci)
    return f" ({low} to {high})"
