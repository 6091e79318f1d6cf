"""A fleet: many runs in one batch, each with the numbers it would have got alone."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tireg.domain.recipes import Recipe
from tireg.errors import TrainingFailedError
from tireg.models import bases
from tireg.models.bases import Base
from tireg.models.conditioning import Conditioning
from tireg.training.data import Data, encode_pictures
from tireg.training.fleet import Fleet, join_batches
from tireg.training.images import find_pictures, load_photos, to_tensor
from tireg.training.loop import Learning, Run, Tick
from tireg.training.objective import Objective
from tireg.training.rows import start_rows, words_norm
from tireg.training.stopping import Check
from tireg.workflows.places import find_base

CLOSE = 1e-5


@dataclass(frozen=True)
class Task:
    """One of several unlike concepts: pictures to skip, prompts, first word, recipe."""

    token: str
    prompts: tuple[str, ...]
    word: str
    knobs: dict[str, Any]
    skip: int = 0
    side: int = 32


TASKS = (
    Task("<x>", ("a photo of a <x>", "a drawing of the <x>"), "cat", {"batch": 1, "seed": 1}),
    Task("<y>", ("the <y> in a garden",), "dog", {"vectors": 3, "batch": 2, "seed": 2}, skip=1),
    Task("<x>", ("one <x>", "<x> art", "a <x>"), "cat",
         {"method": "classic", "learning_rate": 0.02, "batch": 3, "accumulate": 2, "vectors": 1},
         skip=2),
    Task("<z>", ("a painting of <z>",), "house", {"snr_gamma": 0.0, "batch": 2}, side=64),
)  # fmt: skip


def join(base: Base, task: Task, pictures: Path, **more: Any) -> Learning:
    """A run of ``task`` whose words are the only ones that the base has."""
    bases.unload(base.pipe)
    recipe = Recipe(**{"steps": 6, "resolution": task.side, "init": task.word,
                       **task.knobs, **more})  # fmt: skip
    rows, scales = {}, {}
    for key, encoder in base.encoders.items():
        table = encoder.model.get_input_embeddings().weight
        begin = start_rows(encoder.tokenizer, table, task.word, recipe.vectors, seed=0)
        rows[key] = begin.numpy()
        scales[key] = words_norm(encoder.tokenizer, table)
    photos = load_photos(find_pictures([pictures]))[task.skip :]
    prompts = torch.arange(len(task.prompts))
    bucket = encode_pictures(base, to_tensor(photos, task.side), [prompts] * len(photos))
    wrappers = bases.load(base.pipe, {task.token: rows})
    condition = Conditioning(base, task.prompts, task.token)
    objective = Objective(base, condition, snr_gamma=recipe.snr_gamma)
    return Learning(Run(base, objective, Data((bucket,)), recipe, wrappers, scales))


def fleet_of(base: Base, pictures: Path, tasks: tuple[Task, ...] = TASKS, **more: Any) -> Fleet:
    fleet = Fleet(base)
    for number, task in enumerate(tasks):
        fleet.add(str(number), join(base, task, pictures, **more))
    return fleet


def to_the_end(fleet: Fleet) -> dict[str, list[Any]]:
    """Every moment of every run."""
    seen: dict[str, list[Any]] = {name: [] for name in fleet.members}
    for _ in range(100):
        for name, moment in fleet.round().items():
            seen[name].append(moment)
            if name in fleet.members and fleet.members[name].learning.reason is not None:
                fleet.remove(name)
        if not fleet.members:
            return seen
    raise AssertionError("the fleet does not end")


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference against the largest number."""
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("family", ["tiny_sd1", "tiny_sdxl", "shapes"])
def test_every_step_is_that_of_a_single_run(
    family: str, pictures: Path, request: pytest.FixtureRequest
) -> None:
    """Both take each step from the same state: gradients, then rows, agree within 1e-5."""
    shapes = family == "shapes"
    folder = find_base("shapes").folder if shapes else request.getfixturevalue(family)
    tasks = tuple(replace(t, word="star") for t in TASKS) if shapes else TASKS
    base = bases.open_base(folder, device="cpu")
    fleet = fleet_of(base, pictures, tasks)
    alone = [join(bases.open_base(folder, device="cpu"), task, pictures) for task in tasks]
    fleet.round()
    for run in alone:
        run.first()
    gradients = watch_gradients([m.learning for m in fleet.members.values()], alone)
    for _ in range(3):
        for (name, member), run in zip(fleet.members.items(), alone, strict=True):
            before = {key: w.rows.detach().clone() for key, w in run.run.wrappers.items()}
            member.learning._restore(copy.deepcopy(run.state()))
            assert all(
                torch.equal(member.learning.run.wrappers[k].rows, rows)
                for k, rows in before.items()
            ), name
        moments = fleet.round()
        for (name, member), run in zip(fleet.members.items(), alone, strict=True):
            run.advance()
            expected = run.settle()
            for key, wrapper in run.run.wrappers.items():
                ours = member.learning.run.wrappers[key].rows.detach()
                assert apart(ours, wrapper.rows.detach()) < CLOSE, (name, key)
            moment = moments[name]
            assert isinstance(moment, Check)
            assert isinstance(expected, Check)
            assert moment.loss == pytest.approx(expected.loss, rel=CLOSE)
            assert moment.validation == pytest.approx(expected.validation, rel=CLOSE)
    assert len(gradients) == 3 * len(tasks) * len(base.encoders)
    assert max(apart(ours, theirs) for ours, theirs in gradients) < CLOSE


def watch_gradients(
    ours: list[Learning], alone: list[Learning]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs of gradients, filled as both sides move; a fleet moves before the single runs."""
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def watch(member: Learning, single: Learning, key: str) -> None:
        seen: list[torch.Tensor] = []
        mine, theirs = member.movers[key].step, single.movers[key].step

        def keep(rate: float) -> None:
            gradient = member.run.wrappers[key].rows.grad
            assert gradient is not None
            seen.append(gradient.clone())
            mine(rate)

        def compare(rate: float) -> None:
            gradient = single.run.wrappers[key].rows.grad
            assert gradient is not None
            pairs.append((seen[-1], gradient.clone()))
            theirs(rate)

        member.movers[key].step = keep  # type: ignore[method-assign]
        single.movers[key].step = compare  # type: ignore[method-assign]

    for member, single in zip(ours, alone, strict=True):
        for key in member.movers:
            watch(member, single, key)
    return pairs


def test_whole_runs_end_as_single_ones_do(tiny_sd1: Path, pictures: Path) -> None:
    base = bases.open_base(tiny_sd1, device="cpu")
    fleet = fleet_of(base, pictures, average_last=0.5)
    learnings = [m.learning for m in fleet.members.values()]
    seats = [m.seat for m in fleet.members.values()]
    to_the_end(fleet)
    for number, (task, learning) in enumerate(zip(TASKS, learnings, strict=True)):
        single = join(bases.open_base(tiny_sd1, device="cpu"), task, pictures, average_last=0.5)
        list(single)
        expected = single.outcome()
        seats[number].take(base)
        outcome = learning.outcome()
        assert outcome.step == expected.step
        assert apart(outcome.rows["clip_l"], expected.rows["clip_l"]) < 1e-4
        assert outcome.gain == pytest.approx(expected.gain, abs=1e-5)
        assert [c.step for c in outcome.checks] == [c.step for c in expected.checks]


def test_a_finished_run_makes_room_for_another(tiny_sd1: Path, pictures: Path) -> None:
    base = bases.open_base(tiny_sd1, device="cpu")
    fleet = fleet_of(base, pictures, TASKS[:1], steps=2)
    fleet.add("longer", join(base, TASKS[1], pictures, steps=5))
    for _ in range(3):
        fleet.round()
    assert fleet.members["0"].learning.reason is not None
    fleet.remove("0")
    fleet.add("late", join(base, TASKS[2], pictures, steps=2))
    longer = fleet.members["longer"].learning
    assert longer.step == 2
    to_the_end(fleet)
    assert longer.step == 5
    single = join(bases.open_base(tiny_sd1, device="cpu"), TASKS[1], pictures, steps=5)
    list(single)
    assert apart(longer.run.rows()["clip_l"], single.run.rows()["clip_l"]) < 1e-4


def test_a_run_that_breaks_harms_no_other(tiny_sd1: Path, pictures: Path) -> None:
    """One has a NaN among its pictures, and stands first, where a table is read by default."""
    base = bases.open_base(tiny_sd1, device="cpu")
    fleet = fleet_of(base, pictures, TASKS[:3])
    broken = fleet.members["0"].learning
    fleet.round()
    (bucket,) = broken.run.data.buckets
    broken.run.data = Data((replace(bucket, mean=torch.full_like(bucket.mean, float("nan"))),))
    others = [fleet.members[name].learning for name in ("1", "2")]
    seen = to_the_end(fleet)
    assert isinstance(seen["0"][-1], TrainingFailedError)
    assert "not" in seen["0"][-1].message
    for task, learning in zip(TASKS[1:3], others, strict=True):
        single = join(bases.open_base(tiny_sd1, device="cpu"), task, pictures)
        list(single)
        assert learning.step == 6
        assert apart(learning.run.rows()["clip_l"], single.run.rows()["clip_l"]) < 1e-4


def test_a_base_that_gives_no_number_for_one_prompt_fails_that_run_alone(
    tiny_sd1: Path, pictures: Path
) -> None:
    base = bases.open_base(tiny_sd1, device="cpu")
    fleet = fleet_of(base, pictures, TASKS[:2])
    with torch.no_grad():
        fleet.members["0"].learning.run.wrappers["clip_l"].rows.fill_(float("inf"))
    moments = fleet.round()
    assert isinstance(moments["0"], TrainingFailedError)
    assert "before the first step" in moments["0"].message
    assert list(fleet.members) == ["1"]
    assert all(isinstance(m, Check | Tick) for m in to_the_end(fleet)["1"])


def test_a_state_from_a_fleet_goes_on_alone(tiny_sd1: Path, pictures: Path) -> None:
    base = bases.open_base(tiny_sd1, device="cpu")
    fleet = fleet_of(base, pictures, TASKS[:2])
    for _ in range(4):
        fleet.round()
    state = copy.deepcopy(fleet.members["1"].learning.state())
    whole = fleet.members["1"].learning
    to_the_end(fleet)
    fresh = join(bases.open_base(tiny_sd1, device="cpu"), TASKS[1], pictures)
    again = Learning(fresh.run, state)
    list(again)
    assert again.step == whole.step == 6
    assert apart(again.run.rows()["clip_l"], whole.run.rows()["clip_l"]) < 1e-4


def test_a_pass_that_does_not_fit_is_halved(tiny_sd1: Path, pictures: Path) -> None:
    """The denoiser refuses more than three samples, as a GPU's allocator would."""
    base = bases.open_base(tiny_sd1, device="cpu")
    small = tuple(replace(task, side=32) for task in TASKS)
    fleet = fleet_of(base, pictures, small, steps=100)
    seen: list[int] = []

    def refuse(_: Any, given: Any) -> None:
        seen.append(len(given[0]))
        if len(given[0]) > 3:
            raise torch.OutOfMemoryError("not that many")

    base.pipe.unet.register_forward_pre_hook(refuse)
    fleet.round()
    seen.clear()
    fleet.round()
    assert seen == [7, 3, 2, 2, 1]
    seen.clear()
    fleet.round()
    assert seen == [3, 2, 2, 1], "what did not fit once is not tried again"
    single = join(bases.open_base(tiny_sd1, device="cpu"), small[1], pictures, steps=100)
    single.first()
    single.advance()
    single.advance()
    ours = fleet.members["1"].learning.run.rows()["clip_l"]
    assert apart(ours, single.run.rows()["clip_l"]) < CLOSE


def test_a_run_that_never_fits_drops_out(tiny_sd1: Path, pictures: Path) -> None:
    base = bases.open_base(tiny_sd1, device="cpu")
    fleet = fleet_of(base, pictures, (replace(TASKS[0], knobs={"batch": 1}), TASKS[1]))
    fleet.round()

    def refuse(_: Any, given: Any) -> None:
        if len(given[0]) > 1:
            raise torch.OutOfMemoryError("not that many")

    base.pipe.unet.register_forward_pre_hook(refuse)
    moments = fleet.round()
    assert isinstance(moments["1"], TrainingFailedError)
    assert "does not fit" in moments["1"].message
    assert isinstance(moments["0"], Check | Tick)
    assert list(fleet.members) == ["0"]


def test_masks_are_joined_with_ones_where_there_are_none(tiny_sd1: Path, pictures: Path) -> None:
    base = bases.open_base(tiny_sd1, device="cpu")
    one = join(base, TASKS[0], pictures).draw()[0]
    masked = replace(one, masks=torch.zeros_like(one.latents[:, :1]))
    joined = join_batches([one, masked])
    assert joined.masks is not None
    assert joined.masks.mean(dim=(1, 2, 3)).tolist() == [1.0, 0.0]
    assert join_batches([one, one]).masks is None


def test_a_base_is_as_it_was_after_a_fleet(tiny_sd1: Path, pictures: Path) -> None:
    base = bases.open_base(tiny_sd1, device="cpu")
    encoder = base.encoders["clip_l"].model
    table, tokenizer = encoder.get_input_embeddings(), base.pipe.tokenizer
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    to_the_end(fleet_of(base, pictures, TASKS[:2], steps=2))
    bases.unload(base.pipe)
    assert encoder.get_input_embeddings() is table
    assert base.pipe.tokenizer is tokenizer
    after = encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
