"""``tireg inspect`` and ``tireg export``: embedding files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from tireg.cli.console import out
from tireg.errors import InputError


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--recursive", "-r", is_flag=True, help="Look into the folders of a folder, too.")
@click.option("--family", help="Family of a bare tensor, which names none.")
@click.option("--token", help="Token of a bare tensor, which names none.")
@click.option("--json", "as_json", is_flag=True, help="Print an array, one object per file.")
@click.pass_context
def inspect(
    ctx: click.Context, paths: tuple[Path, ...], recursive: bool, family: str | None,
    token: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Say what is in embedding files made by any tool, without running a byte of them.

    PATHS are files, folders, or patterns in quotes.
    """
    from tireg.workflows.inspecting import inspect_files

    found = inspect_files(paths, family=family, token=token, recursive=recursive)
    if as_json:
        out.json(found)
    else:
        for entry in found:
            print_reading(entry)
    if not found:
        raise nothing_there(paths, recursive=recursive)
    refused = sum(bool(entry["refused"]) for entry in found)
    if refused and not as_json:
        out.hint("tireg import FOLDER takes what can be used and passes over the rest")
    ctx.exit(2 if refused == len(found) else 0)


def nothing_there(paths: Sequence[Path], *, recursive: bool) -> InputError:
    """The error for folders and patterns that hold no file an embedding could be in."""
    where = ", ".join(f"'{path}'" for path in paths[:3]) + (", …" if len(paths) > 3 else "")
    hint = "give files, or another folder"
    return InputError(
        f"there is no embedding file in {where}",
        hint=hint if recursive else "--recursive looks into subfolders, too",
    )


def print_reading(entry: dict[str, object]) -> None:
    """One file's reading for people."""
    if entry["refused"]:
        out.text(f"{entry['path']}: refused: {entry['refused']}")
        return
    out.text(f"{entry['path']}: {entry['dialect']}")
    embeddings = entry["embeddings"]
    assert isinstance(embeddings, list)
    for e in embeddings:
        rows = ", ".join(
            f"{key} {t['vectors']} x {t['width']} {t['dtype']}" for key, t in e["encoders"].items()
        )
        out.pairs(
            {
                "  token": e["token"],
                "  typed as": e["trigger"],
                "  vectors": rows,
                "  families": ", ".join(e["families"]) or "unknown",
                "  tensor hash": e["tensor_hash"],
            }
        )
    warnings = entry["warnings"]
    assert isinstance(warnings, list)
    for text in warnings:
        out.warn(str(text))


@click.command()
@click.argument("ref")
@click.option(
    "--to",
    "dialect",
    default="diffusers",
    show_default=True,
    help="Tool to write for; all: a folder for each.",
)
@click.option("--out", "target", type=click.Path(path_type=Path), help="File or folder to write.")
@click.option("--lossy", is_flag=True, help="Write even where the dialect cannot hold all of it.")
@click.option("--json", "as_json", is_flag=True, help="Print the paths as JSON.")
def export(ref: str, dialect: str, target: Path | None, lossy: bool, as_json: bool) -> None:
    """Write REF (a name or an embedding file) as a file for another tool.

    Tools: diffusers, webui (A1111, Forge), comfyui, invokeai, kohya, onetrainer, original (the
    paper's own layout), png (a card), all.
    """
    from tireg.cli.listening import listening
    from tireg.store.home import registry_home
    from tireg.workflows.exporting import export

    with listening() as listen:
        paths = export(registry_home(), ref, dialect=dialect, target=target, lossy=lossy,
                       listen=listen)  # fmt: skip
    if as_json:
        out.json([str(path) for path in paths])
        return
    for path in paths:
        out.text(str(path))
