"""Rows begin as words, phrases or chance, at the length of words in use."""

from __future__ import annotations

import pytest
import torch

from tests.tinypipes import write_tokenizer
from tests.tinypipes_more import unigram_tokenizer
from tireg.errors import RecipeError
from tireg.models.tokens import word_ids
from tireg.training.rows import phrase_ids, random_rows, start_rows, words_norm


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, torch.Tensor]:
    from transformers import CLIPTokenizer

    folder = tmp_path_factory.mktemp("words") / "tokenizer"
    size = write_tokenizer(folder)["size"]
    table = torch.randn((size, 16), generator=torch.Generator().manual_seed(0))
    return CLIPTokenizer.from_pretrained(folder), table


def test_every_piece_of_a_phrase_is_used(clip: tuple[object, torch.Tensor]) -> None:
    tokenizer, table = clip
    ids = word_ids(tokenizer, "orange cathedral")
    assert len(ids) > 2, "cathedral is in pieces"
    assert torch.equal(
        start_rows(tokenizer, table, "orange cathedral", len(ids), seed=0), table[ids]
    )
    fewer = start_rows(tokenizer, table, "orange cathedral", 2, seed=0)
    group = table[ids[: (len(ids) + 1) // 2]]
    assert torch.allclose(
        torch.cosine_similarity(fewer[0], group.mean(dim=0), dim=0), torch.tensor(1.0)
    )
    assert torch.allclose(fewer[0].norm(), group.norm(dim=-1).mean())
    more = start_rows(tokenizer, table, "cat dog", 5, seed=0)
    assert torch.equal(more[:2], table[word_ids(tokenizer, "cat dog")])
    assert not torch.equal(more[2], more[4])


def test_unknown_words_are_refused_with_others(clip: tuple[object, torch.Tensor]) -> None:
    tokenizer, _ = clip
    for word in ("zzqxw", "猫"):
        with pytest.raises(RecipeError, match=word) as caught:
            phrase_ids(tokenizer, f"cat {word}")
        assert caught.value.hint
    with pytest.raises(RecipeError, match="trianglle") as caught:
        phrase_ids(unigram_tokenizer(), "trianglle")
    with pytest.raises(RecipeError, match="no initial word"):
        phrase_ids(tokenizer, " ")


def test_vocabularies_with_a_sign_for_spaces() -> None:
    tokenizer = unigram_tokenizer()
    vocabulary = tokenizer.get_vocab()
    assert phrase_ids(tokenizer, "small cat") == [vocabulary["▁small"], vocabulary["▁cat"]]
    with pytest.raises(RecipeError, match="猫"):
        phrase_ids(tokenizer, "cat 猫")


def test_random_rows_are_as_long_as_words_and_spread_as_words_are(
    clip: tuple[object, torch.Tensor],
) -> None:
    tokenizer, table = clip
    strong = table * torch.tensor([10.0] + [1.0] * 15)
    scale = words_norm(tokenizer, strong)
    rows = random_rows(tokenizer, strong, 400, scale, seed=1)
    assert torch.allclose(rows.norm(dim=-1), torch.full((400,), scale), rtol=1e-5)
    assert float(rows[:, 0].std()) > 3 * float(rows[:, 1:].std())
    assert torch.equal(rows, random_rows(tokenizer, strong, 400, scale, seed=1))
    assert not torch.equal(rows, random_rows(tokenizer, strong, 400, scale, seed=2))
