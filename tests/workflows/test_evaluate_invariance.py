"""A picture and a score depend on what was asked, not on order, neighbours or interruptions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.workflows.evaluating import SUITE, add_word
from tireg.domain.scores import Run, Sampling
from tireg.models.bases import Base, open_base
from tireg.models.encoders import ClipEncoder, open_encoder
from tireg.shapes import scorer_path
from tireg.workflows.drawing import PictureCache, Wish, draw_wishes
from tireg.workflows.evaluate import EvalRequest, evaluate
from tireg.workflows.progress import Event, Notice, silent

SAMPLING = Sampling(
    sampler="ddim", steps=2, guidance=5.0, width=64, height=64, dtype="fp32", device="cpu", batch=4
)
WISHES = [Wish(f"a {word}", seed) for word in ("cat", "red star", "house") for seed in (0, 1)]


@pytest.fixture(scope="module")
def base(tiny_sd1: Path) -> Base:
    return open_base(tiny_sd1, device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def scorer() -> ClipEncoder:
    return open_encoder(str(scorer_path()), device=torch.device("cpu"))


def drawn(base: Base, wishes: Sequence[Wish], folder: Path) -> dict[Wish, np.ndarray]:
    return draw_wishes(
        base, wishes, SAMPLING, "0" * 64, cache=PictureCache(folder), listen=silent, task="drawing"
    )


def test_pictures_depend_neither_on_order_nor_on_who_draws_the_rest(
    base: Base, tmp_path: Path
) -> None:
    first = drawn(base, WISHES, tmp_path / "one")
    backwards = drawn(base, WISHES[::-1], tmp_path / "two")
    shared = tmp_path / "three"  # two workers, each with its share, in one cache
    halves = drawn(base, WISHES[::2], shared) | drawn(base, WISHES[1::2], shared)
    drawn(base, WISHES[:3], tmp_path / "four")  # cut off in the middle of a batch
    resumed = drawn(base, WISHES, tmp_path / "four")
    for wish in WISHES:
        for other in (backwards, halves, resumed):
            assert (other[wish] == first[wish]).all()
    assert (first[WISHES[0]] != first[WISHES[1]]).any()


def test_features_depend_neither_on_order_nor_on_the_padding(scorer: ClipEncoder) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (40, 32, 3), dtype=np.uint8) for _ in range(5)]
    whole = scorer.pictures(pictures)
    assert (scorer.pictures(pictures[::-1])[::-1] == whole).all()
    assert (np.concatenate([scorer.pictures([p]) for p in pictures]) == whole).all()
    assert np.allclose(np.linalg.norm(whole, axis=1), 1.0, atol=1e-6)


class Cut(Exception):
    """What ends a run in this test."""


def run(home: Path, word: str, suite: Path, *, cut: int | None = None, batch: int = 4) -> Run:
    seen = 0

    def listen(event: Event | Notice) -> None:
        nonlocal seen
        if isinstance(event, Event) and event.task.startswith("drawing") and event.done:
            seen += 1
            if seen == cut:
                raise Cut

    request = EvalRequest(
        ref=word, suite=str(suite), encoders=[str(scorer_path())], steps=2, size=64, batch=batch
    )
    return evaluate(request, home=home, listen=listen).run


def test_a_cut_run_goes_on_and_ends_the_same(tiny_sd1: Path, tmp_path: Path) -> None:
    suite = tmp_path / "small.yaml"
    suite.write_text(SUITE)
    homes = [tmp_path / "a", tmp_path / "b"]
    words = [add_word(home, tiny_sd1, "ball") for home in homes]
    undisturbed = run(homes[0], words[0], suite)
    with pytest.raises(Cut):
        run(homes[1], words[1], suite, cut=6)
    assert not list((homes[1] / "runs").glob("*.json")), "nothing half recorded"
    resumed = run(homes[1], words[1], suite)
    assert resumed.run_id == undisturbed.run_id
    assert resumed.scores == undisturbed.scores
    assert resumed.files == undisturbed.files, "the same sheet and the same scores per picture"
    other = {s.metric: s for s in run(homes[1], words[1], suite, batch=3).scores}
    for score in undisturbed.scores:
        if score.value is not None:
            assert other[score.metric].value == pytest.approx(score.value, abs=1e-3)
        if score.p_value is not None:
            assert 0 < score.p_value <= 1
            assert score.p_adjusted is not None
            assert score.p_adjusted >= score.p_value
            assert score.minimum_effect is not None
            assert len(score.prompt_values) == score.n_prompts
