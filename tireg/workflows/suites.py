"""Suites: which there are, what is in one, what is wrong with one's own."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from tireg.domain.suite_checks import ROLES, Problem, check_suite
from tireg.domain.suites import (
    Suite,
    conditions_for,
    load_suite,
    read_plain,
    suite_names,
    suite_path,
)


def list_suites() -> list[dict[str, Any]]:
    """The shipped suites by name: what they are for, how large they are, their hash."""
    return [_head(load_suite(name)) for name in suite_names()]


def show_suite(name: str) -> dict[str, Any]:
    """All of one suite, shipped or a file; ``prompts`` by role. SuiteError where there is none."""
    suite = load_suite(name)
    by_role: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for prompt in suite.prompts:
        by_role[prompt.role].append(prompt.model_dump(mode="json", exclude={"role"}))
    told = suite.model_dump(mode="json", exclude={"prompts"})
    return {
        **_head(suite),
        **told,
        "path": str(suite_path(name)),
        "prompts": {role: by_role[role] for role in ROLES if role in by_role},
    }


def check_suite_file(name: str | Path) -> dict[str, Any]:
    """Every problem of a suite file; ``ok`` where none is an error.

    Raises SuiteError where the file is missing or no YAML at all, with which nothing begins.
    """
    path = suite_path(name)
    suite, problems = check_suite(read_plain(path))
    if suite is not None and suite.sampler is not None:
        problems = [*_sampler(suite.sampler), *problems]
    return {
        "file": str(path),
        "ok": not any(problem.level == "error" for problem in problems),
        "suite": _head(suite) if suite is not None else None,
        "problems": [vars(problem) for problem in problems],
    }


def _head(suite: Suite) -> dict[str, Any]:
    """What identifies a suite, and how much drawing it is."""
    asking = sum(prompt.has_slot for prompt in suite.prompts)
    pictures = sum(len(conditions_for(prompt)) for prompt in suite.prompts)
    return {
        "name": suite.name,
        "version": suite.version,
        "kind": suite.kind,
        "title": suite.title,
        "asking": asking,
        "token_free": len(suite.prompts) - asking,
        "seeds_each": len(suite.seeds),
        "pictures": pictures * len(suite.seeds),
        "sha256": suite.sha256,
    }


def _sampler(name: str) -> list[Problem]:
    from tireg.models.sampler import SAMPLERS

    if name in SAMPLERS:
        return []
    return [Problem("error", "suite", f"'{name}' is no sampler; there are {', '.join(SAMPLERS)}")]
