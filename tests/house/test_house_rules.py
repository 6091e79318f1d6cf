"""House rules about the text of the project: sizes, paths, exports, the error tree."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from pathlib import Path

import pytest

import tireg
from tests.house.closure import ROOT
from tireg import errors

MAX_FILE, MAX_FUNCTION = 400, 80
PYTHON = sorted(
    path
    for folder in ("tireg", "tests", "docs", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
TEXT = set(".cfg .css .html .j2 .json .md .py .sh .svg .toml .txt .yaml .yml".split()) | {""}

# Written so that this file does not match itself.
MACHINE = re.compile(
    r"(?:^|[^A-Za-z0-9._~-])/(?:wor[k]|far[m]|roo[t]|hom[e]/[a-z]+|User[s]/[a-z]+)/"
)
REGISTRY = re.compile(
    r"index-ur[l]|find-link[s]|https?://[^ ]+\.(?:whl|tar\.gz|tgz)|pythonhoste[d]"
)
UNFINISHED = re.compile(r"raise\s+NotImplementedErro[r]|\bTOD[O]\b|\bFIXM[E]\b|\bXX[X]\b")


def project_files() -> list[Path]:
    """Every file that git tracks or would track."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    names = done.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def grep(pattern: re.Pattern[str]) -> list[str]:
    hits = []
    for path in project_files():
        if path.suffix not in TEXT:
            continue
        text = path.read_text(encoding="utf-8")
        hits += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return hits


def test_no_paths_of_a_machine() -> None:
    assert grep(MACHINE) == []


def test_no_package_index_is_named() -> None:
    assert grep(REGISTRY) == []


def test_nothing_is_left_unfinished() -> None:
    assert grep(UNFINISHED) == []


@pytest.mark.parametrize("path", PYTHON, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION
    ]
    assert not long


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tireg").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_no_error_is_swallowed(path: Path) -> None:
    silent = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
    ]
    assert not silent


def test_every_folder_of_tests_is_a_package() -> None:
    bare = {path.parent for path in PYTHON if not (path.parent / "__init__.py").exists()}
    scripts = {ROOT / "docs", ROOT / "benchmarks"}
    assert not bare - scripts, "two test files of one name would collide"


def test_exports_are_sorted_complete_and_lazy() -> None:
    assert list(tireg.__all__) == sorted(tireg.__all__)
    assert {"__version__", "load", "unload"} == set(tireg.__all__)
    assert set(tireg.__all__) <= set(dir(tireg))
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        tireg.__getattr__("laod")


def test_exports_can_be_imported() -> None:
    for name in ("load", "unload"):
        assert callable(getattr(tireg, name))
        assert inspect.getdoc(getattr(tireg, name)), f"tireg.{name} has no docstring"


def test_the_changelog_begins_with_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changes, re.MULTILINE)
    assert newest is not None
    assert newest[1] == tireg.__version__, "CHANGELOG.md and tireg/__init__.py disagree"


def test_the_drawn_error_tree_is_the_real_one() -> None:
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, BaseException)
    }
    drawn: dict[str, str] = {}
    branch: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([ │├└─]*)([A-Z]\w+(?:Error))\s{2,}\S", line)
        if found:
            depth = (len(found[1]) - 4) // 4
            del branch[depth:]
            drawn[found[2]] = branch[-1] if branch else "Exception"
            branch.append(found[2])
    assert drawn == {name: kind.__mro__[1].__name__ for name, kind in classes.items()}
    assert all(kind.__doc__ for kind in classes.values())
    for kind in classes.values():
        code = 2 if issubclass(kind, errors.InputError) else 1
        assert getattr(kind, "exit_code", None) == code, kind.__name__
