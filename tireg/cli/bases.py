"""``tireg bases``: what embeddings can be trained on."""

from __future__ import annotations

import click

from tireg.cli.console import out


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one object with both lists.")
def bases(as_json: bool) -> None:
    """List the bases known here, and the families of bases tireg knows."""
    from tireg.store.home import registry_home
    from tireg.workflows.bases import known_bases, known_families

    here, families = known_bases(registry_home()), known_families()
    if as_json:
        out.json({"bases": here, "families": families})
        return
    out.table(here, ["id", "family", "license", "where"], title="bases known here")
    out.text("")
    columns = ["id", "title", "encoders", "resolution", "trainable"]
    out.table(families, columns, title="families")
    out.hint("tireg train PICTURES --base shapes --name my-word --token '<my-word>' …")
