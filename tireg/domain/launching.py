"""What a launcher (accelerate, torchrun, mpirun) says of the process it started; without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tireg.errors import ConfigError

# The launchers' own names for the same things, in the order in which accelerate reads them.
COUNT = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
INDEX = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
LOCAL = (
    "LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK"
)  # fmt: skip
TOLD = "told_by_the_main_process"


@dataclass(frozen=True)
class Launch:
    """The place of one process among ``count``: ``index`` of all, ``local`` of this machine's."""

    index: int
    count: int
    local: int

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.index == 0


def launched(environment: Mapping[str, str] | None = None) -> Launch | None:
    """The place of this process among several that were started together; None where it is alone.

    A ``WORLD_SIZE`` of 1, or one without a rank, is nothing that a launcher of several sets.
    """
    given = os.environ if environment is None else environment
    count, index = _number(given, COUNT), _number(given, INDEX)
    if count is None or index is None or not 0 <= index < count or count < 2:
        return None
    return Launch(index, count, _number(given, LOCAL) or 0)


def check_launch(environment: Mapping[str, str] | None = None) -> None:
    """ConfigError where accelerate was asked for several processes and started a single one.

    It does so without a word where there are not several GPUs and no mpirun: then it names the
    place to meet at (``MASTER_ADDR``), but says nothing of a number.
    """
    given = os.environ if environment is None else environment
    by_accelerate = "ACCELERATE_MIXED_PRECISION" in given and "MASTER_ADDR" in given
    if by_accelerate and _number(given, COUNT) is None:
        raise ConfigError(
            "accelerate was asked for several processes and started only one, as it does on CPUs",
            hint="accelerate launch --multi_gpu --num_processes N -m tireg train …, which starts "
            "them on CPUs too, or torchrun --nproc-per-node N -m tireg train …",
        )


def check_alone(what: str, environment: Mapping[str, str] | None = None) -> None:
    """ConfigError for ``what`` (a noun) that several processes at once would only do twice."""
    launch = launched(environment)
    if launch is not None:
        raise ConfigError(
            f"{what} is for one process, and a launcher started {launch.count}; together they "
            "learn one concept",
            hint="without the launcher; --jobs N, where there is one, is for several processes",
        )


def mark_told(error: BaseException, told: bool = True) -> None:
    """Note whether the main process knows of ``error``, so that no other one need speak of it."""
    setattr(error, TOLD, told)


def is_told(error: BaseException) -> bool | None:
    """Whether the main process knows of ``error``; None for one before the processes met."""
    told: bool | None = getattr(error, TOLD, None)
    return told


def _number(given: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        if given.get(name, "").isdecimal():
            return int(given[name])
    return None
