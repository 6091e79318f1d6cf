"""``tireg sweep`` and ``tireg plan``: wrong words, and plans that record nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tireg.cli.plan import size, span
from tireg.store.registry import Registry


def test_a_file_that_is_not_there_is_named(run_cli: RunCli, tmp_path: Path) -> None:
    for verb in (("sweep",), ("plan", "sweep")):
        result = run_cli(*verb, tmp_path / "no.yaml", code=2)
        assert "no.yaml" in result.stderr


def test_a_dry_run_tells_the_cost_and_records_nothing(
    run_cli: RunCli, tmp_path: Path, pictures: Path, tiny_sd1: Path, home: Path
) -> None:
    (tmp_path / "sweep.yaml").write_text(
        "defaults: {kind: object, init: cat, steps: 3, batch: 2, resolution: 32}\n"
        "concepts: [{path: pictures, name: ball}]\n"
        "recipes: {one: {vectors: 1}, two: {vectors: 2}}\nseeds: [0, 1]\n"
        "suite: object-quick\n"
    )
    given = ("sweep", tmp_path / "sweep.yaml", "--base", tiny_sd1, "--dry-run", "--json")
    cost = json.loads(run_cli(*given, code=0).stdout)
    assert (cost["runs"], cost["learned"]) == (4, 4 * 3 * 2)
    with Registry.open(home) as registry:
        assert registry.count() == 0
    assert not (home / "training").exists()


@pytest.mark.parametrize(
    ("count", "words"), [(12, "12 bytes"), (12_000, "12.0 kB"), (3_400_000_000, "3.4 GB")]
)
def test_sizes(count: int, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3.2, "3 s"), (600, "10 min"), (3 * 3600, "3.0 h"), (4 * 86400, "4.0 days")],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words
