"""Measuring many bases: each is a unit of work, recorded by one process as it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tireg.domain.fingerprints import Fingerprint
from tireg.errors import TiregError
from tireg.fanout import Desk, Engine, Failure, Made, make_unit
from tireg.store.home import check_writable
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow
from tireg.workflows.bases import measured_row, remember_measured
from tireg.workflows.fanning import Fan, engine_for, fan_out
from tireg.workflows.progress import Event, Listener, Notice, silent

TASK = "measuring bases"


def add_bases(
    home: Path,
    names: Sequence[str],
    *,
    fan: Fan | None = None,
    engine: Engine | None = None,
    listen: Listener = silent,
) -> list[tuple[str, BaseRow | Failure]]:
    """Measure bases (built-in, folders, Hub ids or files) and remember them, in this order.

    One that cannot be measured is a Failure and stops no other. What was measured is not measured
    again while its files stay as they are, so that a second start does what is missing. Raises
    ConfigError where the registry cannot be written or a cluster cannot be joined.
    """
    check_writable(home)
    with Registry.open(home) as registry:
        known = {row.id: row.path for row in registry.bases() if row.path}
    engine = engine or engine_for(fan or Fan(), gpu=False)
    units = {
        name: make_unit(
            "measure a base",
            {"name": _seen_from_anywhere(name), "known": known},
            identity=name,
            label=name,
        )
        for name in dict.fromkeys(names)
    }
    asked = {unit.key: name for name, unit in units.items()}
    found: dict[str, BaseRow | Failure] = {}
    handed = fan_out(
        list(units.values()), engine=engine, home=home, task=TASK, listen=listen, keep=False
    )
    with closing(engine), closing(handed):  # type: ignore[type-var]
        for over in handed:
            if over.made is None:
                found[asked[over.unit.key]] = over.failure or Failure("it made nothing")
                continue
            try:
                row = _row(over.made.record)
                remember_measured(home, row)
            except TiregError as error:
                found[asked[over.unit.key]] = Failure(error.message, error.hint, error.exit_code)
                continue
            found[asked[over.unit.key]] = row
    return [(name, found[name]) for name in units]


def _seen_from_anywhere(name: str) -> str:
    """A folder or file by its full path: workers may stand elsewhere."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _row(told: Mapping[str, Any]) -> BaseRow:
    """A base as a worker measured it; its folder there may not be one here."""
    fingerprint = told["fingerprint"]
    path = told["path"]
    return BaseRow(
        told["id"],
        told["family"],
        told["revision"],
        Fingerprint.model_validate(fingerprint) if fingerprint is not None else None,
        told["license"],
        path if path is not None and Path(path).exists() else None,
    )


def measure_base(given: Mapping[str, Any], desk: Desk) -> Made:
    """Find and measure one base, in a worker.

    ``given``: ``name``, and ``known``, the folders of ids that were used before. The record is
    the row as JSON.
    """

    def listen(event: Event | Notice) -> None:
        if isinstance(event, Event):
            desk.tell(event.task)

    # The cache of fingerprints lies in the folder that holds the shared cache.
    home = desk.cache.parent if desk.cache is not None else desk.scratch
    row = measured_row(home, given["name"], dict(given["known"]), listen)
    prints = row.fingerprint
    return Made(
        {
            "id": row.id,
            "family": row.family,
            "revision": row.revision,
            "fingerprint": prints.model_dump(mode="json") if prints is not None else None,
            "license": row.license,
            "path": row.path,
        }
    )
