"""Known answers, what cannot be known, and what must not change a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.metrics.builders import WIDTH, prompts, random_block, unit, world
from tireg.errors import EvaluationError
from tireg.metrics import METRICS, Samples, Words, adjusted_p_values, compute_all, metric
from tireg.metrics.background_leakage import training_words
from tireg.metrics.collapse_text import norm_ratio
from tireg.metrics.copying import nearest
from tireg.metrics.samples import pack, pack_text

EYE = np.eye(WIDTH)


def with_images(samples: Samples, kind: str, **blocks: np.ndarray) -> Samples:
    return replace(samples, images={**samples.images, kind: {**samples.images[kind], **blocks}})


def slots(samples: Samples) -> list[int]:
    return [i for i, p in enumerate(samples.prompts) if p.has_slot]


def value(name: str, samples: Samples) -> float:
    result = METRICS[name](samples)
    assert result.unscored is None, result.unscored
    assert result.value is not None
    return result.value


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


class TestOffToken:
    def hashes(self, samples: Samples, *, changed: bool = False) -> Samples:
        p, s = len(samples.prompts), len(samples.seeds)
        base = np.array([[f"{i}-{j}" for j in range(s)] for i in range(p)])
        loaded = base.copy()
        if changed:
            loaded[0, 0] = "other"
        return replace(samples, pixels={"base": base, "class": loaded})

    @pytest.mark.parametrize("name", ["off_token_leakage", "off_token_drift"])
    def test_equal_pixels_are_exactly_zero_without_any_feature(self, name: str) -> None:
        samples = self.hashes(replace(world(), images={}, references={}))
        result = METRICS[name](samples)
        assert (result.value, result.low, result.high) == (0.0, 0.0, 0.0)
        assert result.p_value == 1.0
        assert result.n_prompts == 9
        assert result.details["identical_pictures"] == 1.0
        assert METRICS["off_token_rate"](samples).value == 0.5
        assert METRICS["off_token_leakage"].is_bad(result) is False

    def test_equal_pixels_outrank_features_that_differ_by_noise(self) -> None:
        assert value("off_token_leakage", self.hashes(world())) == 0.0

    def test_one_changed_picture_is_measured_by_its_features(self) -> None:
        samples = world()
        x, refs = samples.images["concept"], samples.references["concept"]
        change = float((x["class"][0, 0] - x["base"][0, 0]) @ refs.mean(axis=0))
        found = value("off_token_leakage", self.hashes(samples, changed=True))
        assert found == pytest.approx(change / 27)

    @pytest.mark.parametrize("name", ["off_token_leakage", "off_token_rate", "off_token_drift"])
    def test_changed_pictures_without_features_are_unscored(self, name: str) -> None:
        samples = self.hashes(replace(world(), images={}), changed=True)
        assert "no features" in (METRICS[name](samples).unscored or "")

    @pytest.mark.parametrize("name", ["off_token_leakage", "off_token_drift"])
    def test_some_changed_pictures_without_features_are_not_left_out(self, name: str) -> None:
        samples = world()
        base = samples.images["concept"]["base"].copy()
        base[0, 0] = np.nan
        samples = with_images(self.hashes(samples, changed=True), "concept", base=base)
        assert "some pictures differ" in (METRICS[name](samples).unscored or "")

    def test_nothing_drawn_on_the_base_is_unscored(self) -> None:
        samples = world()
        images = {"concept": {"class": samples.images["concept"]["class"]}}
        result = METRICS["off_token_leakage"](replace(samples, images=images))
        assert "on the bare base" in (result.unscored or "")


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
        assert "two seeds" in (METRICS["diversity"](world(seeds=1)).unscored or "")

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
        with_holes = compute_all(replace(samples, images=holes))
        without = compute_all(replace(samples, images=short, seeds=(0, 1, 2)))
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


class TestDeclarations:
    @pytest.mark.parametrize("name", sorted(METRICS))
    def test_declares_all_that_is_needed_to_read_it(self, name: str) -> None:
        declared = METRICS[name]
        assert declared.name == name
        assert declared.version >= 1
        low, high = declared.range
        assert low <= declared.null <= high
        for words in (declared.baseline, declared.bad, declared.formula, declared.source):
            assert len(words) > 10
        assert (declared.target is not None) == (declared.direction == "target")

    def test_values_stay_in_their_range(self) -> None:
        for seed in range(5):
            for name, result in compute_all(world(seed)).items():
                low, high = METRICS[name].range
                assert result.value is not None
                assert low <= result.value <= high


class TestParts:
    def test_best_of_a_random_subset_is_exact(self) -> None:
        rng = np.random.default_rng(0)
        image, references = random_block(rng, 1, 1), random_block(rng, 6)
        cosines = references @ image[0, 0]
        picks = np.array([rng.permutation(6)[:3] for _ in range(20000)])
        assert nearest(image, references, 3)[0, 0] == pytest.approx(
            cosines[picks].max(axis=1).mean(), abs=0.01
        )
        assert nearest(image, references, 6)[0, 0] == pytest.approx(cosines.max())
        assert nearest(image, references, 1)[0, 0] == pytest.approx(cosines.mean())

    def test_training_words_are_those_that_most_pictures_name(self) -> None:
        words = Words(("snow", "sofa", "sea"), EYE[:3])
        references = unit(np.stack([EYE[1] + 0.1 * EYE[i] for i in range(3, 7)] + [EYE[0]]))
        assert training_words(references, words) == ("sofa",)
        assert training_words(EYE[:3], words) == ()

    def test_norm_ratio(self) -> None:
        assert norm_ratio(3.0 * EYE[:2], EYE) == pytest.approx(3.0)
        with pytest.raises(EvaluationError):
            norm_ratio(EYE, EYE[:0])

    def test_pack_lays_rows_out_and_normalises(self) -> None:
        block = pack(2 * EYE[:3], [0, 1, 1], [1, 0, 1], (2, 2))
        assert np.isnan(block[0, 0]).all()
        assert block[1, 1].tolist() == EYE[2].tolist()
        assert pack_text(EYE[:1], [1], 2)[1].tolist() == EYE[0].tolist()

    @pytest.mark.parametrize(
        ("features", "p", "s", "words"),
        [
            (EYE[:2], [0, 0], [0, 0], "given twice"),
            (EYE[:1], [2], [0], "outside"),
            (np.zeros((1, 3)), [0], [0], "no direction"),
            (np.full((1, 3), np.inf), [0], [0], "no direction"),
            (EYE[:2], [0], [0], "belong together"),
        ],
    )
    def test_pack_refuses(
        self, features: np.ndarray, p: list[int], s: list[int], words: str
    ) -> None:
        with pytest.raises(EvaluationError, match=words):
            pack(features, p, s, (2, 2))

    @pytest.mark.parametrize(
        "fields",
        [
            {"images": {"clip": {"token": np.zeros((3, 1, 4)) + 9}}},
            {"images": {"clip": {"token": np.ones((2, 1, 1))}}},
            {"texts": {"class": np.ones((2, 1))}},
            {"texts": {"class": 2 * np.ones((3, 1))}},
            {"references": {"clip": np.ones(4)}},
            {"others": {"clip": {"b": 2 * np.ones((1, 1))}}},
            {"pixels": {"class": np.array([["a"]])}},
            {"probe": {"token": 2 * np.ones((4, 1))}},
        ],
    )
    def test_samples_of_the_wrong_shape_or_length_are_refused(self, fields: dict[str, Any]) -> None:
        with pytest.raises(EvaluationError):
            Samples(prompts=prompts(3), seeds=(0,), **fields)

    def test_words_must_fit(self) -> None:
        with pytest.raises(EvaluationError, match="2 names and 1"):
            Words(("a", "b"), EYE[:1])
