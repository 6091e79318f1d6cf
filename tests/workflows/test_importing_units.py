"""``tireg import`` in workers: the same registry for any number of them, nothing read twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from tests.conftest import RunCli
from tests.workflows.test_importing import embedding
from tireg.fanout import Desk, Engine, InProcess, Made, Processes, Settled, Shop, Unit
from tireg.store.registry import Registry
from tireg.workflows import fanning, importing_units
from tireg.workflows.importing import import_files
from tireg.workflows.importing_units import read_files
from tireg.workflows.progress import Event, Notice


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of many kinds: notes, previews, pairs, copies, equal names, links, broken ones."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr(importing_units, "UNIT_GROUPS", 5)
    folder = tmp_path / "files"
    for n in range(12):
        embedding(folder / f"word-{n:02}.safetensors", n)
    for n in range(4):
        embedding(folder / f"sub-{n}" / "same.safetensors", 100 + n)
    shutil.copy(folder / "word-03.safetensors", folder / "copy.safetensors")
    (folder / "broken.pt").write_bytes(b"no tensors at all")
    (folder / "link.safetensors").symlink_to(folder / "word-01.safetensors")
    (folder / "word-02.civitai.info").write_text(json.dumps({"description": "told beside it"}))
    Image.new("RGB", (8, 8), "red").save(folder / "word-02.preview.png")
    rows = np.random.default_rng(7).standard_normal((2, 1280)).astype(np.float32)
    embedding(folder / "two.safetensors", 200)
    save_file({"emb_params": rows}, folder / "two_2.safetensors")
    learned = folder / "learned_embeds.safetensors"
    save_file({"<cat>": rows[:1, :768]}, learned)
    (folder / "token_identifier.txt").write_text("<kitten>")
    return folder


class Counting:
    """An engine that counts what it is given, and is interrupted after ``stop`` units."""

    def __init__(self, engine: Engine, stop: int = -1) -> None:
        self.engine, self.stop, self.workers = engine, stop, engine.workers
        self.given: list[Unit] = []

    def run(self, units: Sequence[Unit], shop: Shop) -> Iterator[Settled]:
        self.given += units
        for over in self.engine.run(units, shop):
            yield over
            self.stop -= 1
            if self.stop == 0:
                raise KeyboardInterrupt

    def close(self) -> None:
        self.engine.close()


def content(home: Path) -> tuple[dict[str, bytes], list[tuple[str, int, str]]]:
    """All records and objects, and what they are called."""
    found = {
        str(path.relative_to(home)): path.read_bytes()
        for part in ("records", "objects")
        for path in (home / part).rglob("*")
        if path.is_file()
    }
    with Registry.open(home) as registry:
        assert registry.verify().problems == []
        names = [(row.name, row.version, row.token) for row in registry.list()]
    return found, names


@pytest.fixture(params=["this process", "processes", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every kind of worker."""
    if request.param == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'tireg[ray]'")
        from tireg.fanout.ray_engine import RayTasks

        return RayTasks("local")
    return Processes(2) if request.param == "processes" else InProcess()


def test_the_registry_is_the_same_for_any_kind_of_worker(
    files: Path, tmp_path: Path, engine: Engine
) -> None:
    plain = import_files(tmp_path / "plain", [files], recursive=True)
    assert {line["result"] for line in plain} == {"taken", "duplicate", "refused"}
    counting = Counting(engine)
    home = tmp_path / "home"
    lines = import_files(home, [files], recursive=True, engine=counting)
    assert lines == plain
    assert content(home) == content(tmp_path / "plain")
    assert len(counting.given) > 3
    again = Counting(InProcess())
    second = import_files(home, [files], recursive=True, engine=again)
    assert again.given == [], "nothing is read twice"
    assert second == import_files(tmp_path / "plain", [files], recursive=True)
    kept = [p for p in (home / "cache" / "results").rglob("*") if p.is_file()]
    assert {p.name for p in kept} == {"result.json"}, "files lie in the registry alone"


def test_an_interrupted_import_goes_on(files: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    heard: list[str] = []

    def listen(event: Event | Notice) -> None:
        if isinstance(event, Notice):
            heard.append(event.text)

    first = Counting(InProcess(), stop=2)
    with pytest.raises(KeyboardInterrupt):
        import_files(home, [files], recursive=True, engine=first, listen=listen)
    assert heard == [
        f"reading: 2 of {len(first.given)} are done and kept; the same command goes on"
    ]
    second = Counting(InProcess())
    lines = import_files(home, [files], recursive=True, engine=second)
    assert len(second.given) == len(first.given) - 2
    assert lines == import_files(tmp_path / "plain", [files], recursive=True)


def test_what_was_thrown_out_or_changed_is_read_again(files: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    import_files(home, [files], recursive=True, engine=InProcess())
    with Registry.open(home) as registry:
        registry.remove("word-07")
    embedding(files / "word-11.safetensors", 500)
    again = Counting(InProcess())
    lines = import_files(home, [files], recursive=True, engine=again)
    assert len(again.given) == 2
    taken = [Path(line["path"]).name for line in lines if line["result"] == "taken"]
    assert taken == ["word-07.safetensors", "word-11.safetensors"]


def die_over_one(given: Mapping[str, Any], desk: Desk) -> Made:
    """As read_files, but one file kills every worker."""
    if any("word-04" in path for group in given["groups"] for path in group["files"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return read_files(given, desk)


def see_nothing(given: Mapping[str, Any], desk: Desk) -> Made:
    """As read_files, on a machine that has other files."""
    changed = [{**group, "seen": []} for group in given["groups"]]
    return read_files({**given, "groups": changed}, desk)


def test_a_file_that_kills_workers_harms_no_other(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = import_files(tmp_path / "plain", [files], recursive=True)
    monkeypatch.setitem(fanning.WORKS, "read files", f"{__name__}:die_over_one")
    lines = import_files(tmp_path / "home", [files], recursive=True, engine=Processes(2))
    assert [line["path"] for line in lines] == [line["path"] for line in plain]
    (bad,) = [a for a, b in zip(lines, plain, strict=True) if a != b]
    assert Path(bad["path"]).name == "word-04.safetensors"
    assert bad["result"] == "refused"
    assert "killed twice" in bad["reason"]
    monkeypatch.setitem(fanning.WORKS, "read files", f"{__name__}:see_nothing")
    lines = import_files(tmp_path / "other", [files], recursive=True, engine=InProcess())
    assert lines == plain, "what a worker does not see is read here"


def test_the_command(run_cli: RunCli, files: Path, home: Path, tmp_path: Path) -> None:
    for more, words in (
        (("--jobs", "0"), "0 is not in the range"),
        (("--jobs", "2", "--ray", "auto"), "give one of them"),
        (("--jobs", "2", "--name", "x"), "--name is for one embedding"),
    ):
        result = run_cli("import", files, *more, code=2)
        assert words in result.stderr
        assert "Traceback" not in result.output
    result = run_cli("import", tmp_path / "nowhere.pt", "--jobs", "2", code=2)
    assert "nowhere.pt" in result.output
    lines = json.loads(run_cli("import", files, "--jobs", "2", "--json", code=0).stdout)
    names = [line["name"] for line in lines if line["result"] == "taken"]
    assert names[:2] == ["copy", "kitten"]
    assert names[-1] == "word-11"
    assert "0 taken, " in run_cli("import", files, "--jobs", "2", code=0).stdout
