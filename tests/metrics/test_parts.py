"""Declarations, and the pieces that metrics are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.metrics.builders import WIDTH, prompts, random_block, unit, world
from tireg.errors import EvaluationError
from tireg.metrics import METRICS, Samples, Words, compute_all
from tireg.metrics.background_leakage import training_words
from tireg.metrics.collapse_text import norm_ratio
from tireg.metrics.copying import nearest
from tireg.metrics.samples import pack, pack_text

EYE = np.eye(WIDTH)


class TestDeclarations:
    @pytest.mark.parametrize("name", sorted(METRICS))
    def test_declares_all_that_is_needed_to_read_it(self, name: str) -> None:
        declared = METRICS[name]
        assert declared.name == name
        assert declared.version >= 1
        low, high = declared.range
        assert low <= declared.null <= high
        for words in (declared.baseline, declared.bad, declared.formula, declared.source):
            assert len(words) > 10
        assert (declared.target is not None) == (declared.direction == "target")

    def test_values_stay_in_their_range(self) -> None:
        for seed in range(5):
            for name, result in compute_all(world(seed)).items():
                low, high = METRICS[name].range
                assert result.unscored is None, name
                assert result.value is not None
                assert low <= result.value <= high


class TestParts:
    def test_best_of_a_random_subset_is_exact(self) -> None:
        rng = np.random.default_rng(0)
        image, references = random_block(rng, 1, 1), random_block(rng, 6)
        cosines = references @ image[0, 0]
        picks = np.array([rng.permutation(6)[:3] for _ in range(20000)])
        assert nearest(image, references, 3)[0, 0] == pytest.approx(
            cosines[picks].max(axis=1).mean(), abs=0.01
        )
        assert nearest(image, references, 6)[0, 0] == pytest.approx(cosines.max())
        assert nearest(image, references, 1)[0, 0] == pytest.approx(cosines.mean())

    def test_training_words_are_those_that_most_pictures_name(self) -> None:
        words = Words(("snow", "sofa", "sea"), EYE[:3])
        references = unit(np.stack([EYE[1] + 0.1 * EYE[i] for i in range(3, 7)] + [EYE[0]]))
        assert training_words(references, words) == ("sofa",)
        assert training_words(EYE[:3], words) == ()

    def test_norm_ratio(self) -> None:
        assert norm_ratio(3.0 * EYE[:2], EYE) == pytest.approx(3.0)
        with pytest.raises(EvaluationError):
            norm_ratio(EYE, EYE[:0])

    def test_pack_lays_rows_out_and_normalises(self) -> None:
        block = pack(2 * EYE[:3], [0, 1, 1], [1, 0, 1], (2, 2))
        assert np.isnan(block[0, 0]).all()
        assert block[1, 1].tolist() == EYE[2].tolist()
        assert pack_text(EYE[:1], [1], 2)[1].tolist() == EYE[0].tolist()

    @pytest.mark.parametrize(
        ("features", "p", "s", "words"),
        [
            (EYE[:2], [0, 0], [0, 0], "given twice"),
            (EYE[:1], [2], [0], "outside"),
            (np.zeros((1, 3)), [0], [0], "no direction"),
            (np.full((1, 3), np.inf), [0], [0], "no direction"),
            (EYE[:2], [0], [0], "belong together"),
        ],
    )
    def test_pack_refuses(
        self, features: np.ndarray, p: list[int], s: list[int], words: str
    ) -> None:
        with pytest.raises(EvaluationError, match=words):
            pack(features, p, s, (2, 2))

    @pytest.mark.parametrize(
        "fields",
        [
            {"images": {"clip": {"token": np.zeros((3, 1, 4)) + 9}}},
            {"images": {"clip": {"token": np.ones((2, 1, 1))}}},
            {"texts": {"class": np.ones((2, 1))}},
            {"texts": {"class": 2 * np.ones((3, 1))}},
            {"references": {"clip": np.ones(4)}},
            {"others": {"clip": {"b": 2 * np.ones((1, 1))}}},
            {"pixels": {"class": np.array([["a"]])}},
            {"probe": {"token": 2 * np.ones((4, 1))}},
        ],
    )
    def test_samples_of_the_wrong_shape_or_length_are_refused(self, fields: dict[str, Any]) -> None:
        with pytest.raises(EvaluationError):
            Samples(prompts=prompts(3), seeds=(0,), **fields)

    def test_words_must_fit(self) -> None:
        with pytest.raises(EvaluationError, match="2 names and 1"):
            Words(("a", "b"), EYE[:1])
