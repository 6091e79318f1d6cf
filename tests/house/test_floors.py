"""What import-linter cannot see: heavy packages are imported where they are used."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from sys import stdlib_module_names

import pytest
from packaging.utils import canonicalize_name

from tests.house.closure import ROOT, closure, declared

HEAVY = {
    "accelerate", "diffusers", "huggingface_hub", "open_clip", "ray", "scipy", "timm", "torch",
    "torchvision", "transformers",
}  # fmt: skip
# Rooms where every line is about tensors. They import torch, and nothing else heavy, at the top of
# their modules; all others import these rooms inside functions only.
TORCH_ROOMS = ("models", "training")
SOURCES = sorted((ROOT / "tireg").rglob("*.py"))


Import = ast.Import | ast.ImportFrom


def import_nodes(node: ast.AST, *, inside: bool = False) -> Iterator[tuple[Import, bool]]:
    """Every import, and whether a function (or TYPE_CHECKING) holds it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Import):
            yield child, inside
        deeper = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        )
        yield from import_nodes(child, inside=inside or deeper)


def imports(tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """Top-level package, line, and whether a function (or TYPE_CHECKING) holds the import."""
    for node, inside in import_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno, inside
        else:
            yield (node.module or "").partition(".")[0], node.lineno, inside


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_costs_seconds_is_imported_inside_functions(path: Path) -> None:
    room = path.relative_to(ROOT / "tireg").parts[0]
    allowed = {"torch"} if room in TORCH_ROOMS else set()
    early = [f"line {line}: {name}" for name, line, inside in imports(parse(path))
             if name in HEAVY - allowed and not inside]  # fmt: skip
    assert not early, f"{path.relative_to(ROOT)} imports at its top what costs seconds"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_of_torch_are_entered_inside_functions(path: Path) -> None:
    room = path.relative_to(ROOT / "tireg").parts[0]
    early = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node, inside in import_nodes(parse(path))
        if not inside
        and room not in TORCH_ROOMS
        and re.search(rf"\btireg\.({'|'.join(TORCH_ROOMS)})\b|^from tireg import .*"
                      rf"\b({'|'.join(TORCH_ROOMS)})\b", ast.unparse(node))
    ]  # fmt: skip
    assert not early, f"{path.relative_to(ROOT)} brings torch along as soon as it is imported"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and its contracts, to break."""
    folder = tmp_path_factory.mktemp("floors")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "tireg", folder / "tireg", ignore=shutil.ignore_patterns("weights"))
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env={**os.environ, "PYTHONPATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_floors_stand(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("store/bad.py", "from tireg import hub", "floors"),
        ("domain/bad.py", "from tireg.models import bases", "floors"),
        ("models/bad.py", "def f():\n    import tireg.dialects", "floors"),
        ("workflows/bad.py", "from tireg.cli import main", "floors"),
        ("attic/__init__.py", "", "floors"),
        ("domain/bad.py", "import torch", "Domain and dialects"),
        ("dialects/bad.py", "def f():\n    import sqlite3", "Domain and dialects"),
        ("workflows/bad.py", "import huggingface_hub", "Only hub"),
        ("metrics/bad.py", "from sqlite_utils import Database", "Only store"),
        ("report/bad.py", "import rich.table", "Only cli"),
        ("training/bad.py", "import click", "Only cli"),
    ],
)
def test_a_step_off_the_floors_is_caught(copy: Path, file: str, line: str, contract: str) -> None:
    path = copy / "tireg" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'"""Bad."""\n{line}\n', encoding="utf-8")
    try:
        done = lint(copy)
    finally:
        path.unlink()
        if path.name == "__init__.py":
            shutil.rmtree(path.parent)
    assert done.returncode == 1, done.stdout
    broken = [text for text in done.stdout.splitlines() if " BROKEN" in text]
    assert any(contract in text for text in broken), done.stdout


def test_every_import_is_declared() -> None:
    providers = packages_distributions()
    known = {canonicalize_name(requirement.name) for requirement in declared(dev=False)}
    missing = set()
    for path in SOURCES:
        for name, line, _ in imports(parse(path)):
            if name in stdlib_module_names or name in ("tireg", ""):
                continue
            if not known & {canonicalize_name(p) for p in providers.get(name, [])}:
                missing.add(f"{path.relative_to(ROOT)}:{line} {name}")
    assert not missing, "imported, but not a dependency in pyproject.toml"


def test_every_dependency_is_imported() -> None:
    # Needed by another package when it does something that tireg asks for.
    indirect = {"accelerate", "tensorboard"}
    used = {name for path in SOURCES for name, _, _ in imports(parse(path))}
    providers = packages_distributions()
    provided = {canonicalize_name(p) for name in used for p in providers.get(name, [])}
    idle = {canonicalize_name(r.name) for r in declared(dev=False)} - provided - indirect
    assert not idle, "a dependency in pyproject.toml that nothing imports"


def test_constraints_pin_the_whole_closure_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    bad = [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!_-]+", line)]
    assert not bad, "a pin is name==version and nothing more"
    names = {canonicalize_name(line.partition("==")[0]) for line in pins}
    needed = set(closure(declared(dev=True)))
    assert not needed - names, "needed, but not pinned in constraints.txt"
    # Fewer are installed where the accelerator's packages are not; none is pinned for nothing.
    assert not {n for n in names - needed if not n.startswith(("nvidia-", "cuda-", "triton"))}
