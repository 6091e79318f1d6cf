"""How far off the 16 kB sketches are: tables and text encoders changed in known ways.

    python benchmarks/sketch.py              # prints the tables and writes evals/studies/sketch.md
    python benchmarks/sketch.py --seeds 5

Tables are made up (49,408 rows of 768, rows of unequal length around a common mean). Behaviour
is that of the text encoder of the built-in base, its weights changed.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from tireg.domain import sketches
from tireg.domain.compat import sketch_cosine
from tireg.models.bases import identify
from tireg.models.fingerprint import (
    behaviour_sketch,
    behaviour_states,
    half_bytes,
    load_encoder,
    load_tokenizer,
    table_sketch,
)
from tireg.shapes import base_path

ROWS, WIDTH = 49_408, 768
TARGET = Path(__file__).resolve().parent.parent / "evals" / "studies" / "sketch.md"
HEAD = f"| {'change':34} | true cosine | estimate | largest error | bound | held | same hash |"
RULE = "|" + "|".join(["---"] + ["--:"] * 6) + "|"

Change = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
Row = tuple[float, float, float, bool | None]


def noise(strength: float) -> Change:
    """Independent noise, in sizes of the row."""

    def change(table: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        size = table.norm(dim=1, keepdim=True) / table.shape[1] ** 0.5
        return table + strength * size * torch.randn(table.shape, generator=generator)

    return change


def drift(rank: int, strength: float) -> Change:
    """All rows move within ``rank`` shared directions, as low-rank training moves them."""

    def change(table: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        ways = torch.linalg.qr(torch.randn(table.shape[1], rank, generator=generator))[0]
        steps = torch.randn(len(table), rank, generator=generator) / rank**0.5
        return table + strength * table.norm(dim=1, keepdim=True) * (steps @ ways.T)

    return change


def permuted(share: float) -> Change:
    """This share of the rows changes places."""

    def change(table: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        moved = torch.randperm(len(table), generator=generator)[: int(share * len(table))]
        result = table.clone()
        result[moved] = table[moved.roll(1)]
        return result

    return change


def resized(rows: int) -> Change:
    """Rows added at the end, or taken away there."""

    def change(table: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if rows < 0:
            return table[:rows]
        new = table[:rows][torch.randperm(rows, generator=generator)] * 1.01
        return torch.cat([table, new])

    return change


CHANGES: dict[str, Change] = {
    "fp16 copy": lambda t, _: t.half().float(),
    "bf16 copy": lambda t, _: t.bfloat16().float(),
    "fp16 copy of a bf16 copy": lambda t, _: t.bfloat16().half().float(),
    "2 rows more": resized(2),
    "64 rows fewer": resized(-64),
    **{f"noise, {s:g} of a row": noise(s) for s in (0.01, 0.1, 0.3, 0.45, 0.9)},
    **{f"rank-{k} drift, {s:g} of a row": drift(k, s) for k in (1, 8, 64) for s in (0.1, 0.5)},
    "1 % of rows change places": permuted(0.01),
    "30 % of rows change places": permuted(0.3),
    "all rows change places": permuted(1.0),
    "another table": lambda t, g: made_up(g),
}


def made_up(generator: torch.Generator) -> torch.Tensor:
    """A token table [49408, 768]: a common mean, and rows of lengths that differ by a third."""
    rows = torch.randn(ROWS, WIDTH, generator=generator)
    rows *= (0.3 * torch.randn(ROWS, 1, generator=generator)).exp()
    return 0.014 * (rows + 0.3 * torch.randn(WIDTH, generator=generator))


def mean_cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """The mean over the rows both have."""
    shared = min(len(a), len(b))
    return float(torch.cosine_similarity(a[:shared], b[:shared], dim=1).double().mean())


def table_rows(name: str, seeds: int) -> Iterator[Row]:
    """True cosine, estimate, bound and whether the hash is the same, one for each seed."""
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        table = made_up(generator)
        other = CHANGES[name](table, generator)
        found = sketch_cosine(*(sketches.pack(table_sketch(t)) for t in (table, other)))
        assert found is not None
        same = hashlib.sha256(half_bytes(table)).digest() == (
            hashlib.sha256(half_bytes(other)).digest()
        )
        yield mean_cosine(table, other), found.value, found.error, same


def behaviour_rows(strength: float, seeds: int) -> Iterator[Row]:
    """The same for the behaviour of the built-in base's encoder, all its matrices made noisy."""
    folder = base_path()
    row = identify(folder).encoders[0]
    model, tokenizer = load_encoder(folder, row), load_tokenizer(folder, row)
    states = behaviour_states(model, tokenizer).double()
    before = sketches.pack(behaviour_sketch(model, tokenizer))
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        other = copy.deepcopy(model)
        for weight in other.parameters():
            if weight.ndim == 2:
                step = torch.randn(weight.shape, generator=generator)
                weight.data += strength * weight.data.std() * step
        moved = behaviour_states(other, tokenizer).double()
        a, b = states - states.mean(dim=0), moved - moved.mean(dim=0)
        true = float((a * b).sum() / (a.norm() * b.norm()))
        after = sketches.pack(behaviour_sketch(other, tokenizer))
        found = sketch_cosine(before, after, centred=True)
        assert found is not None
        yield true, found.value, found.error, None


def line(name: str, rows: list[Row]) -> str:
    """One line of the table, over all seeds."""
    true, estimate, bound = (float(np.mean([r[i] for r in rows])) for i in range(3))
    worst = max(abs(r[1] - r[0]) for r in rows)
    held = sum(abs(r[1] - r[0]) <= r[2] for r in rows)
    same = "–" if rows[0][3] is None else "yes" if all(r[3] for r in rows) else "no"
    return (
        f"| {name:34} | {true:.4f} | {estimate:.4f} | {worst:.4f} | {bound:.4f} "
        f"| {held}/{len(rows)} | {same} |"
    )


def main() -> None:
    """Print both tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    lines = [
        "# How far off the sketches are",
        "",
        f"Made by `python benchmarks/sketch.py --seeds {seeds}`. *bound* is what `tireg compat`",
        "prints after ±; *held* counts seeds whose true cosine lies within it.",
        "",
        "## Token tables (49,408 x 768, made up), 512 rows x 16 directions, 16 kB",
        "",
        HEAD,
        RULE,
    ]
    print("\n".join(lines), flush=True)
    for name in CHANGES:
        lines.append(line(name, list(table_rows(name, seeds))))
        print(lines[-1], flush=True)
    rest = ["", "## Behaviour (32 prompts, encoder of the base shapes), 32 x 16, 1 kB",
            "", HEAD, RULE]  # fmt: skip
    lines += rest
    print("\n".join(rest), flush=True)
    for strength in (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0):
        name = f"noise in all matrices, {strength:g}"
        lines.append(line(name, list(behaviour_rows(strength, 4 * seeds))))
        print(lines[-1], flush=True)
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
