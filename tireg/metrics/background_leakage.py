"""Whether the place of the training pictures shows where another place was asked for."""

from __future__ import annotations

import numpy as np

from tireg.domain.statistics import FloatArray, clustered_mean
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, mean_of, spread, used_seeds
from tireg.metrics.concept_fidelity import similarity
from tireg.metrics.samples import Samples, Words

_ROLES = ("background",)


def training_words(
    references: FloatArray, words: Words, *, share: float = 0.5, most: int = 2
) -> tuple[str, ...]:
    """Words that are true of the training pictures, by zero-shot choice.

    Each reference ``[R, d]`` (features of ``clip``) names its nearest word; words named by at
    least ``share`` of the references are returned, most frequent first, at most ``most``. Empty
    when the pictures agree on none: then there is no background that could leak.
    """
    votes = np.bincount((references @ words.features.T).argmax(axis=1), minlength=len(words.names))
    order = np.argsort(-votes, kind="stable")[:most]
    needed = share * len(references)
    return tuple(words.names[int(i)] for i in order if votes[i] > 0 and votes[i] >= needed)


def background_leakage(samples: Samples, level: float) -> Reading | Unscored:
    """BL: double difference, token minus class noun on training words minus unrelated words."""
    words = samples.words["background"]
    leaked = words.indices(samples.training_words["background"])
    rows, images = samples.paired("clip", ("token", "class"), samples.rows(_ROLES))
    used = [
        i
        for i, row in enumerate(rows)
        if not set(samples.training_words["background"]) & set(samples.prompts[int(row)].background)
        and _unrelated(samples, int(row))
    ]
    if not leaked or not used:
        return Unscored("no prompt asks for a background other than the training pictures' own")
    rows = rows[used]
    values, per_condition = [], {}
    for condition in ("token", "class"):
        scores = images[condition][used] @ words.features.T
        per_condition[condition] = np.stack(
            [
                scores[i][:, leaked].mean(axis=1) - scores[i][:, _unrelated(samples, row)].mean(1)
                for i, row in enumerate(rows)
            ]
        )
        values.append(per_condition[condition])
    change = values[0] - values[1]
    closer = np.where(np.isnan(change), np.nan, 0.5 * (1.0 + np.sign(change)))
    return Reading(
        estimate=clustered_mean(change, level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(change),
        baseline=0.0,
        details={"rate": mean_of(closer)},
        pictures={c: spread(v, rows, len(samples.prompts)) for c, v in per_condition.items()},
    )


def background_leakage_masked(samples: Samples, level: float) -> Reading | Unscored:
    """The same from pictures with the concept masked out, against the references' surroundings."""
    rows, images = samples.paired("background", ("token", "class"), samples.rows(_ROLES))
    if not rows.size:
        return Unscored("no background prompt has a picture of both conditions")
    values = {c: similarity(x, samples.references["background"]) for c, x in images.items()}
    change = values["token"] - values["class"]
    return Reading(
        estimate=clustered_mean(change, level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(change),
        baseline=0.0,
        details={c: mean_of(v) for c, v in values.items()},
        pictures={c: spread(v, rows, len(samples.prompts)) for c, v in values.items()},
    )


def _unrelated(samples: Samples, row: int) -> list[int]:
    """Words that are neither the training pictures' nor the prompt's own."""
    words = samples.words["background"]
    taken = set(samples.training_words["background"]) | set(samples.prompts[int(row)].background)
    return [i for i, name in enumerate(words.names) if name not in taken]


BACKGROUND_LEAKAGE = Metric(
    name="background_leakage",
    version=1,
    direction="lower",
    range=(-4.0, 4.0),
    null=0.0,
    baseline="class noun at the same seed (0 by definition)",
    bad="surely above 0",
    bad_above=0.0,
    formula="on prompts that name another background: mean of [I(x_V) - I(x_k)].T(b) for the "
    "training words b minus the same for unrelated words b'",
    source="difference of differences; nuisance leakage as in SID's background bias",
    needs=Needs(kind="clip", conditions=("token", "class"), words="background", roles=_ROLES),
    function=background_leakage,
    couplings=("copying raises it: training pictures come with their background",),
    doubts=(
        "study (b): Spearman 0.93, AUC 0.90 for a fifth of pictures",
        (
            "study (c): a carry-over of 0.15 or more was always ordered right; below it the number "
            "says nothing (Spearman 0.41, 0.04 within concepts)"
        ),
    ),
)

BACKGROUND_LEAKAGE_MASKED = Metric(
    name="background_leakage_masked",
    version=1,
    direction="lower",
    range=(-2.0, 2.0),
    null=0.0,
    baseline="class noun at the same seed (0 by definition)",
    bad="surely above 0",
    bad_above=0.0,
    formula="on prompts that name another background: mean of f(bg(x_V)).f(bg(r)) - "
    "f(bg(x_k)).f(bg(r))",
    source="SID's non-subject similarity, minus the class noun's",
    needs=Needs(kind="background", conditions=("token", "class"), references=True, roles=_ROLES),
    function=background_leakage_masked,
    couplings=(
        "copying raises it: training pictures come with their background",
        "style content raises it: whatever surrounds the concept in training pictures counts",
    ),
)
