"""The shipped suites as data, and files of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tireg.domain.suites import load_suite, suite_names
from tireg.errors import SuiteError
from tireg.workflows.suites import check_suite_file, list_suites, show_suite


def test_every_shipped_suite_is_listed_with_its_hash() -> None:
    rows = {row["name"]: row for row in list_suites()}
    assert tuple(rows) == suite_names()
    quick = rows["shapes-quick"]
    assert quick["sha256"] == load_suite("shapes-quick").sha256
    assert (quick["asking"], quick["token_free"], quick["seeds_each"]) == (9, 4, 4)
    assert quick["pictures"] == (9 * 2 + 4 * 2) * 4


def test_the_published_lists_name_their_source() -> None:
    for name in ("dreambench-object", "dreambench-subject"):
        data = show_suite(name)
        assert data["asking"] == 25
        assert "CC-BY-4.0" in data["source"]


def test_prompts_are_shown_by_role_and_the_file_is_named() -> None:
    data = show_suite("shapes")
    assert list(data["prompts"]) == [
        "context", "background", "composition", "style", "neutral", "sibling", "bait",
    ]  # fmt: skip
    assert sum(map(len, data["prompts"].values())) == data["asking"] + data["token_free"]
    assert Path(data["path"]).is_file()
    assert data["seeds"] == [0, 1, 2, 3]


def test_a_copy_of_a_shipped_suite_is_a_right_beginning(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(Path(show_suite("shapes")["path"]).read_text())
    found = check_suite_file(path)
    assert found["ok"]
    assert found["problems"] == []
    path.write_text(path.read_text().replace("steps: 20", "steps: 20\nsampler: magic"))
    found = check_suite_file(str(path))
    assert not found["ok"]
    assert "'magic' is no sampler; there are " in found["problems"][0]["problem"]


def test_what_is_no_file_or_no_yaml_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="there is no suite 'nope'"):
        check_suite_file("nope")
    with pytest.raises(SuiteError, match="there is no suite file"):
        show_suite("./nope.yaml")
    path = tmp_path / "bad.yaml"
    path.write_text("a: [1")
    with pytest.raises(SuiteError, match="not valid YAML"):
        check_suite_file(path)
