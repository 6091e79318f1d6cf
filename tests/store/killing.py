"""Kill a writing process at random points, many times, and look at what is left.

    python -m tests.store.killing --kills 20 --files 60
    python -m tests.store.killing --kills 500 --files 2000

Each child imports embeddings in groups, tags, throws away, empties the trash and saves runs,
until it kills itself (SIGKILL) at the n-th function call, n drawn at random. It says what
was finished before it goes on. Then the registry is verified, everything that was finished
must be there, what was under way must be there wholly or not at all, and a rebuild from the
files must equal the database.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tests.store import make
from tests.store.compare import rebuilt_rows, rows
from tireg.errors import RefError
from tireg.store import database
from tireg.store.adding import Item, add_items
from tireg.store.registry import Registry

Say = Callable[..., None]


def child(home: Path, seed: int, fuse: int, files: int, group: int, pipe: int) -> None:
    """Write until the fuse burns down; counted are calls and returns of Python and of C."""

    def say(*what: Any) -> None:
        os.write(pipe, (json.dumps(what) + "\n").encode())

    left = fuse

    def burn(_frame: FrameType, _event: str, _arg: Any) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    items = [
        Item(*make.record(f"s{seed}n{n}", base=make.base(f"b/{seed}")), tags=("born",))
        for n in range(files)
    ]
    sys.setprofile(burn)
    work(home, seed, items, group, say)
    sys.setprofile(None)
    say("spared")


def work(home: Path, seed: int, items: list[Item], group: int, say: Say) -> None:
    """One session of writing."""
    with Registry.open(home) as registry:
        done = []
        for start in range(0, len(items), group):
            part = items[start : start + group]
            say("adding", [i.record.name for i in part])
            for outcome in add_items(registry.store, part, group=group):
                done.append(outcome.found.name)
            say("added", [i.record.name for i in part])
            name = done[-1]
            registry.tag(name, [f"tag{start}"])
            say("tagged", name, f"tag{start}")
            run, objects = make.run(part[0].record)
            registry.add_run(run, objects)
            say("ran", run.run_id)
            registry.alias(name, "best")
            registry.note(name, f"note {seed}")
            say("noted", name, f"note {seed}")
            registry.remove(done[start // 2])
            say("removed", done[start // 2])
        registry.gc()
        say("collected")


def after(home: Path, scratch: Path, told: list[list[Any]]) -> list[str]:
    """What is wrong after a kill; nothing, one hopes."""
    wrong = []
    with Registry.open(home) as registry:
        report = registry.verify()
        wrong += [p.message for p in report.problems if p.trouble != "orphaned" or not told]
        # A clean-up that was cut off has dropped its rows and not yet every file.
        cleaning = told and told[-1][0] == "removed"
        orphaned = [p for p in report.problems if p.trouble == "orphaned"]
        if orphaned and not cleaning:
            wrong.append(f"{len(orphaned)} orphans, such as {orphaned[0].message}")
        if orphaned:
            registry.gc()
            wrong += [p.message for p in registry.verify().problems]
        wrong += _unkept(registry, told)
        expected = rows(registry.store.db)
    found, result = rebuilt_rows(home, scratch)
    wrong += result.problems
    wrong += [f"a rebuild differs in {name}" for name in expected if expected[name] != found[name]]
    return wrong


def _unkept(registry: Registry, told: list[list[Any]]) -> list[str]:
    """Promises that were made and not kept, and groups that are there in part."""
    wrong = []
    removed = {what[1] for what in told if what[0] == "removed"}
    underway: list[str] = []
    for verb, *what in told:
        if verb == "adding":
            underway = what[0]
        elif verb == "added":
            underway = []
            wrong += [f"{n} is lost" for n in what[0] if not _there(registry, n, removed)]
        elif verb == "tagged" and _there(registry, what[0], removed):
            name, tag = what
            if name not in removed and tag not in registry.resolve(name, trashed=True).tags:
                wrong.append(f"the tag of {name} is lost")
        elif verb == "noted":
            name, note = what
            if name not in removed and registry.resolve(name, trashed=True).notes != note:
                wrong.append(f"the note of {name} is lost")
    present = [name for name in underway if _there(registry, name, set())]
    if len(present) not in (0, len(underway)):
        wrong.append(f"{len(present)} of a group of {len(underway)} are there")
    return wrong


def _there(registry: Registry, name: str, removed: set[str]) -> bool:
    with contextlib.suppress(RefError):
        registry.find(name, trashed=True)
        return True
    return name in removed


def kill_once(home: Path, scratch: Path, seed: int, fuse: int, files: int, group: int) -> Any:
    """One child, killed; whether it was, and what is wrong."""
    source, sink = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(source)
        try:
            child(home, seed, fuse, files, group, sink)
        finally:
            os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        lines = pipe.read().splitlines()
    _, status = os.waitpid(process, 0)
    told = [json.loads(line) for line in lines]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and (not told or told[-1] != ["spared"]):
        return killed, ["the child failed by itself"], told
    if not (home / database.FILE).exists():
        return killed, [] if not told else ["the database is gone"], told
    return killed, after(home, scratch, [t for t in told if t != ["spared"]]), told


@dataclass
class Tally:
    """What a run has seen so far."""

    wanted: int
    kills: int = 0
    sessions: int = 0
    finished: int = 0
    verbs: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def line(self) -> str:
        """One line for people who wait."""
        seconds = time.monotonic() - self.began
        return (
            f"{self.kills} of {self.wanted} points tried in {seconds / 60:.1f} minutes,"
            f" {self.finished} embeddings finished before a kill, {len(self.wrong)} lost"
        )

    def summary(self) -> dict[str, Any]:
        """All of it."""
        return {
            "points tried": self.kills,
            "sessions": self.sessions,
            "embeddings finished before a kill": self.finished,
            "last words before a kill": dict(sorted(self.verbs.items())),
            "lost": len(self.wrong),
            "wrong": self.wrong[:20],
            "seconds": round(time.monotonic() - self.began),
        }


def tries(folder: Path, tally: Tally, options: argparse.Namespace) -> None:
    """Kill until enough were killed; a session that ends before its kill is another try."""
    rng = random.Random(options.seed)
    home = folder / "home"
    # A session that is spared tells how long one is.
    longest = _length(folder / "measure", options.files, options.group)
    while tally.kills < tally.wanted and tally.sessions < 3 * tally.wanted:
        if tally.sessions % options.homes == 0:
            shutil.rmtree(home, ignore_errors=True)
        tally.sessions += 1
        fuse = rng.randrange(1, longest)
        killed, found, told = kill_once(
            home, folder, tally.sessions, fuse, options.files, options.group
        )
        tally.kills += killed
        tally.finished += sum(len(t[1]) for t in told if t[0] == "added")
        tally.verbs[told[-1][0] if told else "nothing"] += 1
        where = f"seed {options.seed}, session {tally.sessions}, fuse {fuse}"
        tally.wrong += [f"{where}: {w}" for w in found]
        if found or tally.sessions % 25 == 0:
            print(tally.line(), *found[:3], sep="; ", file=sys.stderr, flush=True)


def main() -> int:
    """Run and print a summary as JSON, also when stopped; exit code 1 if anything was lost."""
    parser = argparse.ArgumentParser(description="kill a writer at random points")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--files", type=int, default=60, help="embeddings per child")
    parser.add_argument("--group", type=int, default=20)
    parser.add_argument("--homes", type=int, default=10, help="kills before a fresh home")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="where to work")
    options = parser.parse_args()
    # As ctrl-c does: tidy up, say how far it came.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tally = Tally(options.kills)
    try:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            tries(Path(folder), tally, options)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    print(json.dumps(tally.summary(), indent=1))
    return 1 if tally.wrong or tally.kills < tally.wanted else 0


def _length(home: Path, files: int, group: int) -> int:
    """Function calls in one whole session."""
    count = 0

    def counting(_frame: FrameType, _event: str, _arg: Any) -> None:
        nonlocal count
        count += 1

    items = [
        Item(*make.record(f"m{n}", base=make.base("b/m")), tags=("born",)) for n in range(files)
    ]
    sys.setprofile(counting)
    work(home, 0, items, group, lambda *_: None)
    sys.setprofile(None)
    return count


if __name__ == "__main__":
    sys.exit(main())
