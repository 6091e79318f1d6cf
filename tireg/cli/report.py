"""``tireg report``: what is known of a word, or of several, as one page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tireg.cli.console import out
from tireg.cli.listening import listening

if TYPE_CHECKING:
    from tireg.workflows.report import Written


@click.command()
@click.argument("refs", nargs=-1, required=True, metavar="REF...")
@click.option("--base", help="Scores on this base [the one it was made on].")
@click.option("--suite", help="Scores on this suite, by name or YAML file [the newest].")
@click.option("--out", "target", type=click.Path(path_type=Path), help="File [NAME-report.html].")
@click.option("--open", "browse", is_flag=True, help="Open it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one object.")
def report(browse: bool, as_json: bool, **options: Any) -> None:
    """Write one HTML page about REF, or one that compares several.

    Verdict, scores beside their baselines, every prompt with the word and with the class noun at
    the same seeds, training, compatibility, recipe. Nothing is drawn or scored for it. The page
    needs no network and no other file.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.report import ReportRequest, report

    with listening() as listen:
        done = report(ReportRequest(**options), home=registry_home(), listen=listen)
    if as_json:
        out.json(done.as_json())
    else:
        _print(done)
    if browse:
        _open(done.path)


def _print(done: Written) -> None:
    out.text(done.headline)
    out.text(f"report: {done.path}")
    for hint in done.hints:
        out.hint(hint)


def _open(path: Path) -> None:
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        out.warn(f"no browser was found to open {path}")
