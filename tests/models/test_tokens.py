"""New words: matched as a whole, read from their own rows, and gone without a trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tireg.errors import BaseError, TokenError
from tireg.models import bases
from tireg.models.tokens import TokenRows, extend_tokenizer, is_ordinary_word, word_pattern


@pytest.fixture
def base(tiny_sd1: Path) -> bases.Base:
    return bases.open_base(tiny_sd1, device="cpu")


def rows(count: int, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


def encode(base: bases.Base, prompt: str) -> torch.Tensor:
    tokenizer = base.pipe.tokenizer
    ids = tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        states: torch.Tensor = base.pipe.text_encoder(ids)[0]
    return states


@pytest.mark.parametrize(
    ("word", "text", "matches"),
    [
        ("<x>", "a <x>, and <x>s", 2),
        ("cat", "a cat in a cathedral, bobcat", 1),
        ("<a>", "an <A> and <a>", 1),
        ("a.b", "a.b axb", 1),
    ],
)
def test_a_word_matches_only_as_a_whole(word: str, text: str, matches: int) -> None:
    assert len(word_pattern({word: 1}).findall(text)) == matches


def test_the_longer_of_two_words_wins() -> None:
    assert word_pattern({"<x>": 1, "<x>2": 1}).findall("<x>2 <x>") == ["<x>2", "<x>"]


def test_one_word_becomes_n_fresh_ids_in_order(base: bases.Base) -> None:
    tokenizer = base.pipe.tokenizer
    clone = extend_tokenizer(tokenizer, {"<one>": 1, "<three>": 3})
    first = len(tokenizer)
    ids = clone("a photo of a <three> and <one>").input_ids
    assert [i - first for i in ids if i >= first] == [1, 2, 3, 0]
    assert len(tokenizer) == first
    assert tokenizer("a <one>").input_ids == base.pipe.tokenizer("a <one>").input_ids


def test_words_beside_the_new_one_are_encoded_as_ever(base: bases.Base) -> None:
    clone = extend_tokenizer(base.pipe.tokenizer, {"<x>": 2})
    plain = base.pipe.tokenizer("a photo of a , in a cathedral").input_ids
    first = len(base.pipe.tokenizer)
    assert [i for i in clone("a photo of a <x>, in a cathedral").input_ids if i < first] == plain


def test_lists_and_nested_lists_are_expanded(base: bases.Base) -> None:
    clone = extend_tokenizer(base.pipe.tokenizer, {"<x>": 1})
    first = len(base.pipe.tokenizer)
    many = clone(["a <x>", "a cat"]).input_ids
    assert first in many[0]
    assert first not in many[1]


def test_loading_reads_the_given_rows(base: bases.Base) -> None:
    given = rows(2)
    wrapper = bases.load(base.pipe, {"<x>": {"clip_l": given}})["clip_l"]
    ids = torch.tensor([[3, wrapper.first, wrapper.first + 1]])
    got = wrapper(ids)[0]
    table = wrapper.table(torch.tensor([3]))[0]
    assert torch.equal(got[0], table)
    assert np.array_equal(got[1:].detach().numpy(), given)


def test_unloading_restores_the_very_same_objects(base: bases.Base) -> None:
    table, tokenizer = base.pipe.text_encoder.get_input_embeddings(), base.pipe.tokenizer
    before = {n: p.clone() for n, p in base.pipe.text_encoder.state_dict().items()}
    plain = encode(base, "a photo of a cat")
    bases.load(base.pipe, {"<x>": {"clip_l": rows(2)}})
    bases.load(base.pipe, {"<y>": {"clip_l": rows(1, seed=1)}})
    assert torch.equal(encode(base, "a photo of a cat"), plain)
    bases.unload(base.pipe)
    assert base.pipe.text_encoder.get_input_embeddings() is table
    assert base.pipe.tokenizer is tokenizer
    after = base.pipe.text_encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_a_second_word_leaves_the_first_as_it_was(base: bases.Base) -> None:
    bases.load(base.pipe, {"<x>": {"clip_l": rows(2)}})
    first = encode(base, "a <x> here")
    bases.load(base.pipe, {"<y>": {"clip_l": rows(1, seed=1)}})
    assert torch.equal(encode(base, "a <x> here"), first)
    assert not torch.equal(encode(base, "a <y> here"), first)


def test_the_end_token_is_pooled_not_the_new_word(tmp_path: Path) -> None:
    """Configs that say eos_token_id 2 pool at the highest id, which would be the new row."""
    from tests.tinypipes import build_sd1

    old = bases.open_base(build_sd1(tmp_path / "old", legacy_eos=True), device="cpu")
    new = bases.open_base(build_sd1(tmp_path / "new"), device="cpu")

    def pooled(base: bases.Base, prompt: str) -> torch.Tensor:
        ids = base.pipe.tokenizer(
            prompt, padding="max_length", max_length=77, return_tensors="pt"
        ).input_ids
        with torch.no_grad():
            result: torch.Tensor = base.pipe.text_encoder(ids).pooler_output
        return result

    plain = pooled(old, "a cat")
    for base in (old, new):
        bases.load(base.pipe, {"<x>": {"clip_l": rows(2)}})
    assert torch.equal(pooled(old, "a <x> there"), pooled(new, "a <x> there"))
    assert torch.equal(pooled(old, "a cat"), plain)
    bases.unload(old.pipe)
    assert old.pipe.text_encoder.config.eos_token_id == 2
    assert all(getattr(m, "eos_token_id", 2) == 2 for m in old.pipe.text_encoder.modules())


def test_a_width_that_does_not_fit_is_refused(base: bases.Base) -> None:
    with pytest.raises(BaseError, match="width 16"):
        bases.load(base.pipe, {"<x>": {"clip_l": rows(1, width=16)}})
    assert not isinstance(base.pipe.text_encoder.get_input_embeddings(), TokenRows)


def test_rows_for_another_encoder_are_refused(base: bases.Base) -> None:
    with pytest.raises(BaseError, match="no rows for any encoder"):
        bases.load(base.pipe, {"<x>": {"t5xxl": rows(1)}})


def test_ordinary_words_are_known(base: bases.Base) -> None:
    assert is_ordinary_word(base.pipe.tokenizer, "cat")
    assert is_ordinary_word(base.pipe.tokenizer, "Cat")
    assert not is_ordinary_word(base.pipe.tokenizer, "<my-cat>")
    with pytest.raises(TokenError, match="ordinary word"):
        bases.check_new_word(base, "photo")


def test_our_rows_and_diffusers_own_loader_encode_alike(tiny_sd1: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    from tireg.workflows.vectors import pack_vectors

    ours, theirs = bases.open_base(tiny_sd1), StableDiffusionPipeline.from_pretrained(tiny_sd1)
    given = rows(3)
    bases.load(ours.pipe, {"<x>": {"clip_l": given}})
    file = tmp_path / "learned_embeds.safetensors"
    file.write_bytes(pack_vectors("<x>", {"clip_l": given}))
    theirs.load_textual_inversion(str(file))
    prompt = "a photo of a <x> on a table"
    with torch.no_grad():
        mine = ours.pipe.encode_prompt(prompt, "cpu", 1, False)[0]
        other = theirs.encode_prompt(prompt, "cpu", 1, False)[0]
    assert torch.equal(mine, other)


def test_an_encoder_that_would_pool_at_a_new_row_is_refused_before_training(
    tiny_sd1: Path,
) -> None:
    from tireg.models.readings import read_prompts

    base = bases.open_base(tiny_sd1, device="cpu")
    width = base.encoders["clip_l"].model.get_input_embeddings().weight.shape[1]
    bases.load(base.pipe, {"<x>": {"clip_l": np.ones((2, width), np.float32)}})
    read_prompts(base, ["a photo of a <x>"], "<x>")
    for module in base.pipe.text_encoder.modules():
        if hasattr(module, "eos_token_id"):
            module.eos_token_id = 2
    with pytest.raises(TokenError, match="a new row for the end of the prompt"):
        read_prompts(base, ["a photo of a <x>"], "<x>")
