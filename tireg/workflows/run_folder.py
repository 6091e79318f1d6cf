"""What a run under way leaves on the disk: a checkpoint to go on from, and a log of it all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tireg.domain.model import canonical_json
from tireg.errors import ConfigError, CorruptError

if TYPE_CHECKING:
    from tireg.training.checkpoint import State

FRESH = "run it again without --resume"


class RunFolder:
    """``training/<key>`` in the registry's folder.

    ``run.json`` says what the run is and on what it runs, ``checkpoint.safetensors`` is where it
    is, ``front-STEP.safetensors`` holds rows of variants that the checkpoint names, ``log.jsonl``
    is all that happened, ``done.json`` names the versions that came of it.
    """

    def __init__(self, home: Path, about: Mapping[str, Any]) -> None:
        """``about`` is everything that decides the vectors; runs alike share a folder."""
        self.about = json.loads(json.dumps(about))
        self.key = hashlib.sha256(canonical_json(self.about)).hexdigest()
        self.path = home / "training" / self.key[:32]

    @property
    def log_path(self) -> Path:
        """The log, one JSON object per line."""
        return self.path / "log.jsonl"

    def begin(self, environment: Mapping[str, Any]) -> None:
        """Start anew: what an earlier attempt left is removed, its log is kept at the front."""
        with _saving(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for path in self.path.glob("*"):
                if path.suffix in (".safetensors", ".png", ".part") or path.name == "done.json":
                    path.unlink()
            about = {"format_version": 1, "run": self.about, "environment": dict(environment)}
            self._write("run.json", json.dumps(about, indent=1).encode())
        self.log("begin", 0, **environment)

    def waiting(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (self.path / "checkpoint.safetensors").exists()

    def finished(self) -> list[str] | None:
        """Record hashes of the versions that this run ended with, or None while it has not."""
        try:
            data = json.loads((self.path / "done.json").read_bytes())
            return [str(sha) for sha in data["records"]]
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError, OSError) as error:
            raise CorruptError(f"'{self.path / 'done.json'}' is damaged", hint=FRESH) from error

    def load(self, environment: Mapping[str, Any], *, anyway: bool = False) -> State | None:
        """The saved state, or None where there is none.

        ConfigError where it was saved under another device, thread count or library version, with
        which the vectors would not be the same to the last bit; ``anyway`` goes on all the same.
        """
        from tireg.training.checkpoint import newest_front, unpack

        if not self.waiting():
            return None
        try:
            data = (self.path / "checkpoint.safetensors").read_bytes()
            saved = dict(json.loads((self.path / "run.json").read_bytes())["environment"])
            front = self._front(newest_front(data)).read_bytes()
        except (ValueError, LookupError, TypeError, OSError) as error:
            raise CorruptError(f"the checkpoint in '{self.path}' is damaged", hint=FRESH) from error
        changed = sorted(k for k in {*saved, *environment} if saved.get(k) != environment.get(k))
        if changed and not anyway:
            name = changed[0]
            raise ConfigError(
                f"this run was begun with {name} {_said(saved.get(name))}, now it is "
                f"{_said(environment.get(name))}: it would not end with the same vectors",
                hint="make it as it was, or add --resume-anyway",
            )
        state = unpack(data, front)
        self.log("resume", state.step, changed=changed)
        return state

    def save(self, state: State) -> None:
        """Keep ``state`` in place of what was kept before; all of it or nothing."""
        from tireg.training.checkpoint import newest_front, pack, pack_front

        data = pack(state)
        front = self._front(newest_front(data))
        with _saving(self.path):
            if not front.exists():
                self._write(front.name, pack_front(state.front))
            self._write("checkpoint.safetensors", data)
            for old in self.path.glob("front-*.safetensors"):
                if old != front:
                    old.unlink()
        self.log("checkpoint", state.step)

    def log(self, what: str, step: int, **more: Any) -> None:
        """One line; a line that a killed process left unfinished is closed first."""
        line = json.dumps({"event": what, "step": step, **more})
        with _saving(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            with self.log_path.open("a+b") as file:
                if file.tell() and not _ends_a_line(file):
                    line = "\n" + line
                file.write(line.encode() + b"\n")

    def announce(self, records: list[str]) -> None:
        """The run is about to be recorded as ``records``; what it could go on from stays."""
        with _saving(self.path):
            self._write("done.json", json.dumps({"format_version": 1, "records": records}).encode())

    def finish(self) -> None:
        """What was announced is recorded: the checkpoint is no longer needed."""
        with _saving(self.path):
            for path in self.path.glob("*.safetensors"):
                path.unlink()

    def fail(self, rows: Mapping[str, Any], reason: str) -> None:
        """The run broke: its last good rows are kept as ``last-good.safetensors``, by encoder.

        The checkpoint goes, since going on from it would break in the same way.
        """
        from safetensors.torch import save

        with _saving(self.path):
            for path in self.path.glob("*.safetensors"):
                path.unlink()
            self._write("last-good.safetensors", bytes(save(dict(rows))))
        self.log("failed", 0, reason=reason)

    def keep_picture(self, step: int, data: bytes) -> None:
        """Keep a strip of samples drawn at ``step`` (PNG)."""
        with _saving(self.path):
            self._write(f"samples-{step:07}.png", data)
        self.log("samples", step)

    def pictures(self) -> list[tuple[int, bytes]]:
        """The strips of samples kept so far, as (step, PNG) in order."""
        found = sorted(self.path.glob("samples-*.png"))
        return [(int(path.stem.removeprefix("samples-")), path.read_bytes()) for path in found]

    def _front(self, step: int) -> Path:
        return self.path / f"front-{step}.safetensors"

    def _write(self, name: str, data: bytes) -> None:
        temporary = self.path / f"{name}.{os.getpid()}.part"
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / name)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"the run cannot be saved in '{path}': {(error.strerror or str(error)).lower()}",
            hint="free some space or make the folder writable; --resume goes on from the last save",
        ) from error


def _ends_a_line(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _said(value: Any) -> str:
    return "not there" if value is None else str(value)
