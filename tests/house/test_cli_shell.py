"""The shell of the command line: names found late, errors as sentences, exit codes."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

import tireg
from tests.conftest import ROOT, RunCli, RunProcess
from tireg.cli import main as shell
from tireg.cli.console import out
from tireg.errors import HubError, RefError


@contextmanager
def command(body: object) -> Iterator[None]:
    """For a while the group has a command ``try-it`` that raises or calls ``body``."""

    @click.command("try-it")
    @click.option("--size", type=int)
    def try_it(size: int | None) -> None:
        if isinstance(body, BaseException):
            raise body
        assert callable(body)
        body()

    # COMMANDS is looked at first; a command of the group itself comes by click's own way.
    shell.COMMANDS["try-it"] = shell.Lazy("Test", f"{__name__}:try_it", "For this test.")
    globals()["try_it"] = try_it
    try:
        yield
    finally:
        del shell.COMMANDS["try-it"]
        del globals()["try_it"]


def test_version(run_cli: RunCli) -> None:
    assert run_cli("--version", code=0).stdout == f"tireg {tireg.__version__}\n"


def test_help_lists_every_command(run_cli: RunCli) -> None:
    text = run_cli("--help", code=0).stdout
    assert all(entry.help in text for entry in shell.COMMANDS.values())


@pytest.mark.parametrize("name", list(shell.COMMANDS))
def test_every_command_and_option_has_help(name: str) -> None:
    loaded = shell.load_command(name)
    assert loaded.help
    for param in loaded.params:
        if isinstance(param, click.Option):
            assert param.help, f"tireg {name} {param.opts[0]} has no help"


def test_the_config_file_gives_defaults(run_cli: RunCli, home: Path) -> None:
    sizes: list[int | None] = []

    def body() -> None:
        sizes.append(click.get_current_context().params["size"])

    home.mkdir()
    with command(body):
        (home / "config.toml").write_text("[defaults]\nsize = 3\nseed = 1\n")
        run_cli("try-it", code=0)
        (home / "config.toml").write_text("[defaults]\nsize = 3\n[try-it]\nsize = 4\n")
        run_cli("try-it", code=0)
        run_cli("try-it", "--size", "5", code=0)
        assert sizes == [3, 4, 5]
        (home / "config.toml").write_text("[try-it]\nsise = 4\n")
        wrong = run_cli("try-it", code=2).stderr
        assert "sets 'sise' in [try-it], which has no such option" in wrong
        run_cli("try-it", "--help", code=0)


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (
            RefError("no word is called 'cat'", hint="tireg list"),
            2,
            ["error: no word is called 'cat'", "next: tireg list"],
        ),
        (HubError("the Hub cannot be reached"), 1, ["error: the Hub cannot be reached"]),
        (
            OSError(errno.ENOSPC, "No space left", "/x"),
            1,
            ["error: the disk is full: /x", "next: df -h"],
        ),
        (
            PermissionError(errno.EACCES, "no", "/a b"),
            2,
            ["error: no permission for '/a b'", "next: ls -ld '/a b'"],
        ),
        (
            FileNotFoundError(errno.ENOENT, "no", "x.png"),
            2,
            ["error: there is no file x.png", "next: check the path"],
        ),
        (
            MemoryError(),
            1,
            [
                "error: there is not enough memory for this",
                "next: try a smaller --batch, --size or base",
            ],
        ),
        (
            ModuleNotFoundError("No module named 'ray'", name="ray.util"),
            1,
            [
                "error: the package 'ray' is needed for this and is not installed",
                "next: pip install ray",
            ],
        ),
        (
            ValueError("bad\nsecond line"),
            1,
            [
                "error: something went wrong inside tireg: ValueError: bad",
                "next: set TIREG_DEBUG=1 for the traceback",
            ],
        ),
        (click.ClickException("No such thing."), 1, ["error: no such thing"]),
        (KeyboardInterrupt(), 130, ["", "error: interrupted; nothing half done was recorded"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_are_sentences(
    run_cli: RunCli, error: BaseException, code: int, lines: list[str]
) -> None:
    with command(error):
        result = run_cli("try-it", code=code)
    assert result.stdout == ""
    assert result.stderr.splitlines() == lines


def test_the_traceback_is_shown_on_request(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIREG_DEBUG", "1")
    with command(ValueError("bad")):
        text = run_cli("try-it", code=1).stderr
    assert "Traceback" in text
    assert "raise body" in text


@pytest.mark.parametrize(
    ("args", "sentence", "hint"),
    [
        (["tryit"], "no such command 'tryit'; did you mean 'try-it'?", "tireg --help"),
        (
            ["try-it", "--sise", "3"],
            "no such option '--sise'; did you mean '--size'?",
            "tireg try-it --help",
        ),
        (
            ["try-it", "--size", "x"],
            "invalid value for '--size': 'x' is not a valid integer",
            "tireg try-it --help",
        ),
    ],
)
def test_wrong_use_is_one_sentence_and_a_hint(
    run_cli: RunCli, args: list[str], sentence: str, hint: str
) -> None:
    with command(lambda: None):
        result = run_cli(*args, code=2)
    assert result.stderr.splitlines() == [f"error: {sentence}", f"next: {hint}"]


def test_no_command_prints_the_help(run_cli: RunCli) -> None:
    result = run_cli(code=2)
    assert "Usage: tireg" in result.output


def test_quiet_before_and_behind_the_command(run_cli: RunCli) -> None:
    def body() -> None:
        out.text("result")
        out.note("note")
        out.hint("tireg list")
        out.warn("careful")

    with command(body):
        loud = run_cli("try-it", code=0)
        assert loud.stderr.splitlines() == ["note", "next: tireg list", "warning: careful"]
        for args in (["-q", "try-it"], ["try-it", "--quiet"]):
            quiet = run_cli(*args, code=0)
            assert quiet.stdout == "result\n"
            assert quiet.stderr == "warning: careful\n"
        assert run_cli("try-it", code=0).stderr == loud.stderr, "quiet outlived its command"


def test_a_listed_command_without_a_module_is_named(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target in ("tireg.cli.nowhere:x", "tireg.cli.main:nowhere"):
        monkeypatch.setitem(shell.COMMANDS, "ghost", shell.Lazy("Test", target, "Not there."))
        text = run_cli("ghost", code=1).stderr
        assert text == f"error: the command 'ghost' is listed, but {target} does not exist\n"


def test_python_dash_m(run_process: RunProcess) -> None:
    assert run_process("--version", code=0).stdout == f"tireg {tireg.__version__}\n"
    wrong = run_process("nonsense", code=2)
    assert "Traceback" not in wrong.stderr
    assert wrong.stderr.startswith("error: no such command 'nonsense'")


PROGRAM = """
import click
from tireg.cli import main as shell
from tireg.cli.console import out

@click.command()
def it():
    {body}

shell.COMMANDS["it"] = shell.Lazy("Test", "it:it", "It.")
shell.load_command = lambda name: it
shell.main()
"""


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(PROGRAM.format(body="[shell.out.text('line') for _ in range(100000)]"))
    reader = subprocess.Popen(
        [sys.executable, script, "it"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert reader.stdout is not None
    assert reader.stderr is not None
    assert reader.stdout.readline() == b"line\n"
    reader.stdout.close()
    assert reader.stderr.read() == b""
    reader.stderr.close()
    assert reader.wait(30) == 1


def test_an_interrupt_is_one_sentence(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    body = "import time; shell.out.text('ready'); time.sleep(60)"
    script.write_text(PROGRAM.format(body=body))
    process = subprocess.Popen(
        [sys.executable, script, "it"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=30)
    assert process.returncode == shell.INTERRUPTED
    assert text.strip() == "error: interrupted; nothing half done was recorded"


def test_a_narrow_encoding_does_not_break_the_output(run_process: RunProcess) -> None:
    done = run_process("--help", code=0, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "Usage" in done.stdout
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    out._write("caf\u00e9", stream)
    stream.seek(0)
    assert stream.read() == "caf?\n"
