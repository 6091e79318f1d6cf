"""``tireg list``: the words in the registry."""

from __future__ import annotations

from typing import Any

import click

from tireg.cli.console import out

HEADLINES = {
    "concept_fidelity": "concept",
    "prompt_fidelity": "prompt",
    "semantic_collapse": "collapse",
    "off_token_leakage": "leakage",
}


@click.command(name="list")
@click.option("--all", "everything", is_flag=True, help="List all of them, not only a page.")
@click.option("--trash", is_flag=True, help="List what was removed and can be restored.")
@click.option("--json", "as_json", is_flag=True, help="Print an array of embeddings.")
def list_(everything: bool, trash: bool, as_json: bool) -> None:
    """List the embeddings in the registry by their newest version: the 50 newest, or --all."""
    from tireg.store.home import registry_home
    from tireg.workflows.views import list_embeddings

    if trash:
        print_trash(as_json)
        return
    page = list_embeddings(registry_home(), everything=everything)
    if as_json:
        out.json(page["rows"])
    else:
        shown = [
            {**row, "kind": _kind(row), "scores": _headline(row["scores"]), "created": day(row)}
            for row in page["rows"]
        ]
        columns = ["name", "version", "token", "kind", "vectors", "base", "scores", "created"]
        out.table(shown, columns, empty="the registry is empty")
    if len(page["rows"]) < page["total"]:
        out.note(f"these are the newest {len(page['rows'])} of {page['total']}")
        out.hint("tireg list --all")
    elif not page["rows"] and not as_json:
        out.hint("tireg demo")


def day(row: dict[str, Any]) -> str:
    """The day a version was made, without the time of day that ``--json`` has."""
    return str(row["created"])[:10]


def print_trash(as_json: bool) -> None:
    """What ``rm`` and ``dedupe`` threw away and ``gc`` has not taken yet."""
    from tireg.store.home import registry_home
    from tireg.workflows.views import list_trash

    rows = list_trash(registry_home())
    if as_json:
        out.json(rows)
        return
    out.table(rows, ["name", "version", "trashed"], empty="the trash is empty")
    if rows:
        out.hint("tireg restore NAME, or tireg gc to remove them for good")


def _kind(row: dict[str, Any]) -> str:
    kind = row["kind"] or "-"
    return f"{kind}, negative" if row["negative"] else kind


def _headline(scores: dict[str, float | None]) -> str:
    shown = [
        f"{short} {scores[name]:.2f}"
        for name, short in HEADLINES.items()
        if scores.get(name) is not None
    ]
    return ", ".join(shown) or "-"
