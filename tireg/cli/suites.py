"""``tireg suites``: the questions that ``tireg eval`` asks."""

from __future__ import annotations

from typing import Any

import click

from tireg.cli.console import Column, out

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")


@click.group(invoke_without_command=True)
@AS_JSON
@click.pass_context
def suites(ctx: click.Context, as_json: bool) -> None:
    """List the evaluation suites; show one; check a file of your own."""
    if ctx.invoked_subcommand is None:
        print_list(as_json)
    elif as_json:
        raise click.UsageError("put --json behind the subcommand", ctx)


@suites.command("list")
@AS_JSON
def list_(as_json: bool) -> None:
    """List the shipped suites and how large they are."""
    print_list(as_json)


def print_list(as_json: bool) -> None:
    """What ``tireg suites`` and ``tireg suites list`` print."""
    from tireg.workflows.suites import list_suites

    rows = list_suites()
    if as_json:
        out.json(rows)
        return
    columns: list[str | Column] = [
        "name", "version", "kind", "asking", Column("token_free", "token-free"),
        Column("seeds_each", "seeds"), "pictures", "title",
    ]  # fmt: skip
    out.table(rows, columns)
    out.hint("tireg suites show NAME")


@suites.command()
@click.argument("suite", metavar="NAME|FILE")
@AS_JSON
def show(suite: str, as_json: bool) -> None:
    """Show a suite: prompts, seeds, settings, hash.

    The file it is in is a good beginning for your own: copy it, change name and prompts, check it.
    """
    from tireg.workflows.suites import show_suite

    data = show_suite(suite)
    if as_json:
        out.json(data)
        return
    out.pairs(_summary(data))
    for role, prompts in data["prompts"].items():
        out.text("")
        out.table(prompts, ["id", "text", "context"], title=f"{role} ({len(prompts)})")
    out.hint(f"tireg eval REF --suite {suite}")


@suites.command()
@click.argument("suite", metavar="FILE")
@AS_JSON
@click.pass_context
def check(ctx: click.Context, suite: str, as_json: bool) -> None:
    """Say all that is wrong with a suite file.

    Not only the first thing. Exits 2 for errors: they make a suite unusable or its scores wrong.
    Advice does neither: a first look may have few prompts.
    """
    from tireg.workflows.suites import check_suite_file

    found = check_suite_file(suite)
    if as_json:
        out.json(found)
    else:
        _print_check(found, suite)
    ctx.exit(0 if found["ok"] else 2)


def _print_check(found: dict[str, Any], suite: str) -> None:
    out.table(found["problems"], ["level", "where", "problem"], empty="nothing is wrong")
    head = found["suite"]
    if found["ok"] and head:
        amount = f"{head['asking']} + {head['token_free']} prompts x {head['seeds_each']} seeds"
        out.text(f"{head['name']} version {head['version']}: {amount}, sha256 {head['sha256']}")
        out.hint(f"tireg eval REF --suite {suite}")
    else:
        errors = sum(problem["level"] == "error" for problem in found["problems"])
        out.text(f"errors: {errors}")
        out.hint("tireg suites show object --json, for one that is right")


def _summary(data: dict[str, Any]) -> dict[str, Any]:
    """The lines of the head; what the suite leaves open is the base family's."""
    size = f"{data['size']} px" if data["size"] else None
    settings = {"sampler": data["sampler"], "steps": data["steps"], "guidance": data["guidance"]}
    told = [f"{name} {value}" for name, value in settings.items() if value is not None]
    told += [size] if size else []
    lines = {
        "suite": f"{data['name']} version {data['version']}",
        "title": data["title"],
        "kind": data["kind"],
        "source": data["source"],
        "prompts": f"{data['asking']} ask for the concept, {data['token_free']} do not",
        "seeds": ", ".join(map(str, data["seeds"])),
        "drawn": ", ".join([*told, "the rest as the base's family is"]),
        "pictures": f"{data['pictures']} in one evaluation",
        "extra backgrounds": ", ".join(data["background_words"]),
        "extra things": ", ".join(data["object_words"]),
        "file": data["path"],
        "sha256": data["sha256"],
    }
    return {name: value for name, value in lines.items() if value}
