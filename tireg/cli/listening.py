"""Workflow events as progress on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tireg.cli.console import out
from tireg.workflows.progress import Event, Listener, Notice


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener that shows one bar per task, one after the other."""
    with ExitStack() as stack:
        current: list[tuple[str, object]] = []
        bars = ExitStack()
        stack.callback(bars.close)

        def listen(event: Event | Notice) -> None:
            if isinstance(event, Notice):
                out.warn(event.text)
                return
            if not current or current[0][0] != event.task:
                bars.close()
                bar = bars.enter_context(out.progress(event.task, event.total))
                current[:] = [(event.task, bar)]
            bar = current[0][1]  # type: ignore[assignment]
            bar.update(event.done, total=event.total, note=event.note)

        yield listen
