"""The Makefile says what it does and does what it says."""

from __future__ import annotations

import os
import re
import stat
import subprocess

import pytest

from tests.conftest import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = "venv demo test soak lint types floors fresh docs format shapes wheel".split()


def plan(target: str, **variables: str) -> str:
    """What ``make TARGET`` would run."""
    settings = [f"{name}={value}" for name, value in variables.items()]
    env = {k: v for k, v in os.environ.items() if k not in ("PY", "JOBS", "MAKEFLAGS", "MFLAGS")}
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target, *settings],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_real(target: str) -> None:
    if target != "venv":
        assert plan(target, PY="some/python")
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert target in phony[1].split()
    assert re.search(rf"^\t@echo .*\b{target}\b", MAKEFILE, re.MULTILINE), "make help leaves it out"


def test_demo_runs_the_command() -> None:
    assert plan("demo", PY="some/python").split() == "some/python -m tireg demo".split()


def test_test_runs_every_check() -> None:
    text = plan("test", PY="some/python")
    for part in ("ruff format --check", "ruff check", "mypy", "lint-imports", "--check", "pytest"):
        assert part in text
    assert "venv" not in text, "a Python that is named is used as it is"


def test_installing_obeys_the_constraints() -> None:
    installs = [line for line in MAKEFILE.splitlines() if "pip install" in line]
    assert len(installs) == 2
    assert all("-c constraints.txt" in line for line in installs)


def test_ci_runs_make_test_and_nothing_else() -> None:
    script = ROOT / ".ci" / "run"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["#!/usr/bin/env bash", "set -euo pipefail"]
    assert lines[-1] == "make test"
    assert len(lines) == 4
    assert script.stat().st_mode & stat.S_IXUSR
