"""What commands print with: data on stdout, everything else on stderr, nothing unclean."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Control characters could move the cursor or set the title of a terminal, bidirectional controls
# could make a text read as another one, lone surrogates cannot be written at all.
_UNCLEAN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
_BREAKS = re.compile("[\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")

NOTHING = "–"


def clean(text: str) -> str:
    """``text`` without what could fool a terminal or its reader; newlines and tabs stay."""
    return _SURROGATES.sub("\ufffd", _BREAKS.sub(" ", _UNCLEAN.sub("", text)))


@dataclass(frozen=True)
class Column:
    """A table column: the key of its values in each row, and its heading."""

    key: str
    heading: str = ""
    align: Literal["left", "right"] | None = None  # None: numbers right, all else left

    @property
    def title(self) -> str:
        """The heading, made from the key where none is given."""
        return self.heading or self.key.replace("_", " ")


class Progress:
    """How far a piece of work has come. Made by :meth:`Out.progress`."""

    def __init__(self, description: str, total: int | None) -> None:
        self.description = description
        self.total = total
        self.done = 0

    def update(self, done: int | None = None, *, total: int | None = None, note: str = "") -> None:
        """Set how many units are ``done`` (and the ``total``, once known), with a short note."""
        self.total = self.total if total is None else total
        self.done = self.done if done is None else done
        self.draw(note)

    def advance(self, units: int = 1, *, note: str = "") -> None:
        """Count ``units`` more as done."""
        self.update(self.done + units, note=note)

    def draw(self, note: str) -> None:
        """Show the state; this base class shows nothing."""


class _Milestones(Progress):
    """A plain line at each quarter, for logs."""

    def __init__(self, description: str, total: int | None, stream: TextIO) -> None:
        super().__init__(description, total)
        self._stream = stream
        self._quarter = 0

    def draw(self, note: str) -> None:
        if not self.total:
            return
        quarter = min(4, 4 * self.done // self.total)
        if quarter > self._quarter:
            self._quarter = quarter
            tail = f"  {clean(note)}" if note else ""
            what = clean(self.description)
            print(f"{what}: {25 * quarter}%{tail}", file=self._stream, flush=True)


class _Bar(Progress):
    """A moving bar on a terminal."""

    def __init__(self, description: str, total: int | None, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        super().__init__(description, total)
        self.rich = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self.rich.add_task(clean(description), total=total, note="")

    def draw(self, note: str) -> None:
        self.rich.update(self._task, completed=self.done, total=self.total, note=clean(note))


class Out:
    """The one way to print. ``quiet`` leaves results and errors only."""

    def __init__(self) -> None:
        self.quiet = False

    def text(self, text: str) -> None:
        """A result for people, on stdout."""
        self._write(text, sys.stdout)

    def json(self, data: Any) -> None:
        """A result for programs, on stdout: ASCII, indented; NaN and infinity become null."""
        self._write(json.dumps(plain(data), indent=2, allow_nan=False), sys.stdout)

    def table(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Sequence[str | Column],
        *,
        title: str = "",
        empty: str = "nothing here",
    ) -> None:
        """Rows under headings, on stdout: drawn on a terminal, aligned plain text elsewhere.

        ``columns`` are keys of the rows, or :class:`Column`; a missing value and None print as a
        dash. Without rows, ``empty`` is printed on stderr and stdout stays empty.
        """
        if not rows:
            self.note(empty)
            return
        heads = [Column(column) if isinstance(column, str) else column for column in columns]
        cells = [[show_cell(row.get(head.key)) for head in heads] for row in rows]
        right = [
            head.align == "right" if head.align else _numeric(rows, head.key) for head in heads
        ]
        if title:
            self.text(title)
        if _is_terminal(sys.stdout):
            self._rich_table(heads, cells, right)
        else:
            self._plain_table(heads, cells, right)

    def pairs(self, pairs: Mapping[str, Any]) -> None:
        """Names and values in two columns, on stdout."""
        width = max((len(name) for name in pairs), default=0)
        for name, value in pairs.items():
            lines = show_cell(value, newlines=True).split("\n")
            self.text(f"{name:<{width}}  " + f"\n{'':<{width}}  ".join(lines))

    def note(self, text: str) -> None:
        """What is going on, on stderr; not with ``--quiet``."""
        if not self.quiet:
            self._write(text, sys.stderr)

    def hint(self, command: str) -> None:
        """What to type next, on stderr; not with ``--quiet``."""
        if not self.quiet:
            self._write(f"next: {command}", sys.stderr, head="cyan")

    def warn(self, text: str) -> None:
        """Something to know before trusting the result, on stderr."""
        self._write(f"warning: {text}", sys.stderr, head="yellow")

    def error(self, text: str) -> None:
        """Why it did not work, on stderr."""
        self._write(f"error: {text}", sys.stderr, head="bold red")

    def styled(self, line: Text) -> None:
        """A line of coloured text made here, never from data, on stdout."""
        _console(sys.stdout).print(line, soft_wrap=True)

    def flush(self) -> None:
        """Write out what waits on stdout, so that both streams read in order."""
        sys.stdout.flush()

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Progress]:
        """Progress on stderr: a bar on a terminal, quarter marks elsewhere, none if quiet."""
        if self.quiet:
            yield Progress(description, total)
        elif _is_terminal(sys.stderr):
            bar = _Bar(description, total, _console(sys.stderr))
            with bar.rich:
                yield bar
        else:
            yield _Milestones(description, total, sys.stderr)

    def log_handler(self) -> logging.Handler:
        """A handler that prints log records of tireg as notes and warnings."""
        return _LogHandler(self)

    def _write(self, text: str, stream: TextIO, head: str = "") -> None:
        """Print ``text``; ``head`` colours it up to its first colon where colours are to be had."""
        if stream is sys.stderr:
            self.flush()
        printable = clean(text)
        if head and _is_terminal(stream) and not os.environ.get("NO_COLOR"):
            from rich.text import Text

            first, colon, rest = printable.partition(":")
            _console(stream).print(Text.assemble((first + colon, head), rest), soft_wrap=True)
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        print(printable.encode(encoding, "replace").decode(encoding), file=stream, flush=True)

    def _rich_table(self, heads: list[Column], cells: list[list[str]], right: list[bool]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for head, is_right in zip(heads, right, strict=True):
            table.add_column(Text(head.title), justify="right" if is_right else "left")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        _console(sys.stdout).print(table)

    def _plain_table(self, heads: list[Column], cells: list[list[str]], right: list[bool]) -> None:
        lines = [[head.title for head in heads], *cells]
        widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
        for line in lines:
            padded = (
                cell.rjust(width) if is_right else cell.ljust(width)
                for cell, width, is_right in zip(line, widths, right, strict=True)
            )
            self.text("  ".join(padded).rstrip())


class _LogHandler(logging.Handler):
    def __init__(self, target: Out) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        say = self._target.warn if record.levelno >= logging.WARNING else self._target.note
        say(record.getMessage())


def show_cell(value: Any, *, newlines: bool = False) -> str:
    """One value as people read it, on one line unless ``newlines``."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(show_cell(item) for item in value) or NOTHING
    text = clean(str(value))
    return text if newlines else " ".join(text.split())


def plain(data: Any) -> Any:
    """``data`` as JSON values: pydantic models, paths, numpy numbers and tuples are taken apart."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if hasattr(data, "model_dump"):
        return plain(data.model_dump(mode="json"))
    if isinstance(data, list | tuple | set | frozenset):
        items = sorted(data, key=str) if isinstance(data, set | frozenset) else data
        return [plain(item) for item in items]
    if hasattr(data, "item") and not isinstance(data, str):
        return plain(data.item())
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Path):
        return str(data)
    if data is None or isinstance(data, bool | int | str):
        return data
    if hasattr(data, "isoformat"):
        return data.isoformat()
    raise TypeError(f"{type(data).__name__} has no JSON form")


def _numeric(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    values = [row.get(key) for row in rows if row.get(key) is not None]
    return bool(values) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _console(stream: TextIO) -> Console:
    # Only asked for on a terminal, as _is_terminal sees it; rich itself heeds NO_COLOR.
    from rich.console import Console

    return Console(file=stream, highlight=False, emoji=False, force_terminal=True)


out = Out()
