"""Which of two embeddings is better, prompt by prompt and seed by seed, and how sure that is."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tireg.domain.comparable import Frame, Question, frame_of, newest_of_each_frame, question_of
from tireg.domain.families import find_family
from tireg.domain.scores import Run, Score
from tireg.domain.statistics import (
    effect_size,
    holm,
    minimum_detectable_effect,
    paired_difference,
    sign_flip_test,
)
from tireg.domain.suite_checks import LEAST_PROMPTS
from tireg.domain.suites import load_suite, suite_names
from tireg.errors import InputError
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.places import BUILT_IN
from tireg.workflows.verdict_words import unscored_words, verdict_words

LEVEL = 0.95


@dataclass(frozen=True)
class Wanted:
    """Which runs may be used; None: any."""

    suite: str | None = None
    base: str | None = None

    def runs(self, runs: Sequence[Run]) -> list[Run]:
        """Those of ``runs`` on this suite and base. SuiteError where the suite is none."""
        kept = [run for run in runs if self.base is None or names_base(run, self.base)]
        if self.suite is None:
            return kept
        suite = load_suite(self.suite)
        return [run for run in kept if run.spec.suite.sha256 == suite.sha256]


def names_base(run: Run, base: str) -> bool:
    """Whether ``base`` (an id, a folder, or the beginning of a fingerprint) is the run's."""
    folder = Path(base).expanduser()
    return (
        base == run.spec.base
        or (folder.is_dir() and folder.resolve().name == run.spec.base)
        or (len(base) >= 8 and run.spec.base_fingerprint.startswith(base))
    )


def compare(
    home: Path, a: str, b: str, *, suite: str | None = None, base: str | None = None
) -> dict[str, Any]:
    """Every metric of ``a`` against ``b``, over the latest runs that were asked alike.

    Differences are a minus b, paired by prompt (each prompt's value is the mean over the same
    seeds). Raises RefError or SuiteError for what is not there, and InputError with the command
    to type where there are no runs to compare.
    """
    with Registry.open(home, create=False) as registry:
        left, right = registry.resolve(a), registry.resolve(b)
        if left.record_sha == right.record_sha:
            raise InputError(
                f"'{a}' and '{b}' are the same version, {left.ref}", hint="tireg leaderboard"
            )
        runs = [registry.runs(version.record_sha) for version in (left, right)]
    wanted = Wanted(suite, base)
    kept = [wanted.runs(one) for one in runs]
    first, second = _pair(left, right, kept, wanted)
    rows = _rows(left.ref, right.ref, first, second)
    return {
        "a": _side(left, first),
        "b": _side(right, second),
        "suite": first.spec.suite.model_dump(mode="json"),
        "base": first.spec.base,
        "base_fingerprint": first.spec.base_fingerprint,
        "seeds": list(first.spec.seeds),
        "sampling": first.spec.sampling.model_dump(mode="json", exclude={"device", "batch"}),
        "level": LEVEL,
        "metrics": rows,
        "notes": _notes(left, right, first, second),
    }


def eval_command(ref: str, run: Run, *, suite: str | None = None) -> str:
    """The command that scores ``ref`` in the frame of ``run``."""
    spec, sampling = run.spec, run.spec.sampling
    words = ["tireg", "eval", ref, "--suite", _suite_argument(run, suite), "--base", spec.base]
    words += ["--sampler", sampling.sampler, "--steps", str(sampling.steps)]
    words += ["--guidance", f"{sampling.guidance:g}", "--size", str(sampling.width)]
    words += ["--dtype", sampling.dtype]
    own = f"{spec.base}-" if spec.base in BUILT_IN else None
    for encoder in spec.encoders:
        if own is None or not encoder.name.startswith(own):
            words += ["--encoder", encoder.name]
    return shlex.join(_without_defaults(words, run))


def _without_defaults(words: list[str], run: Run) -> list[str]:
    """The same command, shorter where the suite or the base's family says so already."""
    family = find_family(run.spec.base)
    suite = next(
        (s for s in map(load_suite, suite_names()) if s.sha256 == run.spec.suite.sha256), None
    )
    if family is None or suite is None:
        return words
    usual = {
        "--sampler": suite.sampler or family.sampler,
        "--steps": str(suite.steps or family.steps),
        "--guidance": f"{family.guidance if suite.guidance is None else suite.guidance:g}",
        "--size": str(suite.size or family.resolution),
    }
    if run.spec.sampling.device == "cpu" and run.spec.sampling.dtype == "fp32":
        usual["--dtype"] = "fp32"
    pairs = zip(words[3::2], words[4::2], strict=False)
    return words[:3] + [part for pair in pairs if usual.get(pair[0]) != pair[1] for part in pair]


def _suite_argument(run: Run, given: str | None) -> str:
    if given is not None:
        return given
    ref = run.spec.suite
    shipped = ref.name in suite_names() and load_suite(ref.name).sha256 == ref.sha256
    return ref.name if shipped else f"{ref.name}.yaml"


def _pair(
    left: Version, right: Version, kept: Sequence[Sequence[Run]], wanted: Wanted
) -> tuple[Run, Run]:
    """The newest two runs in one frame; else InputError with the command that makes them."""
    ours, theirs = (newest_of_each_frame(one) for one in kept)
    shared: list[Frame] = sorted(ours.keys() & theirs.keys())
    if shared:
        newest = max(shared, key=lambda frame: _age(ours[frame], theirs[frame]))
        for version, run in ((left, ours[newest]), (right, theirs[newest])):
            if not _paired(run):
                raise InputError(
                    f"the scores of {version.ref} are of an older tireg and hold no values by "
                    "prompt, which is what is paired",
                    hint=eval_command(version.ref, run, suite=wanted.suite),
                )
        return ours[newest], theirs[newest]
    on = f" on the suite '{wanted.suite}'" if wanted.suite else ""
    on += f" on the base '{wanted.base}'" if wanted.base else ""
    if not ours and not theirs:
        more = f" --suite {wanted.suite}" if wanted.suite else ""
        more += f" --base {wanted.base}" if wanted.base else ""
        raise InputError(
            f"neither {left.ref} nor {right.ref} was scored{on}",
            hint=f"tireg eval {left.ref}{more} && tireg eval {right.ref}{more}",
        )
    if not ours or not theirs:
        lacking, run = (left, _newest(theirs)) if not ours else (right, _newest(ours))
        raise InputError(
            f"{lacking.ref} was not scored{on}",
            hint=eval_command(lacking.ref, run, suite=wanted.suite),
        )
    one, other = _newest(ours), _newest(theirs)
    raise InputError(
        f"{left.ref} and {right.ref} were never asked alike: {_unlike(one, other)}",
        hint=eval_command(right.ref, one, suite=wanted.suite),
    )


def _paired(run: Run) -> bool:
    """Whether the run keeps what a comparison pairs."""
    return any(score.prompt_values for score in run.scores)


def _age(one: Run, other: Run) -> tuple[bool, str]:
    """Larger the newer the older of two runs is; those that can be paired before all others."""
    return _paired(one) and _paired(other), min(one.created, other.created)


def _newest(runs: dict[Frame, Run]) -> Run:
    return max(runs.values(), key=lambda run: (run.created, run.run_id))


def _unlike(one: Run, other: Run) -> str:
    """In what the frames of two runs differ, in words."""
    a, b = frame_of(one), frame_of(other)
    if a.suite != b.suite:
        asked = (one.spec.suite, other.spec.suite)
        first, second = (f"{suite.name} version {suite.version}" for suite in asked)
        return f"suites {first} and {second}" + (" of other words" if first == second else "")
    if a.base != b.base:
        first, second = one.spec.base, other.spec.base
        return f"bases {first} and {second}" + (" with other weights" if first == second else "")
    fields = [name for name in vars(a) if getattr(a, name) != getattr(b, name)]
    return ", ".join(f"{name} {getattr(a, name)} and {getattr(b, name)}" for name in fields)


def _side(version: Version, run: Run) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "token": version.record.token,
        "tensor_hash": version.record.tensor_hash,
        "run_id": run.run_id,
        "created": run.created,
    }


def _rows(a: str, b: str, first: Run, second: Run) -> list[dict[str, Any]]:
    """One row per metric of either run, in the order in which a report shows them."""
    ours = {question_of(first, score): score for score in first.scores}
    theirs = {question_of(second, score): score for score in second.scores}
    rows, tests = [], {}
    for question in dict.fromkeys([*ours, *theirs]):
        row = _row(question, ours.get(question), theirs.get(question))
        rows.append(row)
        if row["p_value"] is not None:
            tests[str(len(rows) - 1)] = row["p_value"]
    adjusted = holm(tests)
    for n, row in enumerate(rows):
        row["p_adjusted"] = adjusted.get(str(n))
        if row["unscored"] is None:
            row["verdict"], row["text"] = verdict_words(row, a, b, level=LEVEL)
        else:
            row["verdict"], row["text"] = "unscored", unscored_words(row)
    return rows


def _row(question: Question, a: Score | None, b: Score | None) -> dict[str, Any]:
    """The numbers of one metric; ``unscored`` says why there are none."""
    known = next(score for score in (a, b) if score is not None)
    row: dict[str, Any] = {
        "metric": question.metric,
        "version": question.version,
        "encoder": question.encoder,
        "direction": known.direction,
        "a": a.value if a else None,
        "b": b.value if b else None,
        "difference": None,
        "ci": None,
        "p_value": None,
        "p_adjusted": None,
        "effect_size": None,
        "minimum_effect": None,
        "n_prompts": 0,
        "unscored": _why_not(a, b),
    }
    if row["unscored"] is not None or a is None or b is None:
        return row
    shared = sorted(a.prompt_values.keys() & b.prompt_values.keys())
    apart = [a.prompt_values[prompt] - b.prompt_values[prompt] for prompt in shared]
    estimate = paired_difference(a.prompt_values, b.prompt_values, level=LEVEL)
    several = estimate.low is not None and estimate.high is not None
    row |= {
        "difference": estimate.value,
        "ci": (estimate.low, estimate.high) if several else None,
        "effect_size": effect_size(apart),
        "minimum_effect": minimum_detectable_effect(apart, alpha=1 - LEVEL),
        "n_prompts": len(shared),
    }
    # Where every prompt is equal there is nothing to test; the sizes of differences, all that
    # this looks at, are what a sign-flip test takes as given.
    if len(shared) >= LEAST_PROMPTS and any(apart):
        row["p_value"] = sign_flip_test(apart).p_value
    return row


def _why_not(a: Score | None, b: Score | None) -> str | None:
    """Why two scores cannot be paired; None: they can."""
    if a is None or b is None:
        return "only one of the runs answers this with the same version, encoder and reference set"
    for score in (a, b):
        if score.value is None:
            return score.unscored or "not known"
    if not a.prompt_values or not b.prompt_values:
        return "a run keeps no values by prompt; evaluate it again"
    if not a.prompt_values.keys() & b.prompt_values.keys():
        return "the runs share no prompt here"
    return None


def _notes(left: Version, right: Version, first: Run, second: Run) -> list[str]:
    """What to know before trusting the comparison."""
    found = []
    if set(first.spec.references) != set(second.spec.references):
        found.append("each is compared with its own reference pictures, and those differ")
    if first.spec.class_noun != second.spec.class_noun:
        nouns = (first.spec.class_noun or "none", second.spec.class_noun or "none")
        found.append(f"the class nouns differ: {nouns[0]} and {nouns[1]}")
    devices = {run.spec.sampling.device for run in (first, second)}
    if len(devices) > 1:
        found.append(f"drawn on different devices: {', '.join(sorted(devices))}")
    return found
