"""Checks of a suite file: all problems at once, errors told from advice."""

from __future__ import annotations

from typing import Any

import pytest

from tireg.domain.suite_checks import LEAST_PROMPTS, check_suite, rough_tokens
from tireg.domain.suites import load_suite, suite_names


def suite(count: int = 6, **changes: Any) -> dict[str, Any]:
    """A suite with nothing wrong but its size."""
    asking = [
        {"id": f"p{n}", "text": f"a {{concept}} in place {n}", "role": "background",
         "context": f"in place {n}", "background": [f"place {n}"]}
        for n in range(count)
    ]  # fmt: skip
    free = [
        {"id": role, "text": f"a photo of a {role}", "role": role}
        for role in ("neutral", "sibling", "bait")
    ]
    return {
        "format_version": 1, "name": "mine", "version": 1, "kind": "object", "title": "Mine",
        "source": "me", "seeds": [0, 1, 2, 3], "prompts": asking + free, **changes,
    }  # fmt: skip


def errors(data: Any) -> list[str]:
    return [f"{p.where}: {p.problem}" for p in check_suite(data)[1] if p.level == "error"]


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_have_no_error(name: str) -> None:
    data = load_suite(name).model_dump(mode="json")
    found, problems = check_suite(data)
    assert found is not None
    assert not [p for p in problems if p.level == "error"]


@pytest.mark.parametrize("name", ["object", "subject", "style", "shapes", "shapes-style"])
def test_full_suites_need_no_advice(name: str) -> None:
    assert check_suite(load_suite(name).model_dump(mode="json"))[1] == []


def test_everything_is_said_at_once_not_only_the_first() -> None:
    data = suite()
    rows = data["prompts"]
    rows[0] |= {"role": "scenery"}
    rows[1] |= {"text": "a dog in the park"}
    rows[2] |= {"id": "p3", "colour": "red"}
    rows[4] |= {"text": "a {concept} and a {concept}s {"}
    rows[5] |= {"text": "A  {concept} in place 3"}
    data |= {"steps": 0, "seeds": [0, 0]}
    found = "\n".join(errors(data))
    for words in (
        "prompt 'p0': 'role' is 'scenery'; input should be 'context', 'background'",
        "prompt 'p1': it has role background but no {concept} slot",
        "prompt 'p3': unknown key 'colour'",
        "2 times prompt 'p3': they have the same id",
        "prompt 'p4': it has 2 {concept} slots; one is the most",
        "prompt 'p4': it has a brace that is not {concept}",
        "prompt 'p4': it has {concept} glued to a word",
        "prompt 'p3', prompt 'p5': they read the same to a text encoder",
        "suite: 'steps'",
        "suite: 'seeds': a seed occurs twice",
    ):
        assert words in found
    assert check_suite(data)[0] is None


def test_what_reading_refuses_is_an_error_here_too() -> None:
    wrong: list[Any] = [None, [], {}, {"format_version": 2}, {"prompts": [3]}, {"prompts": "x"}]
    for data in wrong:
        found, problems = check_suite(data)
        assert found is None
        assert any(p.level == "error" for p in problems)


def test_too_few_prompts_for_any_test_is_an_error_and_few_are_advice() -> None:
    assert "5 prompts ask for the concept" in errors(suite(LEAST_PROMPTS - 1))[0]
    found, problems = check_suite(suite(LEAST_PROMPTS, seeds=[1]))
    assert found is not None
    assert {p.level for p in problems} == {"advice"}
    said = " ".join(p.problem for p in problems)
    assert "6 prompts ask" in said
    assert "1 seeds per prompt" in said
    none = suite(0)
    assert "no prompt has a {concept} slot" in errors(none)[0]


def test_prompts_that_an_encoder_would_cut_are_named() -> None:
    data = suite()
    data["prompts"][0]["text"] = "a {concept} " + "and so on " * 28
    data["prompts"][1]["text"] = "a {concept} " + "and so on " * 20
    found = check_suite(data)[1]
    levels = {p.where: p.level for p in found if "tokens" in p.problem}
    assert levels == {"prompt 'p0'": "error", "prompt 'p1'": "advice"}


def test_equal_contexts_are_an_error_and_missing_ones_advice() -> None:
    data = suite()
    data["prompts"][0]["context"] = "In place 1"
    del data["prompts"][2]["context"]
    assert "prompt 'p0', prompt 'p1': they have the same context" in errors(data)[0]
    assert any(p.where == "prompt 'p2'" and "no context" in p.problem for p in check_suite(data)[1])


def test_missing_roles_are_advice() -> None:
    data = suite()
    data["prompts"] = data["prompts"][:6]
    for row in data["prompts"]:
        del row["background"]
    said = " ".join(p.problem for p in check_suite(data)[1])
    assert "leakage stays unscored" in said
    assert "background leakage stays unscored" in said


def test_token_counts_are_near_those_of_the_real_tokenizer() -> None:
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    for name in ("object", "subject", "style", "dreambench-subject"):
        for prompt in load_suite(name).prompts:
            text = prompt.text.replace("{concept}", "cat")
            assert abs(rough_tokens(prompt.text) - len(tokenizer.encode(text)) - 2) <= 3, text
