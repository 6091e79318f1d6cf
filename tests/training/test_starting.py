"""Cross-initialisation, and words chosen by likeness and loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tireg.errors import RecipeError
from tireg.models import bases
from tireg.models.tokens import word_ids
from tireg.training.starting import candidate_words, choose_words, cross_rows


def test_cross_rows_are_the_encoders_output_at_the_length_of_words(tiny_sd1: Path) -> None:
    encoder = bases.open_base(tiny_sd1, device="cpu").encoders["clip_l"]
    rows = cross_rows(encoder, "cat dog", 2, 0.7, seed=0)
    assert rows is not None
    ids = encoder.tokenizer("a photo of a cat dog", return_tensors="pt").input_ids
    at = ids[0].tolist().index(word_ids(encoder.tokenizer, "cat")[0])
    with torch.no_grad():
        out = encoder.model(ids).last_hidden_state[0, at : at + 2]
    assert torch.allclose(rows, out / out.norm(dim=-1, keepdim=True) * 0.7, atol=1e-5)
    with pytest.raises(RecipeError, match="zzqxw"):
        cross_rows(encoder, "zzqxw", 2, 0.7, seed=0)
    words = candidate_words([encoder.tokenizer])
    assert {"cat", "orange"} <= set(words)
    assert not {"the", "and"} & set(words)


LIKE = {"orange": 0.5, "square": 0.4, "cat": 0.1, "dog": 0.0}


def rank(texts: Sequence[str]) -> list[float]:
    return [sum(LIKE[w] for w in t.split()) - 0.01 * t.startswith("square") for t in texts]


def rows_of(words: str) -> Mapping[str, np.ndarray]:
    return {"clip_l": np.array([[float(len(words.split()))]], dtype=np.float32)}


def test_the_lowest_loss_wins_and_says_so() -> None:
    fewest = choose_words(list(LIKE), "square", rank, rows_of, lambda r: [float(r["clip_l"][0, 0])])
    assert " " not in fewest.words
    most = choose_words(
        list(LIKE), "square", rank, rows_of, lambda r: [1 / float(r["clip_l"][0, 0])]
    )
    assert most.words == "orange square"
    assert most.why == (
        "started from 'orange square' (loss 0.500 against 1.000 for 'square', "
        "similarity rank 1 of 16)"
    )
    again = choose_words(
        list(LIKE), "square", rank, rows_of, lambda r: [1 / float(r["clip_l"][0, 0])]
    )
    assert again == most


def test_likeness_decides_without_a_probe_and_nothing_is_an_error() -> None:
    assert choose_words(list(LIKE), "", rank, rows_of, None).words == "orange square"
    with pytest.raises(RecipeError, match="no word"):
        choose_words([], "cat", rank, rows_of, None)
