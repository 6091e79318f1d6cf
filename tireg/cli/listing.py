"""``tireg list``: the words in the registry."""

from __future__ import annotations

import click

from tireg.cli.console import out

HEADLINES = {
    "concept_fidelity": "concept",
    "prompt_fidelity": "prompt",
    "semantic_collapse": "collapse",
    "off_token_leakage": "leakage",
}


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print an array of embeddings.")
def list_(as_json: bool) -> None:
    """List the embeddings in the registry, one line per version."""
    from tireg.store.home import registry_home
    from tireg.workflows.views import list_embeddings

    rows = list_embeddings(registry_home())
    if as_json:
        out.json(rows)
        return
    shown = [{**row, "scores": _headline(row["scores"])} for row in rows]
    columns = ["name", "version", "token", "kind", "vectors", "base", "scores", "created"]
    out.table(shown, columns, empty="the registry is empty")
    if not rows:
        out.hint("tireg demo")


def _headline(scores: dict[str, float | None]) -> str:
    shown = [
        f"{short} {scores[name]:.2f}"
        for name, short in HEADLINES.items()
        if scores.get(name) is not None
    ]
    return ", ".join(shown) or "-"
