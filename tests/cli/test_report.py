"""``tireg report`` as it is typed."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tests.report.reading import read_safely
from tests.workflows.reported import report_on


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one(home: Path, run_cli: RunCli) -> None:
    report_on(home)
    result = run_cli("report", "my-cat", code=0)
    assert result.stdout.splitlines() == [
        "It looks like its pictures and lets prompts count.",
        "report: my-cat-1-report.html",
    ]
    read_safely(Path("my-cat-1-report.html").read_text(encoding="utf-8"))


def test_json(home: Path, run_cli: RunCli) -> None:
    told = report_on(home)
    result = run_cli("report", "my-cat", "--out", "x.html", "--json", code=0)
    data = json.loads(result.stdout)
    assert data["path"] == "x.html"
    assert data["bytes"] == Path("x.html").stat().st_size < 5_000_000
    assert data["pictures_left_out"] == data["pictures_gone"] == 0
    (word,) = data["words"]
    assert (word["embedding"], word["status"]) == ("my-cat@1", "good")
    assert word["run_id"] == told.run.run_id
    assert word["findings"][0]["metric"] == "concept_fidelity"


def test_several(home: Path, run_cli: RunCli) -> None:
    report_on(home, "one")
    report_on(home, "two")
    result = run_cli("report", "one", "two", code=0)
    assert "report: one-1-two-1-report.html" in result.stdout
    assert "one@1 against two@1" in Path("one-1-two-1-report.html").read_text(encoding="utf-8")


def test_open(home: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    report_on(home)
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", browse)
    run_cli("report", "my-cat", "--open", code=0)
    assert opened == [Path("my-cat-1-report.html").resolve().as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    result = run_cli("report", "my-cat", "--open", code=0)
    assert "no browser was found to open my-cat-1-report.html" in result.stderr


@pytest.mark.parametrize(
    ("args", "named", "hint"),
    [
        (("my-cta",), "my-cta", "did you mean my-cat?"),
        (("my-cat", "--out", "."), "is a folder", "--out my-cat-1-report.html"),
        (("my-cat", "--out", "a.png"), "'a.png'", "--out a.png.html"),
        (("my-cat", "--out", "no/a.html"), "no folder 'no'", "mkdir -p no"),
        (("my-cat", "--suite", "magic"), "no suite 'magic'", "tireg suites list"),
        (("my-cat", "--base", "x"), "was not scored there", "tireg eval my-cat@1 --base x"),
        ((), "missing argument", "tireg report --help"),
    ],
)
def test_wrong_use(
    home: Path, run_cli: RunCli, args: tuple[str, ...], named: str, hint: str
) -> None:
    report_on(home)
    result = run_cli("report", *args, code=2)
    assert result.stdout == ""
    error, following = result.stderr.splitlines()[-2:]
    assert named in error
    assert hint in following
