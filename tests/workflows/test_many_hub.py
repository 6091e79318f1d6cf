"""Scoring on a base of the Hub: the same run the first time, the second, and on another machine."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.workflows.evaluating import SUITE, add_word
from tireg.domain.fingerprints import BaseRef
from tireg.domain.scores import Run
from tireg.errors import BaseError
from tireg.fanout import Desk, InProcess
from tireg.fanout.units import reader
from tireg.models.folders import identify
from tireg.shapes import scorer_path
from tireg.store.registry import Registry
from tireg.workflows.bases import fingerprint_of
from tireg.workflows.evaluate import EvalRequest, evaluate
from tireg.workflows.many import ManyRequest, evaluate_many
from tireg.workflows.many_setup import prepare
from tireg.workflows.many_units import Ground, _fetched, evaluate_cell
from tireg.workflows.places import find_base
from tireg.workflows.progress import silent

REPO = "someone/tiny"
COMMIT = "c" * 40


@pytest.fixture
def snapshot(tiny_sd1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base in the Hub's cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repo = tmp_path / "hub" / f"models--{REPO.replace('/', '--')}"
    shutil.copytree(tiny_sd1, repo / "snapshots" / COMMIT)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    return repo / "snapshots" / COMMIT


@pytest.fixture
def request_(home: Path, snapshot: Path, tmp_path: Path) -> EvalRequest:
    """A word that was made on the base, and how to score it. Where the base is, is not known."""
    family = identify(snapshot)
    ref = BaseRef(
        id=REPO, revision=COMMIT, family=family.id,
        fingerprint=fingerprint_of(home, snapshot, family),
    )  # fmt: skip
    add_word(home, snapshot, "other")
    with Registry.open(home) as registry:
        record = registry.resolve("other").record
        registry.add(record.model_copy(update={"name": "ball", "base": ref}), {})
    suite = tmp_path / "small.yaml"
    suite.write_text(SUITE)
    return EvalRequest(
        ref="ball", suite=str(suite), encoders=[str(scorer_path())], steps=2, size=64, batch=4
    )


def test_a_base_that_was_fetched_stays_at_its_revision(
    home: Path, request_: EvalRequest, snapshot: Path
) -> None:
    first = evaluate(request_, home=home)
    assert first.run.spec.base_revision == COMMIT
    with Registry.open(home) as registry:
        (known,) = [row for row in registry.bases() if row.id == REPO]
    assert known.path == str(snapshot), "it is remembered now"
    again = evaluate(request_, home=home)
    assert (again.run.run_id, again.added) == (first.run.run_id, False)
    engine = InProcess()
    for attempts in (1, 0):
        (scored,) = evaluate_many(ManyRequest(["ball"], (), request_), home=home, engine=engine)
        assert scored.done is not None
        assert (scored.done.run.run_id, scored.done.added) == (first.run.run_id, False)
        assert scored.attempts == attempts, "the key of the unit did not change either"
    with Registry.open(home) as registry:
        assert len([row for row in registry.bases() if row.id == REPO]) == 1


def test_another_machine_takes_the_base_at_the_same_commit(
    home: Path, request_: EvalRequest, snapshot: Path, tmp_path: Path
) -> None:
    here = evaluate(request_, home=home).run
    setup = prepare(["ball"], (), request_, home, silent)
    unit = setup.unit(setup.home_cells[0], None)
    files = {sha: str(path) for sha, path in unit.files.items()}
    ground = Ground(**unit.given["ground"])
    # The folder of this machine is none of the other one, whose own cache has the base.
    away = replace(ground, folder=str(tmp_path / "of another machine"))
    there = tmp_path / "there"
    there.mkdir()
    desk = Desk(there, None, reader(files, {}), lambda _: None)
    made = evaluate_cell({**unit.given, "ground": asdict(away)}, desk)
    run = Run.model_validate(made.record["run"])
    assert (run.run_id, run.scores, run.files) == (here.run_id, here.scores, here.files)
    _fetched.clear()
    gone = replace(away, id="no-such-base", revision=None)
    with pytest.raises(BaseError, match="on this machine") as caught:
        gone.here()
    assert "same folder" in caught.value.hint


def test_a_folder_of_any_other_name_has_no_revision(tiny_sd1: Path, snapshot: Path) -> None:
    assert find_base("a/b", {"a/b": str(tiny_sd1)}).revision is None
    assert find_base("a/b", {"a/b": str(snapshot)}).revision == COMMIT
