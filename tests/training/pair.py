"""One of two processes of a test: ``python -m tests.training.pair BASE PICTURES OUT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.training.test_loop import start
from tireg.domain.launching import is_told
from tireg.errors import TrainingFailedError
from tireg.training.loop import Learning
from tireg.training.processes import Team, together

# Together four pictures a step. Each knob that meets the batch, the gradients or the decisions.
RECIPES: dict[str, dict[str, Any]] = {
    "directional": {"method": "directional", "flip": False},
    "accumulate": {"method": "directional", "accumulate": 2, "paired_noise": True},
    "classic": {"method": "classic", "anchor": 0.1, "weight_decay": 0.01, "norm_limit": 0.9},
    "uniform": {"method": "classic", "timesteps": "uniform", "snr_gamma": 0.0, "warmup": 2},
    "auto": {"method": "directional", "steps": "auto", "max_steps": 24},
}


def learn(base: Path, pictures: Path, knobs: dict[str, Any], team: Team) -> Learning:
    """A run of four pictures a step, to its end."""
    learning = Learning(start(base, pictures, **{"batch": 4, **knobs}), None, team)
    list(learning)
    return learning


def failing(team: Team) -> str:
    """What a process hears when the other one's step fails."""
    rows = torch.nn.Parameter(torch.ones(2, 3))

    def fall() -> torch.Tensor:
        if team.main:
            return torch.zeros(())
        raise TrainingFailedError("the second one fell")

    try:
        team.add_up(fall, [rows])
    except TrainingFailedError as error:
        return f"{error.message}, told: {is_told(error)}"
    return "nothing"


def main(base: Path, pictures: Path, out: Path) -> None:
    """Learn all recipes; write what this process ended with."""
    said: dict[str, Any] = {}
    with together() as team:
        for name, knobs in RECIPES.items():
            learning = learn(base, pictures, knobs, team)
            (rows,) = learning.run.rows().values()
            np.save(out / f"{name}-{team.launch.index}.npy", rows.numpy())
            said[name] = [learning.step, learning.reason, learning.checks[-1].loss]
        said["failing"] = failing(team)
        team.wishes = [2] if not team.main else []
        team.add_up(lambda: torch.ones(()), [])
        said["stopping"] = team.stopping
        said["order"] = team.tell(lambda: f"by {team.launch.index}")
    (out / f"{team.launch.index}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
