"""Tokens, templates, captions, and which prompts a picture is shown with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tireg.domain.concepts import (
    KINDS,
    TEMPLATES,
    Kind,
    caption_prompt,
    check_templates,
    check_token,
    holds_token,
    parse_captions,
    parse_templates,
    prompts_for,
)
from tireg.errors import ConceptError, TokenError


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_templates_are_sound(kind: Kind) -> None:
    assert check_templates(TEMPLATES[kind]) == TEMPLATES[kind]
    assert len(set(TEMPLATES[kind])) == len(TEMPLATES[kind])


@pytest.mark.parametrize("token", ["", "two words", "a\tb", "x" * 65, "<|endoftext|>", "</s>"])
def test_a_token_that_cannot_serve_is_refused(token: str) -> None:
    with pytest.raises(TokenError):
        check_token(token)


@pytest.mark.parametrize(
    ("line", "says", "hint"),
    [
        ("a photo of a cat", "exactly once", "a photo of a {token}"),
        ("{token} and {token}", "exactly once", "a photo"),
        ("a photo of [name]", "[name]", "write {token}"),
        ("[filewords]", "[filewords]", "name.txt"),
        ("a photo of a {}", "{}", "write {token}"),
        ("a photo of <embedding>", "<embedding>", "write {token}"),
        ("a {token} in {place}", "{place}", "only slot"),
        ("{token} " + "x" * 2000, "2000 characters", ""),
    ],
)
def test_a_template_file_is_checked_line_by_line(line: str, says: str, hint: str) -> None:
    with pytest.raises(ConceptError) as caught:
        parse_templates(f"a {{token}}\n\n{line}\n", "'mine.txt'")
    assert says in caught.value.message
    assert "line 3 of 'mine.txt'" in caught.value.message
    assert hint in caught.value.hint


def test_templates_are_one_a_line() -> None:
    text = "a  {token}\r\n\r\n  the {token} \na {token}\n"
    assert parse_templates(text, "t") == ("a {token}", "the {token}")
    with pytest.raises(ConceptError, match="no prompt template"):
        parse_templates("\n \n", "t")


def test_captions_are_one_a_line_and_capped() -> None:
    assert parse_captions(" a  cat \n\na dog\na cat\n", "c") == ("a cat", "a dog")
    assert parse_captions("\n", "c") == ()
    with pytest.raises(ConceptError, match="2001 characters"):
        parse_captions("x" * 2001, "c")
    with pytest.raises(ConceptError, match="control characters"):
        parse_captions("a\x00b", "c")


@pytest.mark.parametrize(
    ("kind", "caption", "prompt"),
    [
        ("object", "{token} on a shelf", "<x> on a shelf"),
        ("object", "my <x> on a shelf", "my <x> on a shelf"),
        ("object", "on a shelf", "a photo of a <x>, on a shelf"),
        ("subject", "on a sofa", "a photo of <x>, on a sofa"),
        ("style", "a harbour", "a picture in the style of <x>, a harbour"),
    ],
)
def test_the_token_stands_where_it_is_named_else_in_front(
    kind: Kind, caption: str, prompt: str
) -> None:
    assert caption_prompt(kind, caption, "<x>") == prompt


def test_a_token_of_letters_is_a_word_of_its_own() -> None:
    assert holds_token("a cat.", "cat")
    assert not holds_token("a concatenation", "cat")
    assert caption_prompt("subject", "concatenation", "cat") == "a photo of cat, concatenation"


@pytest.mark.parametrize("caption", ["<x> and <x>", "{token} and <x>", "{token} {token}"])
def test_a_token_named_twice_is_refused(caption: str) -> None:
    with pytest.raises(ConceptError, match="2 times"):
        caption_prompt("object", caption, "<x>")


def test_each_picture_is_shown_with_its_own_captions_or_with_the_templates() -> None:
    prompts, per = prompts_for(
        "object",
        ["a {token}", "the {token}"],
        [["a {token} here", "there"], [], ["the <x>"]],
        "<x>",
    )
    assert [[prompts[i] for i in own] for own in per] == [
        ["a <x> here", "a photo of a <x>, there"],
        ["a <x>", "the <x>"],
        ["the <x>"],
    ]
    assert len(set(prompts)) == len(prompts)


def test_templates_that_no_picture_needs_are_left_out() -> None:
    assert prompts_for("object", ["a {token}"], [["my {token}"]], "<x>") == (["my <x>"], [[0]])
    assert prompts_for("object", ["a {token}"], None, "<x>", 2) == (["a <x>"], [[0], [0]])


@given(st.lists(st.lists(st.text(alphabet="ab <>x,", max_size=8), max_size=3), max_size=4))
def test_every_prompt_holds_the_token_once_and_every_index_exists(
    captions: list[list[str]],
) -> None:
    clean = [[c for c in own if "<x>" not in c] for own in captions]
    prompts, per = prompts_for("style", TEMPLATES["style"], clean, "<x>")
    assert all(prompt.count("<x>") == 1 for prompt in prompts)
    assert all(own and max(own) < len(prompts) for own in per)
    assert {i for own in per for i in own} == set(range(len(prompts)))
