"""Many evaluations: the same numbers for any number of workers, each done once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunCli
from tests.tinypipes import build_sd1
from tests.workflows.evaluating import SUITE, add_word
from tireg.domain.scores import Run
from tireg.fanout import Desk, Engine, InProcess, Made, Processes, Settled, Shop, Unit
from tireg.fanout.units import find_work
from tireg.shapes import scorer_path
from tireg.store.registry import Registry
from tireg.workflows import fanning
from tireg.workflows.evaluate import EvalRequest, evaluate
from tireg.workflows.fanning import Fan
from tireg.workflows.many import ManyRequest, Scored, evaluate_many
from tireg.workflows.many_units import evaluate_cell
from tireg.workflows.progress import Notice

WORDS = ("ball", "cup", "hat")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("two-bases")
    return build_sd1(folder / "one"), build_sd1(folder / "two", seed=7)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return path


def filled(home: Path, base: Path) -> Path:
    for seed, name in enumerate(WORDS):
        add_word(home, base, name, seed=seed)
    return home


def request(suite: Path, bases: Sequence[Path] = (), refs: Sequence[str] = WORDS) -> ManyRequest:
    each = EvalRequest(
        ref="", suite=str(suite), encoders=[str(scorer_path())], steps=2, size=64, batch=4
    )
    return ManyRequest(refs, [str(base) for base in bases], each)


def numbers(run: Run) -> tuple[Any, ...]:
    """All of a run but when it was made and how long it took."""
    return run.run_id, run.spec, run.scores, run.files, run.transfer, run.verdict


Plain = dict[tuple[str, str], tuple[Any, ...]]


def test_every_work_can_be_found() -> None:
    for name in fanning.WORKS:
        assert callable(find_work(fanning.WORKS, name))


@pytest.fixture(scope="module")
def plain(bases: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """Every word on both bases, one ``tireg eval`` after the other, without any workers."""
    folder = tmp_path_factory.mktemp("plain")
    suite = folder / "small.yaml"
    suite.write_text(SUITE)
    home = filled(folder / "home", bases[0])
    found: Plain = {}
    for word in WORDS:
        for base in (None, str(bases[1])):
            each = replace(request(suite).each, ref=word, base=base)
            run = evaluate(each, home=home).run
            found[word, run.spec.base] = numbers(run)
    return found


class Counting:
    """An engine that counts what it is given, and is interrupted after ``stop`` pairs."""

    def __init__(self, engine: Engine, *, stop: int | None = None) -> None:
        self.engine, self.stop = engine, stop
        self.given: list[Unit] = []

    @property
    def workers(self) -> int:
        return self.engine.workers

    def run(self, units: Sequence[Unit], shop: Shop) -> Iterator[Settled]:
        self.given += units
        for over in self.engine.run(units, shop):
            yield over
            if self.stop is not None:
                self.stop -= 1
                if self.stop == 0:
                    raise KeyboardInterrupt

    def close(self) -> None:
        self.engine.close()

    def pairs(self) -> int:
        return sum(unit.work == "evaluate" for unit in self.given)


def found_in(scored: Sequence[Scored]) -> Plain:
    """What was scored; in the order of words, then bases."""
    assert [(s.cell.version.name, s.cell.base) for s in scored] == [
        (word, base) for word in WORDS for base in ("one", "two")
    ]
    return {(s.cell.version.name, s.cell.base): numbers(s.done.run) for s in scored if s.done}


def test_an_interrupted_run_goes_on_and_equals_single_runs(
    tmp_path: Path, bases: tuple[Path, Path], suite: Path, plain: Plain
) -> None:
    home = filled(tmp_path / "home", bases[0])
    heard: list[str] = []
    first = Counting(InProcess(), stop=2)
    with pytest.raises(KeyboardInterrupt):
        evaluate_many(
            request(suite, bases), home=home, engine=first,
            listen=lambda e: heard.append(e.text) if isinstance(e, Notice) else None,
        )  # fmt: skip
    assert heard == ["evaluating: 2 of 3 are done and kept; the same command goes on"]
    second = Counting(InProcess())
    scored = evaluate_many(request(suite, bases), home=home, engine=second)
    assert found_in(scored) == plain
    assert second.pairs() == 4, "only what was missing"
    third = Counting(InProcess())
    again = evaluate_many(request(suite, bases), home=home, engine=third)
    assert third.given == [], "nothing is done twice"
    assert [s.as_json() for s in again] == [s.as_json() for s in scored]
    assert [s.attempts for s in again] == [0] * 6


def die_once(given: Mapping[str, Any], desk: Desk) -> Made:
    """As evaluate_cell, but the first worker that has done a unit is killed before it says so."""
    made = evaluate_cell(given, desk)
    assert desk.cache is not None
    try:
        (desk.cache.parent / "died").touch(exist_ok=False)
    except FileExistsError:
        return made
    os.kill(os.getpid(), signal.SIGKILL)
    return made


@pytest.fixture(params=["processes", "ray"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Two workers: processes of this machine, or on a Ray cluster."""
    if request.param == "processes":
        yield Processes(2)
        return
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'tireg[ray]'")
    from tireg.fanout.ray_engine import RayTasks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
            logging_level="ERROR", object_store_memory=100 * 2**20,
        )  # fmt: skip
    yield RayTasks("auto")
    ray.shutdown()


def test_a_killed_worker_costs_one_pair_and_changes_no_result(
    tmp_path: Path,
    bases: tuple[Path, Path],
    suite: Path,
    plain: Plain,
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
) -> None:
    monkeypatch.setitem(fanning.WORKS, "evaluate", f"{__name__}:die_once")
    home = filled(tmp_path / "home", bases[0])
    wide = Counting(engine)
    asked = replace(request(suite, bases), fan=Fan(jobs=2))
    scored = evaluate_many(asked, home=home, engine=wide)
    assert (home / "died").exists()
    assert sorted(s.attempts for s in scored) == [1, 1, 1, 1, 1, 2]
    assert found_in(scored) == plain
    drawn = [unit.label for unit in wide.given if unit.work == "draw baselines"]
    expected = ["cat on one", "cat on two", "nothing on one", "nothing on two"]
    assert sorted(drawn) == expected, "what pairs share is drawn once, before them"
    with Registry.open(home) as registry:
        assert registry.verify().problems == []
        assert len(registry.runs(scored[0].cell.version.record_sha)) == 2
    again = Counting(InProcess())
    third = evaluate_many(request(suite, bases), home=home, engine=again)
    assert again.given == [], "nothing is done twice"
    assert [s.as_json() for s in third] == [s.as_json() for s in scored]
    kept = [p for p in (home / "cache" / "results").rglob("*") if p.is_file()]
    assert {p.name for p in kept} == {"result.json"}, "files lie in the registry alone"


def test_what_fails_is_a_line_and_the_same_command_goes_on(
    run_cli: RunCli, home: Path, bases: tuple[Path, Path], suite: Path, tmp_path: Path
) -> None:
    filled(home, bases[0])
    gone = Path(shutil.copytree(bases[0], tmp_path / "gone"))
    add_word(home, gone, "lost", seed=9)
    shutil.move(gone, tmp_path / "elsewhere")
    common = ["--suite", suite, "--encoder", scorer_path(), "--steps", "2", "--size", "64"]
    common += ["--batch", "4", "--jobs", "2"]
    result = run_cli("eval", "ball", "lost", *common, "--json", code=1)
    ball, lost = json.loads(result.stdout)
    assert {s["metric"] for s in ball["scores"]} >= {"prompt_fidelity"}
    assert lost["embedding"]["name"] == "lost"
    assert "gone" in lost["error"]
    assert "lost@1 on gone: " in result.stderr
    shutil.move(tmp_path / "elsewhere", gone)
    common[-1] = "1"
    result = run_cli("eval", "ball", "lost", *common, code=0)
    rows = result.stdout.splitlines()
    assert rows[0].split()[:2] == ["embedding", "base"]
    assert rows[1].split()[:2] == ["ball@1", "one"]
    assert rows[2].split()[:2] == ["lost@1", "gone"]
    shown = json.loads(run_cli("show", "lost", "--json").stdout)
    assert len(shown["runs"]) == 1
    shown = json.loads(run_cli("show", "ball", "--json").stdout)
    assert len(shown["runs"]) == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--bases", "one", "--base", "two"], "--base and --bases say the same"),
        (["--jobs", "2", "--base", "nowhere"], "there is no base 'nowhere'"),
        (["--bases", "--jobs", "2"], "'--bases' requires an argument"),
        (["--jobs", "2", "--bases"], "'--bases' requires an argument"),
        (["ball", "--rescore"], "--rescore is for one embedding"),
        (["cup", "--compat", "ti-paper"], "--compat is for one embedding"),
        (["--bases", "nowhere"], "nowhere"),
        (["nobody"], "nobody"),
        (["--jobs", "2", "--ray", "auto"], "give one of them"),
        (["--jobs", "0"], "0"),
        (["cup", "--suite", "none"], "none"),
        (["cup", "--reference", "ball"], "compared with itself"),
        (["--ray", "nonsense"], "no address of a Ray cluster"),
    ],
)
def test_wrong_use(
    run_cli: RunCli, home: Path, bases: tuple[Path, Path], more: list[str], words: str
) -> None:
    if "nonsense" in more:
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'tireg[ray]'")
    filled(home, bases[0])
    result = run_cli("eval", "ball", *more, code=2)
    assert words in result.stderr
    assert "Traceback" not in result.output
