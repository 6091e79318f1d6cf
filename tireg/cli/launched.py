"""One voice: what a command prints where a launcher started it several times."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import click

from tireg.domain.launching import is_told, launched

# A launcher ends all processes once one of them has failed: the main one speaks first.
PAUSE = 3.0
INTERRUPTED = 130


@contextmanager
def one_voice() -> Iterator[None]:
    """Let only the main of several processes print; an error that it does not know of is raised.

    Any other one that fails leaves after it. With ``TIREG_DEBUG=1`` all print.
    """
    launch = launched()
    if launch is None or launch.main or os.environ.get("TIREG_DEBUG") == "1":
        yield
        return
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    except (KeyboardInterrupt, click.Abort):
        _let_the_main_one_speak()
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        told = is_told(error)
        if told is not False:
            _let_the_main_one_speak()
        if told:
            raise SystemExit(getattr(error, "exit_code", 1)) from error
        raise


def _let_the_main_one_speak() -> None:
    """Wait a moment; where the main process has failed, the launcher ends this one meanwhile."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(PAUSE)
