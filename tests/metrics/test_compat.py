from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.builders import WIDTH, random_block, unit, world
from tireg.domain.suites import load_suite
from tireg.errors import EvaluationError
from tireg.metrics import METRICS, Samples, compat_scores, text_forms
from tireg.metrics.compat import FORMS, text_similarity_mean, text_similarity_of_mean


class RunningClipScore:
    """The published metric, written again: batches add up, the mean is clamped at the end."""

    def __init__(self) -> None:
        self.score = 0.0
        self.n_samples = 0

    def update(self, images: np.ndarray, texts: np.ndarray) -> None:
        for image, text in zip(images, texts, strict=True):
            image, text = image / np.linalg.norm(image), text / np.linalg.norm(text)
            self.score += 100.0 * float((image * text).sum())
            self.n_samples += 1

    def compute(self) -> float:
        return max(self.score / self.n_samples, 0.0)


def by_name(samples: Samples, form: str) -> dict[str, float | None]:
    return {score.name: score.value for score in compat_scores(samples, form)}


def pictures(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    token, text = samples.images["clip"]["token"][:6], samples.texts["class"][:6]
    return token.reshape(-1, WIDTH), np.repeat(text, token.shape[1], axis=0)


def test_torchmetrics_form_agrees_with_batches_of_unequal_size() -> None:
    samples = world()
    images, texts = pictures(samples)
    running = RunningClipScore()
    for part in (slice(0, 5), slice(5, 12), slice(12, None)):
        running.update(images[part], texts[part])
    assert by_name(samples, "torchmetrics")["clip_score"] == pytest.approx(running.compute())


def test_torchmetrics_form_is_a_hundred_times_ours_while_prompts_are_balanced() -> None:
    samples = world()
    ours = METRICS["clip_text_similarity/class"](samples).value
    assert ours is not None
    assert by_name(samples, "torchmetrics")["clip_score"] == pytest.approx(100 * ours)


def test_torchmetrics_clamps_the_mean_and_we_do_not() -> None:
    samples = world()
    texts = {name: -text for name, text in samples.texts.items()}
    samples = replace(samples, texts=texts)
    ours = METRICS["clip_text_similarity/class"](samples).value
    assert ours is not None
    assert ours < 0
    assert by_name(samples, "torchmetrics")["clip_score"] == 0.0


def test_torchmetrics_weighs_pictures_and_we_weigh_prompts() -> None:
    samples = world()
    images = dict(samples.images)
    token = images["clip"]["token"].copy()
    token[0, 1:] = np.nan
    samples = replace(samples, images={**images, "clip": {**images["clip"], "token": token}})
    ours = METRICS["clip_text_similarity/class"](samples).value
    theirs = by_name(samples, "torchmetrics")["clip_score"]
    assert ours is not None
    assert theirs != pytest.approx(100 * ours)


def test_the_paper_divides_by_the_length_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    text = unit(rng.normal(size=WIDTH))
    images = random_block(rng, 64, toward=2 * text)
    mean = images.mean(axis=0)
    paper = float(mean @ text) / math.sqrt(float(mean @ mean))
    code = sum(float(i @ text) for i in images) / 64
    assert text_similarity_of_mean(images, text) == pytest.approx(paper)
    assert text_similarity_mean(images, text) == pytest.approx(code)
    assert paper > code


def test_pairwise_cosine_of_three_quarters_turns_28_into_32() -> None:
    # Rows with one common part: pairwise cosine c, so the mean's length is about sqrt(c).
    common, text = np.eye(80)[0], np.eye(80)[1]
    rows = [
        np.sqrt(0.75 - 0.28**2) * common + 0.28 * text + 0.5 * np.eye(80)[2 + i] for i in range(64)
    ]
    images = np.stack(rows)
    assert np.allclose(np.linalg.norm(images, axis=1), 1.0)
    assert text_similarity_mean(images, text) == pytest.approx(0.28)
    assert text_similarity_of_mean(images, text) == pytest.approx(0.32, abs=0.005)


@pytest.mark.parametrize("form", ["ti-paper", "ti-code"])
def test_both_ti_forms_share_the_image_score(form: str) -> None:
    samples = world()
    expected = METRICS["clip_image_similarity"](samples).value
    assert by_name(samples, form)["image"] == pytest.approx(expected)


def test_ti_code_is_our_mean_on_their_text() -> None:
    samples = world()
    expected = METRICS["clip_text_similarity/empty"](samples).value
    assert by_name(samples, "ti-code")["text"] == pytest.approx(expected)


def test_the_slot_is_deleted_and_its_spaces_stay() -> None:
    suite = load_suite("object")
    forms = {p.id: text_forms(p, "umbrella") for p in suite.prompts}
    assert forms["background-beach"] == {
        "class": "a photo of an umbrella on the beach",
        "empty": "a photo on the beach",
        "context": "on the beach",
        "ti": "a photo of a  on the beach",
    }
    assert forms["neutral-horse"] == {}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_missing_features_are_a_reason(form: str) -> None:
    scores = compat_scores(replace(world(), images={}), form)
    assert scores
    assert all(score.value is None and score.unscored for score in scores)
    assert all(len(score.differs) > 20 for score in scores)


def test_missing_texts_are_a_reason() -> None:
    scores = {s.name: s for s in compat_scores(replace(world(), texts={}), "ti-code")}
    assert scores["image"].value is not None
    assert "'ti' form" in (scores["text"].unscored or "")


def test_unknown_form_lists_the_known() -> None:
    with pytest.raises(EvaluationError, match="ti-paper, ti-code, torchmetrics"):
        compat_scores(world(), "dino")
