"""The user's own defaults: ``config.toml`` in the registry's folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tireg.errors import ConfigError

FILE_NAME = "config.toml"


def read_config(home: Path) -> dict[str, dict[str, Any]]:
    """Sections of options: ``[train]``, ``[eval]`` …, and ``[defaults]`` for every command.

    Empty when there is no file. ConfigError when it is not such a file.
    """
    path = home / FILE_NAME
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read: {error.strerror}") from error
    try:
        data = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"'{path}' is not valid TOML: {error}",
            hint="a section like [train], then lines like steps = 300",
        ) from error
    for name, section in data.items():
        if not isinstance(section, dict):
            raise ConfigError(
                f"'{path}': '{name}' stands outside a section", hint=f"write [train] above {name}"
            )
    return data
