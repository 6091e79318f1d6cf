"""``tireg eval``: score a word against its baselines."""

from __future__ import annotations

from typing import Any

import click

from tireg.cli.console import out
from tireg.cli.listening import listening


@click.command(name="eval")
@click.argument("ref")
@click.option("--suite", help="Suite by name or YAML file [by family and kind].")
@click.option("--base", help="Base to score on [the one it was trained on].")
@click.option("--encoder", help="Scoring CLIP: a folder, or MODEL:TAG of open_clip.")
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="auto", help="auto, fp32, bf16 or fp16.")
@click.option("--sampler", help="Sampler [the suite's or family's].")
@click.option("--steps", type=click.IntRange(1, 1000), help="Sampling steps.")
@click.option("--guidance", type=click.FloatRange(0, 100), help="Guidance scale.")
@click.option("--size", type=click.IntRange(8, 4096), help="Side of the pictures in pixels.")
@click.option("--batch", type=click.IntRange(1, 256), default=16, help="Pictures drawn at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
def evaluate(as_json: bool, **options: Any) -> None:
    """Score REF: draw a suite with the word and with the class noun at the same seeds, compare."""
    from tireg.store.home import registry_home
    from tireg.workflows.evaluate import EvalRequest, evaluate
    from tireg.workflows.views import run_as_json

    with listening() as listen:
        done = evaluate(EvalRequest(**options), home=registry_home(), listen=listen)
    version, run = done.version, done.run
    if as_json:
        out.json(run_as_json(run, version.name, version.version))
        return
    print_scores([score.model_dump() for score in run.scores])
    out.text(f"contact sheet: {done.sheet}")
    out.hint(f"tireg show {version.name}")


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
