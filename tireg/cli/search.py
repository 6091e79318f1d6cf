"""``tireg search``: find words here, by words, by looks or by vectors, and on the Hub."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from tireg.cli.console import out
from tireg.cli.listing import day

HERE_ONLY = ("family", "tags", "license", "sort", "cursor", "minimum", "like", "looks_like",
             "near", "encoder")  # fmt: skip
# What each way to search by likeness leaves no room for.
ONE_OF = ("like", "looks_like", "near")
NAMES = {"tags": "tag", "minimum": "min", "looks_like": "looks-like"}
COLUMNS = ("name", "version", "token", "kind", "vectors", "base", "tags", "created")


def check_kind(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse an unknown kind; the kinds cost more to import than a search takes."""
    if value is None:
        return None
    from tireg.domain.concepts import KINDS

    if value not in KINDS:
        raise click.BadParameter(f"'{value}' is none of {', '.join(KINDS)}", ctx, param)
    return value


def read_minimum(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, float], ...]:
    """``SCORE=VALUE`` as pairs."""
    pairs = []
    for text in values:
        name, _, number = text.partition("=")
        try:
            least = float(number)
        except ValueError:
            least = math.nan
        if not name.strip() or not math.isfinite(least):
            raise click.BadParameter(f"'{text}' is not SCORE=VALUE, such as concept_fidelity=0.7",
                                     ctx, param)  # fmt: skip
        pairs.append((name.strip(), least))
    return tuple(pairs)


@click.command()
@click.argument("words", nargs=-1)
@click.option(
    "--like",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="PICTURE",
    help="Words whose preview looks like this picture.",
)
@click.option("--looks-like", metavar="TEXT", help="Words whose preview looks like this text.")
@click.option("--near", metavar="REF", help="Words whose vectors are near those of REF.")
@click.option("--encoder", help="CLIP that looks at previews: MODEL:TAG of open_clip, or a folder.")
@click.option("--hub", is_flag=True, help="Search the Hub instead of the registry.")
@click.option("--author", help="On the Hub: only this user or organisation.")
@click.option("--base", help="Only words learned on this base.")
@click.option("--compatible-with", help="Only words that run on this base.")
@click.option("--kind", callback=check_kind, help="Only this kind: object, style, …")
@click.option("--family", help="Only this family of bases.")
@click.option("--tag", "tags", multiple=True, help="Only with this tag; may be given again.")
@click.option("--license", help="Only under this licence.")
@click.option(
    "--min",
    "minimum",
    multiple=True,
    metavar="SCORE=VALUE",
    callback=read_minimum,
    help="Only with at least this score; may be given again.",
)
@click.option("--sort", default="relevance", help="relevance, created, name, or a metric.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, help="Rows of one page.")
@click.option("--cursor", help="Where the page before ended, as --json told.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def search(words: tuple[str, ...], hub: bool, as_json: bool, **options: Any) -> None:  # fmt: skip
    """Find words by WORDS and filters, by looks or by vectors; with --hub on the Hub."""
    if hub:
        search_the_hub(" ".join(words), options, as_json)
    elif any(options[name] is not None for name in ONE_OF):
        search_by_likeness(words, options, as_json)
    else:
        search_here(" ".join(words), options, as_json)


def search_here(words: str, options: dict[str, Any], as_json: bool) -> None:
    """Ask the registry by words and filters, and print a page."""
    from tireg.store.home import registry_home
    from tireg.workflows.hub_search import search_local

    if options["encoder"]:
        raise click.UsageError("--encoder needs --like or --looks-like")
    page = search_local(registry_home(), local_query(words, options))
    if as_json:
        out.json(page)
        return
    shown = [{**row, "created": day(row)} for row in page["rows"]]
    out.table(shown, list(COLUMNS), empty="nothing here matches")
    if not page["rows"]:
        out.hint("tireg search --hub WORDS")
    elif page["cursor"]:
        out.hint(f"the same with --cursor {page['cursor']} for more")


def search_by_likeness(words: tuple[str, ...], options: dict[str, Any], as_json: bool) -> None:
    """Ask the registry by a picture, a text or another word's vectors; print the nearest."""
    from tireg.cli.listening import listening
    from tireg.store.home import registry_home
    from tireg.workflows.search_looks import search_like, search_near

    _check_likeness(words, options)
    home, query = registry_home(), local_query("", options)
    with listening() as listen:
        if options["near"] is not None:
            rows = search_near(home, query, options["near"], listen=listen)
        else:
            rows = search_like(
                home, query, picture=options["like"], text=options["looks_like"],
                encoder=options["encoder"], listen=listen,
            )  # fmt: skip
    if as_json:
        out.json({"rows": rows, "cursor": None})
        return
    out.table(rows, ["name", "version", "token", "kind", "base", "likeness", "tags"],
              empty="nothing here matches")  # fmt: skip
    if rows:
        out.hint(f"tireg show {rows[0]['name']}")


def _check_likeness(words: tuple[str, ...], options: dict[str, Any]) -> None:
    """Refuse what does not go together, before anything is opened."""
    given = [name for name in ONE_OF if options[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"give one of --like, --looks-like and --near, not {len(given)}")
    way = f"--{NAMES.get(given[0], given[0])}"
    if words:
        raise click.UsageError(f"{way} takes no WORDS; quote a text of several words")
    if options["sort"] != "relevance" or options["cursor"]:
        raise click.UsageError(f"{way} sorts by likeness and has one page: see --limit")
    if options["encoder"] and given[0] == "near":
        raise click.UsageError("--encoder needs --like or --looks-like")
    if options["looks_like"] is not None and not options["looks_like"].strip():
        raise click.UsageError("--looks-like needs a text")


def local_query(words: str, options: dict[str, Any]) -> Any:
    """The options as a question to the registry."""
    from tireg.store.search import Query

    if options["author"]:
        raise click.UsageError("--author needs --hub")
    left = ("author", "encoder", *ONE_OF)
    return Query(words=words, **{k: v for k, v in options.items() if k not in left})


def search_the_hub(words: str, options: dict[str, Any], as_json: bool) -> None:
    """Ask the Hub and print what it has, beside what is here."""
    from tireg.hub.searching import Wanted
    from tireg.store.home import registry_home
    from tireg.workflows.hub_search import search_hub

    given = [k for k in HERE_ONLY if options[k] and options[k] != "relevance"]
    if given:
        raise click.UsageError(f"--{NAMES.get(given[0], given[0])} does not go with --hub")
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
