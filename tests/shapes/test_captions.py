"""Captions, prompts and the tokenizer that reads them."""

from __future__ import annotations

import re
from colorsys import rgb_to_hsv

import numpy as np
import pytest

from tireg.shapes import base_path
from tireg.shapes.captions import (
    ATTRIBUTE_WORDS,
    MAX_TOKENS,
    OBJECT_PREFIXES,
    SCORED,
    STYLE_PREFIXES,
    WORDLESS_PAIRS,
    caption,
    color_words,
    prompt,
    shade_words,
    spoken,
    vocabulary,
    zero_shot_prompts,
)
from tireg.shapes.concepts import CONCEPTS
from tireg.shapes.world import HUES, POSITIONS, SHAPES, Scene, draw_scenes

SCENES = draw_scenes(11, 1500)


def _captions() -> list[tuple[Scene, str]]:
    rng = np.random.default_rng(12)
    return [(scene, caption(scene, rng)) for scene in SCENES]


def _words(text: str) -> list[str]:
    return re.findall("[a-z]+", text)


def test_captions_use_only_words_of_the_vocabulary() -> None:
    known = set(vocabulary())
    for _, text in _captions():
        assert re.fullmatch("[a-z ,-]+", text)
        assert set(_words(text)) <= known


def test_captions_say_nothing_that_is_not_in_the_scene() -> None:
    for scene, text in _captions():
        said = spoken(text)
        assert said["shape"] in (None, scene.shape)
        assert said["background"] in (None, scene.background)
        assert said["position"] in (None, scene.position)
        assert said["hue"] in (None, scene.hue)
        assert said["second_hue"] in (None, scene.second_hue)
        assert said["fill"] in (None, scene.fill)
        assert said["style"] in (None, scene.style)
        assert said["tint"] in (None, scene.tint_name)
        assert said["shade"] in (None, color_words(None, scene.color))
        assert said["second_shade"] in (None, color_words(None, scene.second))
        assert said["tint_shade"] in (None, shade_words(scene.tint))


def test_every_attribute_word_is_spoken_somewhere() -> None:
    heard: dict[str, set[str | None]] = {name: set() for name in ATTRIBUTE_WORDS}
    for _, text in _captions():
        for name, word in spoken(text).items():
            heard[name].add(word)
    for name in (*SCORED, "shade", "tint_shade"):
        assert set(ATTRIBUTE_WORDS[name]) - heard[name] <= {"plain"}, name


def test_wordless_pairs_are_drawn_but_never_named_together() -> None:
    drawn = 0
    for scene, text in _captions():
        pair = (scene.hue, scene.second_hue)
        if scene.fill in ("split", "stacked") and pair in WORDLESS_PAIRS:
            drawn += 1
            assert (spoken(text)["hue"], spoken(text)["second_hue"]) == (None, None)
    assert drawn > 3


def test_spoken_reads_a_full_caption() -> None:
    said = spoken(
        "a red stylized photo of a split blue and white ring at the top on a gray background"
    )
    assert said == {
        "shape": "ring",
        "hue": "blue",
        "second_hue": "white",
        "background": "gray",
        "fill": "split",
        "position": "top",
        "style": "tinted",
        "tint": "red",
        "shade": None,
        "second_shade": None,
        "tint_shade": None,
    }
    said = spoken("a bluish green stylized photo of a red and yellowish green star")
    assert (said["tint"], said["tint_shade"]) == (None, "bluish green")
    assert (said["hue"], said["second_hue"]) == ("red", None)
    assert said["second_shade"] == "yellowish green"


def test_hues_of_concepts_have_no_words_and_their_neighbours_have() -> None:
    for own in CONCEPTS.values():
        if own.sort == "hue":
            hue = rgb_to_hsv(*own.color)[0]
        elif own.sort == "tint":
            hue = own.tint
        else:
            continue
        assert all(shade_words(hue + off) is None for off in (-0.01, 0.0, 0.01)), own.name
        assert shade_words(hue - 0.07) is not None
        assert shade_words(hue + 0.07) is not None


@pytest.fixture(scope="module")
def tokenizer() -> object:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(base_path() / "tokenizer")


def test_every_word_is_one_token_and_every_text_fits(tokenizer: object) -> None:
    from transformers import CLIPTokenizer

    assert isinstance(tokenizer, CLIPTokenizer)
    for word in vocabulary():
        assert len(tokenizer.tokenize(word)) == 1, word
    prompts = [prompt(s, "red", "blue", n) for s in SHAPES for n in range(5)]
    prompts += [text for name in SCORED for n in range(5) for text in zero_shot_prompts(name, n)]
    training = [f"{start} striped purple triangle" for start in OBJECT_PREFIXES]
    training += [f"{start} purple stylized photo" for start in STYLE_PREFIXES]
    for text in [*prompts, *training, *(text for _, text in _captions())]:
        numbers = tokenizer(text)["input_ids"]
        assert len(numbers) <= MAX_TOKENS
        pieces = [tokenizer.convert_ids_to_tokens(n) for n in numbers[1:-1]]
        assert all(piece.endswith("</w>") for piece in pieces), text


def test_the_tokenizer_splits_unknown_text_into_bytes_and_ends_with_the_last_number(
    tokenizer: object,
) -> None:
    from transformers import CLIPTokenizer

    assert isinstance(tokenizer, CLIPTokenizer)
    numbers = tokenizer("a dog, 7 żółw")["input_ids"]
    assert tokenizer.eos_token_id == len(tokenizer) - 1 == tokenizer.pad_token_id
    assert numbers[0] == tokenizer.bos_token_id
    assert numbers.count(tokenizer.eos_token_id) == 1


def test_zero_shot_prompts_differ_and_match_their_words() -> None:
    for name in SCORED:
        for number in range(5):
            texts = zero_shot_prompts(name, number)
            assert len(texts) == len(set(texts)) == len(ATTRIBUTE_WORDS[name])
    assert spoken(zero_shot_prompts("background", 2)[0])["background"] == HUES[0]
    for word, text in zip(POSITIONS, zero_shot_prompts("position"), strict=True):
        assert spoken(text)["position"] == word
