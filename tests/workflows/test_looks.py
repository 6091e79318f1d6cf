"""Looking and tidying: list, show, rm, bases, export, demo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunCli


@pytest.fixture
def ball(run_cli: RunCli, tiny_sd1: Path, pictures: Path) -> str:
    for _ in range(2):
        run_cli(
            "train", pictures, "--base", tiny_sd1, "--name", "ball", "--token", "<ball>",
            "--init", "cat", "--kind", "object", "--steps", "2", "--batch", "2",
            "--resolution", "64", "--keep-anyway", code=0,
        )  # fmt: skip
    return "ball"


def test_an_empty_registry_is_no_error_and_is_not_made(run_cli: RunCli, home: Path) -> None:
    assert json.loads(run_cli("list", "--json", code=0).stdout) == []
    assert "empty" in run_cli("list", code=0).stderr
    assert not home.exists()


def test_show_speaks_of_every_version(run_cli: RunCli, ball: str) -> None:
    text = run_cli("show", f"{ball}@1", code=0).stdout
    for part in (
        "ball@1",
        "<ball>",
        "object",
        "clip_l 2 x 32 fp32",
        "sd1",
        "picture0.png",
        "steps 2",
    ):
        assert part in text
    newest = json.loads(run_cli("show", ball, "--json", code=0).stdout)
    assert newest["version"] == 2
    needed = {
        "name", "version", "token", "kind", "tensor_hash", "base", "recipe", "scores", "files",
    }  # fmt: skip
    assert needed <= set(newest)
    by_hash = json.loads(run_cli("show", newest["record_sha256"][:12], "--json", code=0).stdout)
    assert by_hash == newest
    assert "ball" in run_cli("show", "bal", code=2).stderr
    assert (
        "@3" in run_cli("show", "ball@3", code=2).stderr
        or "version" in run_cli("show", "ball@3", code=2).stderr
    )


def test_rm_takes_one_version_or_all(run_cli: RunCli, ball: str) -> None:
    run_cli("rm", "ball@2", code=0)
    assert json.loads(run_cli("show", "ball", "--json", code=0).stdout)["version"] == 1
    assert "ghost" in run_cli("rm", "ball", "ghost", code=2).stderr
    assert len(json.loads(run_cli("list", "--json").stdout)) == 1, "nothing goes if one is unknown"
    run_cli("rm", "ball", code=0)
    assert json.loads(run_cli("list", "--json").stdout) == []
    assert "trash" in run_cli("show", "ball", code=2).stderr


def test_bases_lists_the_built_in_and_those_used(
    run_cli: RunCli, ball: str, tiny_sd1: Path
) -> None:
    data = json.loads(run_cli("bases", "--json", code=0).stdout)
    known = {row["id"]: row for row in data["bases"]}
    assert known["shapes"]["where"] == "built in"
    assert known[tiny_sd1.name]["where"] == str(tiny_sd1)
    assert {"sd1", "sd2", "sdxl", "shapes"} <= {row["id"] for row in data["families"]}


def test_export_refuses_what_it_cannot_do(run_cli: RunCli, ball: str, tmp_path: Path) -> None:
    assert "nonsense" in run_cli("export", ball, "--to", "nonsense", code=2).stderr
    blocked = tmp_path / "file"
    blocked.write_text("x")
    result = run_cli("export", ball, "--out", blocked / "deep" / "x.safetensors", code=2)
    assert "Traceback" not in result.output
    assert "file" in result.stderr


@pytest.mark.timeout(600)
def test_the_demonstration_runs_once_and_adds_nothing_the_second_time(
    run_cli: RunCli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole demonstration, its training cut to a few steps."""
    from tireg.workflows import demo

    short = demo.RECIPE.model_copy(update={"steps": 4})
    monkeypatch.setattr(demo, "RECIPE", short)
    first = run_cli("demo", code=0)
    assert "concept_fidelity" in first.stdout
    assert "tireg show" in first.stderr
    sheet = home / "demo" / "contact-sheet.png"
    assert sheet.is_file()
    assert len(list((home / "demo" / "pictures").glob("*.png"))) == 5
    before = run_cli("show", demo.NAME, "--json", code=0).stdout
    files = sorted(p for p in (home / "objects").rglob("*") if p.is_file())
    run_cli("demo", code=0)
    assert run_cli("show", demo.NAME, "--json", code=0).stdout == before
    assert sorted(p for p in (home / "objects").rglob("*") if p.is_file()) == files
