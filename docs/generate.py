"""Write what is made from the code: docs/commands.md, docs/metrics.md, schemas/*.schema.json.

    python -m docs.generate            writes them
    python -m docs.generate --check    fails when one is stale

The command reference is what ``--help`` prints, the page of metrics what each of them declares.
The schemas come from the pydantic models.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent

# Every document that tireg writes or ships, by the name of its schema.
MODELS = {
    "accuracy": "tireg.domain.accuracy:Accuracy",
    "concept": "tireg.domain.concept_files:ConceptFile",
    "family": "tireg.domain.families:Family",
    "fleet": "tireg.workflows.fleet_file:FleetFile",
    "recipe": "tireg.domain.recipes:Recipe",
    "record": "tireg.domain.records:Record",
    "run": "tireg.domain.scores:Run",
    "suite": "tireg.domain.suites:Suite",
    "sweep": "tireg.workflows.sweep_file:SweepFile",
    "state": "tireg.store.state:State",
    "base-state": "tireg.store.state:BaseState",
    "verdicts-state": "tireg.store.state:VerdictsState",
}

HEADER = """# Commands

Made from the code by `make docs`; do not edit.
"""


def command_reference() -> str:
    """Markdown with the help of every command, at 100 columns."""
    from tireg.cli.main import COMMANDS, cli

    parts = [HEADER]
    with click.Context(
        cli, info_name="tireg", terminal_width=100, **cli.context_settings
    ) as parent:
        parts.append(_section("tireg", cli.get_help(parent)))
        for name in sorted(COMMANDS):
            command = cli.get_command(parent, name)
            if command is None:
                raise LookupError(f"the command table has no {name}")
            parts.extend(_pages(command, name, parent))
    return "\n".join(parts)


def _pages(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    with click.Context(command, info_name=name, parent=parent, terminal_width=100) as ctx:
        yield _section(ctx.command_path, command.get_help(ctx))
        if isinstance(command, click.Group):
            for child in command.list_commands(ctx):
                found = command.get_command(ctx, child)
                if found is not None:
                    yield from _pages(found, child, ctx)


METRICS_HEADER = """# Metrics

Made from the metrics' own declarations by `make docs`; do not edit.

*Null* is what a metric reads where the effect it looks for is absent. *Bad* is what it calls bad.
*Moved by* and *doubts* are what the studies found:
[simulated](../evals/studies/simulated.md), [rendered](../evals/studies/rendered.md) and
[trained](../evals/studies/trained.md). Read them before you believe a number.
"""


def metric_reference() -> str:
    """Markdown with what every metric declares of itself."""
    from tireg.metrics import METRICS

    parts = [METRICS_HEADER]
    for one in METRICS.values():
        low, high = (f"{end:g}" for end in one.range)
        target = f" {one.target:g}" if one.target is not None else ""
        lines = [
            f"better: {one.direction}{target}, range {low} to {high}, null {one.null:g}",
            f"baseline: {one.baseline}",
            f"bad: {one.bad}",
            f"formula: `{one.formula}`",
            f"source: {one.source}",
            *(f"moved by: {what}" for what in one.couplings),
            *(f"doubt: {what}" for what in one.doubts),
        ]
        listed = "\n".join(f"- {line}" for line in lines)
        parts.append(f"## {one.name}\n\nVersion {one.version}.\n\n{listed}\n")
    return "\n".join(parts)


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text.rstrip()}\n```\n"


def schema(name: str) -> str:
    """The JSON Schema (draft 2020-12) of one of :data:`MODELS`, as text."""
    module, _, attribute = MODELS[name].partition(":")
    model: type[BaseModel] = getattr(import_module(module), attribute)
    data = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{name}.schema.json",
        **model.model_json_schema(),
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def generated() -> dict[str, str]:
    """Every generated file: path from the root, and text."""
    files = {f"schemas/{name}.schema.json": schema(name) for name in MODELS}
    files["docs/commands.md"] = command_reference()
    files["docs/metrics.md"] = metric_reference()
    return files


def stale(files: dict[str, str], root: Path = ROOT) -> list[str]:
    """Paths whose file differs from ``files``, is missing, or has no model any more."""
    changed = [
        path
        for path, text in files.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    known = {root / path for path in files}
    orphans = set((root / "schemas").glob("*.schema.json")) - known
    return changed + sorted(str(path.relative_to(root)) for path in orphans)


def main(arguments: list[str]) -> int:
    """Write or check; returns the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    files = generated()
    changed = stale(files)
    if arguments == ["--check"]:
        for path in changed:
            print(f"{path} is stale; refresh it with: make docs", file=sys.stderr)
        return 1 if changed else 0
    for path in changed:
        if path in files:
            (ROOT / path).parent.mkdir(exist_ok=True)
            (ROOT / path).write_text(files[path], encoding="utf-8")
        else:
            (ROOT / path).unlink()
        print(f"{'wrote' if path in files else 'removed'} {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
