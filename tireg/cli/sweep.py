"""``tireg sweep``: which recipe serves several words best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tireg.cli.console import Column, out
from tireg.cli.fanning import fan_of, fan_options, print_failures
from tireg.cli.listening import listening

if TYPE_CHECKING:
    from tireg.domain.statistics import Estimate
    from tireg.workflows.sweep import Swept
    from tireg.workflows.sweep_ranking import Standing


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--base", default="", help="Base to learn on [the file's].")
@click.option("--suite", help="Suite to score on [the file's, else by family and kind].")
@click.option("--encoder", "encoders", multiple=True, metavar="NAME",
              help="Scoring CLIP, as for tireg eval; may repeat.")  # fmt: skip
@click.option("--fleet-width", type=click.IntRange(1), help="How many learn at the same time.")
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="auto", help="auto, fp32, bf16 or fp16.")
@click.option("--dry-run", is_flag=True, help="Say what it will cost, and do nothing.")
@fan_options
@click.option("--json", "as_json", is_flag=True, help="Print all as one object.")
@click.pass_context
def sweep(ctx: click.Context, /, file: Path, as_json: bool, **options: Any) -> None:
    """Learn every concept of FILE with every recipe and seed, score them, rank the recipes.

    Each run becomes a version of its concept with an alias such as my-cat@wide-s1, and the
    winner of each concept is my-cat@best. The same command again does only what is missing.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.sweep import run_sweep, swept_as_json

    asked, each, width = read(file, options)
    fan = fan_of(options)
    if options["dry_run"]:
        from tireg.cli.plan import say_sweep

        say_sweep(asked, each, fan.jobs or 1, as_json=as_json)
        return
    with listening() as listen:
        swept = run_sweep(
            asked, home=registry_home(), width=width, fan=fan, each=each, listen=listen
        )
    if as_json:
        out.json(swept_as_json(swept))
    else:
        print_swept(swept)
    ctx.exit(print_trouble(swept))


def read(file: Path, options: dict[str, Any]) -> tuple[Any, Any, int | None]:
    """The sweep of ``file``, how to score its versions, and how many learn at the same time."""
    from tireg.workflows.evaluate import EvalRequest
    from tireg.workflows.sweep_file import read_sweep
    from tireg.workflows.train import TrainRequest

    how = {"device": options["device"], "dtype": options["dtype"]}
    asked = read_sweep(file, TrainRequest((), options["base"], **how))
    each = EvalRequest("", suite=options["suite"], encoders=options["encoders"], **how)
    return asked, each, options["fleet_width"]


def print_swept(swept: Swept) -> None:
    """The recipes, best first, then what that shows and which version to use."""
    metrics = swept.sweep.rank_by
    columns: list[str | Column] = [
        "recipe", Column("trials", align="right"), Column("score", align="right"),
        *(Column(f"{m} {part}", m if part == "mean" else "95%") for m in metrics
          for part in ("mean", "ci")),
        Column("behind", "behind the best"), Column("p", "p (Holm)", "right"),
    ]  # fmt: skip
    out.table([_row(one) for one in swept.standings], columns)
    out.text(swept.conclusion)
    for concept, ref in swept.winners.items():
        out.text(f"{concept}@best is {ref}")
    out.hint(f"tireg search --tag '{swept.sweep.tag}'")


def _row(one: Standing) -> dict[str, Any]:
    row: dict[str, Any] = {
        "recipe": one.recipe,
        "trials": f"{one.pairs}, {one.missing} missing" if one.missing else one.pairs,
        "score": f"{one.score.value:+.2f}" if one.score else None,
        "behind": _with_interval(one.behind),
        "p": None if one.p_adjusted is None else f"{one.p_adjusted:.3f}",
    }
    for metric, estimate in one.means.items():
        row[f"{metric} mean"] = f"{estimate.value:.3f}"
        row[f"{metric} ci"] = _interval(estimate)
    return row


def _with_interval(one: Estimate | None) -> str | None:
    if one is None:
        return None
    around = _interval(one)
    return f"{one.value:.2f}" + (f" ({around})" if around else "")


def _interval(one: Estimate) -> str | None:
    return None if one.low is None or one.high is None else f"{one.low:.3f} … {one.high:.3f}"


def print_trouble(swept: Swept) -> int:
    """The trials without scores, on stderr; the exit code."""
    lines = [
        {"trial": f"{one.trial.concept} {one.trial.label}", "error": told[0], "hint": told[1]}
        for one in swept.tried
        if (told := one.trouble) is not None
    ]
    print_failures(lines, ["trial"])
    return 1 if lines else 0
