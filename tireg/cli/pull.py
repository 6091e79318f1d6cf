"""``tireg pull``: fetch words from the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tireg.cli.console import out
from tireg.cli.listening import listening

if TYPE_CHECKING:
    from tireg.workflows.pull import Failed, Pulled


@click.command()
@click.argument("repo", required=False)
@click.option("--as", "name", help="Name in the registry [its own].")
@click.option("--folder", help="One word of a repository that holds several.")
@click.option("--all-from", "author", help="Every word of this author, instead of one REPO.")
@click.option("--json", "as_json", is_flag=True, help="Print an array of what came.")
@click.pass_context
def pull(
    ctx: click.Context, repo: str | None, name: str | None, folder: str | None,
    author: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Fetch the words of REPO (owner/name, or owner/name@revision) into the registry."""
    from tireg.store.home import registry_home
    from tireg.workflows.pull import pull, pull_all

    if (repo is None) == (author is None):
        raise click.UsageError("give a repository, or --all-from AUTHOR")
    if author is not None and (name or folder):
        raise click.UsageError("--as and --folder go with one repository, not with --all-from")
    failed: list[Failed] = []
    with listening() as listen:
        if author is not None:
            found, failed = pull_all(author, home=registry_home(), listen=listen)
        else:
            found = pull(str(repo), home=registry_home(), name=name, folder=folder, listen=listen)
    print_pulled(found, failed, as_json)
    ctx.exit(1 if failed else 0)


def print_pulled(found: list[Pulled], failed: list[Failed], as_json: bool) -> None:
    """What came, and what did not."""
    if as_json:
        out.json([
            {"ref": p.version.ref, "token": p.version.record.token, "repo": p.repo,
             "record": p.version.record_sha, "added": p.added, "scores": p.scores}
            for p in found
        ])  # fmt: skip
    for one in found if not as_json else ():
        what = "pulled" if one.added else "here already"
        scores = f", {one.scores} new {'score' if one.scores == 1 else 'scores'}"
        what += scores if one.scores else ""
        out.text(f"{one.version.ref}: {what}: type {one.version.record.token} in prompts")
    for miss in failed:
        out.warn(f"{miss.repo}: {miss.error.message}")
    if not found and not failed and not as_json:
        out.note("nothing new: everything is here already")
    if len(found) == 1 and not as_json:
        out.hint(f"tireg show {found[0].version.name}")
