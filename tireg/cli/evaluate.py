"""``tireg eval``: score a word against its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tireg.cli.console import out
from tireg.cli.fanning import ManyValues, fan_of, fan_options, print_failures
from tireg.cli.listening import listening

if TYPE_CHECKING:
    from tireg.workflows.evaluate import Evaluation
    from tireg.workflows.fanning import Fan

MANY_COLUMNS = ["embedding", "base", "concept_fidelity", "prompt_fidelity", "semantic_collapse",
                "off_token_leakage", "result"]  # fmt: skip

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(name="eval", cls=ManyValues)
@click.argument("refs", nargs=-1, required=True)
@click.option("--suite", help="Suite by name or YAML file [by family and kind].")
@click.option("--base", help="Base to score on [the one it was trained on].")
@click.option("--bases", multiple=True, metavar="BASE...",
              help="Score every REF on each: all words up to the next option.")  # fmt: skip
@click.option("--base-config", help="Folder or Hub id of configs, for a single-file base.")
@click.option("--encoder", "encoders", multiple=True, metavar="NAME",
              help="Scoring CLIP: a folder, or MODEL:TAG of open_clip. dinov2:NAME looks for "
              "likeness, sscd:FILE for copies, lpips:alex for diversity. May repeat.")  # fmt: skip
@click.option("--reference", "references", multiple=True, metavar="REF",
              help="Another embedding to tell this one apart from; may repeat.")  # fmt: skip
@click.option("--rescore", is_flag=True, help="Look again at kept pictures; draw nothing.")
@click.option("--images", type=_FOLDER, help="Score pictures made elsewhere, in this folder.")
@click.option("--manifest", type=_FILE,
              help="What they are: CSV with a header or JSON lines, each with file, condition "
              "(token, class, empty, base), prompt (its id in the suite) and seed.")  # fmt: skip
@click.option("--compat", multiple=True,
              type=click.Choice(["ti-paper", "ti-code", "torchmetrics"]),
              help="Print this published definition, too; may repeat.")  # fmt: skip
@click.option("--per-picture", type=_FILE, help="Write each picture's scores here as JSON lines.")
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="auto", help="auto, fp32, bf16 or fp16.")
@click.option("--sampler", help="Sampler [the suite's or family's].")
@click.option("--steps", type=click.IntRange(1, 1000), help="Sampling steps.")
@click.option("--guidance", type=click.FloatRange(0, 100), help="Guidance scale.")
@click.option("--size", type=click.IntRange(8, 4096), help="Side of the pictures in pixels.")
@click.option("--batch", type=click.IntRange(1, 256), default=16, help="Pictures drawn at once.")
@fan_options
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON; an array for many.")
@click.pass_context
def evaluate(ctx: click.Context, /, refs: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Score REFS: draw a suite with the word and with the class noun at the same seeds, compare.

    What was drawn before is used again, and a run that was cut off goes on where it stopped. On
    another base (--base) it also says how much of each score is left there. Pictures made
    elsewhere (a LoRA, DreamBooth) are scored in the same frame and not recorded.

    Several REFS or --bases are scored pair by pair, with --jobs or --ray several at a time; a pair
    that fails stops no other, and the same command goes on with what is missing.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.evaluate import EvalRequest, evaluate, evaluation_as_json

    bases, fan = options.pop("bases"), fan_of(options)
    if len(refs) > 1 or bases or fan.jobs or fan.ray:
        ctx.exit(_many(refs, bases, fan, as_json, options))
    with listening() as listen:
        done = evaluate(EvalRequest(refs[0], **options), home=registry_home(), listen=listen)
    if as_json:
        out.json(evaluation_as_json(done))
        return
    print_scores([score.model_dump() for score in done.run.scores])
    print_accuracy([one.model_dump() for one in done.run.accuracy])
    _print_more(done)
    if done.sheet:
        out.text(f"contact sheet: {done.sheet}")
    out.hint(f"tireg report {done.version.name} --open")


def _many(
    refs: tuple[str, ...], bases: tuple[str, ...], fan: Fan, as_json: bool, options: dict[str, Any]
) -> int:
    """Score every pair and print one line of each; the exit code."""
    from tireg.store.home import registry_home
    from tireg.workflows.evaluate import EvalRequest
    from tireg.workflows.many import ManyRequest, evaluate_many, failures, headlines

    if not bases and options["base"] is not None:
        bases = (options.pop("base"),)
    asked = ManyRequest(refs, bases, EvalRequest("", **options), fan)
    with listening() as listen:
        scored = evaluate_many(asked, home=registry_home(), listen=listen)
    if as_json:
        out.json([one.as_json() for one in scored])
    else:
        out.table(list(headlines(scored)), MANY_COLUMNS)
    failed = list(failures(scored))
    print_failures(failed, ["embedding", "base"])
    if not as_json and not failed:
        out.hint("tireg leaderboard")
    return 1 if failed else 0


def _print_more(done: Evaluation) -> None:
    """Published definitions beside ours, and what is left on another base."""
    if done.compat:
        rows = [
            {"form": c.form, "score": c.name, "differs": c.differs,
             "value": "-" if c.value is None else f"{c.value:.4f}"}
            for c in done.compat
        ]  # fmt: skip
        out.table(rows, ["form", "score", "value", "differs"], empty="")
    if done.run.verdict is not None:
        out.text(f"this base: {done.run.verdict}, {done.run.verdict_reason}")
    left = [one for one in done.run.transfer if one.share is not None]
    if left:
        rows = [
            {"metric": one.metric, "at home": f"{one.home:.3f}", "here": f"{one.away:.3f}",
             "left": f"{one.share:.0%}",
             "95%": f"{one.ci[0]:.0%} … {one.ci[1]:.0%}" if one.ci else "-"}
            for one in left
        ]  # fmt: skip
        out.table(rows, ["metric", "at home", "here", "left", "95%"], empty="")


def print_accuracy(known: list[dict[str, Any]]) -> None:
    """What the encoders tell apart, the worst first: no score sees what its encoder cannot."""
    from tireg.domain.accuracy import accuracy_words

    for one in known:
        out.text(accuracy_words(one["encoder"], one["accuracy"], one["measured_on"]))


def print_scores(scores: list[dict[str, Any]]) -> None:
    """The scores that have a value as a table, then those that have none with the reason."""
    rows = []
    for score in scores:
        if score["value"] is None:
            continue
        low, high = score["ci"] or (None, None)
        interval = f"{low:.3f} … {high:.3f}" if low is not None else "-"
        rows.append(
            {
                "metric": score["metric"],
                "value": f"{score['value']:.3f}",
                "95%": interval,
                "baseline": "-" if score["baseline"] is None else f"{score['baseline']:.3f}",
                "baseline is": score["baseline_name"].partition(" (")[0],
                "better": score["direction"],
                "prompts": score["n_prompts"],
            }
        )
    columns = ["metric", "value", "95%", "baseline", "baseline is", "better", "prompts"]
    out.table(rows, columns, empty="nothing could be scored")
    if unscored := [score["metric"] for score in scores if score["unscored"]]:
        out.note(f"unscored, with reasons in --json: {', '.join(unscored)}")
