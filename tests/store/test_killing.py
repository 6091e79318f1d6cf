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


def kill(*options: str) -> dict[str, object]:
    """The summary of a run of :mod:`tests.store.killing`."""
    # A killed process leaves the same in memory as on a disk, and memory is faster.
    shared = Path("/dev/shm")
    where = ("--folder", str(shared)) if os.access(shared, os.W_OK) else ()
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.killing", *where, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)
    summary: dict[str, object] = json.loads(done.stdout)
    assert done.returncode == 0, summary
    return summary


def test_twenty_kills() -> None:
    summary = kill("--kills", "20", "--files", "24", "--group", "8", "--seed", "1")
    assert summary["points tried"] == 20
    assert summary["lost"] == 0


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_five_hundred_kills() -> None:
    options = ("--kills", "500", "--files", "1500", "--group", "300", "--homes", "3")
    summary = kill(*options, "--seed", "2")
    assert summary["points tried"] == 500
    assert summary["lost"] == 0
