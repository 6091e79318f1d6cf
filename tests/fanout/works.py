"""Units of work that tests hand out: they count, wait, fail and die."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tireg.errors import InputError
from tireg.fanout import Desk, Made

WORKS = {
    name: f"tests.fanout.works:{name}"
    for name in ("square", "die_once", "die_always", "fail", "break_down", "wait", "copy", "say")
}


def _log(given: Mapping[str, Any]) -> None:
    """One line per time that the unit is begun; appending is atomic."""
    line = f"{given['n']} {os.getpid()}\n".encode()
    handle = os.open(given["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


def begun(log: Path) -> list[int]:
    """The units that were begun, in order, one that was begun twice twice."""
    return [int(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []


def square(given: Mapping[str, Any], desk: Desk) -> Made:
    """A number, and a file."""
    _log(given)
    time.sleep(given.get("seconds", 0.0))
    data = f"the square of {given['n']}".encode() * 50
    return Made({"square": given["n"] ** 2}, {hashlib.sha256(data).hexdigest(): data})


def die_once(given: Mapping[str, Any], desk: Desk) -> Made:
    """As square, but the first worker that begins it is killed."""
    _log(given)
    flag = Path(given["log"] + f".died-{given['n']}")
    if given.get("dies") and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(given.get("seconds", 0.0))
    return Made({"square": given["n"] ** 2})


def die_always(given: Mapping[str, Any], desk: Desk) -> Made:
    """Kills its worker."""
    _log(given)
    os.kill(os.getpid(), signal.SIGKILL)
    return Made({})


def fail(given: Mapping[str, Any], desk: Desk) -> Made:
    """Says why it cannot be done."""
    _log(given)
    raise InputError(f"{given['n']} is odd", hint="give an even number")


def break_down(given: Mapping[str, Any], desk: Desk) -> Made:
    """An error that nobody foresaw."""
    _log(given)
    raise ZeroDivisionError("division by zero")


def wait(given: Mapping[str, Any], desk: Desk) -> Made:
    """Does nothing for some time."""
    time.sleep(given["seconds"])
    return Made({"n": given["n"]})


def copy(given: Mapping[str, Any], desk: Desk) -> Made:
    """The input file as a result; whether it sees the shared folder."""
    data = desk.read(given["sha"])
    (desk.scratch / "own").write_bytes(data)
    return Made({"shared": desk.cache is not None, "size": len(data)}, {given["sha"]: data})


def say(given: Mapping[str, Any], desk: Desk) -> Made:
    """Tells what it is doing."""
    desk.tell(f"at {given['n']}")
    time.sleep(0.1)
    return Made({"n": given["n"], "threads": os.environ.get("OMP_NUM_THREADS", "")})
