"""Which folder the registry lives in."""

from __future__ import annotations

import os
from pathlib import Path

from tireg.errors import ConfigError

VARIABLE = "TIREG_HOME"


def registry_home() -> Path:
    """The absolute folder of the registry; it need not exist yet, and nothing is created.

    ``$TIREG_HOME`` with ``~`` expanded, or the platform's user data folder. Raises
    ConfigError when the variable names something that cannot be a folder of ours.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if not named:
        from platformdirs import user_data_dir

        return Path(user_data_dir("tireg", appauthor=False))
    hint = f"set {VARIABLE} to a folder you can write to"
    try:
        home = Path(named).expanduser().absolute()
        if home.exists() and not home.is_dir():
            raise ConfigError(f"{VARIABLE} names '{named}', which is not a folder", hint=hint)
        for part in home.parents:
            if part.exists():
                if not part.is_dir():
                    raise ConfigError(
                        f"{VARIABLE} names '{named}', but '{part}' is not a folder", hint=hint
                    )
                break
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{VARIABLE} names '{named}': {reason.lower()}", hint=hint) from error
    return home


def check_writable(home: Path) -> None:
    """Create ``home`` if need be; ConfigError with a way out when it cannot be written to.

    For commands that work long before they save: better to learn of it at the start.
    """
    hint = f"make it writable, or set {VARIABLE} to another folder"
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"the registry folder '{home}': {reason}", hint=hint) from error
