"""The user's defaults from config.toml, handed to click as each command's defaults."""

from __future__ import annotations

import difflib
from typing import Any

import click

from tireg.errors import ConfigError
from tireg.store.home import registry_home
from tireg.workflows.config import FILE_NAME, read_config

SHARED = "defaults"


def defaults_for(command: str, params: list[click.Parameter], names: list[str]) -> dict[str, Any]:
    """Values for ``command``'s options: its own section over ``[defaults]``.

    Keys are option names without dashes in front. A section or key that no command has is a
    ConfigError; a shared default that this command lacks is passed over.
    """
    home = registry_home()
    config = read_config(home)
    where = home / FILE_NAME
    for section in config:
        if section not in (*names, SHARED):
            raise ConfigError(
                f"'{where}' has a section [{section}], and there is no such command",
                hint=_near(section, [*names, SHARED]),
            )
    options = {
        option.lstrip("-").replace("-", "_"): str(param.name)
        for param in params
        if isinstance(param, click.Option)
        for option in param.opts
    }
    values: dict[str, Any] = {}
    for section in (SHARED, command):
        for key, value in config.get(section, {}).items():
            name = options.get(key.replace("-", "_"))
            if name is None and section == command:
                raise ConfigError(
                    f"'{where}' sets '{key}' in [{command}], which has no such option",
                    hint=_near(key, list(options)),
                )
            if name is not None:
                values[name] = value
    return values


def _near(word: str, known: list[str]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{found[0]}'?" if found else f"known: {', '.join(sorted(known))}"
