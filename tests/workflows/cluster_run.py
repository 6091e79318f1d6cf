"""An evaluation on a cluster as a process of its own, which keeps a list of what was begun.

python -m tests.workflows.cluster_run HOME SUITE ADDRESS BASE …
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tireg.fanout import Desk, Made
from tireg.shapes import scorer_path
from tireg.store.registry import Registry
from tireg.workflows import fanning
from tireg.workflows.evaluate import EvalRequest
from tireg.workflows.fanning import Fan
from tireg.workflows.many import ManyRequest, evaluate_many
from tireg.workflows.many_units import evaluate_cell


def begin_and_evaluate(given: Mapping[str, Any], desk: Desk) -> Made:
    """As evaluate_cell, with a line in a file of the shared folder that it was begun."""
    assert desk.cache is not None
    line = f"{given['record'][:16]} {given['ground']['id']}\n".encode()
    handle = os.open(desk.cache.parent / "begun", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)
    return evaluate_cell(given, desk)


def request(words: Sequence[str], bases: Sequence[str], suite: Path, fan: Fan) -> ManyRequest:
    """Every word on every base with a small suite."""
    each = EvalRequest(
        ref="", suite=str(suite), encoders=[str(scorer_path())], steps=4, batch=4, device="cpu"
    )
    return ManyRequest(words, bases, each, fan)


def main(home: Path, suite: Path, address: str, bases: Sequence[str]) -> None:
    """Evaluate every word of the registry; one line of JSON per pair: attempts, error."""
    fanning.WORKS["evaluate"] = "tests.workflows.cluster_run:begin_and_evaluate"
    with Registry.open(home) as registry:
        words = sorted(row.name for row in registry.list())
    for one in evaluate_many(request(words, bases, suite, Fan(ray=address)), home=home):
        version = one.cell.version
        pair = [version.record_sha[:16], one.cell.base]
        error = one.failure.message if one.failure else None
        print(json.dumps({"pair": pair, "attempts": one.attempts, "error": error}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
