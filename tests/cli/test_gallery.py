"""``tireg gallery`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunCli, RunProcess
from tests.store import make
from tireg.store.registry import Registry


@pytest.fixture
def two(home: Path) -> None:
    with Registry.open(home) as registry:
        registry.add(*make.record("my-cat", tags=("pet",)))
        registry.add(*make.record("my-dog", "two", kind="subject"))


@pytest.mark.usefixtures("two")
def test_gallery(run_cli: RunCli, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    result = run_cli("gallery", folder, "--title", "Pets", code=0)
    assert result.stdout == f"{folder / 'index.html'}: 2 words, 0 pictures\n"
    assert "next: tireg gallery" in result.stderr
    assert "<title>Pets</title>" in (folder / "index.html").read_text(encoding="utf-8")
    data = json.loads(run_cli("gallery", folder, "my-cat", "--json", code=0).stdout)
    assert data["index"] == str(folder / "index.html")
    assert (data["words"], data["pictures"]) == (1, 0)
    assert data["removed"] >= 1
    data = json.loads(run_cli("gallery", folder, "--kind", "subject", "--json", code=0).stdout)
    assert data["words"] == 1
    data = json.loads(run_cli("gallery", folder, "--tag", "pet", "--json", code=0).stdout)
    assert data["words"] == 1
    data = json.loads(run_cli("gallery", folder, "--search", "dog", "--json", code=0).stdout)
    assert data["words"] == 1


@pytest.mark.usefixtures("two")
def test_what_does_not_go(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("gallery", tmp_path / "s", "my-cat", "--kind", "style", code=2)
    assert "give REFS or filters, not both" in result.stderr
    result = run_cli("gallery", tmp_path / "s", "my-cow", code=2)
    assert "no embedding is called 'my-cow'" in result.stderr
    assert not (tmp_path / "s").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    result = run_cli("gallery", tmp_path / "full", code=2)
    assert "not a gallery of tireg, such as 'mine'" in result.stderr


@pytest.mark.usefixtures("two")
def test_open(run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    run_cli("gallery", tmp_path / "s", "--open", code=0)
    assert opened == [(tmp_path / "s" / "index.html").as_uri()]


def test_an_empty_registry_in_a_process_of_its_own(run_process: RunProcess, tmp_path: Path) -> None:
    run_process("gallery", tmp_path / "s", code=0)
    assert "There is no word here yet." in (tmp_path / "s" / "index.html").read_text()
