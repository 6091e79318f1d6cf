"""``tireg remote``: the places on the Hub that `tireg sync` knows by name."""

from __future__ import annotations

import click

from tireg.cli.console import out


@click.group(name="remote")
def remote() -> None:
    """Name places on the Hub for `tireg sync`: a repository, or a whole organisation."""


@remote.command(name="add")
@click.argument("name")
@click.argument("target", metavar="REPO-or-ORG")
def add(name: str, target: str) -> None:
    """Remember a repository (owner/name) or an organisation under NAME."""
    from tireg.store.home import registry_home
    from tireg.workflows.sync import add_remote

    add_remote(registry_home(), name, target)
    out.text(f"{name}: {target}")
    out.hint(f"tireg sync {name} --dry-run")


@remote.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def list_(as_json: bool) -> None:
    """List the remotes."""
    from tireg.store.home import registry_home
    from tireg.workflows.sync import read_remotes

    found = read_remotes(registry_home())
    if as_json:
        out.json(found)
        return
    rows = [{"name": name, "place": target} for name, target in found.items()]
    out.table(rows, ["name", "place"], empty="no remotes yet")


@remote.command(name="rm")
@click.argument("name")
def rm(name: str) -> None:
    """Forget a remote; nothing on the Hub changes."""
    from tireg.store.home import registry_home
    from tireg.workflows.sync import remove_remote

    remove_remote(registry_home(), name)
    out.text(f"{name}: forgotten")
