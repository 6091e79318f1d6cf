"""``tireg gallery``: the words as a folder of pages."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Any

import click

from tireg.cli.console import out
from tireg.cli.search import check_kind, read_minimum

FILTERS = ("words", "base", "compatible_with", "kind", "family", "tags", "license", "minimum")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("refs", nargs=-1)
@click.option("--search", "words", default="", help="Only words that match these.")
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
@click.option("--title", default="", help="What the gallery is called.  [default: Words]")
@click.option("--also-base", "also", multiple=True,
              help="Also say what runs on this known base; may be given again.")  # fmt: skip
@click.option("--hub", is_flag=True, help="Also say where words are published.")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def gallery(folder: Path, refs: tuple[str, ...], show: bool, as_json: bool, **options: Any) -> None:
    """Write the registry, or REFS, or what the filters leave, as pages into DIR.

    The pages open from disk or from any web server and load nothing from elsewhere. They show
    what publish would show: no captions, no training pictures, no notes written later, no paths
    of this machine; tags as they are now. DIR must be empty or a gallery; building it again only
    writes what changed.
    """
    from tireg.cli.listening import listening
    from tireg.store.home import registry_home
    from tireg.workflows.gallery import build_gallery

    request = gallery_request(folder, refs, options)
    with listening() as listen:
        built = build_gallery(request, home=registry_home(), listen=listen)
    if as_json:
        out.json(vars(built))
    else:
        out.text(f"{built.index}: {built.words} words, {built.pictures} pictures")
        out.note(f"{built.written} files written, {built.removed} removed")
    if show:
        webbrowser.open(built.index.resolve().as_uri())
    elif not as_json:
        out.hint(f"tireg gallery {folder} --open" if built.words else "tireg demo")


def gallery_request(folder: Path, refs: tuple[str, ...], options: dict[str, Any]) -> Any:
    """The options as a request. UsageError for references and filters together."""
    from tireg.store.search import Query
    from tireg.workflows.gallery import GalleryRequest

    filters = {name: options[name] for name in FILTERS}
    if refs and any(filters.values()):
        raise click.UsageError("give REFS or filters, not both")
    return GalleryRequest(
        folder,
        refs,
        Query(**filters, sort="created", limit=None),
        title=options["title"],
        also=options["also"],
        hub=options["hub"],
    )
