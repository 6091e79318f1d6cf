"""``tireg rm``: take a word out of the registry."""

from __future__ import annotations

import click

from tireg.cli.console import out


@click.command()
@click.argument("refs", nargs=-1, required=True)
def rm(refs: tuple[str, ...]) -> None:
    """Take REFS out of the registry: NAME for all versions, NAME@3 for one. Files stay until gc."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import remove

    for name, version in remove(registry_home(), refs):
        out.text(f"{name}@{version} removed")
