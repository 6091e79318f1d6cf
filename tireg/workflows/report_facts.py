"""What a report says of recipe, identity and commands: the facts beside the scores."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from tireg.domain.accuracy import accuracy_words
from tireg.domain.recipes import Recipe
from tireg.domain.records import Record, Training
from tireg.domain.scores import Run
from tireg.report.report_data import CompatRow, Facts, Left
from tireg.store.rows import Version
from tireg.workflows.compare import eval_command
from tireg.workflows.report_words import title_of

# Knobs that `tireg train` has an option for; others take a recipe file.
OPTIONS = {
    "init": "--init", "init_from": "--init-from", "method": "--method", "vectors": "--vectors",
    "steps": "--steps", "max_steps": "--max-steps", "batch": "--batch",
    "accumulate": "--accumulate", "learning_rate": "--lr", "rate_unit": "--rate-unit",
    "schedule": "--schedule", "resolution": "--resolution", "buckets": "--buckets",
    "crops": "--crops", "flip": "--flip", "seed": "--seed",
}  # fmt: skip
MOST = 40
"""Entries of one list on a page."""


def about(record: Record, version: Version) -> Facts:
    """The line under the token."""
    base = f"{record.base.id}" if record.base else "an unknown base"
    rows = max((info.vectors for info in record.tensors), default=0)
    told = [
        ("recorded as", version.ref),
        ("made on", base),
        ("kind", record.kind or ""),
        ("class noun", record.class_noun or ""),
        ("vectors", str(rows)),
        ("licence", record.license or ""),
        ("made", record.created[:10]),
        ("in", "the negative prompt" if record.negative else ""),
    ]
    return tuple((name, value) for name, value in told if value)


def identity(version: Version, run: Run | None) -> Facts:
    """Everything that says what exactly this page is about."""
    record = version.record
    found = [
        ("embedding", version.ref),
        ("record", version.record_sha),
        ("tensors", record.tensor_hash),
        ("vectors", ", ".join(f"{t.encoder} {t.vectors} × {t.width} {t.dtype}"
                              for t in record.tensors[:MOST])),
        ("made on", _base(record)),
        ("came", _source(record)),
        ("author", record.author or ""),
        ("aliases", ", ".join(version.aliases[:MOST])),
        ("tags", ", ".join(version.tags[:MOST])),
        ("made with", f"tireg {record.tireg_version}, {record.created}"),
    ]  # fmt: skip
    if run is not None:
        spec = run.spec
        found += [
            ("evaluation", run.run_id),
            ("suite", f"{spec.suite.name} version {spec.suite.version}, {spec.suite.sha256}"),
            ("scored on", " ".join(x for x in (spec.base, spec.base_revision or "") if x)),
            ("base fingerprint", spec.base_fingerprint),
            ("drawn", _drawn(run)),
            ("looked at by", ", ".join(f"{e.name} {e.sha256[:12]}" for e in spec.encoders[:MOST])),
            ("packages", _packages(run.packages)),
            ("scored with", f"tireg {run.tireg_version}, {run.created}, {run.seconds:.0f} s"),
        ]  # fmt: skip
    return tuple((name, value) for name, value in found if value)


def _drawn(run: Run) -> str:
    drawn = run.spec.sampling
    return (
        f"{drawn.sampler}, {drawn.steps} steps, guidance {drawn.guidance:g}, "
        f"{drawn.width} × {drawn.height}, {drawn.dtype} on {drawn.device}, "
        f"seeds {', '.join(map(str, run.spec.seeds[:MOST]))}"
    )


def _base(record: Record) -> str:
    base = record.base
    if base is None:
        return ""
    prints = base.fingerprint.identity if base.fingerprint else "not measured"
    return ", ".join(x for x in (base.id, base.revision or "", base.family, prints) if x)


def _source(record: Record) -> str:
    source = record.source
    told = (source.how, source.where, source.revision, source.dialect)
    return ", ".join(part for part in told if part)


def _packages(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(packages.items())[:MOST])


def recipe_facts(recipe: Recipe | None) -> Facts:
    """Every knob that is not at its default, with its value."""
    usual = _knobs(Recipe())
    return tuple(each for each in _knobs(recipe).items() if usual.get(each[0]) != each[1])


def usual_knobs(recipe: Recipe | None) -> str:
    """The other knobs, as a list in a sentence."""
    usual = _knobs(Recipe())
    return ", ".join(f"{k} {v}" for k, v in _knobs(recipe).items() if usual.get(k) == v)


def _knobs(recipe: Recipe | None) -> dict[str, str]:
    if recipe is None:
        return {}
    data = recipe.resolved().model_dump(mode="json")
    return {k.replace("_", " "): _plain(v) for k, v in data.items() if k != "format_version"}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" else "none"


def recipe_differences(recipes: Sequence[Recipe | None]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Knobs that are not the same for all, with everyone's value."""
    tables = [_knobs(recipe) for recipe in recipes]
    knobs = dict.fromkeys(knob for table in tables for knob in table)
    values = {knob: tuple(table.get(knob, "not known") for table in tables) for knob in knobs}
    return tuple((knob, told) for knob, told in values.items() if len(set(told)) > 1)


def training_note(training: Training | None, record: Record) -> str:
    """What the run did, or why there is nothing to say of one."""
    from tireg.report.curves import facts

    if training is None:
        how = {"imported": "It was imported", "pulled": "It was pulled"}.get(
            record.source.how, "It was made"
        )
        return f"{how}: how it was trained is not known here."
    return ". ".join(sentence[:1].upper() + sentence[1:] for sentence in facts(training)) + "."


def compat_rows(found: Sequence[dict[str, Any]]) -> tuple[CompatRow, ...]:
    """Verdicts on bases as :func:`tireg.workflows.compat.compat` gives them."""
    draws = {
        "same": "draws with the same weights",
        "other": "draws with other weights",
        "unknown": "what draws there was not measured",
    }
    return tuple(
        CompatRow(
            row["base"], row["family"], row["verdict"], row["reason"], row["advice"],
            draws.get(row["denoiser"], ""),
        )
        for row in found[:MOST]
    )  # fmt: skip


def left_of(run: Run) -> tuple[Left, ...]:
    """What is left of each score away from its own base."""
    return tuple(
        Left(title_of(one.metric), one.home, one.away, one.share, one.ci) for one in run.transfer
    )


def asked_of(run: Run) -> str:
    """How the scores came about, in a sentence, and what is known of who looked."""
    spec, drawn = run.spec, run.spec.sampling
    known = (accuracy_words(a.encoder, a.accuracy, a.measured_on) for a in run.accuracy)
    return (
        f"Suite {spec.suite.name} version {spec.suite.version} on {spec.base}, "
        f"{len(spec.seeds)} seeds, {drawn.sampler} {drawn.steps} steps, guidance "
        f"{drawn.guidance:g}, {drawn.width} px." + "".join(f" {line}." for line in known)
    )


def commands(version: Version, run: Run | None, suite: str | None, report: Sequence[str]) -> Facts:
    """The commands that make this again: training, scores, page."""
    found = []
    if trained := train_command(version.record):
        found.append(("Train it, with the pictures in a folder", trained))
    if run is not None:
        found.append(("Score it in the same way", eval_command(version.ref, run, suite=suite)))
    else:
        found.append(("Score it", shlex.join(["tireg", "eval", version.ref])))
    found.append(("Make this page", shlex.join(report)))
    return tuple(found)


def train_command(record: Record) -> str:
    """``tireg train`` with the options that make this record, "" where it was not trained here.

    Knobs without an option are named at the end, as lines of a recipe file.
    """
    recipe = record.recipe
    if recipe is None or record.base is None or record.source.how != "trained":
        return ""
    words = ["tireg", "train", "PICTURES", "--base", record.base.id, "--name", record.name]
    words += ["--token", record.token] + (["--kind", record.kind] if record.kind else [])
    words += ["--class", record.class_noun] if record.class_noun else []
    words += ["--negative"] if record.negative else []
    usual, file = Recipe().resolved().model_dump(mode="json"), []
    for knob, value in recipe.resolved().model_dump(mode="json").items():
        if knob == "format_version" or value == usual.get(knob):
            continue
        option = OPTIONS.get(knob)
        if option is None or value is False:
            file.append(f"{knob}: {str(value).lower() if isinstance(value, bool) else value}")
        else:
            words += [option] if value is True else [option, f"{value}"]
    if not file:
        return shlex.join(words)
    return shlex.join([*words, "--recipe", "recipe.yaml"]) + "\n\nrecipe.yaml\n" + "\n".join(file)
