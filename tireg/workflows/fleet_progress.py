"""How far a fleet has come, as one task for whoever listens."""

from __future__ import annotations

from collections.abc import Sequence

from tireg.workflows.progress import Event, Listener, Notice

TASK = "learning the fleet"


class FleetProgress:
    """Turns what many runs tell into one count of steps, and puts names before their notices.

    A run that ends early counts as if it had taken all its steps: there is no more to wait for.
    """

    def __init__(self, listen: Listener, steps: Sequence[int]) -> None:
        """``steps`` are the most that each concept will take, by its place in the list."""
        self.listen, self.steps = listen, steps
        self.taken = [0] * len(steps)
        self.ended = self.failed = self.learning = 0

    def of(self, name: str) -> Listener:
        """A listener for one run: its notices get its name, its tasks are shown beside the bar."""

        def listen(event: Event | Notice) -> None:
            if isinstance(event, Notice):
                self.listen(Notice(f"{name}: {event.text}"))
            elif event.task != "learning":
                self.show(f"{name}: {event.task}")

        return listen

    def step(self, number: int, step: int) -> None:
        """The run at ``number`` has taken ``step`` steps."""
        self.taken[number] = step

    def end(self, number: int, *, failed: bool) -> None:
        """The run at ``number`` is over."""
        self.taken[number] = self.steps[number]
        self.ended += 1
        self.failed += failed

    def show(self, what: str) -> None:
        """Tell where the fleet is, and ``what`` is going on."""
        count = f"{self.ended} of {len(self.steps)} done"
        failed = f", {self.failed} failed" if self.failed else ""
        self.listen(
            Event(TASK, sum(self.taken), sum(self.steps),
                  f"{count}{failed}, {self.learning} learning; {what}")
        )  # fmt: skip
