from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tireg.domain.suites import (
    CONDITIONS,
    FREE_ROLES,
    SLOT_ROLES,
    Prompt,
    Suite,
    conditions_for,
    fill,
    load_suite,
    read_suite,
    suite_names,
)
from tireg.errors import SchemaTooNewError, SuiteError
from tireg.shapes.captions import caption
from tireg.shapes.world import draw_scenes

SMALL = """
format_version: 1
name: mine
version: 1
kind: object
title: "Mine"
source: "me"
seeds: [0, 1]
prompts:
  - id: snow
    text: "a photo of a {concept} in the snow"
    role: background
    context: in the snow
    background: [snow]
  - id: house
    text: "a photo of a house"
    role: neutral
"""

DREAMBENCH = Path(__file__).parents[2].parent / "shared/realworld/images/prompts_and_classes.txt"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@cache
def caption_words() -> set[str]:
    rng = np.random.default_rng(0)
    captions = (caption(scene, rng) for scene in draw_scenes(0, 1500))
    return {word for text in captions for word in re.findall(r"[a-z-]+", text)}


def prompt(text: str, *, empty: str | None = None) -> Prompt:
    return Prompt(id="p", text=text, role="context", empty=empty)


class TestShipped:
    @pytest.mark.parametrize("name", suite_names())
    def test_every_suite_loads_and_is_named_as_its_file(self, name: str) -> None:
        suite = load_suite(name)
        assert suite.name == name
        assert all(p.context for p in suite.with_role(*SLOT_ROLES))
        contexts = [p.context for p in suite.with_role(*SLOT_ROLES)]
        assert len(set(contexts)) == len(contexts), "two prompts share a context"

    @pytest.mark.parametrize("name", ["object", "subject", "style", "shapes", "shapes-style"])
    def test_full_suites_are_large_and_have_every_role(self, name: str) -> None:
        suite = load_suite(name)
        assert len(suite.with_role(*SLOT_ROLES)) >= 20
        assert len(suite.seeds) >= 4
        assert {p.role for p in suite.prompts} == set(SLOT_ROLES + FREE_ROLES)

    @pytest.mark.parametrize("name", ["object", "subject", "style", "shapes", "shapes-style"])
    def test_quick_suites_are_subsets(self, name: str) -> None:
        full = {p.id: p for p in load_suite(name).prompts}
        quick = load_suite(f"{name}-quick")
        assert all(full[p.id] == p for p in quick.prompts)
        assert len(quick.prompts) < len(full) / 2

    @pytest.mark.parametrize("name", [n for n in suite_names() if n.startswith("shapes")])
    def test_suites_of_the_built_in_base_use_only_its_words(self, name: str) -> None:
        suite = load_suite(name)
        texts = [fill(p, "class", "star") for p in suite.prompts]
        texts += [p.context or "" for p in suite.prompts]
        texts += [*suite.vocabulary("background").values(), *suite.vocabulary("object").values()]
        unknown = {
            word for text in texts for word in re.findall(r"[a-z-]+", text)
        } - caption_words()
        assert not unknown

    def test_dreambench_is_word_for_word(self) -> None:
        if not DREAMBENCH.exists():
            pytest.skip(f"the published list is not at {DREAMBENCH}")
        lines = re.findall(r"^'(a .*?)'\.format", DREAMBENCH.read_text(), flags=re.MULTILINE)
        published = [line.replace("{0} {1}", "{concept}") for line in lines]
        assert [p.text for p in load_suite("dreambench-object").prompts] == published[:25]
        assert [p.text for p in load_suite("dreambench-subject").prompts] == published[25:]
        assert "CC-BY-4.0" in load_suite("dreambench-object").source


class TestFill:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a photo of a {concept} on a green background", "a photo on a green background"),
            ("a photo of {concept}", "a photo"),
            ("a dog in the style of {concept}", "a dog"),
            ("in the style of {concept}, a dog", "a dog"),
            ("a {concept} in the jungle", "in the jungle"),
            ("a photo of the {concept} dog", "a photo of dog"),
            ("a photo of a {concept}, wet", "a photo, wet"),
            ("a cup and a {concept}", "a cup"),
            ("a photo of a {concept} wearing a hat", "a photo wearing a hat"),
            ("{concept}", ""),
        ],
    )
    def test_nothing_in_the_slot(self, text: str, expected: str) -> None:
        assert fill(prompt(text), "empty") == expected

    def test_the_prompts_own_words_for_nothing_win(self) -> None:
        assert fill(prompt("a red {concept}", empty="something red"), "empty") == "something red"

    def test_article_follows_the_noun_but_not_the_token(self) -> None:
        p = prompt("a photo of a {concept}")
        assert fill(p, "class", "umbrella") == "a photo of an umbrella"
        assert fill(p, "token", "<umbrella>") == "a photo of a <umbrella>"
        assert fill(prompt("an {concept}"), "class", "cat") == "a cat"
        assert fill(prompt("a red {concept}"), "class", "umbrella") == "a red umbrella"

    def test_a_word_with_backslash_or_group_is_taken_as_it_is(self) -> None:
        assert fill(prompt("a {concept}"), "class", r"\1\g<0>") == r"a \1\g<0>"

    def test_a_prompt_without_a_slot_reads_the_same(self) -> None:
        free = Prompt(id="p", text="a photo of a house", role="neutral")
        assert {fill(free, c, "x") for c in CONDITIONS} == {"a photo of a house"}

    def test_conditions_pair_what_is_compared(self) -> None:
        free = Prompt(id="p", text="a photo of a house", role="neutral")
        assert conditions_for(free) == ("class", "base")
        assert conditions_for(prompt("a {concept}")) == ("token", "class")
        assert conditions_for(prompt("a {concept}"), empty=True) == ("token", "class", "empty")

    def test_a_missing_word_is_said(self) -> None:
        with pytest.raises(SuiteError, match="needs a word for the condition 'class'"):
            fill(prompt("a {concept}"), "class", " ")

    @given(
        st.lists(st.sampled_from("a an the of in with and red photo cat, on".split()), max_size=6),
        st.lists(st.sampled_from("on a , of blue dog wearing".split()), max_size=5),
    )
    def test_empty_never_doubles_a_space_or_keeps_the_slot(
        self, before: list[str], after: list[str]
    ) -> None:
        text = fill(prompt(" ".join([*before, "{concept}", *after])), "empty")
        assert "  " not in text
        assert "{" not in text
        assert text == text.strip(" ,;:")


class TestFiles:
    def test_own_suite_by_path(self, tmp_path: Path) -> None:
        suite = load_suite(str(written(tmp_path, SMALL)))
        assert suite.name == "mine"
        assert [p.has_slot for p in suite.prompts] == [True, False]

    def test_unknown_name_lists_the_known(self) -> None:
        with pytest.raises(SuiteError, match=r"no suite 'nope'; there are .*shapes"):
            load_suite("nope")

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(SuiteError, match="there is no suite file"):
            load_suite(tmp_path / "x.yaml")

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("kind: object", "kind: thing", "'kind' is one of object, style, subject"),
            ("kind: object", "kind: object\ncolour: red", "unknown key 'colour'"),
            ("version: 1\nkind", "version: 0\nkind", "'version'"),
            ("seeds: [0, 1]", "seeds: [0, 0]", "a seed occurs twice"),
            ("seeds: [0, 1]", "seeds: [-1]", "a seed lies outside"),
            ("seeds: [0, 1]", "seeds: []", "'seeds'"),
            ("a {concept} in", "a {concept} and {concept} in", "has 2 {concept} slots"),
            ("a {concept} in", "a dog in", "role background but no {concept}"),
            ("a photo of a house", "a {concept} house", "takes no {concept} slot"),
            ("a {concept} in", "a {concept}s in", "glued to a word"),
            ("a {concept} in", "a {concept} {token} in", "a brace that is not"),
            ("id: house", "id: snow", "the prompt id 'snow' occurs twice"),
            ("id: house", "id: House!", "'prompts.1.id'"),
            ('title: "Mine"', 'title: "Mine"\ntitle: "Yours"', "the key 'title' twice"),
            ("[snow]", "&a [snow]\n    objects: *a", "uses a YAML alias"),
            ("[0, 1]", "!!python/object/apply:os.getcwd []", "not valid YAML"),
            ("seeds: [0, 1]", "seeds: [0, 1", "not valid YAML at line"),
            ("context: in the snow", "context: on", "'prompts.0.context'"),
            ('title: "Mine"', 'title: "Mine"\nobject_text: plain', "holds {word} exactly once"),
            ('title: "Mine"', 'title: "Mine"\nsize: 33', "'size'"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_sentence(
        self, tmp_path: Path, old: str, new: str, words: str
    ) -> None:
        assert old in SMALL
        path = written(tmp_path, SMALL.replace(old, new))
        with pytest.raises(SuiteError) as caught:
            read_suite(path)
        assert str(path) in caught.value.message
        assert "\n" not in caught.value.message
        assert words in caught.value.message

    def test_newer_format_is_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path, SMALL.replace("format_version: 1", "format_version: 2"))
        with pytest.raises(SchemaTooNewError, match="format version 2"):
            read_suite(path)

    @pytest.mark.parametrize("raw", [b"", b"- 1", b"\xff\xfe", b"[" * 600, b"{a: 1, [b]: 2}"])
    def test_not_a_suite(self, tmp_path: Path, raw: bytes) -> None:
        path = tmp_path / "bad.yaml"
        path.write_bytes(raw)
        with pytest.raises(SuiteError):
            read_suite(path)

    def test_too_large(self, tmp_path: Path) -> None:
        with pytest.raises(SuiteError, match="larger than 1 MiB"):
            read_suite(written(tmp_path, SMALL + "#" * (1 << 20)))


class TestIdentity:
    def suite(self, **changes: object) -> Suite:
        return Suite.model_validate(yaml.safe_load(SMALL) | changes)

    def test_hash_follows_what_is_drawn_and_not_the_title(self) -> None:
        one = self.suite()
        assert one.sha256 == self.suite(title="Other", source="other").sha256
        assert one.sha256 != self.suite(seeds=[0, 2]).sha256
        assert one.sha256 != self.suite(version=2).sha256
        assert one.sha256 != self.suite(steps=20).sha256

    def test_hash_is_the_sha256_of_the_canonical_json(self) -> None:
        import hashlib

        suite = self.suite()
        assert b'"format_version":1' in suite.canonical()
        assert suite.sha256 == hashlib.sha256(suite.canonical()).hexdigest()

    def test_key_order_of_the_file_does_not_matter(self) -> None:
        data = yaml.safe_load(SMALL)
        assert Suite.model_validate(dict(reversed(data.items()))).sha256 == self.suite().sha256

    def test_a_suite_cannot_be_changed(self) -> None:
        with pytest.raises(ValidationError):
            self.suite().name = "other"  # type: ignore[misc]

    def test_vocabulary_has_the_prompts_words_first(self) -> None:
        suite = self.suite(background_words=["a sofa", "snow"], background_text="see {word}")
        assert suite.vocabulary("background") == {"snow": "see snow", "a sofa": "see a sofa"}
        assert suite.vocabulary("object") == {}
