"""Fixtures for every room: a home of one's own, no network, one thread, small real things."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Read by libraries when they are imported, so they are set before anything is.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    NO_COLOR="1",
)
for _variable in ("TIREG_DEBUG", "HF_TOKEN"):
    os.environ.pop(_variable, None)

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

RunCli = Callable[..., "Result"]
RunProcess = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", autouse=True)
def _hub_cache() -> Iterator[None]:
    """No test reads or fills the user's Hub cache."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", folder)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``TIREG_HOME`` of this test: an own folder that does not exist yet."""
    path = tmp_path / "tireg-home"
    monkeypatch.setenv("TIREG_HOME", str(path))
    return path


@pytest.fixture
def run_cli() -> RunCli:
    """``run_cli("list", "--json")`` in this process; the result has exit_code, stdout, stderr."""

    def run(*args: str | Path, code: int | None = None, input: str | None = None) -> Result:
        from click.testing import CliRunner

        from tireg.cli.main import cli

        result = CliRunner().invoke(cli, [str(arg) for arg in args], input=input)
        if code is not None:
            assert result.exit_code == code, f"{args}: {result.output}"
        return result

    return run


@pytest.fixture
def run_process(tmp_path: Path) -> RunProcess:
    """``run_process("list")`` as ``python -m tireg list`` in a process of its own."""

    def run(
        *args: str | Path, code: int | None = None, python: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [python or sys.executable, "-m", "tireg", *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, **({} if python else {"PYTHONPATH": str(ROOT)}), **env},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{args}: {done.stdout}{done.stderr}"
        return done

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of five small PNG pictures of one thing, no two alike."""
    from PIL import Image, ImageDraw

    folder = tmp_path / "pictures"
    folder.mkdir()
    grounds = ["navy", "darkgreen", "gray", "wheat", "black"]
    for number, ground in enumerate(grounds):
        picture = Image.new("RGB", (96, 80), ground)
        left = 10 + 8 * number
        draw = ImageDraw.Draw(picture)
        draw.ellipse((left, 15, left + 40, 55), fill="crimson", outline="white", width=3)
        picture.save(folder / f"picture{number}.png")
    return folder


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real-world material beside the checkout; skips where there is none."""
    if not SHARED.is_dir():
        pytest.skip("there is no folder ../shared with real pictures and files beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def tiny_sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SD1 pipeline, to read only."""
    from tests.tinypipes import build_sd1

    return build_sd1(tmp_path_factory.mktemp("bases") / "tiny-sd1")


@pytest.fixture(scope="session")
def tiny_sd2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SD2 pipeline, to read only."""
    from tests.tinypipes import build_sd2

    return build_sd2(tmp_path_factory.mktemp("bases") / "tiny-sd2")


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SDXL pipeline, to read only."""
    from tests.tinypipes import build_sdxl

    return build_sdxl(tmp_path_factory.mktemp("bases") / "tiny-sdxl")
