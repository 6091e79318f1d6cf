"""What loading an embedding must not change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.builders import value, with_images, world
from tireg.metrics import METRICS, Samples


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
