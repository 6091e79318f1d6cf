"""Search by a picture, by a text and by vectors, on the words that come with tireg."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, RunCli
from tests.store import make
from tireg.domain.model import read_document
from tireg.domain.records import Record
from tireg.store.registry import Registry

SHIPPED = ROOT / "registry" / "embeddings"


@pytest.fixture
def shelf(home: Path) -> list[str]:
    """A registry that holds the words in ``registry/embeddings``; their names."""
    names = []
    with Registry.open(home) as registry:
        for folder in sorted(SHIPPED.iterdir()):
            record = read_document(Record, (folder / "record.json").read_bytes(), name=folder.name)
            named = {file.sha256 for file in record.files}
            objects = {
                hashlib.sha256(data).hexdigest(): data
                for data in (path.read_bytes() for path in folder.iterdir() if path.is_file())
            }
            kept = {sha: data for sha, data in objects.items() if sha in named}
            names.append(registry.add(record, kept).version.name)
    return names


def test_a_picture_finds_the_word_it_shows(run_cli: RunCli, shelf: list[str]) -> None:
    for name in shelf:
        preview = SHIPPED / name / "preview-1.png"
        done = run_cli("search", "--like", preview, "--json", code=0)
        rows = json.loads(done.stdout)["rows"]
        assert rows[0]["name"] == name
        assert rows[0]["likeness"] == pytest.approx(1, abs=1e-3)
        assert rows[0]["preview"] == hashlib.sha256(preview.read_bytes()).hexdigest()
        assert len(rows) == len(shelf)
    preview = SHIPPED / shelf[0] / "preview-1.png"
    only = run_cli("search", "--like", preview, "--kind", "style", "--json", code=0)
    assert {row["kind"] for row in json.loads(only.stdout)["rows"]} == {"style"}


def test_a_text_finds_what_looks_so(run_cli: RunCli, shelf: list[str]) -> None:
    def best(text: str) -> str:
        found = json.loads(run_cli("search", "--looks-like", text, "--json", code=0).stdout)
        name: str = found["rows"][0]["name"]
        return name

    assert best("a teal circle") == "teal-circle-4"
    assert best("a lime star").startswith("lime-star")
    table = run_cli("search", "--looks-like", "a teal circle", code=0)
    assert "likeness" in table.stdout
    assert "next: tireg show teal-circle-4" in table.stderr


def test_previews_are_looked_at_once(run_cli: RunCli, shelf: list[str], home: Path) -> None:
    run_cli("search", "--looks-like", "a teal circle", code=0)
    (matrix,) = (home / "features").iterdir()
    before = matrix.stat()
    run_cli("search", "--looks-like", "a lime star", code=0)
    after = matrix.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    rows = np.load(matrix)
    with Registry.open(home) as registry:
        files = [f for n in shelf for f in registry.resolve(n).record.files]
    assert {bytes(key).hex() for key in rows["key"]} == {
        f.sha256 for f in files if f.role == "preview"
    }


def test_vectors_find_their_neighbours_without_torch(
    run_cli: RunCli, shelf: list[str], home: Path
) -> None:
    code = (
        "import sys; from tireg.cli.main import main\n"
        "try: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "search", "--near", "lime-star", "--json"],
        capture_output=True, text=True, cwd=ROOT, check=True,
        env={"TIREG_HOME": str(home), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "False"
    rows = json.loads(done.stdout)["rows"]
    assert {row["name"] for row in rows} == {*shelf} - {"lime-star"}
    assert rows[0]["name"] == "lime-star-overfitted"
    assert all(-1 <= row["likeness"] <= 1 for row in rows)


def test_a_damaged_preview_is_left_out(run_cli: RunCli, shelf: list[str], home: Path) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record("no-picture", "x"))
    done = run_cli(
        "search", "--looks-like", "a teal circle", "--encoder", _scorer(), "--json", code=0
    )
    names = [row["name"] for row in json.loads(done.stdout)["rows"]]
    assert set(names) == {*shelf}
    assert "1 previews cannot be read" in done.stderr


def _scorer() -> Path:
    from tireg.shapes import scorer_path

    return scorer_path()


def test_what_does_not_go_together(
    run_cli: RunCli, shelf: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "p.png"
    Image.new("RGB", (32, 32), "red").save(picture)
    for words in (
        ("--like", picture, "--near", "lime-star"),
        ("fox", "--looks-like", "a fox"),
        ("--near", "lime-star", "--sort", "name"),
        ("--near", "lime-star", "--encoder", "x"),
        ("--looks-like", " "),
        ("--hub", "--looks-like", "a fox"),
        ("--kind", "colour"),
        ("--min", "concept_fidelity"),
        ("fox", "--encoder", "x"),
        ("--near", "nobody"),
        ("--like", tmp_path / "nothing.png"),
    ):
        assert "next: " in run_cli("search", *words, code=2).stderr, words
    (tmp_path / "q.png").write_bytes(b"no picture")
    assert "not a picture" in run_cli("search", "--like", tmp_path / "q.png", code=2).stderr
    monkeypatch.setenv("TIREG_HOME", str(tmp_path / "empty"))
    assert "preview" in run_cli("search", "--looks-like", "a fox", code=2).stderr
    assert not (tmp_path / "empty").exists()


def test_a_least_score(run_cli: RunCli, home: Path) -> None:
    with Registry.open(home) as registry:
        for name, value in (("good", 0.9), ("bad", 0.1)):
            record, objects = make.record(name, name)
            registry.add(record, objects)
            registry.add_run(*make.run(record, values={"fidelity": value}))

    def names(*options: str) -> list[str]:
        found = json.loads(run_cli("search", *options, "--json", code=0).stdout)
        return [row["name"] for row in found["rows"]]

    assert names("--min", "fidelity=0.5") == ["good"]
    assert names("--min", "fidelity=0.05", "--sort", "fidelity") == ["good", "bad"]
    assert names("--min", "fidelity=0.95") == []
