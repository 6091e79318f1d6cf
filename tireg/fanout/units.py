"""A unit of work, what it is given, and how a worker does it."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from tireg.domain.model import canonical_json
from tireg.errors import ConfigError, CorruptError, TiregError


@dataclass(frozen=True)
class Unit:
    """One job that needs no other: ``work`` names a function of the caller's list.

    ``given`` is plain JSON. ``files`` maps the sha256 of each input file to where it lies on the
    machine that hands out the work.
    """

    key: str
    work: str
    given: Mapping[str, Any]
    label: str
    files: Mapping[str, Path] = field(default_factory=dict)


def make_unit(
    work: str,
    given: Mapping[str, Any],
    *,
    label: str,
    identity: Any = None,
    files: Mapping[str, Path] | None = None,
) -> Unit:
    """A unit whose key is the sha256 of ``work`` and ``identity``: all its result depends on.

    ``identity`` is plain JSON, and ``given`` itself where it is None.
    """
    told = [work, given if identity is None else identity]
    key = hashlib.sha256(canonical_json(told)).hexdigest()
    return Unit(key, work, given, label, files or {})


@dataclass(frozen=True)
class Made:
    """What a unit made: plain JSON, and files by sha256."""

    record: Any
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Desk:
    """What a worker has at hand while it does a unit."""

    scratch: Path
    """A folder of this worker alone, gone when it ends."""
    cache: Path | None
    """The folder that workers share; None on a machine that does not see it."""
    read: Callable[[str], bytes]
    """An input file by its sha256."""
    tell: Callable[[str], None]
    """Say in a few words what is being done."""


class MissingInputError(Exception):
    """An input file that does not lie where it was said to: this is another machine."""


Work = Callable[[Mapping[str, Any], Desk], Made]


def find_work(works: Mapping[str, str], name: str) -> Work:
    """The function that ``works`` registers as ``name``, written ``package.module:function``.

    Raises ConfigError for a name that is not in the list.
    """
    if name not in works:
        raise ConfigError(f"there is no work called '{name}'", hint="update every machine's tireg")
    module, _, function = works[name].partition(":")
    found: Work = getattr(import_module(module), function)
    return found


def reader(files: Mapping[str, str], carried: Mapping[str, bytes]) -> Callable[[str], bytes]:
    """Reads input files that came along, or from their paths, and proves them by their hash."""

    def read(sha: str) -> bytes:
        try:
            data = carried[sha] if sha in carried else Path(files[sha]).read_bytes()
        except (OSError, KeyError) as error:
            raise MissingInputError(sha) from error
        if hashlib.sha256(data).hexdigest() != sha:
            raise CorruptError(
                f"the input file {sha[:12]} does not match its hash", hint="tireg verify"
            )
        return data

    return read


@dataclass(frozen=True)
class Trouble:
    """Why a unit made nothing, in words; ``code`` as an error of tireg has it."""

    message: str
    hint: str = ""
    code: int = 1
    trace: str = ""


def do_unit(works: Mapping[str, str], name: str, given: Mapping[str, Any], desk: Desk) -> Any:
    """Do one unit: a Made, or a Trouble. MissingInputError is the engine's to answer."""
    try:
        return find_work(works, name)(given, desk)
    except MissingInputError:
        raise
    except TiregError as error:
        return Trouble(error.message, error.hint, error.exit_code, traceback.format_exc())
    except MemoryError:
        return Trouble(
            "there is not enough memory for this", "fewer --jobs, or a smaller --batch or --size"
        )
    except Exception as error:  # noqa: BLE001  one unit's failure is a line of the report
        text = str(error).strip().partition("\n")[0]
        told = f"{type(error).__name__}{': ' if text else ''}{text}"
        return Trouble(told, "TIREG_DEBUG=1 prints the traceback", 1, traceback.format_exc())
