"""Reading and converting embedding files in workers; the registry is written by one process.

A unit is some dozens of files. Its key says their names, sizes and times, and those of what other
managers keep beside them, so that a second start reads again only what it did not read before.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tireg
from tireg.domain.model import validate_document
from tireg.domain.records import Record
from tireg.errors import FileRefusedError
from tireg.fanout import Desk, Engine, Failure, Made, Results, Unit, make_unit
from tireg.fanout.units import MissingInputError
from tireg.store.registry import Registry
from tireg.workflows.fanning import Fan, engine_for, fan_out, results_folder
from tireg.workflows.importing import Offer, read_offers, why_refused
from tireg.workflows.progress import Listener

if TYPE_CHECKING:
    from tireg.dialects import Group
    from tireg.store.adding import Item

UNIT_GROUPS = 50
UNIT_BYTES = 32 * 1024 * 1024
TASK = "reading"
FOLDER_NOTES = ("special_params.json", "token_identifier.txt", "type_of_concept.txt")
"""Files that speak of others in their folder, whatever those are called."""


def offers_of_workers(
    found: Sequence[Group],
    registry: Registry,
    home: Path,
    fan: Fan,
    engine: Engine | None,
    *,
    created: str,
    listen: Listener,
) -> Iterator[Offer]:
    """As ``read_offers`` of every group, in the same order, read by workers.

    What a worker does not see is read here. Of files over which a worker was killed each is tried
    alone, so that only the one that kills is refused.
    """
    engine = engine or engine_for(fan, gpu=False)
    results = Results(results_folder(home))
    parts = list(_parts(found, _Listing()))
    units = {n: _unit(part, created) for n, part in enumerate(parts) if part.told is not None}
    for unit in units.values():
        _forget_gone(unit, results, registry)
    hand_out = partial(fan_out, engine=engine, home=home, task=TASK, listen=listen)
    try:
        failed = _failures(hand_out, units.values())
        again = [
            _unit(one, created)
            for n, unit in units.items()
            if unit.key in failed and failed[unit.key].lost and len(parts[n].groups) > 1
            for one in parts[n].alone()
        ]
        if again:
            failed |= _failures(hand_out, again)
    finally:
        engine.close()
    for n, part in enumerate(parts):
        for one in [part] if n in units and units[n].key not in failed else part.alone():
            yield from _offers(one, results, failed, created)
    for unit in [*units.values(), *again]:
        _shorten(unit, results)


def _failures(
    hand_out: Callable[[Sequence[Unit]], Iterator[Any]], units: Iterable[Unit]
) -> dict[str, Failure]:
    """Do them all; what is made is kept, and not held in memory."""
    return {over.unit.key: over.failure for over in hand_out(list(units)) if over.failure}


class _Part:
    """Groups of files that one worker reads; ``told`` is None where this process must."""

    def __init__(self, groups: Sequence[Group], told: list[Any] | None) -> None:
        self.groups = groups
        self.told = told

    def alone(self) -> list[_Part]:
        """The same, each group by itself."""
        if len(self.groups) == 1:
            return [self]
        told = self.told or [None] * len(self.groups)
        return [_Part([g], [t] if t else None) for g, t in zip(self.groups, told, strict=True)]


def _parts(found: Iterable[Group], listing: _Listing) -> Iterator[_Part]:
    groups: list[Group] = []
    told: list[Any] = []
    size = 0
    for group in found:
        seen = listing.look(group)
        # A large file takes its time, and what is no plain file is left to who knows the links.
        if seen is None or seen["bytes"] > UNIT_BYTES:
            if groups:
                yield _Part(groups, told)
            groups, told, size = [], [], 0
            yield _Part([group], None)
            continue
        groups.append(group)
        told.append(seen)
        size += seen["bytes"]
        if len(groups) == UNIT_GROUPS or size > UNIT_BYTES:
            yield _Part(groups, told)
            groups, told, size = [], [], 0
    if groups:
        yield _Part(groups, told)


class _Listing:
    """What lies in the folders of the files, each folder read once."""

    def __init__(self) -> None:
        self.names: dict[Path, list[str]] = {}

    def look(self, group: Group) -> dict[str, Any] | None:
        """A group as a worker is told of it; None unless all its files are plain ones."""
        try:
            files = [str(path.absolute()) for path in group.files]
            beside = [str(path.absolute()) for path in self._beside(group)]
            "".join([*files, *beside]).encode("utf-8")
            seen = [_seen(path) for path in files]
            others = [_seen(path) for path in beside]
        except (OSError, UnicodeEncodeError):
            return None
        if not all(plain for _, _, plain in seen):
            return None
        return {
            "files": files,
            "listed": group.listed,
            "seen": [[size, time] for size, time, _ in seen],
            "beside": [[p, size, time] for p, (size, time, _) in zip(beside, others, strict=True)],
            "bytes": sum(size for size, _, _ in seen),
        }

    def _beside(self, group: Group) -> Iterator[Path]:
        """What may say more about the files of ``group``: ``NAME.*``, or a note on the folder."""
        found: dict[Path, None] = {}
        for path in group.files:
            names = self._names(path.parent)
            head = f"{path.stem}."
            at = bisect_left(names, head)
            while at < len(names) and names[at].startswith(head):
                found[path.parent / names[at]] = None
                at += 1
            for name in FOLDER_NOTES:
                at = bisect_left(names, name)
                if names[at : at + 1] == [name]:
                    found[path.parent / name] = None
        yield from (path for path in found if path not in group.files)

    def _names(self, folder: Path) -> list[str]:
        if folder not in self.names:
            self.names[folder] = sorted(path.name for path in folder.iterdir())
        return self.names[folder]


def _seen(path: str) -> tuple[int, int, bool]:
    status = os.lstat(path)
    return status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode)


def _unit(part: _Part, created: str) -> Unit:
    groups = part.told or []
    name = Path(groups[0]["files"][0]).name
    label = name if len(groups) == 1 else f"{name} and {len(groups) - 1} more"
    return make_unit(
        "read files",
        {"groups": groups, "created": created},
        identity={"tireg": tireg.__version__, "groups": groups},
        label=label,
    )


def _forget_gone(unit: Unit, results: Results, registry: Registry) -> None:
    """A result whose embeddings were recorded, and thrown out of the registry since, is none."""
    made = results.get(unit.key)
    if made is None or not made.record.get("recorded"):
        return
    hashes = [one["tensor_hash"] for group in made.record["groups"] for one in group]
    if not all(registry.equal_tensors(sha) for sha in hashes if sha):
        results.forget(unit.key)


def _offers(
    part: _Part, results: Results, failed: Mapping[str, Failure], created: str
) -> Iterator[Offer]:
    if part.told is not None:
        key = _unit(part, created).key
        if key in failed and failed[key].lost:
            for group in part.groups:
                yield Offer(str(group.files[0]), failed[key].message)
            return
        made = results.get(key)
        if made is not None:
            for group, told in zip(part.groups, made.record["groups"], strict=True):
                for number, one in enumerate(told):
                    yield _offer(group, one, made.files, number == 0)
            return
    for group in part.groups:
        yield from read_offers(group, None, created)


def _offer(group: Group, told: Mapping[str, Any], files: Mapping[str, bytes], first: bool) -> Offer:
    path = str(group.files[told["file"]])
    if told["refused"] is not None and not told["tensor_hash"]:
        return Offer(path, told["refused"], first=first)
    make = partial(_item, told, files)
    return Offer(path, None, told["token"], told["tensor_hash"], make, first)


def _item(told: Mapping[str, Any], files: Mapping[str, bytes]) -> tuple[Item, tuple[str, ...]]:
    from tireg.store.adding import Item

    if told["refused"] is not None:
        raise FileRefusedError(told["refused"])
    record = validate_document(Record, told["record"], name="a worker's record")
    objects = {sha: files[sha] for sha in told["objects"]}
    item = Item(record, objects, None, hashes=told["hashes"], collision="suffix")
    return item, tuple(told["warnings"])


def _shorten(unit: Unit, results: Results) -> None:
    """All of it is in the registry now: what is left to know is which vectors it was."""
    made = results.get(unit.key)
    if made is None or made.record.get("recorded"):
        return
    kept = ("file", "token", "tensor_hash", "refused")
    groups = [[{k: one[k] for k in kept} for one in group] for group in made.record["groups"]]
    results.settle(unit.key, {"recorded": True, "groups": groups})


def read_files(given: Mapping[str, Any], desk: Desk) -> Made:
    """Read and convert some groups of files, in a worker.

    ``given``: ``groups`` (paths, sizes and times), and ``created``, the time that records get.
    """
    from tireg.dialects import Group

    groups = []
    files: dict[str, bytes] = {}
    for number, told in enumerate(given["groups"]):
        desk.tell(f"{number}/{len(given['groups'])}")
        _check_seen(told)
        group = Group(tuple(map(Path, told["files"])), told["listed"])
        offers = list(read_offers(group, None, given["created"]))
        groups.append([_told(group, offer, files) for offer in offers])
    return Made({"groups": groups}, files)


def _check_seen(told: Mapping[str, Any]) -> None:
    """MissingInputError where the files are not those that the first machine saw."""
    try:
        same = [list(_seen(path)[:2]) for path in told["files"]] == told["seen"]
    except OSError:
        same = False
    if not same:
        raise MissingInputError(told["files"][0])


def _told(group: Group, offer: Offer, files: dict[str, bytes]) -> dict[str, Any]:
    """An offer as JSON; its files go to ``files``."""
    told: dict[str, Any] = {
        "file": [str(path) for path in group.files].index(offer.path),
        "token": offer.token,
        "tensor_hash": offer.tensor_hash,
        "refused": offer.refused,
    }
    if offer.make is None:
        return told
    try:
        item, warnings = offer.make()
    except (OSError, FileRefusedError) as error:
        return {**told, "refused": why_refused(error)}
    files.update(item.objects)
    return {
        **told,
        "record": item.record.model_dump(mode="json"),
        "hashes": dict(item.hashes),
        "objects": sorted(item.objects),
        "warnings": list(warnings),
    }
