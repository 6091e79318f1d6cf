"""How fast the registry is at 1k, 10k and 100k embeddings, beside raw sqlite3 and plain fsync.

python benchmarks/registry.py                      # all three sizes, some minutes
python benchmarks/registry.py --sizes 1000 10000
python benchmarks/registry.py --folder /mnt/disk   # the disk to measure
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

# Run as a file, its own folder is on the path and not the project's.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.synthetic import ALL_BASES, SPACE, WIDTH, WORDS, item, word
from tireg.store import database
from tireg.store.adding import GROUP, Item
from tireg.store.insert import Digests, insert_embedding, insert_version
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow
from tireg.store.search import Query

T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds and the result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def median_ms(call: Callable[[int], object], times: int = 20) -> float:
    """Median milliseconds over ``times`` calls, each given its number."""
    return 1000 * statistics.median(timed(lambda n=n: call(n))[0] for n in range(times))


def plain_fsync(folder: Path) -> float:
    """Median milliseconds of writing a new 4 kB file and one fsync."""
    spot = folder / "fsync"
    spot.mkdir()

    def write(number: int) -> None:
        with (spot / str(number)).open("wb") as file:
            file.write(os.urandom(4096))
            file.flush()
            os.fsync(file.fileno())

    result = median_ms(write, 30)
    shutil.rmtree(spot)
    return result


def durable_file(folder: Path) -> float:
    """Median milliseconds of what any program must do for one new file that survives a power
    cut and is never seen in part: write 4 kB beside it, fsync, rename, fsync of the folder."""
    spot = folder / "durable"
    spot.mkdir()
    handle = os.open(spot, os.O_RDONLY)

    def write(number: int) -> None:
        temporary = spot / f".{number}"
        with temporary.open("wb") as file:
            file.write(os.urandom(4096))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(spot / str(number))
        os.fsync(handle)

    result = median_ms(write, 30)
    os.close(handle)
    shutil.rmtree(spot)
    return result


def raw_sqlite(folder: Path, size: int) -> dict[str, float]:
    """The same texts in two tables of plain sqlite3, WAL, full sync, the same groups."""
    db = sqlite3.connect(folder / "raw.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(
        "CREATE TABLE e (id INTEGER PRIMARY KEY, name TEXT, token TEXT, hash TEXT, base TEXT)"
    )
    db.execute(
        "CREATE VIRTUAL TABLE w USING fts5 (name, token, tags, notes, prompts, prefix='2 3')"
    )
    spent = 0.0
    for group in groups(size):
        rows = [
            (i.record.name, i.record.token, i.record.tensor_hash, str(i.record.source.where))
            for i in group
        ]
        texts = [
            (
                i.record.name,
                i.record.token,
                " ".join(i.record.tags),
                i.record.notes,
                str(i.record.files[1].text),
            )
            for i in group
        ]

        def insert(rows: list[Any] = rows, texts: list[Any] = texts) -> None:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO e (name, token, hash, base) VALUES (?, ?, ?, ?)", rows)
            db.executemany("INSERT INTO w VALUES (?, ?, ?, ?, ?)", texts)
            db.execute("COMMIT")

        spent += timed(insert)[0]
    spent += timed(lambda: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())[0]
    sql = "SELECT e.* FROM w JOIN e ON e.id = w.rowid WHERE w MATCH ? ORDER BY bm25(w) LIMIT 50"
    word_ms = median_ms(lambda n: db.execute(sql, [f'"{QUERIES[n]}"*']).fetchall(), len(QUERIES))
    db.close()
    (folder / "raw.db").unlink()
    return {"rows_per_s": size / spent, "word_ms": word_ms}


QUERIES = [*WORDS, *(word(n) for n in (0, 10, 300, 3000, 15_000)), "watercol", "por", "drag fox"]


def groups(size: int, start: int = 0) -> Iterator[list[Item]]:
    """Items in groups as the registry commits them."""
    for first in range(start, start + size, GROUP):
        yield [item(n) for n in range(first, min(first + GROUP, start + size))]


def rows_only(folder: Path, size: int) -> float:
    """Embeddings per second into the database alone: every row, no file."""
    home = folder / "rows"
    home.mkdir()
    database.create(home)
    db = database.connect(home / database.FILE)
    spent, number = 0.0, 0
    for group in groups(size):
        shas = [i.record.sha256 for i in group]

        def insert(group: list[Item] = group, shas: list[str] = shas) -> None:
            nonlocal number
            with db.atomic():
                for i, record_sha in zip(group, shas, strict=True):
                    digests = Digests.of(i.record, record_sha)
                    number += 1
                    embedding_id = insert_embedding(
                        db,
                        str(i.record.name),
                        number,
                        i.record,
                        digests,
                        tags=sorted(set(i.record.tags)),
                        added="2026-08-01",
                    )
                    insert_version(
                        db,
                        embedding_id,
                        1,
                        i.record,
                        digests,
                        added="2026-08-01",
                        hashes=i.hashes,
                        row_id=number,
                    )

        spent += timed(insert)[0]
    # The last of the log is copied to the database when it is closed.
    spent += timed(db.close)[0]
    shutil.rmtree(home)
    return size / spent


def build(registry: Registry, size: int) -> float:
    """Import ``size`` embeddings with their files; embeddings per second."""
    spent = 0.0
    for group in groups(size):
        spent += timed(lambda group=group: registry.add_many(group))[0]
    return size / spent


def add_features(registry: Registry, size: int) -> None:
    """Random unit features for every preview."""
    rng = np.random.default_rng(0)
    previews = registry.features.missing(SPACE)
    for start in range(0, len(previews), 10_000):
        keys = previews[start : start + 10_000]
        registry.features.put(
            SPACE, keys, rng.standard_normal((len(keys), WIDTH), dtype=np.float32)
        )


def filtered(number: int) -> Query:
    """Queries with filters, with and without words."""
    choices = (
        Query(kind="style", family="sd1"),
        Query(words="watercolour", kind="object"),
        Query(base="maker/base-3"),
        Query(tags=("castle",), license="openrail"),
        Query(tags=(word(9000),)),
        Query(family="sdxl", kind="subject", sort="name"),
        Query(words="fox", tags=("fox",), sort="created"),
        Query(compatible_with="maker/base-4"),
    )
    return choices[number % len(choices)]


def whole_processes(home: Path, name: str) -> dict[str, float]:
    """Median seconds of whole processes, and of the imports they are measured against."""
    environment = {**os.environ, "TIREG_HOME": str(home)}
    commands = {
        "imports": [sys.executable, "-c", "import click, sqlite_utils, pydantic, rich.table"],
        "list": [sys.executable, "-m", "tireg", "list"],
        "search": [sys.executable, "-m", "tireg", "search", "fox"],
        "show": [sys.executable, "-m", "tireg", "show", name],
    }
    spent: dict[str, list[float]] = {key: [] for key in commands}
    for _ in range(6):
        for key, command in commands.items():
            seconds, done = timed(
                lambda command=command: subprocess.run(
                    command, env=environment, capture_output=True, check=False
                )
            )
            if done.returncode:
                spent[key].append(float("nan"))
            else:
                spent[key].append(seconds)
    # The first round warms the disk.
    return {key: statistics.median(values[1:]) for key, values in spent.items()}


def measure(folder: Path, size: int, *, processes: bool) -> dict[str, float]:
    """Every figure at one size."""
    figures: dict[str, float] = {"size": size}
    figures.update({f"raw_{k}": v for k, v in raw_sqlite(folder, size).items()})
    figures["rows_per_s"] = rows_only(folder, size)
    home = folder / "home"
    with Registry.open(home) as registry:
        for known in ALL_BASES:
            registry.add_base(BaseRow.of(known))
        figures["files_per_s"] = build(registry, size)
        add_features(registry, size)
        singles = [item(size + n) for n in range(30)]
        # Before and after, as others use the disk too.
        peers = [(plain_fsync(folder), durable_file(folder))]
        figures["add_ms"] = median_ms(
            lambda n: registry.add(singles[n].record, singles[n].objects), 30
        )
        peers.append((plain_fsync(folder), durable_file(folder)))
        figures["fsync_ms"], figures["durable_ms"] = map(statistics.mean, zip(*peers, strict=True))
        figures["word_ms"] = median_ms(
            lambda n: registry.search(Query(words=QUERIES[n])), len(QUERIES)
        )
        figures["word_max_ms"] = max(
            median_ms(lambda _, w=w: registry.search(Query(words=w)), 3) for w in QUERIES
        )
        figures["filtered_ms"] = median_ms(lambda n: registry.search(filtered(n)), 24)
        figures["filtered_max_ms"] = max(
            median_ms(lambda _, n=n: registry.search(filtered(n)), 3) for n in range(8)
        )
        rng = np.random.default_rng(1)
        looks = rng.standard_normal((12, WIDTH), dtype=np.float32)
        registry.like(SPACE, looks[0])
        figures["picture_ms"] = median_ms(lambda n: registry.like(SPACE, looks[n]), 12)
        figures["list_ms"] = median_ms(lambda _: registry.list())
        figures["db_bytes_each"] = registry.stats().database_bytes / registry.count()
        name = singles[0].record.name
    if processes:
        figures.update({f"process_{k}_s": v for k, v in whole_processes(home, name).items()})
    shutil.rmtree(home)
    return figures


LINES = (
    ("raw sqlite3 rows and words /s", "raw_rows_per_s", "{:,.0f}"),
    ("embeddings as rows /s", "rows_per_s", "{:,.0f}"),
    ("embeddings with files /s", "files_per_s", "{:,.0f}"),
    ("plain fsync of a new file, ms", "fsync_ms", "{:.2f}"),
    ("a new file made durable, ms", "durable_ms", "{:.2f}"),
    ("single add (4 new files, rows), ms", "add_ms", "{:.2f}"),
    ("single add / plain fsync", "add_ratio", "{:.1f}"),
    ("single add / one durable file", "add_durable_ratio", "{:.1f}"),
    ("raw sqlite3 word search, ms", "raw_word_ms", "{:.2f}"),
    ("word search, ms", "word_ms", "{:.2f}"),
    ("word search, slowest query, ms", "word_max_ms", "{:.2f}"),
    ("filtered search, ms", "filtered_ms", "{:.2f}"),
    ("filtered search, slowest query, ms", "filtered_max_ms", "{:.2f}"),
    ("picture search over 512-d, ms", "picture_ms", "{:.2f}"),
    ("list page, ms", "list_ms", "{:.2f}"),
    ("database bytes per embedding", "db_bytes_each", "{:,.0f}"),
    ("process: python -c imports, s", "process_imports_s", "{:.3f}"),
    ("process: tireg list, s", "process_list_s", "{:.3f}"),
    ("process: tireg search fox, s", "process_search_s", "{:.3f}"),
    ("process: tireg show, s", "process_show_s", "{:.3f}"),
)


def main() -> None:
    """Measure and print a table; ``--json`` for machines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to use")
    parser.add_argument("--no-processes", action="store_true", help="leave out whole processes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="tireg-benchmark-") as name:
            figures = measure(Path(name), size, processes=not options.no_processes)
        figures["add_ratio"] = figures["add_ms"] / figures["fsync_ms"]
        figures["add_durable_ratio"] = figures["add_ms"] / figures["durable_ms"]
        results.append(figures)
        print(f"measured {size:,}", file=sys.stderr)
    if options.json:
        print(json.dumps(results, indent=1))
        return
    print(f"{'':38}" + "".join(f"{r['size']:>12,.0f}" for r in results))
    for title, key, form in LINES:
        if any(key in r for r in results):
            cells = (form.format(r[key]) if key in r else "" for r in results)
            print(f"{title:38}" + "".join(f"{cell:>12}" for cell in cells))


if __name__ == "__main__":
    main()
