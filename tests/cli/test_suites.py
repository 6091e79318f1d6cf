"""``tireg suites list|show|check`` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tireg.domain.suites import load_suite, suite_names, suite_path


def test_list(run_cli: RunCli) -> None:
    rows = json.loads(run_cli("suites", "list", "--json", code=0).stdout)
    assert [row["name"] for row in rows] == list(suite_names())
    assert json.loads(run_cli("suites", "--json", code=0).stdout) == rows
    text = run_cli("suites", code=0).stdout
    assert text == run_cli("suites", "list", code=0).stdout
    assert all(name in text for name in suite_names())


def test_show(run_cli: RunCli) -> None:
    text = run_cli("suites", "show", "shapes-quick", code=0).stdout
    suite = load_suite("shapes-quick")
    assert suite.sha256 in text
    assert "0, 1, 2, 3" in next(line for line in text.splitlines() if line.startswith("seeds "))
    assert "steps 20" in text
    for prompt in suite.prompts:
        assert prompt.text in text
    assert "bait (1)" in text
    shown = json.loads(run_cli("suites", "show", str(suite_path("style")), "--json").stdout)
    assert shown["sha256"] == load_suite("style").sha256


def test_check_says_everything_and_exits_2(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(suite_path("shapes-quick").read_text().replace("{concept} on", "dog on"))
    result = run_cli("suites", "check", path, code=2)
    lines = [line for line in result.stdout.splitlines() if line.startswith("error")]
    assert len(lines) > 5
    assert "prompt 'background-red'" in result.stdout
    assert "prompt 'kind-painting'" not in result.stdout
    data = json.loads(run_cli("suites", "check", path, "--json", code=2).stdout)
    assert not data["ok"]
    assert data["suite"] is None
    assert len([p for p in data["problems"] if p["level"] == "error"]) == len(lines) - 1


def test_check_of_a_right_file(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(suite_path("shapes").read_text())
    result = run_cli("suites", "check", path, code=0)
    assert load_suite("shapes").sha256 in result.stdout
    assert f"next: tireg eval REF --suite {path}" in result.stderr
    assert "nothing is wrong" in result.stderr


@pytest.mark.parametrize(
    ("args", "sentence", "hint"),
    [
        (("show", "nope"), "there is no suite 'nope'; there are dreambench-object", "suites list"),
        (("check", "./nope.yaml"), "there is no suite file nope.yaml", "tireg suites list"),
        (("--json", "list"), "put --json behind the subcommand", "tireg suites --help"),
    ],
)
def test_wrong_use(run_cli: RunCli, args: tuple[str, ...], sentence: str, hint: str) -> None:
    result = run_cli("suites", *args, code=2)
    error, following = result.stderr.splitlines()
    assert error.startswith(f"error: {sentence}")
    assert hint in following


def test_a_broken_suite_points_at_the_check(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(suite_path("shapes").read_text().replace("role: style", "role: stile", 1))
    result = run_cli("suites", "show", path, code=2)
    assert f"next: tireg suites check {path}" in result.stderr
    assert "'role' is 'stile'" in run_cli("suites", "check", path, code=2).stdout
