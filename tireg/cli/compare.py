"""``tireg compare``, ``leaderboard`` and ``scores``: what was measured, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tireg.cli.console import Column, out

SUITE = click.option("--suite", help="Only scores on this suite, by name or YAML file.")
BASE = click.option("--base", help="Only scores on this base.")


@click.command()
@click.argument("a")
@click.argument("b")
@SUITE
@BASE
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def compare(a: str, b: str, suite: str | None, base: str | None, as_json: bool) -> None:
    """Say whether A is better than B, metric by metric, and how sure that is.

    Paired by prompt and seed over their latest evaluations that were asked alike; p values are
    adjusted for asking about several metrics at once. Draws nothing.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.compare import compare

    found = compare(registry_home(), a, b, suite=suite, base=base)
    if as_json:
        out.json(found)
    else:
        _print_comparison(found)


def _print_comparison(found: dict[str, Any]) -> None:
    names = [f"{found[side]['name']}@{found[side]['version']}" for side in ("a", "b")]
    suite, drawn = found["suite"], found["sampling"]
    out.text(
        f"{names[0]} against {names[1]}: suite {suite['name']} version {suite['version']} on "
        f"{found['base']}, {len(found['seeds'])} seeds, {drawn['sampler']} {drawn['steps']} steps"
    )
    for kinds in (("a", "b", "differ"), ("perhaps",), ("none",)):
        for row in found["metrics"]:
            if row["verdict"] in kinds:
                out.text(f"- {row['text']}")
    if unscored := [row["text"] for row in found["metrics"] if row["verdict"] == "unscored"]:
        out.note(f"not compared: {len(unscored)} metrics, with reasons in --json")
    for note in found["notes"]:
        out.warn(note)
    out.hint(f"tireg show {names[0]}")


@click.command()
@SUITE
@BASE
@click.option("--metric", "metrics", multiple=True, help="Metric to rank by; may be repeated.")
@click.option("--kind", type=click.Choice(["object", "style", "subject"]), help="Only this kind.")
@click.option("--limit", type=click.IntRange(min=1), default=20, help="Rows of each table.")
@click.option("--json", "as_json", is_flag=True, help="Print an array of tables.")
def leaderboard(as_json: bool, **options: Any) -> None:
    """Rank the scored words, one table per suite, base, way of drawing, encoder and metric.

    The rank is 1 + how many are surely better: words whose intervals overlap share it, marked
    with =. Of two words `tireg compare` knows more, as it pairs their prompts.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.leaderboard import Filters, leaderboard

    groups = leaderboard(registry_home(), Filters(**options))
    if as_json:
        out.json(groups)
        return
    said = ""
    for group in groups:
        if said != (said := _frame(group)):
            out.text(f"{said}\n")
        _print_group(group)
    if not groups:
        out.note("nothing was scored here")
    out.hint("tireg compare A B" if groups else "tireg eval REF")


def _frame(group: dict[str, Any]) -> str:
    """What all words of a table were asked, and how it was drawn."""
    suite, drawn = group["suite"], group["sampling"]
    prompt = ", in the negative prompt" if group["negative"] else ""
    return (
        f"suite {suite['name']} version {suite['version']} ({suite['sha256'][:8]}) on "
        f"{group['base']} ({group['base_fingerprint'][:8]}), {len(group['seeds'])} seeds, "
        f"{drawn['sampler']} {drawn['steps']} steps, guidance {drawn['guidance']:g}, "
        f"{drawn['width']} px, {drawn['dtype']}{prompt}"
    )


def _print_group(group: dict[str, Any]) -> None:
    seen = f" seen by {group['encoder']}" if group["encoder"] else ""
    better = group["direction"]
    if better == "target":
        better = "on target" if group["target"] is None else f"nearest {group['target']:g}"
    title = f"{group['metric']} version {group['metric_version']}{seen}; {better} is best"
    title = title.replace("higher is", "highest is").replace("lower is", "lowest is")
    rows = [
        {
            **row,
            "rank": f"{row['rank']}{'=' if row['tied'] else ''}",
            "name": f"{row['name']}@{row['version']}",
            "interval": f"{row['ci'][0]:.3f} … {row['ci'][1]:.3f}" if row["ci"] else None,
        }
        for row in group["rows"]
    ]
    columns: list[str | Column] = [
        Column("rank", align="right"), "name", "kind", "value", Column("interval", "95%"),
        "baseline", Column("n_prompts", "prompts"),
    ]  # fmt: skip
    out.table(rows, columns, title=title, empty=f"{title}\nnobody has a value here")
    if more := group["scored"] - len(rows):
        out.note(f"and {more} more: --limit {group['scored']}")
    if group["unscored"]:
        names = [f"{row['name']}@{row['version']}" for row in group["unscored"]]
        out.note(f"unscored, with reasons in --json: {', '.join(names)}")
    out.text("")


@click.command()
@click.argument("ref")
@click.option("--to", "form", type=click.Choice(["csv", "jsonl", "model-index", "eval-results"]),
              default="csv", help="What to write.")  # fmt: skip
@click.option("--out", "target", type=click.Path(path_type=Path), help="New file [the screen].")
@SUITE
@BASE
@click.option("--all", "every", is_flag=True, help="Every run, not only the latest of each kind.")
def scores(ref: str, form: str, target: Path | None, **options: Any) -> None:
    """Write the scores of REF for other tools: a table, or what model cards on the Hub hold.

    A name that ends in .json makes the last two JSON, any other YAML. Eval results may only speak
    of benchmarks that are registered on the Hub: a suite says that it is one.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.score_export import FORMS, export_scores, write_text

    kind = next(known for known in FORMS if known == form)
    as_json = target is not None and target.suffix == ".json"
    text = export_scores(registry_home(), ref, kind, as_json=as_json, **options)
    if target is None:
        out.text(text.rstrip("\n"))
    else:
        write_text(target, text)
        out.text(str(target))
