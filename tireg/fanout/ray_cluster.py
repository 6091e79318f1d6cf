"""Join a Ray cluster, or say in seconds and in one sentence why that cannot be."""

from __future__ import annotations

import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tireg.errors import ConfigError, MissingPackageError

KNOCK_SECONDS = 3.0
ANSWER_SECONDS = 20.0
START = "ray start --head; on the others: ray start --address HOST:6379"


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """The module ``ray``, connected to the cluster at ``address`` for the time of the block.

    A connection that is there already is used and left open. Raises MissingPackageError where
    Ray is not installed and ConfigError where nothing answers at ``address`` within seconds.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError(
            "Ray is not installed", hint="pip install 'tireg[ray]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    if address not in ("auto", "local"):
        _check(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR",
                     include_dashboard=None if address != "local" else False)  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise _not_joined(address, error) from error
        except SystemExit as error:
            raise _not_joined(address, error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _not_joined(address: str, error: BaseException) -> ConfigError:
    if address == "auto":
        return ConfigError("no Ray cluster runs on this machine", hint=START)
    reason = str(error).strip().partition("\n")[0].rstrip(".")[:200]
    told = f": {reason[:1].lower()}{reason[1:]}" if reason and not reason.isdigit() else ""
    return ConfigError(
        f"the Ray cluster at '{address}' cannot be joined{told}",
        hint=f"join it from here first: ray start --address {address}",
    )


def _check(address: str) -> None:
    """Knock at the address before Ray does, which would wait for minutes."""
    client = address.startswith("ray://")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(
            f"'{address}' is no address of a Ray cluster",
            hint="--ray auto, HOST:6379 or ray://HOST:10001",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except OSError as error:
        reason = (error.strerror or str(error) or "no answer").lower()
        raise ConfigError(
            f"nothing answers at '{address}': {reason}", hint=f"start a cluster there: {START}"
        ) from error
    if client:
        return
    probe = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--skip-version-check"]
    try:
        done = subprocess.run(
            [*probe, "--address", address], capture_output=True, check=False, timeout=ANSWER_SECONDS
        )
        answered = done.returncode == 0
    except subprocess.TimeoutExpired:
        answered = False
    if not answered:
        raise ConfigError(
            f"what answers at '{address}' is no Ray cluster",
            hint="the port that `ray start --head` printed, 6379 unless another was given",
        )
