"""What a look at the registry costs: no torch, and little more than its libraries."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.house.test_floors import HEAVY

YARDSTICK = ["-c", "import click, sqlite_utils, pydantic, rich.table"]
LIMIT = 1.5

# Commands that only look; each with what it is to exit with in an empty home.
LOOKS = {
    ("--help",): 0,
    ("--version",): 0,
    ("train", "--help"): 0,
    ("list",): 0,
    ("list", "--json"): 0,
    ("search", "fox"): 0,
    ("show", "nothing-of-that-name"): 2,
}

PROBE = """
import sys
from tireg.cli.main import main
try:
    main()
finally:
    found = sorted({heavy!r} & set(sys.modules))
    print("HEAVY", *found, file=sys.stderr)
"""


def cpu_seconds(arguments: list[str], cwd: Path, code: int = 0) -> float:
    """Processor time of one Python process. Unlike the wall's, it is the same on a busy machine;
    these processes wait for nothing, so on an idle one the two are equal."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == code, "a command that fails early is cheap, and says nothing"
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(("args", "code"), LOOKS.items(), ids=map(" ".join, LOOKS))
def test_a_look_costs_little(args: tuple[str, ...], code: int, tmp_path: Path) -> None:
    ours, theirs = [], []
    for _ in range(5):
        theirs.append(cpu_seconds(YARDSTICK, tmp_path))
        ours.append(cpu_seconds(["-m", "tireg", *args], tmp_path, code))
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"tireg {' '.join(args)}: {ratio:.2f} times the imports of its libraries")
    assert ratio <= LIMIT


@pytest.mark.parametrize(("args", "code"), LOOKS.items(), ids=map(" ".join, LOOKS))
def test_a_look_imports_nothing_heavy(args: tuple[str, ...], code: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(heavy=HEAVY), *args],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1] == "HEAVY"


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = {*sys.modules}; import tireg; print(*({*sys.modules} - before))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert {n for n in loaded if n.partition(".")[0] not in sys.stdlib_module_names} == {"tireg"}
