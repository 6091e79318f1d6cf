"""Where the data that travels with tireg lies: schemas, the family catalogue, suites."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from tireg.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent.parent


def resource(*parts: str) -> Path:
    """Path of a shipped file or folder, e.g. ``resource("registry", "families")``.

    The first part is ``schemas``, ``registry`` or ``evals``. In a checkout these are the folders
    at its top; in an installed wheel the copies inside the package. The checkout comes first,
    because an editable install also holds copies, made once and never refreshed.

    Raises ConfigError when the file is in neither place, which means a broken installation.
    """
    path = _root().joinpath(*parts)
    if not path.exists():
        raise ConfigError(
            f"this installation of tireg lacks its file {'/'.join(parts)}",
            hint="pip install --force-reinstall tireg",
        )
    return path


def checkout() -> Path | None:
    """The top folder of the checkout that this package is imported from, or None."""
    project = _PACKAGE.parent / "pyproject.toml"
    try:
        with project.open("rb") as file:
            name = tomllib.load(file).get("project", {}).get("name")
    except (OSError, tomllib.TOMLDecodeError):
        return None
    return _PACKAGE.parent if name == "tireg" else None


@cache
def _root() -> Path:
    return checkout() or _PACKAGE / "_data"
