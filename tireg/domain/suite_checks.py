"""Everything that is wrong or weak about a suite file, not only what is met first."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import ValidationError

from tireg.domain.suites import FREE_ROLES, SLOT, SLOT_ROLES, Role, Suite, slot_problems

ROLES: tuple[str, ...] = get_args(Role)

LEAST_PROMPTS = 6
"""With P prompts a sign-flip test reaches p = 2 / 2^P at best: below 6 never under 0.05."""
FULL_PROMPTS, FULL_SEEDS = 20, 4
"""From here on intervals by prompt cover what they promise (``evals/studies``)."""
CLIP_TOKENS = 77
"""What a CLIP text encoder reads of a prompt, begin and end included; the rest is cut off."""
ROOM = 16
"""Tokens left for an embedding of several vectors, or for a long class noun."""


@dataclass(frozen=True)
class Problem:
    """One finding. An ``error`` makes a suite unusable or its scores wrong; ``advice`` does not."""

    level: Literal["error", "advice"]
    where: str
    problem: str


def check_suite(data: Any) -> tuple[Suite | None, list[Problem]]:
    """The suite that plain data holds (None: it cannot be read as one), and all its problems.

    Errors come first, in the order of the file.
    """
    if not isinstance(data, dict):
        return None, [Problem("error", "file", "it does not hold names and values")]
    version = data.get("format_version", 1)
    if isinstance(version, int) and version > 1:
        words = f"it has format version {version}; this tireg reads up to 1"
        return None, [Problem("error", "format_version", words)]
    suite, found = _read(data)
    prompts = _raw_prompts(data)
    found += _slots(prompts)
    found += _twice(prompts)
    found += _lengths(prompts)
    found += _contexts(prompts)
    found += _amount(prompts, data.get("seeds"))
    found += _roles(prompts)
    unique = list(dict.fromkeys(found))
    return suite, sorted(unique, key=lambda problem: problem.level != "error")


def rough_tokens(text: str) -> int:
    """About how many tokens a CLIP tokenizer makes of ``text``, begin and end included.

    Words of up to ten letters count one, longer ones one per five letters, every digit and run of
    punctuation one, other scripts one per two bytes; the slot counts one. Within a few tokens of
    the truth for plain English.
    """
    count = 2 + text.count(SLOT)
    for part in re.findall(r"[^\W\d_]+|\d|[^\s\w]+|_", text.replace(SLOT, " ")):
        if not part.isascii():
            count += math.ceil(len(part.encode()) / 2)
        else:
            count += 1 if len(part) <= 10 else math.ceil(len(part) / 5)
    return count


@dataclass(frozen=True)
class _Raw:
    """A prompt as written, whatever else is wrong with it."""

    where: str
    id: str | None
    text: str
    role: str
    context: str | None
    empty: bool
    names_background: bool


def _raw_prompts(data: Mapping[str, Any]) -> list[_Raw]:
    rows = data.get("prompts")
    if not isinstance(rows, list):
        return []
    return [
        _Raw(
            _name(rows, n),
            row["id"] if isinstance(row.get("id"), str) else None,
            row["text"],
            row["role"] if isinstance(row.get("role"), str) else "",
            row["context"] if isinstance(row.get("context"), str) else None,
            row.get("empty") is not None,
            bool(row.get("background")),
        )
        for n, row in enumerate(rows)
        if isinstance(row, dict) and isinstance(row.get("text"), str)
    ]


def _name(rows: Sequence[Any], n: int) -> str:
    row = rows[n] if n < len(rows) else None
    told = row.get("id") if isinstance(row, dict) else None
    return f"prompt '{told}'" if isinstance(told, str) else f"prompt {n + 1}"


def _read(data: dict[str, Any]) -> tuple[Suite | None, list[Problem]]:
    """What the model refuses. Slots and repetitions are left to the checks that find them all."""
    try:
        return Suite.model_validate(data), []
    except ValidationError as error:
        problems = error.errors(include_url=False)
    rows = data.get("prompts") if isinstance(data.get("prompts"), list) else []
    found = []
    for problem in problems:
        loc = problem["loc"]
        message = problem["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        of_prompt = len(loc) >= 2 and loc[0] == "prompts" and isinstance(loc[1], int)
        if problem["type"] == "value_error" and (not loc or (of_prompt and len(loc) == 2)):
            continue
        where = _name(rows or [], int(loc[1])) if of_prompt else "suite"
        field = ".".join(str(part) for part in loc[2 if of_prompt else 0 :])
        if problem["type"] == "extra_forbidden":
            found.append(Problem("error", where, f"unknown key '{field}'"))
        elif problem["type"] == "literal_error":
            value = problem["input"]
            found.append(Problem("error", where, f"'{field}' is '{value}'; {message}"))
        else:
            found.append(Problem("error", where, f"'{field}': {message}" if field else message))
    return None, found


def _slots(prompts: Sequence[_Raw]) -> Iterator[Problem]:
    for prompt in prompts:
        for words in slot_problems(prompt.text, prompt.role, empty=prompt.empty):
            yield Problem("error", prompt.where, f"it {words}")


def _twice(prompts: Sequence[_Raw]) -> Iterator[Problem]:
    """Ids, texts and contexts that occur more than once; encoders read neither case nor spaces."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for prompt in prompts:
        if prompt.id is not None:
            groups["have the same id", prompt.id].append(prompt.where)
        groups["read the same to a text encoder", _plain(prompt.text)].append(prompt.where)
        if prompt.context and SLOT in prompt.text:
            what = "have the same context, so a picture cannot be told to follow one of them"
            groups[what, _plain(prompt.context)].append(prompt.where)
    for (words, _), names in groups.items():
        if len(names) > 1:
            different = list(dict.fromkeys(names))
            who = ", ".join(different) if len(different) > 1 else f"{len(names)} times {names[0]}"
            yield Problem("error", who, f"they {words}")


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _lengths(prompts: Sequence[_Raw]) -> Iterator[Problem]:
    for prompt in prompts:
        count = rough_tokens(prompt.text)
        if count > CLIP_TOKENS:
            words = (
                f"about {count} tokens; a CLIP text encoder reads {CLIP_TOKENS} and cuts the rest"
            )
            yield Problem("error", prompt.where, words)
        elif SLOT in prompt.text and count > CLIP_TOKENS - ROOM:
            words = f"about {count} tokens of {CLIP_TOKENS}: little room for several vectors"
            yield Problem("advice", prompt.where, words)


def _contexts(prompts: Sequence[_Raw]) -> Iterator[Problem]:
    bare = [p.where for p in prompts if SLOT in p.text and not p.context]
    if bare:
        words = "no context: semantic collapse and prompt retrieval leave it out"
        yield Problem("advice", ", ".join(bare), words)


def _amount(prompts: Sequence[_Raw], seeds: Any) -> Iterator[Problem]:
    asking = sum(SLOT in prompt.text for prompt in prompts)
    if not asking:
        yield Problem(
            "error", "suite", f"no prompt has a {SLOT} slot, so none asks for the concept"
        )
    elif asking < LEAST_PROMPTS:
        words = (
            f"{asking} prompts ask for the concept; below {LEAST_PROMPTS} no difference can be "
            f"told from chance, and intervals cover from {FULL_PROMPTS} on"
        )
        yield Problem("error", "suite", words)
    elif asking < FULL_PROMPTS:
        words = f"{asking} prompts ask for the concept; intervals are narrow from {FULL_PROMPTS} on"
        yield Problem("advice", "suite", words)
    if isinstance(seeds, list) and 0 < len(seeds) < FULL_SEEDS:
        words = f"{len(seeds)} seeds per prompt; with {FULL_SEEDS} luck weighs less"
        yield Problem("advice", "suite", words)


def _roles(prompts: Sequence[_Raw]) -> Iterator[Problem]:
    known = {prompt.role for prompt in prompts}
    if prompts and not known & set(FREE_ROLES):
        words = f"no prompt of role {', '.join(FREE_ROLES)}: leakage stays unscored"
        yield Problem("advice", "suite", words)
    elif missing := [role for role in FREE_ROLES if prompts and role not in known]:
        words = f"no prompt of role {', '.join(missing)}: what leaks there is not seen"
        yield Problem("advice", "suite", words)
    asking = [p for p in prompts if p.role in SLOT_ROLES]
    if asking and not any(p.names_background for p in asking):
        yield Problem(
            "advice", "suite", "no prompt names a background: background leakage stays unscored"
        )
