"""The same numbers as torchmetrics gives, from the same pictures, weights and features."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.lpips_files import write_network
from tests.metrics.builders import value, world
from tireg.domain.suites import SLOT_ROLES
from tireg.metrics import Samples, compat_scores
from tireg.metrics.samples import pack, pack_text
from tireg.models.encoders import ClipEncoder, open_encoder
from tireg.models.lpips_distance import open_lpips
from tireg.shapes import scorer_path
from tireg.shapes.world import draw_scenes, render_many

torchmetrics = pytest.importorskip(
    "torchmetrics", reason="torchmetrics is not installed: nothing to compare with"
)
CPU = torch.device("cpu")
TEXTS = ("a photo of a red star", "a blue square on the left", "a green ring on black")


class AsTransformers(torch.nn.Module):
    """An open_clip model under the names that torchmetrics calls, which are transformers'."""

    config = SimpleNamespace()

    def __init__(self, encoder: ClipEncoder) -> None:
        super().__init__()
        self.inner = encoder.model

    def get_image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.inner.encode_image(pixels)
        return found

    def get_text_features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.inner.encode_text(ids)
        return found


def processor(encoder: ClipEncoder) -> Any:
    """What torchmetrics calls to prepare pictures and texts: open_clip's own preparation."""

    def prepare(
        text: list[str] | None = None, images: list[torch.Tensor] | None = None, **_: Any
    ) -> dict[str, torch.Tensor]:
        if text is not None:
            ids = encoder.tokenizer(text)
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        arrays = [one.permute(1, 2, 0).numpy() for one in images or []]
        return {
            "pixel_values": torch.stack([encoder.preprocess(Image.fromarray(a)) for a in arrays])
        }

    return prepare


def clip_score(encoder: ClipEncoder) -> Any:
    from torchmetrics.multimodal import CLIPScore

    return CLIPScore(model_name_or_path=lambda: (AsTransformers(encoder), processor(encoder)))


def drawn_world(encoder: ClipEncoder, *, sign: float = 1.0) -> tuple[Samples, list[np.ndarray]]:
    """Three prompts, four rendered pictures each, looked at by our encoder."""
    pictures = list(render_many(draw_scenes(3, 12)))
    samples = world(n=3, seeds=4, free=0)
    at = [(p, s) for p in range(3) for s in range(4)]
    rows, columns = [p for p, _ in at], [s for _, s in at]
    features = pack(encoder.pictures(pictures), rows, columns, (3, 4))
    texts = pack_text(sign * encoder.texts(TEXTS), [0, 1, 2], 3)
    kinds = {"clip": {"token": features, "class": features}}
    return Samples(
        prompts=samples.prompts, seeds=samples.seeds, images=kinds, texts={"class": texts}
    ), pictures


def as_tensors(pictures: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(p)).permute(2, 0, 1) for p in pictures]


def test_clip_score_of_the_same_pictures_and_texts() -> None:
    encoder = open_encoder(str(scorer_path()), device=CPU)
    samples, pictures = drawn_world(encoder)
    theirs = clip_score(encoder)
    texts = [text for text in TEXTS for _ in range(4)]
    for part in (slice(0, 5), slice(5, 12)):  # batches of unequal length
        theirs.update(as_tensors(pictures[part]), texts[part])
    expected = float(theirs.compute())
    assert expected != 0.0
    (form,) = compat_scores(samples, "torchmetrics")
    assert form.value == pytest.approx(expected, rel=1e-4)
    assert 100 * value("clip_text_similarity/class", samples) == pytest.approx(expected, rel=1e-4)


def test_clip_score_clamps_its_mean_at_zero_and_ours_goes_below() -> None:
    encoder = open_encoder(str(scorer_path()), device=CPU)
    samples, pictures = drawn_world(encoder)
    ours = samples.images["clip"]["token"]
    texts = samples.texts["class"]
    # Each picture with the text that it is least like.
    worst = (ours @ texts.T).argmin(axis=2).ravel()
    cosines = np.array([x @ texts[t] for x, t in zip(ours.reshape(12, -1), worst, strict=True)])
    theirs = clip_score(encoder)
    theirs.update(as_tensors(pictures), [TEXTS[t] for t in worst])
    assert cosines.mean() < 0, "the test says nothing otherwise"
    assert float(theirs.compute()) == 0.0
    turned, _ = drawn_world(encoder, sign=-1.0)
    straight, _ = drawn_world(encoder)
    plain = value("clip_text_similarity/class", straight)
    assert value("clip_text_similarity/class", turned) == pytest.approx(-plain)
    assert min(plain, -plain) < 0
    values = [compat_scores(s, "torchmetrics")[0].value or 0.0 for s in (straight, turned)]
    assert values == pytest.approx([max(100 * plain, 0.0), max(-100 * plain, 0.0)])


def rows_of(samples: Samples, kind: str, condition: str) -> np.ndarray:
    block = samples.images[kind][condition][samples.rows(SLOT_ROLES)]
    flat: np.ndarray = block.reshape(-1, block.shape[-1])
    return flat


def test_likeness_to_references() -> None:
    from torchmetrics.functional import pairwise_cosine_similarity

    samples = world(2)
    x, r = rows_of(samples, "clip", "token"), samples.references["clip"]
    theirs = pairwise_cosine_similarity(torch.from_numpy(5 * x), torch.from_numpy(3 * r)).mean()
    assert value("clip_image_similarity", samples) == pytest.approx(float(theirs))


def test_fidelity_is_likeness_between_its_two_ends() -> None:
    from torchmetrics.functional import pairwise_cosine_similarity as alike

    samples = world(3)
    r = torch.from_numpy(samples.references["concept"])
    token, noun = (
        alike(torch.from_numpy(rows_of(samples, "concept", c)), r).mean()
        for c in ("token", "class")
    )
    among = alike(r, zero_diagonal=True).sum() / (len(r) * (len(r) - 1))
    expected = float((token - noun) / (among - noun))
    assert value("concept_fidelity", samples) == pytest.approx(expected)


def test_retrieval_is_top_one_accuracy() -> None:
    from torchmetrics.functional.classification import multiclass_accuracy

    samples = world(4)
    contexts = samples.texts["context"][samples.rows(SLOT_ROLES)]
    scores = rows_of(samples, "clip", "token") @ contexts.T
    target = np.repeat(np.arange(len(contexts)), len(samples.seeds))
    theirs = multiclass_accuracy(
        torch.from_numpy(scores), torch.from_numpy(target), len(contexts), average="micro"
    )
    assert value("prompt_retrieval", samples) == pytest.approx(float(theirs))


def test_identifiability_is_the_mean_area_under_each_picture_s_curve() -> None:
    from torchmetrics.functional.classification import binary_auroc

    samples = world(5)
    own = samples.references["concept"]
    areas = []
    for other in samples.others["concept"].values():
        both = np.concatenate([own, other])
        mine = torch.tensor([1] * len(own) + [0] * len(other))
        # Cosines lie in -1 … 1, and torchmetrics would squash what is outside of 0 … 1.
        per = [
            binary_auroc(torch.from_numpy((1 + both @ x) / 2), mine)
            for x in rows_of(samples, "concept", "token")
        ]
        areas.append(float(torch.stack(per).double().mean()))
    assert value("identifiability", samples) == pytest.approx(float(np.mean(areas)), abs=1e-6)


def test_diversity_is_one_less_the_mean_cosine_of_seeds() -> None:
    from torchmetrics.functional import pairwise_cosine_similarity as alike

    samples = world(6)
    spread = []
    for condition in ("token", "class"):
        block = samples.images["background"][condition][samples.rows(SLOT_ROLES)]
        count = block.shape[1]
        sums = [
            count * (count - 1) - alike(torch.from_numpy(b), zero_diagonal=True).sum()
            for b in block
        ]
        spread.append(float(torch.stack(sums).mean()))
    assert value("diversity_masked", samples) == pytest.approx(spread[0] / spread[1])


def test_lpips_of_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity as lpips

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    write_network(tmp_path, "squeeze")
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (64, 48, 3), dtype=np.uint8) for _ in range(3)]
    found = open_lpips("squeeze", device=CPU).distances(pictures)
    scaled = [one[None] / 127.5 - 1.0 for one in as_tensors(pictures)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        theirs = float(lpips(scaled[i], scaled[j], net_type="squeeze"))
        assert theirs > 0.01
        assert found[i, j] == pytest.approx(theirs, abs=1e-6)
