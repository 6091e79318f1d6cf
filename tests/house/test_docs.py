"""Every command and Python block of docs/ is run, and the site builds with every link whole."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, RunCli
from tests.house.readme import Proof, ProvenBy, Run, commands

GENERATED = {"commands.md", "metrics.md"}
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").glob("*.md"))
    if path.name not in GENERATED
}
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHORT = ("--steps", "3", "--keep-anyway")
HUB = "tests/hub/test_two_machines.py::test_from_one_machine_to_another"
SWEPT = ProvenBy("tests/workflows/test_sweep.py::test_a_sweep_from_end_to_end")
REAL = ProvenBy("tests/workflows/test_hub_base.py::test_the_readme_example_trains_on_a_hub_id")

# What a command needs beside what it says: shortened, or run by another test. Where nothing
# stands it is run as it is.
BY_START: dict[str, Proof] = {
    "tireg demo": ProvenBy(
        "tests/workflows/test_demo.py::test_it_learns_scores_and_shows_and_learns_only_once"
    ),
    "tireg train photos/ --base shapes": Run(more=SHORT),
    "tireg train concept.yaml": Run(more=SHORT),
    "tireg train --fleet": Run(more=SHORT),
    "tireg train photos/ --base stab": REAL,
    "tireg eval my-ball --suite shapes-quick --rescore": Run(),
    "tireg eval my-ball": Run(more=("--steps", "2")),
    "tireg eval my-cat": REAL,
    "tireg train --fleet concepts.yaml --base shapes --jobs 2": ProvenBy(
        "tests/workflows/test_fleet_fan.py::test_the_vectors_do_not_depend_on_the_workers"
    ),
    "tireg sweep sweep.yaml": SWEPT,
    "tireg search --tag": SWEPT,
    "tireg show swept-ball@": SWEPT,
    "tireg eval red-ball other-ball --bases shapes --jobs 2": Run(more=("--steps", "2")),
    "tireg eval red-ball other-ball --bases shapes base-a --ray": ProvenBy(
        "tests/workflows/test_many.py::test_a_killed_worker_costs_one_pair_and_changes_no_result"
    ),
    "tireg import embeddings/ --recursive --jobs": ProvenBy(
        "tests/workflows/test_importing_units.py::test_the_command"
    ),
    "tireg bases add shapes base-a": ProvenBy(
        "tests/workflows/test_bases.py::test_many_bases_are_measured_in_workers"
    ),
    "tireg publish": ProvenBy(HUB),
    "tireg pull": ProvenBy(HUB),
    "tireg sync": ProvenBy(HUB),
    "tireg search ball --hub": ProvenBy(HUB),
}
# A YAML block is the file that its page speaks of, known by a key of it.
FILES = {
    "pictures:": "concept.yaml",
    "recipes:": "sweep.yaml",
    "concepts:": "concepts.yaml",
    "": "recipe.yaml",
}
VARIANTS = Run(more=("--max-steps", "3", "--keep-anyway"))


def proof_of(line: str) -> Proof:
    if "--variants" in line:
        return VARIANTS
    starts = [start for start in BY_START if line.startswith(start)]
    return BY_START[max(starts, key=len)] if starts else Run()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder and registry: photos/, and my-ball and demo-star learned from them."""
    from PIL import Image, ImageDraw

    top = tmp_path_factory.mktemp("reader")
    photos = top / "folder" / "photos"
    photos.mkdir(parents=True)
    (top / "folder" / "more").mkdir()
    for number, ground in enumerate(["navy", "darkgreen", "gray", "wheat"]):
        picture = Image.new("RGB", (64, 64), ground)
        ImageDraw.Draw(picture).ellipse((8 + 4 * number, 10, 40 + 4 * number, 42), fill="crimson")
        picture.save(photos / f"{number}.png")
    with Image.open(photos / "0.png") as first:
        first.rotate(90).save(top / "folder" / "more" / "0.png")
    for name in ("my-ball", "demo-star"):
        subprocess.run(
            [sys.executable, "-m", "tireg", "train", str(photos), "--base", "shapes",
             "--name", name, "--token", f"<{name}>", "--init", "circle", "--kind", "object",
             *SHORT],
            check=True, capture_output=True, cwd=ROOT,
            env={**os.environ, "TIREG_HOME": str(top / "home")},
        )  # fmt: skip
    return top


@pytest.fixture
def reader(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current folder and registry."""
    shutil.copytree(trained, tmp_path / "reader")
    monkeypatch.setenv("TIREG_HOME", str(tmp_path / "reader" / "home"))
    monkeypatch.chdir(tmp_path / "reader" / "folder")
    return tmp_path / "reader" / "folder"


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if commands(text)])
def test_its_commands_run_in_order(page: str, reader: Path, run_cli: RunCli) -> None:
    text = PAGES[page]
    for number, body in enumerate(YAML.findall(text)):
        name = next(file for key, file in FILES.items() if key in body)
        assert number == 0 or not (reader / name).exists(), "two YAML blocks of one kind"
        (reader / name).write_text(body, encoding="utf-8")
    for old in ("my-ball.safetensors", "old-embeddings"):
        if old in text:
            target = reader / old
            if old.endswith("s") and "." not in old:
                target.mkdir()
                target = target / "one.safetensors"
            run_cli("export", "my-ball", "--to", "diffusers", "--out", target, code=0)
    for line in commands(text):
        proof = proof_of(line)
        if isinstance(proof, ProvenBy):
            assert proof.exists(), f"there is no test {proof.test}"
            continue
        program, *args = shlex.split(line)
        if program == "make":
            continue  # the targets are CI's own and test_makefile's
        assert program == "tireg", f"only tireg can be run here, not {line}"
        run_cli(*args, *proof.more, code=proof.code)


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if PYTHON.findall(text)])
def test_its_python_blocks_run_in_order(page: str, reader: Path, run_cli: RunCli) -> None:
    from diffusers import DiffusionPipeline

    from tireg.shapes import base_path

    run_cli("export", "my-ball", "--to", "diffusers", "--out", "my-ball.safetensors", code=0)
    pipe = DiffusionPipeline.from_pretrained(base_path(), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    names: dict[str, Any] = {"pipe": pipe}
    for body in PYTHON.findall(PAGES[page]):
        exec(compile(body, page, "exec"), names)  # noqa: S102 - our own pages


def test_the_site_builds_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir",
         str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
    loaded = re.findall(
        r"""(?:src|href)=["']?(https?://[^"' >]+)""",
        (tmp_path / "site" / "index.html").read_text(encoding="utf-8"),
    )
    ours = [link for link in loaded if "squidfunk" not in link]
    assert not ours, "the page loads from the network"
