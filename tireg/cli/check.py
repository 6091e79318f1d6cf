"""``tireg check``: what needs no picture."""

from __future__ import annotations

from typing import Any

import click

from tireg.cli.console import Column, out
from tireg.cli.listening import listening


@click.command()
@click.argument("ref", metavar="REF|FILE")
@click.option("--base", help="Base on this machine [the one it was trained on].")
@click.option("--base-config", help="Diffusers folder of configs, for a single-file base.")
@click.option("--noun", help="Ordinary word to compare with [its class noun].")
@click.option("--suite", help="Suite whose contexts are tried [by family and kind].")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def check(ref: str, as_json: bool, **options: Any) -> None:
    """Look at the vectors and the token of REF, and at what they do to the base's text encoders.

    Draws nothing and takes seconds: numbers, lengths, nearest words, collisions, collapse of
    meaning, whether prompts without the token keep every bit, and whether the base is still the
    one it was learned on. Exits 1 if anything is wrong;
    doubts alone exit 0.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.check import check

    with listening() as listen:
        found = check(registry_home(), ref, listen=listen, **options)
    if as_json:
        out.json(found)
    else:
        _print(found, ref)
    click.get_current_context().exit(0 if found["ok"] else 1)


def _print(found: dict[str, Any], ref: str) -> None:
    order = ("wrong", "doubt", "not checked", "ok", "note")
    rows = sorted(found["findings"], key=lambda finding: order.index(finding["status"]))
    columns: list[str | Column] = [
        "status",
        "check",
        "encoder",
        Column("message", "what was found"),
    ]
    out.table(rows, columns)
    on = f" on {found['base']}" if found["base"] else ""
    counts = [f"{n} {status}" for status in order[:3] if (n := _count(rows, status))]
    out.text(f"{found['embedding']} {found['token']}{on}: {', '.join(counts) or 'nothing wrong'}")
    out.hint(f"tireg import {ref}" if found["file"] else f"tireg eval {ref}")


def _count(rows: list[dict[str, Any]], status: str) -> int:
    return sum(row["status"] == status for row in rows)
