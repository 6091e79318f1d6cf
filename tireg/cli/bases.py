"""``tireg bases``: what embeddings can be trained on and loaded into."""

from __future__ import annotations

from typing import Any

import click

from tireg.cli.console import out


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one object with both lists.")
@click.pass_context
def bases(ctx: click.Context, as_json: bool) -> None:
    """List the bases known here and the families of bases; measure a base; show one."""
    if ctx.invoked_subcommand is None:
        print_lists(as_json)
    elif as_json:
        raise click.UsageError("put --json behind the subcommand", ctx)


@bases.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one object with both lists.")
def list_(as_json: bool) -> None:
    """List the bases known here, and the families of bases tireg knows."""
    print_lists(as_json)


def print_lists(as_json: bool) -> None:
    """What ``tireg bases`` and ``tireg bases list`` print."""
    from tireg.store.home import registry_home
    from tireg.workflows.bases import known_bases, known_families

    here, families = known_bases(registry_home()), known_families()
    if as_json:
        out.json({"bases": here, "families": families})
        return
    out.table(here, ["id", "family", "license", "measured", "where"], title="bases known here")
    out.text("")
    columns = ["id", "title", "encoders", "resolution", "trainable"]
    out.table(families, columns, title="families")
    out.hint("tireg train PICTURES --base shapes --name my-word --token '<my-word>' …")


@bases.command()
@click.argument("base")
@click.option("--json", "as_json", is_flag=True, help="Print what is known of it as JSON.")
def add(base: str, as_json: bool) -> None:
    """Measure BASE once: a Hub id, a folder, a safetensors checkpoint, or a built-in base.

    Its text encoders are read, its denoiser is sampled; nothing else of it is loaded.
    """
    from tireg.cli.listening import listening
    from tireg.store.home import registry_home
    from tireg.workflows.bases import add_base, show_base

    home = registry_home()
    with listening() as listen:
        row = add_base(home, base, listen=listen)
    data = show_base(home, row.id if not row.revision else f"{row.id}@{row.revision}")
    if as_json:
        out.json(data)
        return
    _print(data)
    out.hint(f"tireg compat NAME {row.id}")


@bases.command()
@click.argument("base")
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def show(base: str, as_json: bool) -> None:
    """Show what is known of BASE: its family, its encoders, its hashes."""
    from tireg.store.home import registry_home
    from tireg.workflows.bases import show_base

    data = show_base(registry_home(), base)
    if as_json:
        out.json(data)
        return
    _print(data)
    if not data["measured"]:
        out.hint(f"tireg bases add {base}")


def _print(data: dict[str, Any]) -> None:
    shown = ("id", "revision", "family", "license", "where", "fingerprint", "denoiser_sha256")
    out.pairs({name.replace("_", " "): data[name] for name in shown})
    rows = [
        {k: v[:12] if k.endswith("sha256") else v for k, v in encoder.items()}
        for encoder in data["encoders"]
    ]
    columns = ["key", "width", "rows", "table_sha256", "layers_sha256", "config_sha256",
               "tokenizer_sha256"]  # fmt: skip
    out.table(rows, columns, empty="it was not measured")
