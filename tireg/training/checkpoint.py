"""What a run needs to go on later, as a few kilobytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from tireg.errors import CorruptError
from tireg.training.stopping import Check, Look, Rows

FORMAT_VERSION = 1
Kept = Mapping[str, tuple[int, Look, Rows]]


@dataclass(frozen=True)
class State:
    """A run between two steps. Tensors are on the CPU; ``rows`` and alike are by encoder key.

    ``moments`` are the optimisers' own, ``sums`` and ``count`` the running mean of the rows,
    ``start`` the losses [n] of the fixed samples before the first step, ``good`` the last rows
    that were looked at, ``front`` the best rows per variant with what was seen of them.
    """

    step: int
    seconds: float
    reason: str | None
    rows: Rows
    moments: Mapping[str, Mapping[str, torch.Tensor]]
    sums: Rows
    count: int
    loss_sum: torch.Tensor
    generator: torch.Tensor
    start: torch.Tensor
    checks: tuple[Check, ...]
    good: Rows
    good_step: int
    front: Kept


def pack(state: State) -> bytes:
    """``state`` as safetensors: at most five times the rows' bytes and 32 kB.

    Rows, two moments, the running mean, and the best rows; the rows of the variants besides the
    best are in :func:`pack_front`, which is written only when they change.
    """
    from safetensors.torch import save

    tensors = {"generator": state.generator, "start": state.start, "loss_sum": state.loss_sum}
    best = _best(state.front)
    for key, rows in state.rows.items():
        tensors[f"rows.{key}"] = rows
        tensors[f"sums.{key}"] = state.sums[key]
        tensors[f"best.{key}"] = (best[2] if best else state.good)[key]
        tensors |= {f"moment.{key}.{name}": v for name, v in state.moments[key].items()}
    about = {
        "format_version": FORMAT_VERSION,
        "step": state.step,
        "seconds": state.seconds,
        "reason": state.reason,
        "count": state.count,
        "good_step": state.good_step,
        "checks": [asdict(check) for check in state.checks],
        "front": {name: [step, asdict(look)] for name, (step, look, _) in state.front.items()},
    }
    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return bytes(save(held, {"tireg": json.dumps(about)}))


def pack_front(front: Kept) -> bytes:
    """The rows of the variants that are not the best one, as safetensors."""
    from safetensors.torch import save

    best = _best(front)
    return bytes(
        save(
            {
                f"{name}.{key}": value.contiguous()
                for name, (step, _, rows) in front.items()
                if best is None or step != best[0]
                for key, value in rows.items()
            }
        )
    )


def newest_front(data: bytes) -> int:
    """The last step whose rows are in the front that a packed state goes with; -1 for none."""
    return max((int(step) for step, _ in _about(data)["front"].values()), default=-1)


def unpack(data: bytes, front: bytes) -> State:
    """The state that :func:`pack` and :func:`pack_front` wrote; CorruptError if it is not one."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return _state(_about(data), load(data), load(front))
    except (SafetensorError, ValueError, LookupError, TypeError, UnicodeDecodeError) as error:
        raise CorruptError(
            "the checkpoint of this run is damaged", hint="run it again without --resume"
        ) from error


def _about(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    about: dict[str, Any] = json.loads(header["__metadata__"]["tireg"])
    return about


def _state(about: dict[str, Any], held: dict[str, torch.Tensor], front: dict[str, Any]) -> State:
    if about["format_version"] != FORMAT_VERSION:
        raise CorruptError(
            f"the checkpoint of this run has format {about['format_version']}, which is not known",
            hint="run it again without --resume",
        )
    rows, best = _under(held, "rows."), _under(held, "best.")
    checks = tuple(Check(**{**c, "look": c["look"] and Look(**c["look"])}) for c in about["checks"])
    looks = {name: (step, Look(**look)) for name, (step, look) in about["front"].items()}
    first = looks["balanced"][0] if looks else -1
    return State(
        step=int(about["step"]),
        seconds=float(about["seconds"]),
        reason=about["reason"],
        rows=rows,
        moments={key: _under(held, f"moment.{key}.") for key in rows},
        sums=_under(held, "sums."),
        count=int(about["count"]),
        loss_sum=held["loss_sum"],
        generator=held["generator"],
        start=held["start"],
        checks=checks,
        good=best,
        good_step=int(about["good_step"]),
        front={
            name: (step, look, best if step == first else _under(front, f"{name}."))
            for name, (step, look) in looks.items()
        },
    )


def _best(front: Kept) -> tuple[int, Look, Rows] | None:
    return front.get("balanced")


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> Rows:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
