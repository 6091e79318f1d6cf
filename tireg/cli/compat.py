"""``tireg compat``: what a word runs on."""

from __future__ import annotations

from typing import Any

import click

from tireg.cli.console import Column, out


@click.command()
@click.argument("embedding")
@click.argument("base", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print an array, or with BASE one object.")
def compat(embedding: str, base: str | None, as_json: bool) -> None:
    """Say whether EMBEDDING (a name or a file) means on BASE what it meant where it was made.

    Without BASE: on every base known here, best first. No model needs to be on this machine.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.compat import compat

    found = compat(registry_home(), embedding, base)
    if as_json:
        out.json(found[0] if base else found)
    elif base:
        _print_one(found[0])
    else:
        columns = ["base", "family", "verdict", "denoiser", "reason"]
        out.table(found, columns, empty="no base is known here: tireg bases add BASE")
        out.hint(f"tireg compat {embedding} BASE")


def _print_one(found: dict[str, Any]) -> None:
    out.pairs(
        {
            "embedding": found["embedding"],
            "made on": found["made_on"] or "not known",
            "base": f"{found['base']} ({found['family']})",
            "verdict": f"{found['verdict']}: {found['reason']}",
            "denoiser": f"{found['denoiser']}: {found['denoiser_reason']}",
        }
    )
    if len(found["encoders"]) > 1:
        columns = [Column(k) for k in ("encoder", "verdict", "reason", "advice")]
        out.table(found["encoders"], columns)
    out.hint(found["advice"])
