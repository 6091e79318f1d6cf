"""What ``tireg train --fleet`` does: many words at once, and a table of what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.cli.console import Column, out
from tireg.cli.listening import listening

if TYPE_CHECKING:
    from tireg.workflows.fanning import Fan
    from tireg.workflows.fleet import Ended
    from tireg.workflows.train import TrainRequest

COLUMNS = (Column("concept"), Column("result"), Column("version"), Column("steps"),
           Column("gain", "fall of loss", "right"), Column("reason"))  # fmt: skip


def learn_fleet(
    path: Path, width: int | None, fan: Fan, request: TrainRequest, recipe: Path | None,
    knobs: dict[str, Any], *, as_json: bool,
) -> int:  # fmt: skip
    """Train every concept of ``path``, print what became of them; the exit code: 1 if any failed.

    ``request`` holds what is typed for all, ``knobs`` the typed ones.
    """
    from tireg.store.home import registry_home
    from tireg.workflows.fleet import train_fleet
    from tireg.workflows.fleet_file import read_fleet

    requests = read_fleet(path, request, recipe=recipe, knobs=knobs)
    with listening() as listen:
        ended = train_fleet(requests, home=registry_home(), width=width, fan=fan, listen=listen)
    failed = sum(one.error is not None for one in ended)
    if as_json:
        out.json([as_data(one) for one in ended])
    else:
        out.table([_row(one) for one in ended], COLUMNS)
        _say_next(ended, failed)
    return 1 if failed else 0


def as_data(one: Ended) -> dict[str, Any]:
    """What became of a concept, for programs; ``record`` is as ``tireg show --json`` prints it."""
    from tireg.workflows.views import describe_version

    return {
        "concept": one.name,
        "result": one.status,
        "steps": one.steps,
        "error": one.error.message if one.error else None,
        "hint": one.error.hint or None if one.error else None,
        "record": describe_version(one.version) if one.version else None,
    }


def _row(one: Ended) -> dict[str, Any]:
    row: dict[str, Any] = {"concept": one.name, "result": one.status, "steps": one.steps or None}
    if one.version is not None:
        training = one.version.record.training
        row["version"] = f"{one.version.name}@{one.version.version}"
        row["steps"] = training.steps if training else None
        gain = training.gain if training else None
        row["gain"] = f"{gain:.5f}" if gain is not None else None
    if one.error is not None:
        row["reason"] = str(one.error)
    return row


def _say_next(ended: Sequence[Ended], failed: int) -> None:
    good = [one for one in ended if one.version is not None]
    if failed:
        out.hint("mend what failed, then the same command: what is recorded is not learned again")
    elif good:
        out.hint(f"tireg eval {good[0].name}")
