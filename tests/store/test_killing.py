"""Kill -9 at random points leaves nothing or everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def kill(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    """The summary of a run of :mod:`tests.store.killing`, shown however pytest was called."""
    # A killed process leaves the same in memory as on a disk, and memory is faster.
    shared = Path("/dev/shm")
    where = ("--folder", str(shared)) if os.access(shared, os.W_OK) else ()
    # A long run says on the standard error how far it is.
    with capsys.disabled():
        done = subprocess.run(
            [sys.executable, "-m", "tests.store.killing", *where, *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        print(done.stdout)
    summary: dict[str, object] = json.loads(done.stdout)
    assert done.returncode == 0, summary
    return summary


def test_twenty_kills(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--kills", "20", "--files", "24", "--group", "8")
    summary = kill(capsys, *options, "--seed", "1")
    assert summary["points tried"] == 20
    assert summary["lost"] == 0


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_five_hundred_kills(capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty minutes on one idle core."""
    options = ("--kills", "500", "--files", "1500", "--group", "300", "--homes", "3")
    summary = kill(capsys, *options, "--seed", "2")
    assert summary["points tried"] == 500
    assert summary["lost"] == 0
