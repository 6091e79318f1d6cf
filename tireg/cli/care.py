"""``tireg rm``, ``tag``, ``verify`` and the like: keeping the registry tidy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

import click

from tireg.cli.console import Column, out

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print what is said as JSON.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
# What each kind of trouble means, for people; the store names them.
MEANING = {
    "missing": "a file that the database speaks of is gone; it has to come from outside",
    "changed": "a file holds other bytes than were put there; it is not used any more",
    "orphaned": "no row of the database speaks of this file; it only takes space",
    "stale": "a copy lags behind the database; a rebuild would use it, so have it written again",
    "database": "the database cannot be trusted; the files beside it are enough to make it again",
    "leftover": "a temporary file of a process that was killed; it only takes space",
}
TABLES = ("kinds", "families", "licenses", "tags")


@click.command()
@click.argument("refs", nargs=-1, required=True)
def rm(refs: tuple[str, ...]) -> None:
    """Take REFS out of the registry: NAME for all versions, NAME@3 for one. Files stay until gc."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import remove

    gone = remove(registry_home(), refs)
    for name, version in gone:
        out.text(f"{name}@{version} removed")
    out.hint(_undo(gone))


@click.command()
@click.argument("refs", nargs=-1, required=True)
def restore(refs: tuple[str, ...]) -> None:
    """Take REFS out of the trash again: NAME for all that is there, NAME@3 for one version."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import restore as bring_back

    for name, version in bring_back(registry_home(), refs):
        out.text(f"{name}@{version} restored")


@click.command()
@click.argument("ref")
@click.argument("tags", nargs=-1, required=True)
@click.option("--remove", "take_away", is_flag=True, help="Take the tags away.")
def tag(ref: str, tags: tuple[str, ...], take_away: bool) -> None:
    """Give the embedding of REF more TAGS, to search by; prints all it has."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import tag as retag

    has = retag(registry_home(), ref, tags, take_away=take_away)
    out.text(f"{ref}: {', '.join(has) or 'no tags'}")


@click.command()
@click.argument("ref")
@click.argument("name")
@click.option("--remove", "forget", is_flag=True, help="Forget the alias.")
def alias(ref: str, name: str, forget: bool) -> None:
    """Let NAME mean the version REF: after `tireg alias my-cat@3 best`, my-cat@best is my-cat@3."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import alias as call
    from tireg.workflows.care import unalias

    if forget:
        unalias(registry_home(), ref, name)
        out.text(f"{ref}: alias {name} forgotten")
    else:
        version = call(registry_home(), ref, name)
        out.text(f"{version.rpartition('@')[0]}@{name} is {version}")


@click.command()
@click.argument("ref")
@click.argument("text")
def note(ref: str, text: str) -> None:
    """Replace the notes of the embedding of REF by TEXT ("" for none); search reads them."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import note as write

    write(registry_home(), ref, text)
    out.text(f"{ref}: {'noted' if text.strip() else 'no notes'}")


@click.command()
@click.argument("ref")
@click.argument("name")
def rename(ref: str, name: str) -> None:
    """Give the embedding of REF another NAME; versions, labels and history go along."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import rename as call

    old, new = call(registry_home(), ref, name)
    out.text(f"{old} is now {new}")


@click.command()
@click.option("--older-than", "days", type=click.FloatRange(min=0, max=36500), metavar="DAYS",
              help="Spare what was thrown away in the last DAYS days.")  # fmt: skip
@DRY_RUN
@AS_JSON
def gc(days: float | None, dry_run: bool, as_json: bool) -> None:
    """Empty the trash for good and remove files that belong to nothing. There is no undo."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import collect

    gone = collect(registry_home(), days=days, dry_run=dry_run)
    if as_json:
        out.json(gone)
        return
    for ref in gone["versions"]:
        out.text(f"{ref} {'would go' if dry_run else 'gone'}")
    verb = "would be removed" if dry_run else "removed"
    out.text(f"{gone['files']} files {verb}, {_size(gone['bytes'])}")


@click.command()
@DRY_RUN
@AS_JSON
def dedupe(dry_run: bool, as_json: bool) -> None:
    """Put versions whose vectors an older one has in the trash; those with alias or scores stay."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import dedupe as call

    rows = call(registry_home(), dry_run=dry_run)
    if as_json:
        out.json(rows)
        return
    out.table(rows, ["name", "version", "same_as"], empty="nothing is here twice")
    if rows and dry_run:
        out.hint("tireg dedupe")
    elif rows:
        out.hint(_undo([(row["name"], row["version"]) for row in rows]))


@click.command()
@AS_JSON
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Hash every file again; find what is missing, changed or orphaned. Exits 1 if anything is.

    Training pictures and foreign originals that a record names may stay behind on another
    machine: where they are not here, that is in order; where they are, they are hashed, too.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.care import verify as call

    found = call(registry_home())
    if as_json:
        out.json(found)
    else:
        print_report(found)
    ctx.exit(0 if found["ok"] else 1)


@click.command()
@click.option("--repair", is_flag=True, help="Put right what the database knows how to.")
@click.option("--rebuild", is_flag=True, help="Make the database again from the files beside it.")
@AS_JSON
@click.pass_context
def doctor(ctx: click.Context, repair: bool, rebuild: bool, as_json: bool) -> None:
    """Say what is wrong with the registry and what to do; repair it. Exits 1 if anything is left.

    A rebuild loses nothing but history, and keeps the old database under backups.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.care import doctor as call

    found = call(registry_home(), repair=repair, rebuild=rebuild)
    if as_json:
        out.json(found)
    else:
        for sentence in found["done"]:
            out.text(sentence)
        print_report(found, explain=True)
    ctx.exit(0 if found["ok"] and not found["lost"] else 1)


@click.command()
@click.option("--top", type=click.IntRange(1, 1000), default=10, help="Lines of each table.")
@AS_JSON
def stats(top: int, as_json: bool) -> None:
    """Count what is in the registry: by kind, family, licence and tag."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import stats as call

    counts = call(registry_home(), top=top)
    if as_json:
        out.json(counts)
        return
    sizes = {"bytes": "files", "database_bytes": "database"}
    pairs = {sizes.get(k, k): _size(v) if k in sizes else v for k, v in counts.items()}
    out.pairs({name: value for name, value in pairs.items() if name not in TABLES})
    for name in TABLES:
        if counts[name]:
            out.text("")
            out.table(counts[name], ["name", "embeddings"], title=name)


@click.command()
@click.argument("ref", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=50, help="Rows to show.")
@AS_JSON
def history(ref: str | None, limit: int, as_json: bool) -> None:
    """Say who changed what and when, the newest first: of the embedding of REF, or of all."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import history as call

    rows = call(registry_home(), ref, limit=limit)
    if as_json:
        out.json(rows)
        return
    out.table(rows, ["at", "who", "verb", "name", "version", "detail"], empty="no history yet")


@click.command()
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@AS_JSON
def diff(left: str, right: str, as_json: bool) -> None:
    """Show where the versions A and B differ, field by field."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import diff as call

    rows = call(registry_home(), left, right)
    if as_json:
        out.json(rows)
        return
    shown = [{k: v if k == "field" else _short(v) for k, v in row.items()} for row in rows]
    columns: list[str | Column] = [
        "field",
        Column("left", left, "left"),
        Column("right", right, "left"),
    ]
    out.table(shown, columns, empty=f"{left} and {right} do not differ")


@click.command()
@click.argument("text", metavar="HASH")
@AS_JSON
def lookup(text: str, as_json: bool) -> None:
    """Find the versions that HASH belongs to: sha256, AutoV2, AutoV3, BLAKE3, CRC32 and more."""
    from tireg.store.home import registry_home
    from tireg.workflows.care import lookup as call

    rows = call(registry_home(), text)
    if as_json:
        out.json(rows)
        return
    out.table(rows, ["name", "version", "form", "trashed", "tensor_hash"])


def print_report(found: dict[str, Any], *, explain: bool = False) -> None:
    """What a check found: one line per problem, counts, and each way out once."""
    problems = found["problems"]
    for sentence in found.get("lost", []):
        out.warn(f"could not be used: {sentence}")
    out.table(problems, ["trouble", "message"], empty="nothing is wrong")
    for trouble in dict.fromkeys(problem["trouble"] for problem in problems if explain):
        out.text(f"{trouble}: {MEANING[trouble]}")
    names = ("embeddings", "versions", "runs", "objects")
    counts = ", ".join(f"{found[name]} {name}" for name in names)
    out.text(f"checked {counts}, {_size(found['bytes'])}; problems: {len(problems)}")
    for hint in dict.fromkeys(problem["hint"] for problem in problems):
        out.hint(hint)


def _undo(versions: Sequence[tuple[str, int]]) -> str:
    """The command that brings back what was just thrown away."""
    refs = [f"{name}@{version}" for name, version in versions]
    return f"tireg restore {shlex.join(refs)}" if len(refs) <= 3 else "tireg list --trash"


def _size(count: float) -> str:
    """Bytes as people say them."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def _short(value: Any, limit: int = 60) -> str | None:
    """A field's value in one cell: as JSON unless it is text, cut where it is long."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
