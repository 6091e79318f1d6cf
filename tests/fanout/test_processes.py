"""Local workers: the same results for any number of them, and one that dies costs one unit."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.fanout.works import WORKS, begun
from tireg.errors import ConfigError
from tireg.fanout import (
    Engine,
    InProcess,
    Made,
    Processes,
    Results,
    Settled,
    Shop,
    Tick,
    Unit,
    make_unit,
)
from tireg.fanout.engines import run_units


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Results and cache of this test."""
    return Shop(WORKS, tmp_path / "cache", Results(tmp_path / "results"), lambda _: None)


def units(tmp_path: Path, work: str, count: int, **given: Any) -> list[Unit]:
    log = str(tmp_path / "log")
    return [
        make_unit(work, {"n": n, "log": log, **given}, identity=[n], label=f"unit {n}")
        for n in range(count)
    ]


def by_label(over: list[Settled]) -> dict[str, Settled]:
    found = {one.unit.label: one for one in over}
    assert len(found) == len(over), "each unit once"
    return found


@pytest.mark.parametrize("engine", [InProcess(), Processes(1), Processes(2)])
def test_results_are_the_same_for_any_number_of_workers(
    engine: Engine, shop: Shop, tmp_path: Path
) -> None:
    over = by_label(list(run_units(engine, units(tmp_path, "square", 6), shop)))
    assert {label: one.made and one.made.record for label, one in over.items()} == {
        f"unit {n}": {"square": n * n} for n in range(6)
    }
    for n in range(6):
        made = over[f"unit {n}"].made
        assert made is not None
        data = f"the square of {n}".encode() * 50
        assert made.files == {hashlib.sha256(data).hexdigest(): data}
    assert sorted(begun(tmp_path / "log")) == list(range(6))
    again = list(run_units(engine, units(tmp_path, "square", 8), shop))
    assert sorted(begun(tmp_path / "log")) == list(range(8)), "only what is missing is done"
    assert Counter(one.attempts for one in again) == {0: 6, 1: 2}


def test_a_worker_that_is_killed_costs_one_unit(shop: Shop, tmp_path: Path) -> None:
    todo = units(tmp_path, "die_once", 6, seconds=0.05)
    todo[1] = make_unit("die_once", {**todo[1].given, "dies": True}, identity=[1], label="unit 1")
    over = by_label(list(run_units(Processes(2), todo, shop)))
    assert all(one.made is not None for one in over.values())
    assert {label: one.attempts for label, one in over.items() if one.attempts != 1} == {
        "unit 1": 2
    }
    assert Counter(begun(tmp_path / "log")) == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}


def test_a_unit_that_kills_every_worker_is_reported_and_harms_no_other(
    shop: Shop, tmp_path: Path
) -> None:
    todo = units(tmp_path, "square", 4)
    todo[2] = make_unit("die_always", todo[2].given, identity=["bad"], label="bad")
    over = by_label(list(run_units(Processes(2), todo, shop)))
    bad = over.pop("bad")
    assert bad.made is None
    assert bad.failure is not None
    assert "killed twice" in bad.failure.message
    assert bad.attempts == 2
    assert all(one.made for one in over.values())


@pytest.mark.parametrize("engine", [InProcess(), Processes(2)])
def test_errors_are_collected_in_words(engine: Engine, shop: Shop, tmp_path: Path) -> None:
    todo = units(tmp_path, "square", 3)
    todo.append(make_unit("fail", {**todo[0].given, "n": 7}, identity=["f"], label="odd"))
    todo.append(make_unit("break_down", {**todo[0].given, "n": 8}, identity=["b"], label="broken"))
    todo.append(make_unit("no-such-work", {}, label="unknown"))
    over = by_label(list(run_units(engine, todo, shop)))
    odd, broken, unknown = (over[name].failure for name in ("odd", "broken", "unknown"))
    assert odd is not None
    assert broken is not None
    assert unknown is not None
    assert (odd.message, odd.hint, odd.code) == ("7 is odd", "give an even number", 2)
    assert broken.message == "ZeroDivisionError: division by zero"
    assert "break_down" in broken.trace
    assert "no work called 'no-such-work'" in unknown.message
    assert all(over[name].attempts == 1 for name in ("odd", "broken", "unknown")), "tried once"
    assert sum(one.made is not None for one in over.values()) == 3


def test_equal_units_are_done_once(shop: Shop, tmp_path: Path) -> None:
    todo = units(tmp_path, "square", 2)
    over = list(run_units(InProcess(), [*todo, *todo], shop))
    assert len(over) == 2
    assert begun(tmp_path / "log") == [0, 1]


@pytest.mark.parametrize("engine", [InProcess(), Processes(2)])
def test_input_files_are_proven(engine: Engine, shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"vectors")
    sha = hashlib.sha256(b"vectors").hexdigest()
    good = make_unit("copy", {"sha": sha}, label="good", files={sha: path})
    (one,) = run_units(engine, [good], shop)
    assert one.made == Made({"shared": True, "size": 7}, {sha: b"vectors"})
    path.write_bytes(b"others")
    (two,) = run_units(engine, [make_unit("copy", {"sha": sha}, label="changed", identity=1,
                                          files={sha: path})], shop)  # fmt: skip
    assert two.failure is not None
    assert "does not match" in two.failure.message
    path.unlink()
    (three,) = run_units(engine, [make_unit("copy", {"sha": sha}, label="gone", identity=2,
                                            files={sha: path})], shop)  # fmt: skip
    assert three.failure is not None
    assert "gone" in three.failure.message


def test_workers_say_what_they_do_and_share_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[Tick] = []
    monkeypatch.delenv("OMP_NUM_THREADS")
    shop = Shop(WORKS, tmp_path / "cache", None, ticks.append)
    over = list(run_units(Processes(2), units(tmp_path, "say", 4), shop))
    assert "OMP_NUM_THREADS" not in os.environ
    assert {one.made.record["threads"] for one in over if one.made} <= {"1", "2", "4", "8", "16"}
    assert (ticks[0].done, ticks[0].total) == (0, 4)
    assert (ticks[-1].done, ticks[-1].total) == (4, 4)
    assert any("unit" in tick.note and "at " in tick.note for tick in ticks)


def test_damaged_results_are_made_again(shop: Shop, tmp_path: Path) -> None:
    todo = units(tmp_path, "square", 3)
    list(run_units(InProcess(), todo, shop))
    assert shop.results is not None
    damages: list[Callable[[Path], Any]] = [
        lambda place: (place / "result.json").write_text("{"),
        lambda place: next(p for p in place.iterdir() if p.suffix == "").write_bytes(b"other"),
        lambda place: next(p for p in place.iterdir() if p.suffix == "").unlink(),
    ]
    for unit, damage in zip(todo, damages, strict=True):
        damage(shop.results.path(unit.key))
        assert shop.results.get(unit.key) is None
    list(run_units(InProcess(), todo, shop))
    assert sorted(begun(tmp_path / "log")) == [0, 0, 1, 1, 2, 2]
    shop.results.settle(todo[0].key, {"recorded": True})
    assert shop.results.get(todo[0].key) == Made({"recorded": True})
    assert [p.name for p in shop.results.path(todo[0].key).iterdir()] == ["result.json"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    shop = Shop(WORKS, tmp_path / "cache", Results(blocked / "results"), lambda _: None)
    with pytest.raises(ConfigError, match="cannot be kept"):
        list(run_units(InProcess(), units(tmp_path, "square", 1), shop))
    (one,) = run_units(Processes(1), units(tmp_path, "square", 1), shop)
    assert one.failure is not None
    assert "cannot be kept" in one.failure.message


SCRIPT = """
import sys
from pathlib import Path
from tests.fanout.test_processes import units
from tests.fanout.works import WORKS
from tireg.fanout import Processes, Results, Shop
from tireg.fanout.engines import run_units

folder = Path(sys.argv[1])
shop = Shop(WORKS, folder / "cache", Results(folder / "results"), lambda _: None)
if __name__ == "__main__":
    for over in run_units(Processes(2), units(folder, "square", 8, seconds=0.3), shop):
        print(over.unit.label, flush=True)
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_goes_on_and_leaves_no_process(tmp_path: Path, ending: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
        start_new_session=True,
    )  # fmt: skip
    assert first.stdout is not None
    with first.stdout, first.stderr or first.stdout:
        assert first.stdout.readline().startswith("unit")
        if ending == signal.SIGINT:
            os.killpg(first.pid, ending)  # as a terminal does: to the workers, too
        else:
            first.kill()
        assert first.wait(20) != 0
    pids = {int(line.split()[1]) for line in (tmp_path / "log").read_text().splitlines()}
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "no worker stays"
    before = Counter(begun(tmp_path / "log"))
    kept = {
        n
        for n in before
        if any((tmp_path / "results").glob(f"*/{units(tmp_path, 'square', 8)[n].key}/result.json"))
    }
    assert kept, "what was done is kept"
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()[1::2]) == [str(n) for n in range(8)]
    after = Counter(begun(tmp_path / "log"))
    assert all(after[n] == before[n] for n in kept), "what was kept is not done again"
    assert all(after[n] == before[n] + 1 for n in set(range(8)) - kept)
