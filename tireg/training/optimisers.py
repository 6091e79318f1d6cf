"""How rows move. Each method is one small class with one ``step``; rates are relative.

``rate`` is the largest move of a row in one step, as a share of the mean row norm of words in
use, so that one default fits every family.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch

from tireg.domain.recipes import Recipe


class Optimiser(Protocol):
    """Moves the parameter it was made for, once per step, by its gradient."""

    def step(self, rate: float) -> None:
        """One step at relative ``rate``; reads and clears the gradient."""

    def state(self) -> dict[str, torch.Tensor]:
        """What to save besides the rows; empty before the first step."""

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a saved state."""


class Classic:
    """AdamW on free rows (Gal et al., 2022; Loshchilov & Hutter, 2019).

    Adam moves a coordinate by at most about its rate, so a row of width d by rate x sqrt(d):
    a rate in words' lengths is converted with that. ``anchor`` pulls rows to where they began
    by the gradient of anchor x squared distance (the regulariser of cross initialisation, Pang
    et al., 2024), distances in words' lengths.
    """

    def __init__(self, rows: torch.nn.Parameter, scale: float, recipe: Recipe) -> None:
        self.rows = rows
        self.unit = 1.0
        if recipe.rate_unit == "words":
            self.unit = scale / math.sqrt(rows.shape[1])
        self.pull = 2 * recipe.anchor / scale**2
        self.begin = rows.detach().clone()
        self.adam = torch.optim.AdamW([rows], lr=self.unit, weight_decay=recipe.weight_decay)

    def step(self, rate: float) -> None:
        """One AdamW step; see the class."""
        if self.pull and self.rows.grad is not None:
            self.rows.grad += self.pull * (self.rows.detach() - self.begin)
        self.adam.param_groups[0]["lr"] = rate * self.unit
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def state(self) -> dict[str, torch.Tensor]:
        """What a later run needs to go on as if it had not stopped, besides the rows."""
        return {k: v.detach().clone() for k, v in self.adam.state[self.rows].items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take up the state that :meth:`state` gave."""
        self.adam.state[self.rows] = {
            # Adam counts its steps on the CPU, wherever the rows are.
            k: v.clone() if k == "step" else v.to(self.rows.device, copy=True)
            for k, v in state.items()
        }


class Directional:
    """Rows of fixed length; only their direction is learned (directional textual inversion, 2025).

    The gradient is projected onto the sphere's tangent space, with a von Mises-Fisher prior
    of weight ``prior`` that pulls towards the initial direction; momentum is transported by
    projection and the second moment is one number per row (Riemannian Adam, Bécigneul & Ganea,
    2019, eq. 6). ``rate`` is an angle in radians.
    """

    beta1, beta2 = 0.9, 0.999

    def __init__(self, rows: torch.nn.Parameter, scale: float, prior: float) -> None:
        self.rows = rows
        self.length = scale
        self.prior = prior
        self.count = 0
        with torch.no_grad():
            self.mean = rows / rows.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            rows.copy_(self.mean * scale)
        self.first = torch.zeros_like(rows)
        self.second = torch.zeros_like(rows[:, :1])

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One Riemannian step; see the class."""
        if self.rows.grad is None:
            return
        self.count += 1
        direction = self.rows / self.length
        gradient = self.rows.grad * self.length - self.prior * self.mean
        gradient = _tangent(gradient, direction)
        self.first = self.beta1 * _tangent(self.first, direction) + (1 - self.beta1) * gradient
        square = gradient.pow(2).sum(dim=-1, keepdim=True)
        self.second = self.beta2 * self.second + (1 - self.beta2) * square
        mean = self.first / (1 - self.beta1**self.count)
        root = (self.second / (1 - self.beta2**self.count)).sqrt()
        moved = direction - rate * mean / root.clamp(min=1e-12)
        self.rows.copy_(moved / moved.norm(dim=-1, keepdim=True) * self.length)
        self.rows.grad = None

    def state(self) -> dict[str, torch.Tensor]:
        """Momentum, second moment and step count."""
        count = torch.tensor(self.count)
        return {"first": self.first.clone(), "second": self.second.clone(), "count": count}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take up the state that :meth:`state` gave."""
        device = self.rows.device
        self.first, self.second = state["first"].to(device), state["second"].to(device)
        self.count = int(state["count"])


def _tangent(vector: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """``vector`` without its part along ``direction`` (unit rows)."""
    return vector - (vector * direction).sum(dim=-1, keepdim=True) * direction


def make_optimiser(recipe: Recipe, rows: torch.nn.Parameter, scale: float) -> Optimiser:
    """The optimiser of ``recipe.method`` for one encoder's rows; ``scale`` is the words' norm."""
    if recipe.method == "directional":
        return Directional(rows, scale, recipe.prior)
    return Classic(rows, scale, recipe)


def rate_at(recipe: Recipe, step: int) -> float:
    """Rate of ``step`` (0-based): warm-up, then constant, linear or cosine decay."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.learning_rate
    span = max(1, recipe.last_step - recipe.warmup)
    done = min(1.0, (step - recipe.warmup) / span)
    fall = done if recipe.schedule == "linear" else (1 - math.cos(math.pi * done)) / 2
    return recipe.learning_rate * (1 - (1 - recipe.final_rate) * fall)


@torch.no_grad()
def limit_norms(recipe: Recipe, rows: torch.Tensor, scale: float, step: int) -> None:
    """Shorten rows longer than the limit of ``step`` (0-based), in place."""
    if recipe.norm_limit <= 0:
        return
    end = recipe.norm_limit_end or recipe.norm_limit
    done = step / max(1, recipe.last_step - 1)
    longest = scale * (recipe.norm_limit + (end - recipe.norm_limit) * min(1.0, done))
    norms = rows.norm(dim=-1, keepdim=True)
    rows.mul_((longest / norms.clamp(min=1e-12)).clamp(max=1.0))
