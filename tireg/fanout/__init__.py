"""Running many independent jobs, in this process, in several, or on several machines.

A unit of work is the name of a function from a list that the caller hands in, and plain JSON; no
code travels. What a unit makes is kept under a key that says all it was made from, so that a lost
worker costs one unit and a second start does only what is missing.
"""

from __future__ import annotations

from tireg.fanout.engines import Engine, Failure, InProcess, Settled, Shop, Tick
from tireg.fanout.processes import Processes
from tireg.fanout.results import Results
from tireg.fanout.units import Desk, Made, Unit, make_unit

__all__ = [
    "Desk", "Engine", "Failure", "InProcess", "Made", "Processes", "Results", "Settled", "Shop",
    "Tick", "Unit", "make_unit",
]  # fmt: skip
