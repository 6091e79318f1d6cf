"""Options of commands that hand out work, and what they print of many results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from tireg.cli.console import out

if TYPE_CHECKING:
    from tireg.workflows.fanning import Fan


class ManyValues(click.Command):
    """A command whose options named in ``many`` take every word up to the next option."""

    many: tuple[str, ...] = ("--bases",)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with ``--bases A B`` read as ``--bases A --bases B``."""
        return super().parse_args(ctx, spread(args, self.many))


def spread(args: Sequence[str], many: Sequence[str]) -> list[str]:
    """``--bases A B --json`` as ``--bases A --bases B --json``.

    UsageError for an option of ``many`` without a value, where click would take the next option.
    """
    found: list[str] = []
    option, values = "", 0
    for n, word in enumerate([*args, "--"]):
        if option and not values and word.startswith("-"):
            raise click.BadOptionUsage(option, f"Option '{option}' requires an argument.")
        if n == len(args):
            break
        if word == "--":
            return found + list(args[n:])
        if word in many:
            option, values = word, 0
            found.append(word)
        elif not option or word.startswith("-"):
            option = ""
            found.append(word)
        else:
            found += [option, word] if values else [word]
            values += 1
    return found


def fan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``command`` with ``--jobs`` and ``--ray``."""
    command = click.option(
        "--ray", metavar="ADDRESS|auto", help="Work on this Ray cluster (extra: tireg[ray])."
    )(command)
    return click.option(
        "--jobs", type=click.IntRange(1, 256), metavar="N",
        help="Work in N processes of this machine.",
    )(command)  # fmt: skip


def fan_of(options: dict[str, Any]) -> Fan:
    """Takes ``jobs`` and ``ray`` out of the options as click gives them."""
    from tireg.workflows.fanning import Fan

    return Fan(options.pop("jobs"), options.pop("ray"))


def print_failures(lines: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """What failed, with the reason and what to do, behind the results."""
    if not lines:
        return
    out.flush()
    for line in lines:
        what = " on ".join(str(line[column]) for column in columns)
        hint = f" ({line['hint']})" if line.get("hint") else ""
        out.error(f"{what}: {line['error']}{hint}")
        if trace := line.get("trace"):
            out.note(trace)
