"""``tireg search``: find words here and on the Hub."""

from __future__ import annotations

from typing import Any

import click

from tireg.cli.console import out
from tireg.domain.concepts import KINDS

LOCAL = ("family", "tags", "license", "sort", "cursor")


@click.command()
@click.argument("words", nargs=-1)
@click.option("--hub", is_flag=True, help="Search the Hub instead of the registry.")
@click.option("--author", help="On the Hub: only this user or organisation.")
@click.option("--base", help="Only words learned on this base.")
@click.option("--compatible-with", help="Only words that run on this base.")
@click.option("--kind", type=click.Choice(KINDS), help="Only this kind.")
@click.option("--family", help="Only this family of bases.")
@click.option("--tag", "tags", multiple=True, help="Only with this tag; may be given again.")
@click.option("--license", help="Only under this licence.")
@click.option("--sort", default="relevance", help="relevance, created, name, or a metric.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, help="Rows of one page.")
@click.option("--cursor", help="Where the page before ended, as --json told.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def search(words: tuple[str, ...], hub: bool, as_json: bool, **options: Any) -> None:
    """Find words by WORDS and filters: in the registry, or with --hub on the Hub."""
    from tireg.store.home import registry_home
    from tireg.workflows.hub_search import search_local

    if hub:
        search_the_hub(" ".join(words), options, as_json)
        return
    page = search_local(registry_home(), local_query(" ".join(words), options))
    if as_json:
        out.json(page)
        return
    columns = ["name", "version", "token", "kind", "vectors", "base", "tags", "created"]
    out.table(page["rows"], columns, empty="nothing here matches")
    if not page["rows"]:
        out.hint("tireg search --hub WORDS")


def local_query(words: str, options: dict[str, Any]) -> Any:
    """The options as a question to the registry."""
    from tireg.store.search import Query

    if options["author"]:
        raise click.UsageError("--author needs --hub")
    return Query(words=words, **{k: v for k, v in options.items() if k != "author"})


def search_the_hub(words: str, options: dict[str, Any], as_json: bool) -> None:
    """Ask the Hub and print what it has, beside what is here."""
    from tireg.hub.searching import Wanted
    from tireg.store.home import registry_home
    from tireg.workflows.hub_search import search_hub

    given = [k for k in LOCAL if options[k] and options[k] != "relevance"]
    if given:
        raise click.UsageError(f"--{given[0].rstrip('s')} does not go with --hub")
    wanted = Wanted(words, options["author"], options["base"], options["kind"], options["limit"])
    rows = search_hub(wanted, home=registry_home(), compatible_with=options["compatible_with"])
    if as_json:
        out.json(rows)
        return
    columns = ["repo", "token", "kind", "base", "scores", "downloads", "likes", "here"]
    columns += ["verdict"] if options["compatible_with"] else []
    shown = [
        {**row, "here": row["here"] and f"{row['here']} ({row['state']})",
         "scores": "  ".join(f"{k} {v:.2f}" for k, v in list(row["scores"].items())[:3])}
        for row in rows
    ]  # fmt: skip
    out.table(shown, columns, empty="nothing on the Hub matches")
    if rows:
        out.hint(f"tireg pull {rows[0]['repo']}")
