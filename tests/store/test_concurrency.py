"""Eight processes at once: nothing is lost, nobody sees a locked database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.store import make
from tests.store.compare import assert_rebuilds
from tireg.store.registry import Registry

WRITER = """
import json, os, sys
from tests.store import make
from tireg.store.adding import Item
from tireg.store.registry import Registry
number = int(sys.argv[1])
if sys.argv[2] == "one core":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
sys.stdin.readline()
with Registry.open() as registry:
    refs = []
    for n in range(4):
        added = registry.add(*make.record("shared", f"{number}/{n}"))
        refs.append(added.version.version)
        registry.tag("shared", [f"tag{number}.{n}"])
    registry.add_many(Item(*make.record(f"own{number}-{n}")) for n in range(10))
    registry.alias(f"shared@{refs[0]}", f"from{number}")
    registry.objects.put(f"loose {number}".encode())
    registry.add_run(*make.run(make.record("shared", f"{number}/0")[0]))
    registry.remove(f"own{number}-3")
    if number == 3:
        registry.gc()
print(json.dumps(refs))
"""


CORES = [
    "all cores",
    pytest.param(
        "one core",
        marks=pytest.mark.skipif(
            not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound to a core here"
        ),
    ),
]


@pytest.mark.soak
@pytest.mark.parametrize("cores", CORES)
@pytest.mark.parametrize("turn", range(5))
def test_eight_writers_again(home: Path, tmp_path: Path, turn: int, cores: str) -> None:
    write_at_once(home, tmp_path, cores)


@pytest.mark.parametrize("cores", CORES)
def test_eight_writers(home: Path, tmp_path: Path, cores: str) -> None:
    write_at_once(home, tmp_path, cores)


def write_at_once(home: Path, tmp_path: Path, cores: str) -> None:
    """Let eight processes write into one home and look at all they said they did."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TIREG_HOME": str(home)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(number), cores],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for writer in writers:
        # All begin together, and the first of them creates the database.
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    ended = [writer.communicate() for writer in writers]
    for writer, (_, complaint) in zip(writers, ended, strict=True):
        assert writer.returncode == 0, complaint
    numbers = [n for out, _ in ended for n in json.loads(out)]
    assert sorted(numbers) == list(range(1, 33)), "every version number was given once"
    with Registry.open(home) as registry:
        assert registry.count() == 1 + 8 * 9
        assert len(registry.resolve("shared").tags) == 32
        records = {v.record.tensor_hash for v in registry.versions("shared")}
        assert len(records) == 32
        for number in range(8):
            first = make.record("shared", f"{number}/0")[0]
            assert registry.resolve(f"shared@from{number}").record == first
            assert len(registry.runs(first.sha256)) == 1
        troubles = {p.trouble for p in registry.verify().problems}
        assert troubles <= {"orphaned"}, "only what was put without a record"
        registry.gc()
        assert registry.verify().ok
    assert_rebuilds(home, tmp_path)
