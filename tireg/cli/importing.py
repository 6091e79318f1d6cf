"""``tireg import``: embedding files into the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tireg.cli.console import out
from tireg.cli.fanning import fan_of, fan_options

SHOWN = 60


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--recursive", "-r", is_flag=True, help="Look into the folders of a folder, too.")
@click.option("--name", help="Name in the registry, for a single embedding.")
@fan_options
@click.option("--json", "as_json", is_flag=True, help="Print an array, one object per embedding.")
@click.pass_context
def import_(ctx: click.Context, /, paths: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Take embedding files of any tool into the registry: files, folders, patterns in quotes.

    Notes and previews that other managers keep beside them come along. What is here already,
    in whatever form, is left alone; a file that cannot be used stops nothing. With --jobs or
    --ray several workers read and convert; what comes of it is the same.
    """
    from tireg.cli.files import nothing_there
    from tireg.cli.listening import listening
    from tireg.store.home import registry_home
    from tireg.workflows.importing import import_files

    fan = fan_of(options)
    with listening() as listen:
        lines = import_files(registry_home(), paths, fan=fan, listen=listen, **options)
    if as_json:
        out.json(lines)
    elif lines:
        print_lines(lines)
    if not lines:
        raise nothing_there(paths, recursive=options["recursive"])
    ctx.exit(2 if all(line["result"] == "refused" for line in lines) else 0)


def print_lines(lines: list[dict[str, Any]]) -> None:
    """The table at the end: refusals in full, the rest shortened where there are thousands."""
    from tireg.workflows.importing import counted

    refused = [line for line in lines if line["result"] == "refused"]
    others = [line for line in lines if line["result"] != "refused"]
    shown = [*others[:SHOWN], *refused]
    out.table(shown, ["path", "result", "name", "token", "reason"])
    if len(others) > SHOWN:
        out.note(f"and {len(others) - SHOWN} more taken or here already; --json lists all")
    for line in lines:
        for warning in line["warnings"] if len(lines) <= SHOWN else ():
            out.warn(f"{line['path']}: {warning}")
    counts = counted(lines)
    out.text(
        f"{counts['taken']} taken, {counts['duplicate']} here already, {counts['refused']} refused"
    )
    out.hint("tireg list" if counts["taken"] or counts["duplicate"] else "tireg inspect PATH")
