"""Published definitions of the same words, as their own code or paper computes them.

They are printed beside ours under ``--compat``, never mixed with them. What differs is said in
``differs`` of each.

    ti-paper      Gal et al. 2022, section 4: the text score takes the *mean* picture feature
    ti-code       their ``evaluation/clip_eval.py``: the mean of cosines, one prompt per call
    torchmetrics  ``CLIPScore``: 100 times the cosine, the running mean clamped at 0
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tireg.domain.statistics import FloatArray
from tireg.errors import EvaluationError
from tireg.metrics.samples import SLOT_ROLES, Samples, drawn


@dataclass(frozen=True)
class CompatScore:
    """One published number: no interval, no baseline, as published."""

    form: str
    name: str
    value: float | None
    unscored: str | None
    differs: str


def image_similarity(images: FloatArray, references: FloatArray) -> float:
    """Mean cosine over all pairs of a picture ``[N, d]`` and a reference ``[R, d]``."""
    return float((images @ references.T).mean())


def text_similarity_of_mean(images: FloatArray, text: FloatArray) -> float:
    """Cosine of the mean picture feature of ``[N, d]`` with the text ``[d]`` (the paper).

    Always at least as far from 0 as the mean of cosines: divided by the length of the mean, which
    is below 1. With a pairwise cosine of 0.75 a mean cosine of 0.28 becomes 0.32.
    """
    mean = images.mean(axis=0)
    return float(mean @ text / np.linalg.norm(mean))


def text_similarity_mean(images: FloatArray, text: FloatArray) -> float:
    """Mean cosine of the pictures ``[N, d]`` with the text ``[d]`` (the code)."""
    return float((images @ text).mean())


def torchmetrics_clip_score(images: FloatArray, texts: FloatArray) -> float:
    """100 times the mean cosine of ``[N, d]`` with ``[N, d]``, 0 if that mean is negative.

    The documented formula clamps each pair; the code clamps the mean. This is the code.
    """
    return max(100.0 * float(np.einsum("nd,nd->n", images, texts).mean()), 0.0)


def compat_scores(samples: Samples, form: str) -> tuple[CompatScore, ...]:
    """The published numbers of one form, from the same features as our own.

    ``texts["ti"]`` must hold features of the prompt with the slot deleted and both spaces kept, as
    ``target_text.replace("*", "")`` leaves them (``text_forms``); ``texts["class"]`` those of the
    prompt with the class noun. Raises EvaluationError when the form is unknown.
    """
    if form not in FORMS:
        raise EvaluationError(
            f"there is no form '{form}'; there are {', '.join(FORMS)}", hint="tireg eval --help"
        )
    return FORMS[form](samples)


def _ti(
    samples: Samples, form: str, text_score: Callable[[FloatArray, FloatArray], float], differs: str
) -> tuple[CompatScore, ...]:
    found = _per_prompt(samples, "ti")
    references = samples.references.get("clip")
    if isinstance(found, str):
        text = CompatScore(form, "text", None, found, differs)
    else:
        value = float(np.mean([text_score(images, t) for images, t in found]))
        text = CompatScore(form, "text", value, None, differs)
    pictures = _pictures(samples)
    if references is None or not len(references) or pictures is None:
        image = CompatScore(form, "image", None, "no clip features of both sides", differs)
    else:
        image = CompatScore(form, "image", image_similarity(pictures, references), None, differs)
    return image, text


def _ti_paper(samples: Samples) -> tuple[CompatScore, ...]:
    return _ti(
        samples,
        "ti-paper",
        text_similarity_of_mean,
        "the text score is the cosine of the mean picture feature, per prompt, then averaged; "
        "slot deleted",
    )


def _ti_code(samples: Samples) -> tuple[CompatScore, ...]:
    return _ti(
        samples,
        "ti-code",
        text_similarity_mean,
        "mean of cosines; slot deleted and its two spaces kept; one prompt per call, here averaged "
        "over prompts",
    )


def _torchmetrics(samples: Samples) -> tuple[CompatScore, ...]:
    differs = "times 100; every picture weighs the same, not every prompt; a negative mean reads 0"
    found = _per_prompt(samples, "class")
    if isinstance(found, str):
        return (CompatScore("torchmetrics", "clip_score", None, found, differs),)
    images = np.concatenate([x for x, _ in found])
    texts = np.concatenate([np.broadcast_to(t, x.shape) for x, t in found])
    value = torchmetrics_clip_score(images, texts)
    return (CompatScore("torchmetrics", "clip_score", value, None, differs),)


def _pictures(samples: Samples) -> FloatArray | None:
    block = samples.images.get("clip", {}).get("token")
    if block is None:
        return None
    block = block[samples.rows(SLOT_ROLES)]
    flat: FloatArray = block[drawn(block)]
    return flat if len(flat) else None


def _per_prompt(samples: Samples, variant: str) -> list[tuple[FloatArray, FloatArray]] | str:
    """Per prompt its pictures ``[n, d]`` and its text ``[d]``, or why there are none."""
    block = samples.images.get("clip", {}).get("token")
    texts = samples.texts.get(variant)
    if block is None or texts is None:
        return f"no clip features of the token's pictures and the prompts' '{variant}' form"
    found = [
        (block[row][drawn(block[row])], texts[row])
        for row in samples.rows(SLOT_ROLES)
        if drawn(block[row]).any() and drawn(texts[row][None])[0]
    ]
    return found or f"no prompt has both a picture and a '{variant}' text"


FORMS: dict[str, Callable[[Samples], tuple[CompatScore, ...]]] = {
    "ti-paper": _ti_paper,
    "ti-code": _ti_code,
    "torchmetrics": _torchmetrics,
}
