"""The demonstration does the whole job: pictures, training, scores, a contact sheet."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tireg.store.registry import Registry
from tireg.workflows.demo import demo


def test_it_learns_scores_and_shows_and_learns_only_once(tmp_path: Path) -> None:
    first = demo(tmp_path)
    assert first.trained
    with Image.open(first.sheet) as sheet:
        assert sheet.width > 100
    scores = {score.metric: score for score in first.run.scores}
    likeness = scores["concept_fidelity"]
    assert likeness.value is not None
    assert likeness.value > 0.3, "the word of the demonstration is not like its pictures"
    assert len([one for one in scores.values() if one.value is not None]) >= 6
    again = demo(tmp_path)
    assert not again.trained
    assert again.run.run_id == first.run.run_id
    with Registry.open(tmp_path, create=False) as registry:
        assert registry.resolve(first.version.name).version == first.version.version
