"""``tireg publish``: share a word on the Hub."""

from __future__ import annotations

from typing import Any

import click

from tireg.cli.console import out
from tireg.cli.listening import listening


@click.command()
@click.argument("ref")
@click.argument("repo")
@click.option("--folder", default="", help="Folder in a repository of several words.")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option("--license", help="Licence id [the base's].")
@click.option("--tag", help="Tag of the commit [v1, v2, …].")
@click.option("--with-pictures", is_flag=True, help="Publish the training pictures, too.")
@click.option(
    "--suite",
    "suites",
    multiple=True,
    metavar="FILE",
    help="Suite that names a benchmark of the Hub, for whose leaderboard its scores are published.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def publish(dry_run: bool, as_json: bool, **options: Any) -> None:
    """Publish REF to the repository REPO (owner/name) of the Hub, as one commit with a card."""
    from tireg.store.home import registry_home
    from tireg.workflows.publish import PublishRequest, plan_publish, publish

    request = PublishRequest(**options)
    if dry_run:
        show_plan(plan_publish(request, home=registry_home()), as_json)
        return
    with listening() as listen:
        done = publish(request, home=registry_home(), listen=listen)
    if as_json:
        out.json({**done.plan.as_json(), "commit": done.commit, "committed": done.committed,
                  "url": done.url})  # fmt: skip
        return
    what = "published" if done.committed else "there already, nothing to publish"
    out.text(f"{request.ref}: {what}: {done.url} ({done.tag})")
    folder = f" --folder {request.folder}" if request.folder else ""
    out.hint(f"tireg pull {request.repo}{folder}")


def show_plan(plan: dict[str, Any], as_json: bool) -> None:
    """The exact plan of a publish."""
    if as_json:
        out.json(plan)
        return
    place = plan["repo"] + ("" if plan["parent"] else " (to be made)")
    commit = "one commit" if plan["write"] or plan["delete"] else "no commit"
    out.text(f"{place}: {commit}, tag {plan['tag']}, record {plan['record'][:16]}")
    rows = [{"do": "write", **row} for row in plan["write"]]
    rows += [{"do": "delete", "path": path} for path in plan["delete"]]
    rows += [{"do": "leave", "path": path} for path in plan["kept"]]
    out.table(rows, ["do", "path", "bytes"], empty="nothing to do: it is all there")
