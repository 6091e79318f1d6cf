"""Join a Ray cluster, or say in seconds and in one sentence why that cannot be."""

from __future__ import annotations

import os
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
    # Ray's own lines about what goes wrong say it twenty times over; what it raises is told once.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError(
            "Ray is not installed", hint="pip install 'tireg[ray]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    if address == "auto":
        _check_known()
    elif address != "local":
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
        with _silent(ray):
            yield ray
    finally:
        ray.shutdown()


@contextmanager
def _silent(ray: Any) -> Iterator[None]:
    """Ray says on standard output, among our results, what it hears of nodes that die.

    There is no option against it; this is how its own debugger turns it off for a while.
    """
    worker = ray._private.worker
    before = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before


def _not_joined(address: str, error: BaseException) -> ConfigError:
    if "AuthenticationError" in str(error):
        return _without_token("of this machine" if address == "auto" else f"at '{address}'")
    if address == "auto":
        return ConfigError("no Ray cluster runs on this machine", hint=START)
    reason = str(error).strip().partition("\n")[0].rstrip(".")[:200]
    told = f": {reason[:1].lower()}{reason[1:]}" if reason and not reason.isdigit() else ""
    return ConfigError(
        f"the Ray cluster at '{address}' cannot be joined{told}",
        hint=f"join it from here first: ray start --address {address}",
    )


def _without_token(where: str) -> ConfigError:
    """Ray gives its token to an address that was named only where it is told to."""
    return ConfigError(
        f"the Ray cluster {where} wants a token that it was not given",
        hint="set RAY_AUTH_MODE=token, with the ~/.ray/auth_token of its first machine here",
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
    answered, said = _probe("--address", address)
    if b"AuthenticationError" in said:
        raise _without_token(f"at '{address}'")
    if not answered:
        raise ConfigError(
            f"what answers at '{address}' is no Ray cluster",
            hint="the port that `ray start --head` printed, 6379 unless another was given",
        )


def _check_known() -> None:
    """A cluster that was killed is remembered by its machine; Ray would wait for it for minutes."""
    answered, said = _probe()
    # Whether its token is here is Ray's to find out: it uses it for the cluster of this machine.
    if not answered and b"AuthenticationError" not in said:
        raise ConfigError("no Ray cluster runs on this machine", hint=START)


def _probe(*options: str) -> tuple[bool, bytes]:
    """Whether a cluster answers within seconds, and what Ray's own check says."""
    probe = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--skip-version-check"]
    try:
        done = subprocess.run(
            [*probe, *options], capture_output=True, check=False, timeout=ANSWER_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False, b""
    return done.returncode == 0, done.stderr
