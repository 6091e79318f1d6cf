"""The shipped weights: size, opening with the plain libraries, and what they draw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tireg.shapes import base_path, scorer_path, weights_path
from tireg.shapes.concepts import CONCEPTS
from tireg.shapes.evaluate import BARS, SCORER_BAR, eval_prompts, rates, sample, zero_shot
from tireg.shapes.oracle import read
from tireg.shapes.world import held_out

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(base_path())


def test_everything_shipped_fits_into_25_mb() -> None:
    total = sum(f.stat().st_size for f in weights_path().rglob("*") if f.is_file())
    assert total <= 25 * 1000 * 1000
    assert {f.name for f in weights_path().iterdir()} >= {
        "base",
        "scorer",
        "README.md",
        "training_log.jsonl",
        "oracle.json",
    }


def test_no_setting_is_needed_to_open_it(pipeline: StableDiffusionPipeline) -> None:
    dtypes = {
        str(parameter.dtype)
        for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)
        for parameter in part.parameters()
    }
    assert dtypes == {"torch.float32"}
    assert pipeline.safety_checker is None
    assert pipeline.text_encoder.config.eos_token_id == pipeline.tokenizer.eos_token_id != 2
    assert pipeline.tokenizer.model_max_length == 32
    assert len(pipeline.tokenizer) == pipeline.text_encoder.config.vocab_size
    assert pipeline.unet.config.cross_attention_dim == pipeline.text_encoder.config.hidden_size


def test_pooling_is_at_the_end_token_also_after_a_token_was_added() -> None:
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(base_path() / "tokenizer")
    text = CLIPTextModel.from_pretrained(base_path() / "text_encoder")
    tokenizer.add_tokens(["<new>"])
    text.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    tokens = tokenizer("a <new> star", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        out = text(tokens)
    end = int((tokens[0] == tokenizer.eos_token_id).nonzero()[0, 0])
    assert torch.equal(out.pooler_output[0], out.last_hidden_state[0, end])


def test_it_draws_what_a_prompt_asks_for(pipeline: StableDiffusionPipeline) -> None:
    asked = eval_prompts(24, seed=3)
    pictures = sample(pipeline, [text for text, _, _ in asked], seed=3, steps=12)
    table = rates([read(picture) for picture in pictures], [want for _, want, _ in asked])
    assert table["all"] is not None
    assert table["all"] >= 0.75, table


def test_the_same_seed_draws_the_same_picture_in_any_batch(
    pipeline: StableDiffusionPipeline,
) -> None:
    prompts = ["a red star", "a blue ring on a white background", "a green cross"]
    together = sample(pipeline, prompts, steps=4).astype(int)
    again = sample(pipeline, prompts, steps=4, batch=1).astype(int)
    assert np.abs(together - again).max() <= 2


def test_a_class_noun_does_not_draw_a_nameless_concept(pipeline: StableDiffusionPipeline) -> None:
    for name in ("lime-star", "teal-tint", "yellow-purple-square"):
        concept = CONCEPTS[name]
        noun = f"{concept.noun} photo of a star" if concept.kind == "style" else concept.noun
        pictures = sample(pipeline, [f"a photo of a {noun}"] * 10, seed=2, steps=8)
        assert np.mean([concept.holds(read(picture)) for picture in pictures]) <= 0.3, name


def test_the_scorer_opens_in_open_clip_and_knows_every_attribute() -> None:
    table = zero_shot(scorer_path(), count=200, seed=77)
    assert set(table) == {"shape", "hue", "background", "fill", "position", "style", "tint"}
    assert min(table.values()) >= SCORER_BAR - 0.06, table


def test_the_oracle_table_states_measured_figures_for_every_bar() -> None:
    table = json.loads((weights_path() / "oracle.json").read_text(encoding="utf-8"))
    assert table["prompts"] == 400
    assert table["bars"] == BARS
    for name in BARS:
        assert 0.8 <= table["base"][name] <= 1
    assert set(table["scorer zero-shot"]) >= {"shape", "hue", "background", "fill"}


def test_what_the_scorer_tells_apart_lies_beside_its_weights() -> None:
    import torch

    from tireg.models.encoders import open_encoder

    known = open_encoder(str(scorer_path()), device=torch.device("cpu")).accuracy
    assert known is not None, "measured with these weights"
    table = json.loads((weights_path() / "oracle.json").read_text(encoding="utf-8"))
    assert known.accuracy == table["scorer zero-shot"]


def test_half_of_the_evaluation_prompts_were_never_rendered() -> None:
    asked = eval_prompts(400)
    assert len(asked) == 400
    assert sum(held for _, _, held in asked) == 200
    assert all(held_out(*want) == held for _, want, held in asked)
