"""Whether a style brings the things of its training pictures along."""

from __future__ import annotations

import numpy as np

from tireg.domain.statistics import FloatArray, IntArray, clustered_mean
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, mean_of, spread, used_seeds
from tireg.metrics.samples import SLOT_ROLES, Samples, drawn

_Found = tuple[IntArray, dict[str, FloatArray]]


def style_content_leakage(samples: Samples, level: float) -> Reading | Unscored:
    """SL: double difference, token minus worded style on training nouns minus unrelated nouns."""
    found = _usable(samples)
    if isinstance(found, Unscored):
        return found
    rows, images = found
    words = samples.words["object"]
    leaked = words.indices(samples.training_words["object"])
    values = {}
    for condition, block in images.items():
        scores = block @ words.features.T
        values[condition] = np.stack(
            [
                scores[i][:, leaked].mean(axis=1) - scores[i][:, _unrelated(samples, row)].mean(1)
                for i, row in enumerate(rows)
            ]
        )
    change = values["token"] - values["class"]
    return Reading(
        estimate=clustered_mean(change, level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(change),
        baseline=0.0,
        details={c: mean_of(v) for c, v in values.items()},
        pictures={c: spread(v, rows, len(samples.prompts)) for c, v in values.items()},
    )


def style_intrusion(samples: Samples, level: float) -> Reading | Unscored:
    """Share of pictures that look more like a training noun than like the thing asked for."""
    found = _usable(samples)
    if isinstance(found, Unscored):
        return found
    rows, images = found
    words = samples.words["object"]
    leaked = words.indices(samples.training_words["object"])
    intruded = {}
    for condition, block in images.items():
        scores = block @ words.features.T
        asked = np.stack(
            [
                scores[i][:, words.indices(samples.prompts[int(row)].objects)].max(axis=1)
                for i, row in enumerate(rows)
            ]
        )
        taken = (scores[..., leaked].max(axis=-1) > asked).astype(np.float64)
        intruded[condition] = np.where(drawn(block), taken, np.nan)
    return Reading(
        estimate=clustered_mean(intruded["token"], level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(intruded["token"]),
        baseline=mean_of(intruded["class"]),
        differences=intruded["token"] - intruded["class"],
        pictures={c: spread(v, rows, len(samples.prompts)) for c, v in intruded.items()},
    )


def _usable(samples: Samples) -> _Found | Unscored:
    """Prompts that name an object which no training picture shows, and their pictures."""
    words = samples.words["object"]
    trained = set(samples.training_words["object"])
    rows, images = samples.paired("clip", ("token", "class"), samples.rows(SLOT_ROLES))
    used = [
        i
        for i, row in enumerate(rows)
        if words.indices(samples.prompts[int(row)].objects)
        and not trained & set(samples.prompts[int(row)].objects)
        and _unrelated(samples, int(row))
    ]
    if not used or not words.indices(samples.training_words["object"]):
        return Unscored("no prompt asks for an object that the training pictures do not show")
    return rows[used], {c: block[used] for c, block in images.items()}


def _unrelated(samples: Samples, row: int) -> list[int]:
    taken = set(samples.training_words["object"]) | set(samples.prompts[int(row)].objects)
    return [i for i, name in enumerate(samples.words["object"].names) if name not in taken]


_NEEDS = Needs(kind="clip", conditions=("token", "class"), words="object", roles=SLOT_ROLES)

STYLE_CONTENT_LEAKAGE = Metric(
    name="style_content_leakage",
    version=1,
    direction="lower",
    range=(-4.0, 4.0),
    null=0.0,
    baseline="the same prompt with the style in words, same seed (0 by definition)",
    bad="surely above 0",
    bad_above=0.0,
    formula="on 'a {o} in the style of V', o not in the training pictures: mean of "
    "[I(x_V) - I(x_0)].T(b) for nouns b of the training pictures minus other nouns",
    source="content leakage of Only-Style and CleanStyle, as a difference of differences",
    needs=_NEEDS,
    function=style_content_leakage,
    couplings=("copying raises it: training pictures come with their things",),
    doubts=(
        (
            "study (c): no trained style brought its shape along, so it has not been tested on "
            "trained embeddings"
        ),
    ),
)

STYLE_INTRUSION = Metric(
    name="style_intrusion",
    version=1,
    direction="lower",
    range=(0.0, 1.0),
    null=0.0,
    baseline="the same prompt with the style in words, same seed",
    bad="more than 0.05 above the worded style's",
    bad_above=0.05,
    formula="P(argmax over {o} and B of I(x).T(w) lies in B), B the nouns of the training pictures",
    source="zero-shot choice between the thing asked for and what the style was trained on",
    needs=_NEEDS,
    function=style_intrusion,
    couplings=(
        "suppression raises it: without the thing asked for, the choice is a coin toss",
        "copying raises it: training pictures come with their things",
    ),
    doubts=(
        (
            "study (c): no trained style brought its shape along, so it has not been tested on "
            "trained embeddings"
        ),
    ),
)
