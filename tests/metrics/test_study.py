from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tireg.domain.resources import resource
from tireg.metrics import METRICS
from tireg.metrics.simulate import (
    BACKGROUND,
    DIALS,
    N_OBJECT,
    SIZES,
    Dials,
    Pictures,
    World,
    make_world,
    simulate,
)
from tireg.metrics.study import (
    COUPLING_BAR,
    LABELS,
    OWN,
    Row,
    Size,
    readings,
    run_study,
    to_markdown,
)

PAGE = resource("evals", "studies") / "simulated.md"


def measured(dials: Dials, seed: int, *, world: World | None = None) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    found = readings(simulate(world or make_world(rng), dials, rng))
    return {name: r.estimate.value for name, r in found.items() if r is not None}


@cache
def at_the_ends(dial: str, level: float) -> tuple[dict[str, float], ...]:
    return tuple(measured(replace(Dials(), **{dial: level}), seed) for seed in range(4))


class TestSimulator:
    def test_same_seed_same_samples(self) -> None:
        assert measured(Dials(), 1) == measured(Dials(), 1)
        assert measured(Dials(), 1) != measured(Dials(), 2)

    def test_dials_do_what_they_say(self) -> None:
        rng = np.random.default_rng(0)
        world = make_world(rng)
        assert set(world.references.attributes[:4, BACKGROUND]) == {world.background}
        assert (world.references.attributes[:, :N_OBJECT] == world.concept).all()
        assert (world.held_out.fingerprint != world.references.fingerprint).all()
        samples = simulate(world, replace(Dials(), copying=1.0), rng, prompts=4, seeds=2, free=1)
        best = samples.images["copy"]["token"][:4] @ samples.references["copy"].T
        assert (best.max(axis=-1) > 0.9).all()
        assert np.isnan(samples.images["copy"]["token"][4:]).all()

    def test_pictures_can_be_chosen_one_by_one(self) -> None:
        zeros = Pictures(np.zeros((2, len(SIZES)), dtype=np.int64), np.zeros((2, 3)))
        ones = Pictures(zeros.attributes + 1, zeros.fingerprint + 1)
        mixed = zeros.where(np.array([True, False]), ones)
        assert mixed.attributes[:, 0].tolist() == [1, 0]
        assert mixed.fingerprint[:, 0].tolist() == [1.0, 0.0]

    @pytest.mark.parametrize("name", sorted(OWN))
    def test_every_metric_moves_with_its_own_dial(self, name: str) -> None:
        dial, sign = OWN[name]
        off = [values[name] for values in at_the_ends(dial, 0.0)]
        on = [values[name] for values in at_the_ends(dial, 1.0)]
        assert sign * (np.mean(on) - np.mean(off)) > 3 * np.std(off)

    def test_true_value_of_a_known_dial(self) -> None:
        """With the whole concept and nothing else, fidelity reads what the codes say it must."""
        rng = np.random.default_rng(0)
        world = make_world(rng)
        at = [measured(Dials(fidelity=f), 3, world=world)["concept_fidelity"] for f in (0.0, 1.0)]
        assert at[0] == pytest.approx(0.0, abs=0.03)
        assert 0.6 < at[1] < 1.0


@pytest.fixture(scope="module")
def rows() -> tuple[Row, ...]:
    return run_study(Size(worlds=2, alarm_worlds=5, coverage_worlds=1, coverage_runs=12), seed=5)


class TestStudy:
    def test_short_form_sees_each_dial(self, rows: tuple[Row, ...]) -> None:
        assert {row.metric for row in rows} == set(OWN)
        for row in rows:
            assert row.spearman > 0.6, row.metric
            assert row.coverage >= 0.5, row.metric

    def test_page_has_a_line_per_metric_in_both_tables(self, rows: tuple[Row, ...]) -> None:
        page = to_markdown(rows, Size(), command="x")
        for name in OWN:
            assert page.count(f"\n| {name} |") == 2

    def test_what_misses_a_bar_is_said(self) -> None:
        row = Row("copying", "copying", 0.9, 0.95, 0.2, float("nan"), {"fidelity": -0.3})
        assert row.misses() == ["Spearman 0.900", "false alarms 20.0%", "coverage nan%"]
        assert row.coupled() == ["fidelity"]


class TestKeptStudy:
    """The page in evals/studies is the full study, and the declarations say what it found."""

    def table(self, title: str) -> dict[str, list[str]]:
        section = PAGE.read_text(encoding="utf-8").split(f"## {title}")[1].split("\n## ")[0]
        lines = re.findall(r"^\| (\S+) \|(.*)\|$", section, flags=re.MULTILINE)
        return {name: [c.strip() for c in rest.split("|")] for name, rest in lines}

    def test_every_coupling_found_is_declared(self) -> None:
        found = self.table("Cross-talk")
        assert set(found) - {"metric"} == set(OWN)
        for name in OWN:
            declared = " ".join(METRICS[name].couplings)
            for dial, cell in zip(DIALS, found[name], strict=True):
                number = cell.strip("*")
                if number != "own" and abs(float(number)) >= COUPLING_BAR:
                    assert LABELS[dial] in declared, (name, dial)

    def test_every_bar_missed_is_declared(self) -> None:
        for name, cells in self.table("Own dial").items():
            if name != "metric" and cells[-1] != "-":
                assert METRICS[name].doubts, (name, cells[-1])

    @pytest.mark.soak
    def test_the_full_study_finds_what_the_declarations_say(self) -> None:
        rows = run_study(Size(), seed=1)
        doubted = {name for name in OWN if METRICS[name].doubts}
        assert {row.metric for row in rows if row.misses()} <= doubted
        for row in rows:
            declared = " ".join(METRICS[row.metric].couplings)
            assert all(LABELS[dial] in declared for dial in row.coupled()), row.metric
