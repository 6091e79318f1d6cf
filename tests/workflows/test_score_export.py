"""Scores as files that other tools read."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.store import make
from tests.workflows.scored import add, score
from tireg.domain.score_forms import csv_text, eval_results, latest_runs, model_index
from tireg.domain.suites import Suite, load_suite
from tireg.errors import ConfigError, InputError, RefError
from tireg.workflows.score_export import export_scores, write_text

VALUES = np.linspace(0.1, 0.3, 20)

BENCHMARK = """
format_version: 1
name: mine
version: 1
kind: object
title: "Mine"
source: "me"
seeds: [0, 1]
benchmark:
  dataset: someone/concepts
  revision: abc
  tasks: {prompt_fidelity: follows}
prompts:
  - {id: snow, text: "a {concept} in the snow", role: background, context: in the snow}
"""


@pytest.fixture
def scored_word(home: Path) -> Path:
    add(home, "word", score("prompt_fidelity", VALUES), score("copying", None))
    return home


def test_csv_has_a_row_per_score_and_loses_no_digit(scored_word: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(export_scores(scored_word, "word", "csv"))))
    assert [row["metric"] for row in rows] == ["prompt_fidelity", "copying"]
    assert float(rows[0]["value"]) == float(VALUES.mean())
    assert rows[0]["encoder_sha256"] == make.sha("clip")
    assert rows[1]["value"] == ""
    assert rows[1]["unscored"] == "no pictures are kept"


def test_csv_does_not_hand_a_formula_to_a_spreadsheet() -> None:
    text = csv_text([{"name": "=cmd()", "value": -1.5}])
    assert text == "name,value\n'=cmd(),-1.5\n"


def test_jsonl_is_one_object_per_score(scored_word: Path) -> None:
    rows = [json.loads(line) for line in export_scores(scored_word, "word", "jsonl").splitlines()]
    assert rows[0]["suite"] == "core"
    assert rows[0]["ci_low"] < rows[0]["value"] < rows[0]["ci_high"]
    assert rows[1]["value"] is None


def test_model_index_is_what_the_hub_library_reads(scored_word: Path) -> None:
    from huggingface_hub.repocard_data import model_index_to_eval_results

    data = yaml.safe_load(export_scores(scored_word, "word", "model-index"))
    assert data == json.loads(export_scores(scored_word, "word", "model-index", as_json=True))
    name, results = model_index_to_eval_results(data["model-index"])
    assert name == "word"
    assert [result.metric_type for result in results] == ["prompt_fidelity"], "unscored is left out"
    assert results[0].metric_value == pytest.approx(VALUES.mean(), abs=1e-6)
    assert results[0].dataset_revision == make.sha("core")


def test_the_model_index_is_that_of_the_hub_card(home: Path) -> None:
    from tireg.hub import card

    record, _ = make.record("word")
    runs = [make.run(record, base_id=base, created=f"2026-0{n}-01T00:00:00Z")[0]
            for n, base in enumerate(("one", "two", "one"), 1)]  # fmt: skip
    shown = card.Shown("me/word", "", "word", record, runs, "apache-2.0", {}, [], [])
    assert card.metadata(shown)["model-index"] == model_index("word", runs)
    assert [run.created[:7] for run in latest_runs(runs)] == ["2026-03", "2026-02"]


def test_eval_results_only_of_a_registered_benchmark(scored_word: Path, tmp_path: Path) -> None:
    from huggingface_hub import parse_eval_result_entries

    with pytest.raises(InputError, match="file of your own") as caught:
        export_scores(scored_word, "word", "eval-results")
    assert "--suite FILE" in caught.value.hint
    path = tmp_path / "mine.yaml"
    path.write_text(BENCHMARK)
    suite = load_suite(path)
    run = add(scored_word, "other", score("prompt_fidelity", VALUES), score("copying", VALUES),
              spec={"suite": make_ref(suite)})  # fmt: skip
    text = export_scores(scored_word, "other", "eval-results", suite=str(path))
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    assert (entry.dataset_id, entry.task_id) == ("someone/concepts", "follows")
    assert entry.value == pytest.approx(VALUES.mean(), abs=1e-6)
    assert entry.date == run.created
    assert entry.notes is not None
    assert "95% interval 0.17" in entry.notes


def test_eval_results_are_refused_with_the_reason(scored_word: Path, tmp_path: Path) -> None:
    shipped = load_suite("shapes-quick")
    add(scored_word, "other", score("copying", VALUES), spec={"suite": make_ref(shipped)})
    with pytest.raises(InputError, match="no benchmark registered on the Hub") as caught:
        export_scores(scored_word, "other", "eval-results")
    assert caught.value.hint == "tireg scores other@1 --to model-index"
    path = tmp_path / "mine.yaml"
    path.write_text(BENCHMARK)
    run = add(scored_word, "third", score("copying", VALUES))
    with pytest.raises(InputError, match="no score is a task of the benchmark"):
        eval_results(run, load_suite(path))


def test_no_shipped_suite_claims_to_be_a_benchmark_and_the_claim_is_not_hashed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BENCHMARK)
    suite = load_suite(path)
    assert suite.sha256 == suite.model_copy(update={"benchmark": None}).sha256
    assert load_suite("dreambench-object").benchmark is None


def test_what_is_not_there(scored_word: Path, home: Path) -> None:
    with pytest.raises(InputError, match="word@1 was not scored there") as caught:
        export_scores(home, "word", "csv", base="elsewhere")
    assert caught.value.hint == "tireg eval word@1 --base elsewhere"
    with pytest.raises(RefError):
        export_scores(home, "nobody", "csv")


def test_every_run_or_the_latest(scored_word: Path) -> None:
    add(scored_word, "word", score("copying", VALUES), created="2026-09-01T00:00:00Z")
    assert export_scores(scored_word, "word", "jsonl").count("\n") == 1
    assert export_scores(scored_word, "word", "jsonl", every=True).count("\n") == 3


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_text(path, "a\n")
    with pytest.raises(ConfigError, match="is there already"):
        write_text(path, "b\n")
    assert path.read_text() == "a\n"
    with pytest.raises(ConfigError, match="cannot be written"):
        write_text(tmp_path / "nowhere" / "x.csv", "a")


def make_ref(suite: Suite) -> object:
    from tireg.domain.scores import SuiteRef

    return SuiteRef(name=suite.name, version=suite.version, sha256=suite.sha256)
