"""``tireg eval``: score a word against its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tireg.cli.console import out
from tireg.cli.listening import listening

if TYPE_CHECKING:
    from tireg.workflows.evaluate import Evaluation


_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(name="eval")
@click.argument("ref")
@click.option("--suite", help="Suite by name or YAML file [by family and kind].")
@click.option("--base", help="Base to score on [the one it was trained on].")
@click.option("--base-config", help="Folder or Hub id of configs, for a single-file base.")
@click.option("--encoder", "encoders", multiple=True, metavar="NAME",
              help="Scoring CLIP: a folder, or MODEL:TAG of open_clip. dinov2:NAME looks for "
              "likeness, sscd:FILE for copies. May repeat.")  # fmt: skip
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
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
def evaluate(as_json: bool, **options: Any) -> None:
    """Score REF: draw a suite with the word and with the class noun at the same seeds, compare.

    What was drawn before is used again, and a run that was cut off goes on where it stopped. On
    another base (--base) it also says how much of each score is left there. Pictures made
    elsewhere (a LoRA, DreamBooth) are scored in the same frame and not recorded.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.evaluate import EvalRequest, evaluate, evaluation_as_json

    with listening() as listen:
        done = evaluate(EvalRequest(**options), home=registry_home(), listen=listen)
    if as_json:
        out.json(evaluation_as_json(done))
        return
    print_scores([score.model_dump() for score in done.run.scores])
    _print_more(done)
    if done.sheet:
        out.text(f"contact sheet: {done.sheet}")
    out.hint(f"tireg show {done.version.name}")


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
