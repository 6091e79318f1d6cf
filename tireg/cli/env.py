"""``tireg env`` and ``tireg completion``: what is here, and help for the shell."""

from __future__ import annotations

import click

from tireg.cli.console import Column, out


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one object.")
def env(as_json: bool) -> None:
    """Say what is installed, what it can compute on, and what is missing for what."""
    from tireg.store.home import registry_home
    from tireg.workflows.environment import describe_environment

    found = describe_environment(registry_home())
    if as_json:
        out.json(found)
        return
    heads = ("tireg", "python", "executable", "platform", "home", "threads")
    out.pairs({name: found[name] for name in heads})
    out.pairs({name: version or "missing" for name, version in found["packages"].items()})
    out.text("")
    out.table(found["devices"], ["device", "name", "memory"], empty="torch is not installed")
    columns: list[str | Column] = ["package", "version", Column("for"), "install"]
    rows = [dict(row, install=row["install"] if not row["version"] else None)
            for row in found["optional"]]  # fmt: skip
    out.table(rows, columns, title="\noptional")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options and names of words.

    bash: add `eval "$(tireg completion bash)"` to ~/.bashrc; zsh the same in ~/.zshrc; fish:
    tireg completion fish > ~/.config/fish/completions/tireg.fish
    """
    from click.shell_completion import get_completion_class

    from tireg.cli.main import cli

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"there is no completion for {shell}")
    print(made(cli, {}, "tireg", "_TIREG_COMPLETE").source())  # noqa: T201 - a script, as it is
