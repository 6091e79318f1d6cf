"""What is made from the code is fresh, and every shipped document fits its schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from docs import generate
from tests.conftest import ROOT

# Which schema the files of a place fit.
SHIPPED = {
    "registry/families/*.json": "family",
    "registry/embeddings/**/record.json": "record",
    "registry/embeddings/**/scores/*.json": "run",
    "evals/suites/*.yaml": "suite",
}
# Documents that no schema describes: tables of studies, read by people and plots.
FREE = ("evals/studies/*", "evals/baselines/*")


def documents() -> list[Path]:
    return sorted(
        path
        for top in ("registry", "evals")
        for path in (ROOT / top).rglob("*")
        if path.suffix in (".json", ".yaml", ".yml")
        and not any(path.relative_to(ROOT).match(free) for free in FREE)
        and not any((ROOT / free).parent in path.parents for free in FREE)
    )


def schema_of(path: Path) -> str | None:
    for pattern, name in SHIPPED.items():
        if path in ROOT.glob(pattern):
            return name
    return None


def read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


def test_generated_files_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_stale_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "docs").mkdir()
    files = {"schemas/a.schema.json": "{}\n", "docs/commands.md": "x\n"}
    (tmp_path / "docs" / "commands.md").write_text("y\n")
    (tmp_path / "schemas" / "old.schema.json").write_text("{}\n")
    assert generate.stale(files, tmp_path) == [
        "schemas/a.schema.json",
        "docs/commands.md",
        "schemas/old.schema.json",
    ]


def test_every_document_model_has_a_schema() -> None:
    from importlib import import_module
    from pkgutil import walk_packages

    import tireg.domain
    from tireg.domain.model import Document

    for module in walk_packages(tireg.domain.__path__, "tireg.domain."):
        import_module(module.name)
    listed = set(generate.MODELS.values())
    missing = [
        f"{kind.__module__}:{kind.__qualname__}"
        for kind in Document.__subclasses__()
        if kind.__module__.startswith("tireg.")
        and f"{kind.__module__}:{kind.__qualname__}" not in listed
    ]
    assert not missing, "add them to MODELS in docs/generate.py"


@pytest.mark.parametrize("path", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_shipped_document_fits_its_schema(path: Path) -> None:
    name = schema_of(path)
    assert name, f"no row of SHIPPED says which schema {path.relative_to(ROOT)} fits"
    schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    problems = [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(read(path))
    ]
    assert not problems


@pytest.mark.parametrize("pattern", SHIPPED)
def test_every_place_has_documents(pattern: str) -> None:
    assert list(ROOT.glob(pattern)), "nothing is shipped here, so nothing is checked"


def test_a_schema_refuses_unknown_keys() -> None:
    schema = json.loads((ROOT / "schemas" / "record.schema.json").read_text(encoding="utf-8"))
    messages = [e.message for e in Draft202012Validator(schema).iter_errors({"nmae": "x"})]
    assert any("'nmae' was unexpected" in message for message in messages)
    assert any("'name' is a required property" in message for message in messages)
