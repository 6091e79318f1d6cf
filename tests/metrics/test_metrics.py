"""Known answers, what cannot be known, and what must not change a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.metrics.builders import WIDTH, prompts, random_block, unit, value, with_images, world
from tireg.errors import EvaluationError
from tireg.metrics import METRICS, Samples, adjusted_p_values, compute_all, metric

EYE = np.eye(WIDTH)


class TestKnownAnswers:
    def test_the_class_noun_itself_reads_as_no_effect(self) -> None:
        samples = world()
        for kind in ("concept", "clip", "copy", "background"):
            samples = with_images(samples, kind, token=samples.images[kind]["class"])
        results = compute_all(samples)
        for name in (
            "concept_fidelity",
            "prompt_fidelity",
            "semantic_collapse",
            "background_leakage",
            "background_leakage_masked",
            "concept_bleeding",
            "style_content_leakage",
            "copying",
            "prompt_retrieval",
            "clip_image_similarity",
            "clip_text_similarity/class",
            "identifiability",
        ):
            assert results[name].difference == pytest.approx(0.0, abs=1e-12), name
            assert METRICS[name].is_bad(results[name]) in (False, None)
        assert results["diversity"].value == pytest.approx(1.0)

    def test_fidelity_is_one_when_pictures_are_as_alike_as_references(self) -> None:
        rng = np.random.default_rng(0)
        center = 3 * EYE[0]
        references = random_block(rng, 400, toward=center)
        token = random_block(rng, 9, 40, toward=center)
        samples = world(seeds=40)
        samples = replace(samples, references={**samples.references, "concept": references})
        samples = with_images(samples, "concept", token=token)
        assert value("concept_fidelity", samples) == pytest.approx(1.0, abs=0.05)

    def test_copies_score_above_one_and_are_called_copies(self) -> None:
        samples = world()
        for kind in ("concept", "copy"):
            copies = np.broadcast_to(samples.references[kind][0], (9, 3, WIDTH)).copy()
            samples = with_images(samples, kind, token=copies)
        assert value("copying", samples) == 1.0
        assert METRICS["copying"].is_bad(METRICS["copying"](samples))
        assert value("copying_gap", samples) > 0

    def test_total_collapse_is_one(self) -> None:
        samples = world()
        one = np.broadcast_to(EYE[0], (9, 3, WIDTH)).copy()
        samples = with_images(samples, "clip", token=one)
        assert value("semantic_collapse", samples) == pytest.approx(1.0)
        result = METRICS["semantic_collapse"](samples)
        assert METRICS["semantic_collapse"].is_bad(result)

    def test_half_of_each_direction_lost_is_half_collapse(self) -> None:
        samples = world(n=6, free=0)
        contexts = np.stack([unit(EYE[i] + EYE[10]) for i in range(6)])
        samples = replace(samples, texts={"context": contexts})
        noun = np.stack([np.stack([unit(EYE[i] + EYE[11])] * 3) for i in range(6)])
        # Half the cosine on the own direction, the rest in one that no context has.
        rest = np.sqrt(1 - 0.125) * EYE[9]
        token = np.stack([np.stack([EYE[i] * np.sqrt(0.125) + rest] * 3) for i in range(6)])
        samples = with_images(samples, "clip", token=token, **{"class": noun})
        assert value("semantic_collapse", samples) == pytest.approx(0.5)

    def test_identical_seeds_have_no_diversity(self) -> None:
        samples = world()
        block = samples.images["concept"]["token"]
        samples = with_images(samples, "concept", token=np.repeat(block[:, :1], 3, axis=1))
        assert value("diversity", samples) == pytest.approx(0.0, abs=1e-12)

    def test_a_tie_between_contexts_is_shared(self) -> None:
        samples = world(n=4, free=0)
        same = np.broadcast_to(EYE[0], (4, WIDTH)).copy()
        samples = replace(samples, texts={"context": same})
        result = METRICS["prompt_retrieval"](samples)
        assert result.value == pytest.approx(0.25)
        assert result.details["chance"] == 0.25

    def test_a_fully_swapped_pair_reads_one(self) -> None:
        rng = np.random.default_rng(1)
        partner = random_block(rng, 300, toward=3 * EYE[1])
        samples = replace(world(seeds=40), partner={"crop": partner})
        samples = with_images(samples, "crop", pair=random_block(rng, 9, 40, toward=3 * EYE[1]))
        assert value("pair_bleeding", samples) == pytest.approx(1.0, abs=0.05)

    def test_style_that_always_draws_its_training_noun_intrudes(self) -> None:
        samples = world()
        house = samples.words["object"].features[3]
        block = np.broadcast_to(house, (9, 3, WIDTH)).copy()
        samples = with_images(samples, "clip", token=block)
        assert value("style_intrusion", samples) == 1.0
        assert value("style_content_leakage", samples) > 0


def drop_kind(kind: str, *conditions: str) -> Callable[[Samples], Samples]:
    def change(samples: Samples) -> Samples:
        kept = {c: x for c, x in samples.images[kind].items() if c not in conditions}
        return replace(samples, images={**samples.images, kind: kept})

    return change


def changed(**fields: Any) -> Callable[[Samples], Samples]:
    return lambda samples: replace(samples, **fields)


class TestUnscored:
    @pytest.mark.parametrize(
        ("name", "change", "reason"),
        [
            ("concept_fidelity", drop_kind("concept", "class"), "drawn as 'class'"),
            ("concept_fidelity", changed(references={}), "reference pictures"),
            (
                "concept_fidelity",
                changed(references={"concept": EYE[:1]}),
                "one reference picture",
            ),
            ("identifiability", changed(others={}), "no other concept"),
            ("concept_bleeding", changed(others={}), "no other concept"),
            ("prompt_fidelity", changed(texts={}), "'class' form"),
            ("prompt_retrieval", changed(texts={}), "'context' form"),
            ("semantic_collapse_text", changed(probe={}), "no text features"),
            ("background_leakage", changed(words={}), "no vocabulary"),
            ("background_leakage", changed(training_words={}), "no background words"),
            (
                "background_leakage",
                changed(training_words={"background": ("snow", "beach", "jungle", "city")}),
                "other than the training",
            ),
            ("style_content_leakage", changed(training_words={}), "no object words"),
            (
                "style_intrusion",
                changed(training_words={"object": ("dog", "cat", "car")}),
                "training pictures do not show",
            ),
            ("copying_gap", changed(held_out={}), "not trained on"),
            ("pair_bleeding", changed(partner={}), "second concept"),
            ("pair_bleeding", changed(partner={"crop": EYE[:1]}), "one picture of the second"),
            ("diversity_masked", drop_kind("background", "token"), "drawn as 'token'"),
        ],
    )
    def test_a_missing_input_is_a_reason_and_never_a_number(
        self, name: str, change: Callable[[Samples], Samples], reason: str
    ) -> None:
        result = METRICS[name](change(world()))
        assert reason in (result.unscored or "")
        assert (result.value, result.low, result.high, result.baseline) == (None,) * 4
        assert (result.n_prompts, result.n_seeds, result.p_value) == (0, 0, None)
        assert METRICS[name].is_bad(result) is None
        score = result.to_score()
        assert score.value is None
        assert score.unscored == result.unscored

    def test_nothing_at_all_is_unscored_everywhere(self) -> None:
        results = compute_all(Samples(prompts=prompts(3), seeds=(0,)))
        assert all(result.unscored for result in results.values())

    def test_a_gap_too_small_to_divide_by(self) -> None:
        samples = world()
        rng = np.random.default_rng(0)
        references = random_block(rng, 4)
        samples = replace(samples, references={**samples.references, "concept": references})
        alike = np.broadcast_to(unit(references.mean(axis=0)), (9, 3, WIDTH)).copy()
        result = METRICS["concept_fidelity"](with_images(samples, "concept", **{"class": alike}))
        assert "gap" in (result.unscored or "")

    def test_collapse_needs_a_class_noun_that_follows(self) -> None:
        rng = np.random.default_rng(3)
        noise = random_block(rng, 9, 3)
        samples = with_images(world(), "clip", **{"class": noise})
        assert "nothing can be lost" in (METRICS["semantic_collapse"](samples).unscored or "")

    def test_one_seed_has_no_diversity(self) -> None:
        for name in ("diversity", "diversity_lpips"):
            assert "two seeds" in (METRICS[name](world(seeds=1)).unscored or "")

    def test_a_fixed_identity_is_no_loss_of_diversity_and_repeated_seeds_are(self) -> None:
        rng = np.random.default_rng(0)
        whole = 0.4 * np.sign(rng.normal(size=(8, 4, WIDTH))) + 2 * np.eye(8, WIDTH)[:, None]
        noun, token = whole.copy(), whole.copy()
        token[..., -3:] = 0.4  # what the concept is: open for the class noun, fixed for the token
        repeated = np.repeat(token[:, :1], 4, axis=1)
        samples = world(n=8, seeds=4, free=0)
        blocks = {"class": unit(noun), "token": unit(token)}
        fixed = METRICS["diversity"](with_images(samples, "concept", **blocks))
        assert fixed.value == pytest.approx(1.0, abs=0.05)
        assert fixed.details["plain_ratio"] < 0.9
        half = np.concatenate([token[:, :2], repeated[:, 2:]], axis=1)
        blocks["token"] = unit(half)
        assert value("diversity", with_images(samples, "concept", **blocks)) < 0.9

    def test_few_prompts_or_pictures_all_alike_say_nothing_of_diversity(self) -> None:
        assert "three prompts" in (METRICS["diversity"](world(n=2)).unscored or "")
        samples = world()
        one = samples.images["concept"]["token"][:1, :1]
        still = np.broadcast_to(one, samples.images["concept"]["token"].shape)
        result = METRICS["diversity"](with_images(samples, "concept", token=still))
        assert "hardly differ between prompts" in (result.unscored or "")

    def test_distances_are_taken_of_two_pictures_and_never_of_one_with_itself(self) -> None:
        samples = world(n=2, seeds=3, free=0)
        other = np.broadcast_to(1.0 - np.eye(3), (2, 3, 3))
        tables = {"token": 0.25 * other, "class": 0.5 * other}
        result = METRICS["diversity_lpips"](replace(samples, distances={"perceptual": tables}))
        assert result.value == pytest.approx(0.5)
        assert result.details["token"] == pytest.approx(0.25), "DreamBooth's DIV"
        assert result.encoder == "perceptual-encoder"
        with pytest.raises(EvaluationError, match="perceptual distances of the token"):
            replace(samples, distances={"perceptual": {"token": other[:, :2]}})
        still = {c: 0 * x for c, x in tables.items()}
        result = METRICS["diversity_lpips"](replace(samples, distances={"perceptual": still}))
        assert "do not differ" in (result.unscored or "")

    def test_one_prompt_has_values_and_no_interval(self) -> None:
        results = compute_all(world(n=1, free=0))
        for name in ("concept_fidelity", "prompt_fidelity", "clip_image_similarity", "copying"):
            result = results[name]
            assert result.value is not None
            assert (result.low, result.high, result.p_value, result.mde) == (None,) * 4
            assert result.n_prompts == 1
            assert result.to_score().ci is None
        for name in ("semantic_collapse", "prompt_retrieval"):
            assert results[name].unscored


class TestInvariance:
    def test_order_of_prompts_does_not_matter(self) -> None:
        samples = world(free=0)
        order = np.array([3, 0, 5, 1, 4, 2])
        turned = replace(
            samples,
            prompts=tuple(samples.prompts[i] for i in order),
            images={k: {c: x[order] for c, x in v.items()} for k, v in samples.images.items()},
            distances={
                k: {c: x[order] for c, x in v.items()} for k, v in samples.distances.items()
            },
            texts={k: t[order] for k, t in samples.texts.items()},
        )
        for name, result in compute_all(samples).items():
            other = METRICS[name](turned)
            assert other.value == pytest.approx(result.value, abs=1e-12), name
            assert other.low == pytest.approx(result.low, abs=1e-9), name
            if name != "semantic_collapse_text":
                assert other.prompt_values == pytest.approx(result.prompt_values, abs=1e-9)

    def test_order_of_references_does_not_matter(self) -> None:
        samples = world()
        turned = replace(samples, references={k: r[::-1] for k, r in samples.references.items()})
        for name, result in compute_all(samples).items():
            assert METRICS[name](turned).value == pytest.approx(result.value, abs=1e-12), name

    def test_pictures_that_do_not_exist_are_as_if_the_seed_were_not_there(self) -> None:
        samples = world(seeds=4)
        holes = {
            k: {
                c: np.concatenate([x[:, :3], np.full_like(x[:, 3:], np.nan)], 1)
                for c, x in v.items()
            }
            for k, v in samples.images.items()
        }
        short = {k: {c: x[:, :3] for c, x in v.items()} for k, v in samples.images.items()}
        apart = dict(samples.distances["perceptual"])
        cut = {c: x[:, :3, :3] for c, x in apart.items()}
        gone = apart["token"].copy()
        gone[:, 3], gone[:, :, 3] = np.nan, np.nan
        with_holes = compute_all(
            replace(samples, images=holes, distances={"perceptual": {**apart, "token": gone}})
        )
        without = compute_all(
            replace(samples, images=short, distances={"perceptual": cut}, seeds=(0, 1, 2))
        )
        for name, result in with_holes.items():
            assert result.value == pytest.approx(without[name].value, abs=1e-12), name
            assert result.low == pytest.approx(without[name].low, abs=1e-12), name
            assert result.n_seeds == without[name].n_seeds

    def test_a_picture_without_its_pair_is_left_out_on_both_sides(self) -> None:
        samples = world()
        broken = samples.images["clip"]["class"].copy()
        broken[0, 0] = np.nan
        spoiled = samples.images["clip"]["token"].copy()
        spoiled[0, 0] = EYE[0]
        one = with_images(samples, "clip", **{"class": broken})
        two = with_images(one, "clip", token=spoiled)
        for name in ("prompt_fidelity", "semantic_collapse", "clip_image_similarity"):
            assert value(name, one) == value(name, two)

    def test_a_prompt_without_pictures_is_no_prompt(self) -> None:
        samples = world()
        token = samples.images["clip"]["token"].copy()
        token[2] = np.nan
        result = METRICS["prompt_fidelity"](with_images(samples, "clip", token=token))
        assert result.n_prompts == 5
        assert "p2" not in result.prompt_values


class TestResult:
    def test_everything_a_score_carries(self) -> None:
        result = METRICS["concept_fidelity"](world(), level=0.9)
        assert result.low is not None
        assert result.high is not None
        assert result.value is not None
        assert result.low < result.value < result.high
        assert (result.level, result.n_prompts, result.n_seeds) == (0.9, 6, 3)
        assert (result.encoder, result.baseline) == ("concept-encoder", 0.0)
        assert set(result.prompt_values) == {f"p{i}" for i in range(6)}
        score = result.to_score()
        assert score.ci == (result.low, result.high)
        assert score.direction == "target"
        assert score.model_dump_json()

    def test_pictures_carry_the_numbers_behind_a_score(self) -> None:
        samples = world()
        result = METRICS["prompt_fidelity"](samples)
        token, noun = result.pictures["token"], result.pictures["class"]
        assert token.shape == (9, 3)
        assert np.isnan(token[6:]).all()
        assert np.nanmean(token - noun) == pytest.approx(result.value)

    def test_baseline_is_the_class_noun_and_the_difference_is_paired(self) -> None:
        samples = world()
        result = METRICS["clip_image_similarity"](samples)
        assert result.value is not None
        assert result.baseline is not None
        assert result.difference == pytest.approx(result.value - result.baseline)
        assert result.difference_low is not None
        assert result.p_value is not None

    @pytest.mark.parametrize(
        ("name", "difference", "low", "high", "bad"),
        [
            ("semantic_collapse", 0.4, 0.1, 0.7, True),
            ("semantic_collapse", 0.4, -0.1, 0.9, False),
            ("semantic_collapse", 0.2, 0.1, 0.3, False),
            ("prompt_fidelity", -0.1, -0.15, -0.05, True),
            ("prompt_fidelity", -0.1, -0.3, 0.1, False),
            ("prompt_fidelity", 0.3, 0.2, 0.4, False),
            ("diversity_masked", -0.4, -0.5, -0.3, True),
            ("diversity", -0.4, -0.5, -0.3, None),
            ("diversity_lpips", 0.1, 0.05, 0.2, None),
            ("semantic_collapse", 0.4, None, None, None),
        ],
    )
    def test_bad_is_past_the_threshold_and_surely_so(
        self,
        name: str,
        difference: float,
        low: float | None,
        high: float | None,
        bad: bool | None,
    ) -> None:
        result = replace(
            METRICS[name](world()), difference=difference, difference_low=low, difference_high=high
        )
        assert METRICS[name].is_bad(result) is bad

    def test_holm_over_a_run(self) -> None:
        results = compute_all(world(), ["concept_fidelity", "prompt_fidelity", "copying_gap"])
        adjusted = adjusted_p_values(results)
        for name, result in results.items():
            raw, new = result.p_value, adjusted[name]
            assert raw is not None
            assert new is not None
            assert raw <= new <= 1.0

    def test_unknown_metric_lists_the_known(self) -> None:
        with pytest.raises(EvaluationError, match=r"no metric 'fid'; there are .*copying"):
            metric("fid")
