"""Which packages tireg needs, directly and through others, as their metadata says."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def declared(*, dev: bool) -> list[Requirement]:
    """The requirements of pyproject.toml with those of users' extras, or also of the dev extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    extra = [line for name in extras if dev or name != "dev" for line in extras[name]]
    return [Requirement(line) for line in [*project["dependencies"], *extra]]


def closure(roots: list[Requirement]) -> dict[str, str]:
    """Name to installed version of everything that ``roots`` pull in on this machine."""
    found: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    todo = [(req, extra) for req in roots for extra in ["", *sorted(req.extras)]]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in done:
            continue
        done.add((name, extra))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            found[name] = "not installed"
            continue
        found[name] = package.version
        for line in package.requires or []:
            inner = Requirement(line)
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                todo.extend((inner, e) for e in ["", *sorted(inner.extras)])
    return found
