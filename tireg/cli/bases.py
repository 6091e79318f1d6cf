"""``tireg bases``: what embeddings can be trained on and loaded into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tireg.cli.console import out
from tireg.cli.fanning import fan_of, fan_options, print_failures
from tireg.cli.listening import listening

if TYPE_CHECKING:
    from tireg.store.rows import BaseRow
    from tireg.workflows.fanning import Fan


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
@click.argument("bases", nargs=-1, required=True, metavar="BASE...")
@fan_options
@click.option("--json", "as_json", is_flag=True,
              help="Print what is known of it as JSON; an array for several.")  # fmt: skip
@click.pass_context
def add(ctx: click.Context, /, bases: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Measure each BASE once: a Hub id, a folder, a safetensors checkpoint, or a built-in base.

    Its text encoders are read, its denoiser is sampled; nothing else of it is loaded. Of several
    one that cannot be measured stops no other, and the same command goes on with what is missing.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.bases import add_base

    fan = fan_of(options)
    if len(bases) > 1 or fan.ray or fan.jobs:
        ctx.exit(_add_many(bases, fan, as_json))
    with listening() as listen:
        row = add_base(registry_home(), bases[0], listen=listen)
    data = _known(row)
    if as_json:
        out.json(data)
        return
    _print(data)
    out.hint(f"tireg compat NAME {row.id}")


def _add_many(names: tuple[str, ...], fan: Fan, as_json: bool) -> int:
    """Measure several bases and print one line of each; the exit code."""
    from tireg.store.home import registry_home
    from tireg.store.rows import BaseRow
    from tireg.workflows.bases_units import add_bases
    from tireg.workflows.fanning import failure_line

    with listening() as listen:
        found = add_bases(registry_home(), names, fan=fan, listen=listen)
    rows = [_known(row) for _, row in found if isinstance(row, BaseRow)]
    failed = [
        failure_line({"base": name}, row) for name, row in found if not isinstance(row, BaseRow)
    ]
    if as_json:
        good = iter(rows)
        bad = iter(failed)
        out.json([next(good) if isinstance(row, BaseRow) else next(bad) for _, row in found])
    else:
        columns = ["id", "family", "license", "fingerprint", "where"]
        out.table([{**r, "fingerprint": r["fingerprint"][:12]} for r in rows], columns, empty="")
    print_failures(failed, ["base"])
    if rows and not as_json:
        out.hint(f"tireg compat NAME {rows[0]['id']}")
    return max((row.code for _, row in found if not isinstance(row, BaseRow)), default=0)


def _known(row: BaseRow) -> dict[str, Any]:
    """All that is known of a base that was just measured."""
    from tireg.store.home import registry_home
    from tireg.workflows.bases import show_base

    return show_base(registry_home(), f"{row.id}@{row.revision}" if row.revision else row.id)


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
