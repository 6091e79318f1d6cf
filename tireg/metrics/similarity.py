"""The two plain cosines that everybody reports, with the class noun's beside them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tireg.domain.statistics import FloatArray, IntArray, clustered_mean
from tireg.metrics.base import Metric, Needs, Reading, Unscored, ids, mean_of, spread, used_seeds
from tireg.metrics.concept_fidelity import similarity
from tireg.metrics.samples import SLOT_ROLES, Samples, drawn

TEXT_VARIANTS = ("class", "empty", "context")


def clip_image_similarity(samples: Samples, level: float) -> Reading | Unscored:
    """Mean cosine of the token's pictures with the references."""
    rows, images = samples.paired("clip", ("token", "class"), samples.rows(SLOT_ROLES))
    if not rows.size:
        return Unscored("no prompt has a picture of both the token and the class noun")
    references = samples.references["clip"]
    return _reading(samples, rows, {c: similarity(x, references) for c, x in images.items()}, level)


def text_similarity(variant: str) -> Callable[[Samples, float], Reading | Unscored]:
    """The plain picture-text cosine for one form of the prompt."""

    def clip_text_similarity(samples: Samples, level: float) -> Reading | Unscored:
        texts = samples.texts[variant]
        rows = samples.rows(SLOT_ROLES)
        rows, images = samples.paired("clip", ("token", "class"), rows[drawn(texts[rows])])
        if not rows.size:
            return Unscored(f"no prompt with a '{variant}' form has pictures of both conditions")
        cosines = {c: np.einsum("psd,pd->ps", x, texts[rows]) for c, x in images.items()}
        return _reading(samples, rows, cosines, level)

    return clip_text_similarity


def _reading(
    samples: Samples, rows: IntArray, values: dict[str, FloatArray], level: float
) -> Reading:
    token, noun = values["token"], values["class"]
    return Reading(
        estimate=clustered_mean(token, level=level),
        prompt_ids=ids(samples, rows),
        n_seeds=used_seeds(token),
        baseline=mean_of(noun),
        differences=token - noun,
        pictures={c: spread(v, rows, len(samples.prompts)) for c, v in values.items()},
    )


CLIP_IMAGE_SIMILARITY = Metric(
    name="clip_image_similarity",
    version=1,
    direction="higher",
    range=(-1.0, 1.0),
    null=0.0,
    baseline="class noun at the same seed",
    bad="no better than the class noun; the absolute number means little",
    formula="mean over prompts, seeds, references of I(x_V).I(r)",
    source="CLIP-I (Gal et al. 2022)",
    needs=Needs(kind="clip", conditions=("token", "class"), references=True, roles=SLOT_ROLES),
    function=clip_image_similarity,
    couplings=(
        "copying raises it: a training picture is the most similar picture there is",
        "background carry-over and style content raise it: whole pictures are compared",
        "mix in lowers it: another concept's look is not this one's",
        "off token raises the class noun's number beside it",
    ),
    doubts=(
        (
            "study (b): Spearman 0.76 and AUC 0.57 for a fidelity of 0.2 against 0: the number "
            "hangs on the concept more than on how well it is learned"
        ),
        "study (c): Spearman over all concepts 0.49 (within one 0.85), and it rises with copying",
    ),
)

_WORDING = {
    "class": "the prompt with the class noun in the slot",
    "empty": "the prompt with nothing in the slot",
    "context": "the words for everything but the concept",
}

CLIP_TEXT_SIMILARITY = tuple(
    Metric(
        name=f"clip_text_similarity/{variant}",
        version=1,
        direction="higher",
        range=(-1.0, 1.0),
        null=0.0,
        baseline="class noun at the same seed",
        bad="more than 0.05 below the class noun; the absolute number means little",
        bad_below=-0.05,
        formula=f"mean over prompts and seeds of I(x_V).T(t), t = {_WORDING[variant]}",
        source="CLIP-T (Hessel et al. 2021; Gal et al. 2022); not x100, not x2.5, not clamped",
        needs=Needs(kind="clip", conditions=("token", "class"), texts=(variant,), roles=SLOT_ROLES),
        function=text_similarity(variant),
        couplings=(
            "copying lowers it fully: a copied picture follows no prompt",
            "background carry-over and style content lower it where the prompt names such words",
        ),
        doubts=(
            "study (b): Spearman 0.82 and AUC 0.64 with the class noun's wording",
            (
                "study (c): Spearman with what is followed 0.21 with the class noun's wording, "
                "0.56 with nothing in the slot, 0.70 with the context alone"
            ),
        ),
    )
    for variant in TEXT_VARIANTS
)
