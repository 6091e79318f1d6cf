"""The tables of study (c): metrics against what the oracle read, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from benchmarks.study_truth import TRUTHS
from tireg.metrics import METRICS

COMPARED = {
    "concept_fidelity": "fidelity",
    "clip_image_similarity": "fidelity",
    "identifiability": "identity",
    "prompt_fidelity": "following gain",
    "prompt_retrieval": "following",
    "clip_text_similarity/class": "following",
    "clip_text_similarity/empty": "following",
    "clip_text_similarity/context": "following",
    "semantic_collapse": "collapse",
    "semantic_collapse_text": "collapse",
    "background_leakage": "carry-over",
    "style_content_leakage": "content",
    "style_intrusion": "intrusion",
    "diversity": "diversity",
    "concept_bleeding": "bleeding",
}
"""Each metric and the truth it should rise with."""

EXACT = {"off_token_leakage": 0.0, "off_token_rate": 0.5, "off_token_drift": 0.0}
"""What the metrics of pictures without the token must read for a plain embedding."""

CLEAR = 0.15
"""Difference of a truth from which the oracle calls one stage clearly above another."""

Stages = dict[str, dict[tuple[str, int], tuple[float, float]]]
"""Concept, then stage, to (truth, metric)."""


@dataclass(frozen=True)
class Cell:
    """One stage of one concept. A metric is [value, lower end of its distance from the baseline,
    lower end of the value], or the reason why it has none."""

    concept: str
    sort: str
    run: str
    step: int
    norm: float
    truth: Mapping[str, float]
    metrics: Mapping[str, Sequence[float] | str]

    def value(self, metric: str) -> float:
        """The metric's value, NaN where it is unscored."""
        found = self.metrics[metric]
        return float("nan") if isinstance(found, str) else float(found[0])


@dataclass(frozen=True)
class Found:
    """How one metric goes with one truth. NaN where it cannot be told."""

    stages: int
    spread: tuple[float, float]
    pooled: float
    within: float
    auc: float
    pairs: int
    in_order: int
    concepts: int


def compare(cells: Sequence[Cell], metric: str, truth: str) -> Found:
    """Rank correlation over all stages and within concepts; AUC of clear pairs within concepts."""
    stages = _stages(cells, metric, truth)
    flat = [pair for group in stages.values() for pair in group.values()]
    truths = [t for t, _ in flat]
    inside = [_spearman(list(group.values())) for group in stages.values()]
    known = [r for r in inside if not np.isnan(r)]
    wins = {c: list(_wins(list(group.values()))) for c, group in stages.items()}
    clear = [w for group in wins.values() for w in group]
    judged = [group for group in wins.values() if group]
    return Found(
        stages=len(flat),
        spread=(min(truths), max(truths)) if truths else (np.nan, np.nan),
        pooled=_spearman(flat),
        within=float(np.median(known)) if known else np.nan,
        auc=float(np.mean(clear)) if clear else np.nan,
        pairs=len(clear),
        in_order=sum(min(group) == 1.0 for group in judged),
        concepts=len(judged),
    )


def _stages(cells: Sequence[Cell], metric: str, truth: str) -> Stages:
    found: Stages = {}
    for cell in cells:
        pair = (cell.truth[truth], cell.value(metric))
        if not np.isnan(pair).any():
            found.setdefault(cell.concept, {})[cell.run, cell.step] = pair
    return found


def _spearman(pairs: Sequence[tuple[float, float]]) -> float:
    from scipy.stats import spearmanr

    one, two = np.array(pairs).reshape(-1, 2).T
    if len(pairs) < 3 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return float("nan")
    return float(spearmanr(one, two).statistic)


def _wins(pairs: Sequence[tuple[float, float]]) -> Iterator[float]:
    """1 for each clear pair that the metric orders as the oracle does, 0.5 for a tie."""
    for (truth, value), (other_truth, other_value) in combinations(pairs, 2):
        if abs(truth - other_truth) >= CLEAR:
            yield float(0.5 * (1 + np.sign((value - other_value) * (truth - other_truth))))


_ABOUT = (
    "Concepts of `shapes` are learned from five pictures, four of which share their background "
    "(for a style: their shape), by the default method kept at several steps, far too many among "
    "them, and by an over-strong recipe (eight rows, a rate six times the default that never "
    "falls). Every stage is drawn and measured by the ordinary evaluation on `shapes` or "
    "`shapes-style` with two other concepts as reference set; the oracle reads the same pictures "
    "by fixed rules."
)
_COLUMNS = (
    f"Spearman with the truth over all stages, and its median within concepts. AUC: share of pairs "
    f"of stages of one concept, apart by {CLEAR} or more in truth, that the metric orders the same "
    "way. In order: concepts where all such pairs are, so where the metric is monotone as far as "
    "the oracle can tell."
)


_CROSS_TALK = (
    "Spearman over all stages of every metric with every truth. What training does, it does to "
    "several at once, so a number here is no cause; the column of copying shows which metrics a "
    "copy flatters."
)


def page(cells: Sequence[Cell], command: str) -> str:
    """The whole page."""
    concepts = list(dict.fromkeys(cell.concept for cell in cells))
    lines = [
        "# Study (c): the metrics on trained embeddings, against the oracle",
        "",
        f"Made by `{command}`. {_ABOUT}",
        "",
        f"{len(cells)} stages of {len(concepts)} concepts: {', '.join(concepts)}.",
        "",
        "## Each metric and its truth",
        "",
        _COLUMNS,
        "",
        "| metric | truth | range of truth | stages | Spearman | within | AUC | pairs | in order |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for metric, truth in COMPARED.items():
        f = compare(cells, metric, truth)
        lines.append(
            f"| {metric} | {truth} | {_n(f.spread[0])} to {_n(f.spread[1])} | {f.stages} | "
            f"{_n(f.pooled)} | {_n(f.within)} | {_n(f.auc)} | {f.pairs} | "
            f"{f.in_order} of {f.concepts} |"
        )
    lines += ["", *_exact(cells), "", "The truths, as the oracle reads them:", ""]
    lines += [f"- {name}: {told}." for name, told in TRUTHS.items()]
    lines += ["", *_cross(cells), "", *_ways(cells), "", *_every(cells)]
    doubts = [
        (name, doubt)
        for name, metric in METRICS.items()
        for doubt in metric.doubts
        if doubt.startswith("study (c)")
    ]
    if doubts:
        lines += ["", "## What does not hold, and why", ""]
        lines += [f"- `{name}`: {doubt}." for name, doubt in doubts]
    return "\n".join(lines) + "\n"


def _n(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _exact(cells: Sequence[Cell]) -> list[str]:
    """What must be so and not only go along."""
    lines = []
    for metric, wanted in EXACT.items():
        right = sum(cell.value(metric) == wanted for cell in cells)
        lines.append(f"`{metric}` is exactly {wanted:g} in {right} of {len(cells)} stages.")
    clean = [c for c in cells if abs(c.truth["bleeding"]) <= 0.02]
    scored = [c for c in clean if not isinstance(c.metrics["concept_bleeding"], str)]
    readings = [(float(c.value("concept_bleeding")), _low(c)) for c in scored]
    alarms = sum(low > 0 for _, low in readings)
    bad = sum(low > 0 and value > 0.1 for value, low in readings)
    lines.append(
        f"`concept_bleeding` is surely above 0 in {alarms}, and bad in {bad}, of {len(scored)} "
        "stages whose pictures show no other concept."
    )
    reasons = {
        f"`{name}` is unscored: {found}."
        for cell in cells
        for name, found in cell.metrics.items()
        if isinstance(found, str) and all(isinstance(c.metrics[name], str) for c in cells)
    }
    return [*lines, *sorted(reasons)]


def _low(cell: Cell) -> float:
    found = cell.metrics["concept_bleeding"]
    return float("nan") if isinstance(found, str) else float(found[1])


def _cross(cells: Sequence[Cell]) -> list[str]:
    """Every metric against every truth."""
    names = list(TRUTHS)
    lines = [
        "## Cross-talk",
        "",
        _CROSS_TALK,
        "",
        "| metric | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for metric, own in COMPARED.items():
        found = [compare(cells, metric, truth).pooled for truth in names]
        cells_of = [
            f"**{_n(value)}**" if truth == own else _n(value)
            for truth, value in zip(names, found, strict=True)
        ]
        lines.append(f"| {metric} | {' | '.join(cells_of)} |")
    return lines


_OBJECT_WAY = (
    ("fidelity", "following", "carry-over", "copying", "diversity"),
    ("concept_fidelity", "clip_image_similarity", "identifiability", "prompt_fidelity",
     "prompt_retrieval", "semantic_collapse", "semantic_collapse_text", "background_leakage",
     "diversity"),
)  # fmt: skip
_STYLE_WAY = (
    ("fidelity", "following", "content", "copying", "diversity"),
    ("concept_fidelity", "clip_image_similarity", "identifiability", "prompt_fidelity",
     "prompt_retrieval", "semantic_collapse", "semantic_collapse_text", "style_content_leakage",
     "diversity"),
)  # fmt: skip


def _ways(cells: Sequence[Cell]) -> list[str]:
    """From under- to overfitted: means over concepts by stage."""
    lines = ["## From undertrained to overfitted", ""]
    for title, style, (truths, metrics) in (
        ("Objects", False, _OBJECT_WAY),
        ("Styles", True, _STYLE_WAY),
    ):
        mine = [cell for cell in cells if (cell.sort == "tint") == style]
        if not mine:
            continue
        lines += [
            f"{title}, means over concepts; first what the oracle read, then the metrics.",
            "",
            "| run | step | norm | " + " | ".join((*truths, *metrics)) + " |",
            "|---|---|---|" + "---|" * (len(truths) + len(metrics)),
        ]
        for run, step in dict.fromkeys((cell.run, cell.step) for cell in mine):
            here = [cell for cell in mine if (cell.run, cell.step) == (run, step)]
            values = [_mean([c.truth[t] for c in here]) for t in truths]
            values += [_mean([c.value(m) for c in here]) for m in metrics]
            norm = _mean([c.norm for c in here])
            lines.append(f"| {run} | {step} | {_n(norm)} | {' | '.join(map(_n, values))} |")
        lines.append("")
    return lines[:-1]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _every(cells: Sequence[Cell]) -> list[str]:
    """What the oracle read of every stage."""
    names = list(TRUTHS)
    lines = [
        "## Every stage, as the oracle read it",
        "",
        "| concept | run | step | " + " | ".join(names) + " |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for cell in cells:
        values = " | ".join(_n(cell.truth[name]) for name in names)
        lines.append(f"| {cell.concept} | {cell.run} | {cell.step} | {values} |")
    return lines
