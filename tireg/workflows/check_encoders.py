"""What an embedding does to a base's text encoders: its part of ``tireg check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.domain.suites import Suite, fill, load_suite
from tireg.domain.tensors import is_output_key
from tireg.errors import BaseError
from tireg.workflows.check import SAME, Finding, Subject
from tireg.workflows.check_base import base_findings, family_at, opener
from tireg.workflows.evaluate import default_suite
from tireg.workflows.places import Place
from tireg.workflows.progress import Event, Listener

if TYPE_CHECKING:
    import numpy as np

    from tireg.models.text_probe import TextProbe

LOUD, FAINT = 3.0, 0.2
"""Norms beyond these multiples of words in use; above the first a vector tends to drown its
prompt, below the second it hardly says a thing."""
MOSTLY_GONE = 0.5
"""Text collapse that is surely above this is wrong. Between the metric's own bar and this one the
pictures may still be good, as those of a shipped embedding are: that is a doubt."""
NEAREST = 3


def encoder_findings(
    home: Path,
    subject: Subject,
    place: Place,
    *,
    own: bool,
    noun: str | None,
    suite: str | None,
    listen: Listener,
) -> list[Finding]:
    """Whether the base is the same, and per encoder norms, nearest words, collisions, collapse
    and the off-token invariant.

    Opens one text encoder at a time; ``own``: the base is the record's. BaseError where the place
    holds no base, or none of its encoders is one the embedding has vectors for.
    """
    family = family_at(place)
    keys = [encoder.key for encoder in family.encoders if encoder.key in subject.rows]
    if not keys:
        raise BaseError(
            f"the vectors are for {', '.join(subject.rows)}, and a base of the family "
            f"{family.id} has {', '.join(sorted(family.keys))}",
            hint="--base with one of the embedding's own family",
        )
    questions = load_suite(suite or default_suite(family.id, subject.kind))
    made_on = subject.base.fingerprint if subject.base else None
    found = base_findings(home, place, family, made_on, own=own)
    probe_of = opener(place, family)
    for n, key in enumerate(dict.fromkeys([*keys, *subject.rows]), 1):
        if key not in keys:
            words = f"a base of the family {family.id} has no such encoder"
            if is_output_key(key):
                words = "these are added to the encoder's output, which is not looked at"
            found.append(Finding("text encoder", key, "not checked", None, words))
        else:
            found += _findings(probe_of(key), subject, noun, questions)
        listen(Event("reading the text encoders", n, len(subject.rows), key))
    return found


def _findings(probe: TextProbe, subject: Subject, noun: str | None, suite: Suite) -> list[Finding]:
    """Everything about one encoder."""
    import numpy as np

    key, rows = probe.row.key, subject.rows[probe.row.key]
    width = probe.table().shape[1]
    if rows.shape[1] != width:
        words = f"vectors are {rows.shape[1]} wide, the base's are {width}: it cannot be loaded"
        return [Finding("width", key, "wrong", None, words)]
    if not np.isfinite(rows).all():
        words = "vectors that are not finite cannot be tried in an encoder"
        return [Finding("text encoder", key, "not checked", None, words)]
    found = [*_norms(probe, rows), *_nearest(probe, rows), _ordinary(probe, subject.token)]
    quiet = [prompt.text for prompt in suite.prompts if not prompt.has_slot]
    found += _off_token(probe, subject.token, rows, quiet, noun)
    return [*found, _collapse(probe, subject, noun, suite)]


def _norms(probe: TextProbe, rows: np.ndarray) -> list[Finding]:
    """Lengths of the vectors against those of words that captions are full of."""
    import numpy as np

    from tireg.metrics.collapse_text import norm_ratio
    from tireg.training.rows import COMMON_WORDS

    key, words = probe.row.key, probe.word_rows(COMMON_WORDS)
    if not len(words):
        reason = "the vocabulary has no ordinary English word whole to compare lengths with"
        return [Finding("norm", key, "not checked", None, reason)]
    ratios = [norm_ratio(row[None].astype(np.float64), words.astype(np.float64)) for row in rows]
    mean = float(np.mean(ratios))
    told = f"vectors are {mean:.2f} times as long as words in use"
    told += f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    if max(ratios) > LOUD:
        told += f"; above about {LOUD:g} a vector tends to drown its prompt"
    elif min(ratios) < FAINT:
        told += "; one so short hardly says a thing"
    unusual = max(ratios) > LOUD or min(ratios) < FAINT
    return [Finding("norm", key, "doubt" if unusual else "ok", mean, told)]


def _nearest(probe: TextProbe, rows: np.ndarray) -> list[Finding]:
    """The ordinary words that each vector points most nearly the way of."""
    import numpy as np

    named = probe.whole_words()
    numbers = np.array(sorted(named))
    if not numbers.size:
        return []
    table = probe.table()[numbers]
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    found = []
    for n, row in enumerate(rows, 1):
        cosines = unit @ (row / max(float(np.linalg.norm(row)), 1e-12))
        best = np.argsort(-cosines)[:NEAREST]
        words = ", ".join(f"{named[int(numbers[i])]} {cosines[i]:.2f}" for i in best)
        top = float(cosines[best[0]])
        told = f"vector {n} is nearest to {words}"
        copied = top > SAME
        told += ": it is that word and nothing new" if copied else ""
        key = probe.row.key
        found.append(Finding("nearest words", key, "doubt" if copied else "note", top, told))
    return found


def _ordinary(probe: TextProbe, token: str) -> Finding:
    key = probe.row.key
    if probe.is_word(token):
        words = f"'{token}' is an ordinary word of this base, which loses its meaning"
        return Finding("ordinary word", key, "wrong", None, words)
    return Finding("ordinary word", key, "ok", None, f"'{token}' is no word of the vocabulary")


def _off_token(
    probe: TextProbe, token: str, rows: np.ndarray, quiet: Sequence[str], noun: str | None
) -> list[Finding]:
    """Load the word for real: prompts without it must keep every bit, those with it must not."""
    from tireg.models.fingerprint import PROMPTS
    from tireg.models.text_probe import differing

    key = probe.row.key
    spoken = f"a photo of {token}"
    prompts = [*quiet, *([f"a photo of a {noun}"] if noun else []), *PROMPTS]
    before = {prompt: probe.states(prompt) for prompt in dict.fromkeys([*prompts, spoken])}
    probe.put(token, rows)
    try:
        changed = [p for p in prompts if differing(before[p], probe.states(p))]
        heard = differing(before[spoken], probe.states(spoken))
    finally:
        probe.take_out()
    left = [p for p in (spoken, *prompts) if differing(before[p], probe.states(p))]
    found = []
    if changed:
        words = (
            f"{len(changed)} of {len(prompts)} prompts without it change, such as '{changed[0]}'"
        )
        found.append(Finding("off-token", key, "wrong", float(len(changed)), words))
    else:
        words = f"{len(prompts)} prompts without it keep every bit while it is loaded"
        found.append(Finding("off-token", key, "ok", 0.0, words))
    if left:
        words = f"'{left[0]}' means something else after it was taken out again"
        found.append(Finding("taken out", key, "wrong", float(len(left)), words))
    if not heard:
        words = f"'{spoken}' means the same with it and without it: the token is not seen"
        found.append(Finding("heard", key, "wrong", None, words))
    return found


def _collapse(probe: TextProbe, subject: Subject, noun: str | None, suite: Suite) -> Finding:
    """How much of a prompt's context is left in the text feature, against the class noun."""
    from tireg.metrics import METRICS
    from tireg.metrics.samples import Samples

    name, key = "text collapse", probe.row.key
    if subject.negative:
        reason = "a word for the negative prompt has no context to drown"
        return Finding(name, key, "not checked", None, reason)
    if not noun:
        reason = "there is no class noun to compare with: --noun WORD"
        return Finding(name, key, "not checked", None, reason)
    asking = [prompt for prompt in suite.prompts if prompt.has_slot]
    features: dict[str, Any] = {
        "class": probe.features([fill(prompt, "class", noun) for prompt in asking])
    }
    probe.put(subject.token, subject.rows[key])
    try:
        features["token"] = probe.features([fill(p, "token", subject.token) for p in asking])
    finally:
        probe.take_out()
    metric = METRICS["semantic_collapse_text"]
    result = metric(Samples(prompts=suite.prompts, seeds=suite.seeds, probe=features))
    if result.value is None:
        return Finding(name, key, "not checked", None, result.unscored or "not known")
    interval = "" if result.low is None else f", 95% {result.low:.2f} to {result.high:.2f}"
    words = (
        f"{result.value:.2f}{interval}, over {len(asking)} contexts of '{suite.name}' (0: as much "
        f"context is left as beside '{noun}', 1: none)"
    )
    if metric.is_bad(result):
        gone = result.low is not None and result.low > MOSTLY_GONE
        words = f"{words}; {metric.bad}"
        return Finding(name, key, "wrong" if gone else "doubt", result.value, words)
    return Finding(name, key, "ok", result.value, words)
