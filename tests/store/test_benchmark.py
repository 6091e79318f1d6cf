"""The benchmark runs and prints every figure (their size is not tested: see its table)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_small_run(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "registry.py"
    done = subprocess.run(
        [sys.executable, script, "--sizes", "40", "--no-processes", "--json", "--folder", tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (figures,) = json.loads(done.stdout)
    assert figures["size"] == 40
    assert all(value > 0 for value in figures.values())
    for name in ("raw_rows_per_s", "rows_per_s", "files_per_s", "fsync_ms", "add_ratio"):
        assert name in figures
    for name in ("word_ms", "filtered_ms", "picture_ms", "list_ms", "db_bytes_each"):
        assert name in figures
