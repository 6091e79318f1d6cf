"""The built wheel works where there is no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import tireg
from tests.conftest import ROOT

MAX_WHEEL = 40 * 1024 * 1024


@dataclass(frozen=True)
class Installed:
    """An environment with tireg from the wheel, and a folder far from the checkout."""

    python: Path
    folder: Path

    def run(self, *args: str | Path, code: int = 0) -> str:
        """Run ``python ARGS`` there; returns its stdout."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(
            [self.python, *map(str, args)],
            cwd=self.folder,
            env={**env, "TIREG_HOME": str(self.folder / "home")},
            capture_output=True,
            text=True,
            timeout=580,
            check=False,
        )
        assert done.returncode == code, f"{args}: {done.stdout}{done.stderr}"
        return done.stdout

    def tireg(self, *args: str | Path, code: int = 0) -> str:
        """Run ``python -m tireg ARGS`` there; returns its stdout."""
        return self.run("-m", "tireg", *args, code=code)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("tireg-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The dependencies are gigabytes: they are lent by one path line, which, unlike an installed
    package, brings no editable tireg along."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps",
         "--no-index", wheel],
        check=True, capture_output=True,
    )  # fmt: skip
    place = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "env")}))
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (place / "lent.pth").write_text("\n".join(sorted(lent)) + "\n", encoding="utf-8")
    work = folder / "work"
    work.mkdir()
    return Installed(python, work)


def test_the_wheel_holds_the_package_and_its_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard",
         "tireg", "schemas", "registry", "evals"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    wanted = {
        path if path.startswith("tireg/") else f"tireg/_data/{path}"
        for path in tracked
        if path and (ROOT / path).is_file()
    }
    assert not wanted - names, "in the checkout, but not in the wheel"
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]
    assert "tireg/py.typed" in names


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_WHEEL


def test_it_is_the_installed_one_that_runs(installed: Installed) -> None:
    code = "import tireg; print(tireg.__file__)"
    assert str(installed.python.parent.parent) in installed.run("-c", code)
    assert installed.tireg("--version") == f"tireg {tireg.__version__}\n"
    assert "Usage: tireg" in installed.tireg("--help")


def test_the_script_is_installed(installed: Installed) -> None:
    done = subprocess.run(
        [installed.python.parent / "tireg", "--version"],
        cwd=installed.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"tireg {tireg.__version__}\n"


def test_its_data_is_found(installed: Installed) -> None:
    code = "from tireg.domain import resources as r; print(r.checkout(), r.resource({!r}))"
    for part in ("schemas", "registry", "evals"):
        checkout, path = installed.run("-c", code.format(part)).split()
        assert checkout == "None"
        found = {entry.name for entry in Path(path).iterdir()}
        assert found == {entry.name for entry in (ROOT / part).iterdir()}


def test_it_trains_evaluates_and_shows(installed: Installed, pictures: Path) -> None:
    installed.tireg(
        "train", pictures, "--base", "shapes", "--name", "ball", "--token", "<my-ball>",
        "--init", "circle", "--kind", "object", "--steps", "3", "--keep-anyway",
    )  # fmt: skip
    installed.tireg("eval", "ball", "--suite", "shapes-quick", "--steps", "2")
    shown = json.loads(installed.tireg("show", "ball", "--json"))
    assert (shown["name"], shown["version"], shown["token"]) == ("ball", 1, "<my-ball>")
    assert shown["scores"]
    assert [row["name"] for row in json.loads(installed.tireg("list", "--json"))] == ["ball"]
