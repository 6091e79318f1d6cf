"""What a comparison says in words, metric by metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tireg.domain.suite_checks import LEAST_PROMPTS

# What the better one does, and what is compared; any other metric goes by its name.
WORDS = {
    "concept_fidelity": ("is more like its pictures", "fidelity"),
    "identifiability": ("is told from its like more often", "identifiability"),
    "prompt_fidelity": ("follows prompts better", "prompt fidelity"),
    "prompt_retrieval": ("keeps the prompt's context more often", "prompt retrieval"),
    "semantic_collapse": ("drowns the rest of a prompt less", "semantic collapse"),
    "semantic_collapse_text": (
        "drowns the rest of a prompt less, in the text encoder",
        "semantic collapse of the text",
    ),
    "off_token_leakage": ("leaks less where it is not asked for", "off-token leakage"),
    "off_token_rate": ("is nearer to chance where it is not asked for", "off-token rate"),
    "off_token_drift": ("disturbs other prompts less", "off-token drift"),
    "background_leakage": ("brings less of its training background", "background leakage"),
    "background_leakage_masked": (
        "brings less of its training background, beside the concept",
        "background leakage with the concept masked out",
    ),
    "copying": ("copies its training pictures less", "copying"),
    "copying_gap": ("is less drawn to its training pictures than to others", "copying gap"),
    "diversity": ("varies from seed to seed more as it ought to", "diversity"),
    "diversity_masked": (
        "varies more from seed to seed beside the concept",
        "diversity with the concept masked out",
    ),
    "diversity_lpips": ("differs from seed to seed more as its class noun does", "LPIPS diversity"),
    "pair_bleeding": ("bleeds less into a second concept", "bleeding"),
    "concept_bleeding": ("bleeds less into other concepts", "bleeding"),
    "style_content_leakage": ("brings fewer things of its pictures along", "style leakage"),
    "style_intrusion": ("puts things of its pictures in less often", "style intrusion"),
    "clip_image_similarity": ("looks more like its pictures to CLIP", "likeness"),
    "clip_text_similarity/class": (
        "matches the prompt with its class noun better",
        "text similarity with the class noun",
    ),
    "clip_text_similarity/empty": (
        "matches the prompt without it better",
        "text similarity without the word",
    ),
    "clip_text_similarity/context": (
        "matches the prompt's context better",
        "text similarity of the context",
    ),
}


def verdict_words(row: Mapping[str, Any], a: str, b: str, *, level: float) -> tuple[str, str]:
    """``a``, ``b``, ``differ``, ``perhaps`` or ``none``, and one sentence; differences are a - b.

    ``a`` and ``b`` are only said where the p value, adjusted over all metrics of the comparison,
    is below 1 - ``level``.
    """
    noun = WORDS.get(row["metric"], ("", row["metric"]))[1]
    difference, ci = row["difference"], row["ci"]
    if difference == 0 and not row["minimum_effect"]:
        return "none", f"{noun}: equal in every prompt"
    if row["n_prompts"] < LEAST_PROMPTS:
        return "none", (
            f"{noun}: {row['n_prompts']} prompts are too few to tell a difference from chance"
        )
    winner = _better(row)
    size = f"{abs(difference):.3g}"
    sign = -1 if difference < 0 else 1
    bounds = sorted(sign * bound for bound in ci)
    interval = f"{level:.0%} {bounds[0]:.3g} to {bounds[1]:.3g}"
    seen = f"smallest we could have seen {row['minimum_effect']:.2g}"
    if row["p_value"] >= 1 - level:
        return "none", f"no difference in {noun}, {seen}"
    if row["p_adjusted"] >= 1 - level:
        return "perhaps", (
            f"no sure difference in {noun}: {size}, {interval}, but p is {row['p_adjusted']:.2g} "
            f"over all metrics asked; {seen}"
        )
    if winner is None:
        low, high = sorted((a, b), key=lambda name: row["a"] if name == a else row["b"])
        return "differ", f"{high} has more {noun} than {low} by {size}, {interval}"
    name = a if winner == "a" else b
    return winner, f"{name} {_does(row)} by {size}, {interval}"


def unscored_words(row: Mapping[str, Any]) -> str:
    """Why a metric says nothing about the two."""
    noun = WORDS.get(row["metric"], ("", row["metric"]))[1]
    return f"{noun}: {row['unscored']}"


def _does(row: Mapping[str, Any]) -> str:
    if row["metric"] in WORDS:
        return WORDS[row["metric"]][0]
    how = {"higher": "higher", "lower": "lower", "target": "nearer to its target"}
    return f"is {how[row['direction']]} in {row['metric']}"


def _better(row: Mapping[str, Any]) -> str | None:
    """Whose value is better; None where the target lies between them or is not known."""
    if row["direction"] == "higher":
        return "a" if row["difference"] > 0 else "b"
    if row["direction"] == "lower":
        return "a" if row["difference"] < 0 else "b"
    from tireg.metrics import METRICS

    known = METRICS.get(row["metric"])
    if known is None or known.target is None:
        return None
    a, b = row["a"] - known.target, row["b"] - known.target
    if a * b < 0:
        return None
    return "a" if abs(a) < abs(b) else "b"
