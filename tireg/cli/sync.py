"""``tireg sync``: keep the registry and a place on the Hub in step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tireg.cli.console import out
from tireg.cli.listening import listening

if TYPE_CHECKING:
    from tireg.workflows.sync import Step


@click.command()
@click.argument("remote", required=False)
@click.option("--push", is_flag=True, help="Only publish what the remote lacks.")
@click.option("--pull", is_flag=True, help="Only fetch what is lacking here.")
@click.option("--delete", is_flag=True, help="Delete there what was deleted here, and here what "
              "was deleted there.")  # fmt: skip
@click.option("--license", help="Licence id for words whose base states none.")
@click.option("--dry-run", is_flag=True, help="Only say how things stand.")
@click.option("--json", "as_json", is_flag=True, help="Print an array, one object per word.")
@click.pass_context
def sync(
    ctx: click.Context, remote: str | None, push: bool, pull: bool, delete: bool,
    license: str | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Publish to REMOTE what it lacks, and fetch what is lacking here; see `tireg remote`."""
    from tireg.store.home import registry_home
    from tireg.workflows.sync import sync

    both = push == pull
    with listening() as listen:
        steps = sync(remote, home=registry_home(), push=push or both, pull=pull or both,
                     delete=delete, dry_run=dry_run, license=license, listen=listen)  # fmt: skip
    if as_json:
        out.json([step.as_json() for step in steps])
    else:
        show_steps(steps, dry_run)
    ctx.exit(1 if any(step.failed for step in steps) else 0)


def show_steps(steps: list[Step], dry_run: bool) -> None:
    """What is not in step, and what was done about it."""
    rows = [
        {
            "word": step.name,
            "place": step.place,
            "state": step.state,
            "publish": len(step.push) or None,
            "fetch": len(step.pull) or None,
            "done": None if dry_run else step.done,
            "note": step.failed or step.note,
        }
        for step in steps
        if step.state != "same"
    ]
    columns = ["word", "place", "state", "publish", "fetch", "done", "note"]
    same = sum(step.state == "same" for step in steps)
    out.table(rows, columns, empty=f"everything is in step ({same} words)")
    if any(step.state.startswith("deleted") and not step.done for step in steps):
        out.hint("tireg sync --delete carries deletions over")
