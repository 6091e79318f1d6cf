"""What is installed is told, shells complete, and pictures show in a terminal that has colours."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, RunCli
from tireg.cli.blocks import picture_lines, show_pictures


def test_env_says_what_is_here(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIREG_HOME", str(tmp_path / "none"))
    found = json.loads(run_cli("env", "--json", code=0).stdout)
    assert found["packages"]["torch"]
    assert found["devices"][0]["device"] == "cpu"
    assert found["home_exists"] is False
    assert not (tmp_path / "none").exists(), "looking makes nothing"
    text = run_cli("env", code=0).stdout
    assert found["tireg"] in text
    assert str(tmp_path) in text


def test_what_is_missing_has_its_command(run_cli: RunCli) -> None:
    rows = json.loads(run_cli("env", "--json", code=0).stdout)["optional"]
    assert {row["package"] for row in rows} >= {"matplotlib", "ray", "lpips"}
    assert all(row["install"].startswith("pip install") for row in rows)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run_cli: RunCli, shell: str) -> None:
    assert "_TIREG_COMPLETE" in run_cli("completion", shell, code=0).stdout


def test_an_unknown_shell_is_a_sentence(run_cli: RunCli) -> None:
    assert "bash" in run_cli("completion", "tcsh", code=2).stderr


def completed(home: Path, words: str, at: int) -> list[str]:
    env = {**os.environ, "TIREG_HOME": str(home), "_TIREG_COMPLETE": "bash_complete",
           "COMP_WORDS": words, "COMP_CWORD": str(at)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tireg"], cwd=ROOT, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.stdout.split()


def test_commands_and_names_are_completed(home: Path, run_cli: RunCli) -> None:
    shipped = ROOT / "registry" / "embeddings" / "lime-star" / "learned_embeds.safetensors"
    run_cli("import", shipped, "--name", "my-star", code=0)
    assert "plain,compat" in completed(home, "tireg comp", 1)
    assert completed(home, "tireg show my", 2) == ["plain,my-star"]
    assert completed(home / "none", "tireg show my", 2) == []


def test_two_pixels_are_one_character(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 4), "#ff0000")
    picture.paste((0, 0, 255), (0, 1, 4, 2))
    picture.save(tmp_path / "a.png")
    lines = picture_lines([tmp_path / "a.png", tmp_path / "a.png"], 4)
    assert [line.plain for line in lines] == ["▀▀▀▀  ▀▀▀▀"] * 2
    style = lines[0].spans[0].style
    assert str(style) == "#ff0000 on #0000ff"


def test_without_a_terminal_the_paths_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    show_pictures([tmp_path / "a.png", tmp_path / "gone.png"])
    seen = capsys.readouterr()
    assert seen.out == f"{tmp_path / 'a.png'}\n"
    assert "gone.png" in seen.err
    assert picture_lines([tmp_path / "b.png"], 8) == []
    assert "not a picture" in capsys.readouterr().err


def on_terminal(*args: str, **env: str) -> str:
    """What a terminal gets from ``python -m tireg``."""
    ours, theirs = pty.openpty()
    known = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, "-m", "tireg", *args], cwd=ROOT, stdout=theirs, stderr=theirs,
        stdin=subprocess.DEVNULL, env={**known, "TERM": "xterm-256color", **env},
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            seen += part
        process.wait(60)
    os.close(ours)
    return seen.decode()


def test_errors_have_a_colour_and_no_color_takes_it() -> None:
    assert "\x1b[" in on_terminal("show", "nothing")
    plain = on_terminal("show", "nothing", NO_COLOR="1")
    assert "error: " in plain
    assert "\x1b[3" not in plain
