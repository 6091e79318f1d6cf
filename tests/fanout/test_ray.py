"""Units on Ray: the same results as in this process, though a worker is killed on the way."""

from __future__ import annotations

import builtins
import hashlib
import socket
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import tireg
from tests.fanout.test_processes import by_label, units
from tests.fanout.works import WORKS, begun
from tireg.errors import ConfigError, MissingPackageError
from tireg.fanout import InProcess, Made, Results, Shop, make_unit
from tireg.fanout.engines import run_units
from tireg.fanout.ray_cluster import joined
from tireg.fanout.ray_engine import RayTasks, serve_one
from tireg.fanout.units import Trouble

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'tireg[ray]'"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of two processors on this machine, joined for all tests of this file."""
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
            logging_level="ERROR", object_store_memory=100 * 2**20,
        )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Results and cache of this test."""
    return Shop(WORKS, tmp_path / "cache", Results(tmp_path / "results"), lambda _: None)


@needs_ray
@pytest.mark.usefixtures("cluster")
def test_a_worker_of_ray_that_is_killed_costs_one_unit(shop: Shop, tmp_path: Path) -> None:
    todo = units(tmp_path, "die_once", 5)
    todo[1] = make_unit("die_once", {**todo[1].given, "dies": True}, identity=[1], label="unit 1")
    over = by_label(list(run_units(RayTasks("auto"), todo, shop)))
    assert {one.unit.label: one.attempts for one in over.values() if one.attempts > 1} == {
        "unit 1": 2
    }
    assert Counter(begun(tmp_path / "log")) == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1}
    alone = Shop(WORKS, tmp_path / "cache", None, lambda _: None)
    here = by_label(list(run_units(InProcess(), todo, alone)))
    assert {k: one.made for k, one in here.items()} == {k: one.made for k, one in over.items()}
    again = list(run_units(RayTasks("auto"), todo, shop))
    assert {one.attempts for one in again} == {0}, "all is kept"


@needs_ray
@pytest.mark.usefixtures("cluster")
def test_input_files_that_a_worker_does_not_see_are_sent(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"vectors" * 1000
    sha = hashlib.sha256(data).hexdigest()
    (tmp_path / "input").write_bytes(data)
    # Seen from here alone: the workers were started in another folder.
    monkeypatch.chdir(tmp_path)
    unit = make_unit("copy", {"sha": sha}, label="copy", files={sha: Path("input")})
    (over,) = run_units(RayTasks("auto"), [unit], shop)
    assert over.made == Made({"shared": True, "size": len(data)}, {sha: data})
    assert over.attempts == 1, "sending the files along is no second attempt"
    gone = make_unit("copy", {"sha": sha}, label="gone", identity=1, files={sha: Path("none")})
    (over,) = run_units(RayTasks("auto"), [gone], shop)
    assert over.failure is not None
    assert "gone" in over.failure.message


def test_a_machine_that_does_not_see_our_folders_sends_its_files(
    shop: Shop, tmp_path: Path
) -> None:
    assert shop.results is not None
    data = b"vectors"
    sha = hashlib.sha256(data).hexdigest()
    unit = make_unit("copy", {"sha": sha}, label="copy", files={sha: tmp_path / "nowhere"})
    told = {
        "key": unit.key, "work": unit.work, "given": unit.given, "works": WORKS,
        "files": {sha: str(tmp_path / "nowhere")}, "version": tireg.__version__,
        "cache": str(shop.cache), "results": str(shop.results.folder), "nonce": "a",
    }  # fmt: skip
    marker = tmp_path / "marker"
    marker.write_text("b")  # a file of that name, of another machine
    told["marker"] = str(marker)
    assert serve_one(told, {}).word == "missing"
    answer = serve_one(told, {sha: data})
    assert answer.word == "over"
    assert answer.content == Made({"shared": False, "size": 7}, {sha: data})
    assert shop.results.get(unit.key) is None
    marker.write_text("a")
    assert serve_one(told, {sha: data}).word == "kept"
    kept = shop.results.get(unit.key)
    assert kept == Made({"shared": True, "size": 7}, {sha: data})
    other = serve_one(told | {"version": "0.0"}, {sha: data}).content
    assert isinstance(other, Trouble)
    assert "tireg 0.0" not in other.hint
    assert "this machine 0.0" in other.message


@needs_ray
@pytest.mark.usefixtures("cluster")
def test_errors_on_ray_are_collected_in_words(shop: Shop, tmp_path: Path) -> None:
    todo = units(tmp_path, "square", 2)
    todo.append(make_unit("fail", {**todo[0].given, "n": 7}, identity=["f"], label="odd"))
    over = by_label(list(run_units(RayTasks("auto"), todo, shop)))
    odd = over["odd"].failure
    assert odd is not None
    assert (odd.message, odd.code) == ("7 is odd", 2)
    assert sum(one.made is not None for one in over.values()) == 2


def _deaf() -> tuple[socket.socket, int]:
    server = socket.create_server(("127.0.0.1", 0))
    return server, server.getsockname()[1]


def test_what_is_no_cluster_is_told_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'tireg[ray]'")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("tireg.fanout.ray_cluster.ANSWER_SECONDS", 4.0)
    server, port = _deaf()
    server.close()
    began = time.monotonic()
    for address, words in (
        (f"127.0.0.1:{port}", "nothing answers"),
        (f"ray://127.0.0.1:{port}", "nothing answers"),
        ("nonsense", "no address of a Ray cluster"),
        ("host:99999", "no address of a Ray cluster"),
    ):
        with pytest.raises(ConfigError, match=words) as caught, joined(address):
            pass
        assert caught.value.hint
    server, port = _deaf()
    with (
        server,
        pytest.raises(ConfigError, match="is no Ray cluster"),
        joined(f"127.0.0.1:{port}"),
    ):
        pass
    # A cluster that this machine remembers and that is gone.
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(ConfigError, match="no Ray cluster runs"), joined("auto"):
        pass
    assert time.monotonic() - began < 30


def test_without_ray_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "ray":
            raise ModuleNotFoundError("No module named 'ray'", name="ray")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match="not installed") as caught, joined("auto"):
        pass
    assert caught.value.hint == "pip install 'tireg[ray]'"
