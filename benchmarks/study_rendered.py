"""Study (b): the metrics on rendered pictures, seen by the scoring CLIP of `shapes`.

    python -m benchmarks.study_rendered            # writes evals/studies/rendered.md
    python -m benchmarks.study_rendered --quick    # a short form; prints, writes nothing

A personaliser with known faults draws scenes with the renderer of `shapes`: what is wrong with
every picture is known, what the encoder makes of it is real.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from tireg.domain.suites import Prompt, Suite, load_suite
from tireg.metrics import METRICS, Samples, Words, pack, pack_text, text_forms
from tireg.metrics.background_leakage import training_words
from tireg.metrics.base import Reading
from tireg.metrics.samples import FREE_ROLES
from tireg.models.encoders import ClipEncoder, open_encoder
from tireg.shapes import scorer_path
from tireg.shapes.concepts import CONCEPTS, Concept
from tireg.shapes.world import (
    HUES,
    POSITIONS,
    SHAPES,
    Scene,
    named_color,
    place,
    render_many,
)

PAGE = Path(__file__).resolve().parent.parent / "evals" / "studies" / "rendered.md"
LEVELS = (0.0, 0.2, 0.5, 1.0)
WORLDS = 30
OBEYED = 0.9
"""How often the base draws what the prompt names."""


@dataclass(frozen=True)
class Dials:
    """Shares in [0, 1] of pictures with that fault; the default is a good embedding."""

    fidelity: float = 0.8
    suppression: float = 0.0
    background: float = 0.0
    copying: float = 0.0
    seed_collapse: float = 0.0
    off_token: float = 0.0
    mix_in: float = 0.0


DIALS = tuple(field.name for field in fields(Dials))
OWN = {
    "concept_fidelity": ("fidelity", 1),
    "identifiability": ("fidelity", 1),
    "clip_image_similarity": ("fidelity", 1),
    "prompt_fidelity": ("suppression", -1),
    "prompt_retrieval": ("suppression", -1),
    "semantic_collapse": ("suppression", 1),
    "clip_text_similarity/class": ("suppression", -1),
    "background_leakage": ("background", 1),
    "diversity": ("seed_collapse", -1),
    "off_token_leakage": ("off_token", 1),
    "off_token_rate": ("off_token", 1),
    "off_token_drift": ("off_token", 1),
    "concept_bleeding": ("mix_in", 1),
}
"""Each metric's own dial, and whether it rises or falls with it."""

# Concepts of one shape: hues without a word, and pairs of hues.
OBJECTS = [c for c in CONCEPTS.values() if c.kind == "object"]
Grid = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class World:
    """A concept, its training scenes (four of five on one background), others of its class."""

    concept: Concept
    training: list[Scene]
    others: list[Concept]
    background: str


def make_world(rng: np.random.Generator) -> World:
    """A random concept and two others."""
    chosen = [OBJECTS[int(i)] for i in rng.permutation(len(OBJECTS))[:3]]
    background = str(rng.choice(chosen[0].backgrounds()))
    scenes = chosen[0].scenes(5, int(rng.integers(1 << 30)))
    color = named_color(background, rng)
    usual = [replace(s, background=background, background_color=color) for s in scenes[:4]]
    return World(chosen[0], [*usual, scenes[4]], chosen[1:], background)


def obeying(rng: np.random.Generator, prompt: Prompt, noun: str) -> Scene:
    """What the base draws for a prompt: a thing of a class, mostly where it was asked for."""
    named = prompt.background[0] if prompt.background else str(rng.choice(HUES))
    background = named if rng.random() < OBEYED else str(rng.choice(HUES))
    words = [w for w in POSITIONS if f" {w}" in prompt.text]
    position = words[0] if words and rng.random() < OBEYED else str(rng.choice(list(POSITIONS)))
    center, radius, tilt = place(rng, position, "plain")
    hue = str(rng.choice([h for h in HUES if h != background]))
    shape = noun if noun in SHAPES and prompt.has_slot else str(rng.choice(SHAPES))
    return Scene(
        shape=shape,
        color=named_color(hue, rng),
        hue=hue,
        background_color=named_color(background, rng),
        background=background,
        position=position,
        center=center,
        radius=radius,
        tilt=tilt,
    )


def with_object(scene: Scene, concept: Concept) -> Scene:
    """The same scene with a concept's object in it."""
    return replace(
        scene, shape=str(concept.shape), color=concept.color, hue=None, fill=concept.fill,
        second=concept.second, second_hue=None,
    )  # fmt: skip


def personalised(
    rng: np.random.Generator, world: World, dials: Dials, plain: Scene, prompt: Prompt
) -> Scene:
    """What the token draws from the class noun's picture, with the faults that the dials set."""
    scene = plain
    if rng.random() < dials.suppression:
        other = obeying(rng, replace_background(prompt), world.concept.noun)
        scene = replace(other, shape=scene.shape, color=scene.color, hue=scene.hue)
    if rng.random() < dials.fidelity:
        scene = with_object(scene, world.concept)
    if rng.random() < dials.mix_in:
        scene = with_object(scene, world.others[0])
    if rng.random() < dials.background:
        like = world.training[0]
        scene = replace(scene, background=like.background, background_color=like.background_color)
    if rng.random() < dials.copying:
        scene = world.training[int(rng.integers(len(world.training)))]
    return scene


def replace_background(prompt: Prompt) -> Prompt:
    """The prompt as a deaf model reads it: nothing but the thing."""
    return prompt.model_copy(update={"background": (), "text": "a photo of a {concept}"})


def simulate(
    rng: np.random.Generator, world: World, dials: Dials, suite: Suite, clip: Clip
) -> Samples:
    """One evaluation: every scene drawn, rendered, and seen by the encoder."""
    scenes: dict[str, dict[tuple[int, int], Scene]] = {"token": {}, "class": {}, "base": {}}
    noun = world.concept.noun
    for p, prompt in enumerate(suite.prompts):
        for s in range(len(suite.seeds)):
            plain = obeying(rng, prompt, noun)
            if prompt.role in FREE_ROLES:
                scenes["base"][p, s] = plain
                leaks = rng.random() < dials.off_token
                scenes["class"][p, s] = with_object(plain, world.concept) if leaks else plain
                continue
            scenes["class"][p, s] = plain
            repeats = s > 0 and rng.random() < dials.seed_collapse
            scenes["token"][p, s] = (
                scenes["token"][p, 0] if repeats else personalised(rng, world, dials, plain, prompt)
            )
    shape = (len(suite.prompts), len(suite.seeds))
    images, pixels = {}, {}
    for condition, group in scenes.items():
        at = list(group)
        pictures = render_many([group[one] for one in at])
        features = clip.encoder.pictures(list(pictures))
        images[condition] = pack(features, [p for p, _ in at], [s for _, s in at], shape)
        pixels[condition] = np.full(shape, "", dtype="<U64")
        for one, picture in zip(at, pictures, strict=True):
            pixels[condition][one] = str(hash(picture.tobytes()))
    own = clip.pictures(world.training)
    words = clip.words(suite)
    return Samples(
        prompts=suite.prompts,
        seeds=suite.seeds,
        images={"concept": images, "clip": images},
        references={"concept": own, "clip": own},
        others={"concept": {c.name: clip.pictures(c.scenes(5)) for c in world.others}},
        texts=clip.texts(suite, noun),
        pixels=pixels,
        words=words,
        training_words={kind: training_words(own, known) for kind, known in words.items()},
        encoders={"concept": "shapes-scorer", "clip": "shapes-scorer"},
    )


@dataclass
class Clip:
    """The scoring CLIP, with what it read before."""

    encoder: ClipEncoder

    def pictures(self, scenes: list[Scene]) -> np.ndarray:
        """Features [n, d] of rendered scenes."""
        return self.encoder.pictures(list(render_many(scenes))).astype(np.float64)

    def texts(self, suite: Suite, noun: str) -> dict[str, np.ndarray]:
        """Every form of the suite's prompts, [P, d]."""
        forms: dict[str, dict[int, str]] = {}
        for p, prompt in enumerate(suite.prompts):
            for variant, text in text_forms(prompt, noun).items():
                forms.setdefault(variant, {})[p] = text
        return {
            variant: pack_text(
                self.encoder.texts(list(form.values())), list(form), len(suite.prompts)
            )
            for variant, form in forms.items()
        }

    def words(self, suite: Suite) -> dict[str, Words]:
        """The suite's backgrounds."""
        asked = suite.vocabulary("background")
        features = self.encoder.texts(list(asked.values())).astype(np.float64)
        return {"background": Words(tuple(asked), features)}


def run(worlds: int, seed: int, suite: Suite, tell: Callable[[str], None]) -> Grid:
    """Dial, metric: values [levels, worlds]."""
    import torch

    clip = Clip(open_encoder(str(scorer_path()), device=torch.device("cpu")))
    grid: Grid = {d: {m: np.full((len(LEVELS), worlds), np.nan) for m in OWN} for d in DIALS}
    for number, dial in enumerate(DIALS):
        tell(f"dial {number + 1} of {len(DIALS)}: {dial.replace('_', ' ')}")
        for row, level in enumerate(LEVELS):
            for column in range(worlds):
                rng = np.random.default_rng((seed, number, row, column))
                dials = replace(Dials(), **{dial: level})
                samples = simulate(rng, make_world(rng), dials, suite, clip)
                for name in OWN:
                    if METRICS[name].needs.missing(samples) is not None:
                        continue
                    answer = METRICS[name].function(samples, 0.95)
                    if isinstance(answer, Reading):
                        grid[dial][name][row, column] = answer.estimate.value
    return grid


_ABOUT = (
    "Scenes of `shapes` with known faults are rendered and seen by its scoring CLIP, so this tests "
    "the encoder: a metric cannot see what its encoder cannot."
)
_COLUMNS = (
    f"Levels: {', '.join(map(str, LEVELS))}. Every other dial is that of a good embedding "
    "(fidelity 0.8, else 0). Spearman is the rank correlation with the metric's own dial and AUC "
    "that of 0 against 0.2 (signs turned where it should fall); the other columns are the slope "
    "on each dial as a share of that on its own."
)


def page(grid: Grid, worlds: int, suite: Suite, command: str) -> str:
    """The table of the study."""
    lines = [
        "# Study (b): the metrics on rendered pictures, through a real encoder",
        "",
        f"Made by `{command}`. {_ABOUT}",
        "",
        f"{worlds} worlds at each level of each dial, suite `{suite.name}`. {_COLUMNS}",
        "",
        "| metric | own dial | Spearman | AUC | scored | "
        + " | ".join(d.replace("_", " ") for d in DIALS)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(DIALS),
    ]
    for name, (dial, sign) in OWN.items():
        own = sign * grid[dial][name]
        slopes = {d: _slope(sign * grid[d][name]) for d in DIALS}
        shares = [
            "own" if d == dial else f"{slopes[d] / slopes[dial]:+.2f}" if slopes[dial] else "-"
            for d in DIALS
        ]
        scored = float(np.mean(~np.isnan(own)))
        lines.append(
            f"| {name} | {dial.replace('_', ' ')} | {_spearman(own):.3f} | "
            f"{_auc(own[0], own[1]):.3f} | {scored:.0%} | {' | '.join(shares)} |"
        )
    lines += [
        "",
        (
            "Copying has no metric of its own here: there is no copy detector for pictures of 32 "
            "pixels. Masked and cropped forms need a detector and are not in the table either."
        ),
    ]
    return "\n".join(lines) + "\n"


def _spearman(values: np.ndarray) -> float:
    from scipy.stats import spearmanr

    levels = np.broadcast_to(np.array(LEVELS)[:, None], values.shape)
    known = ~np.isnan(values)
    return float(spearmanr(levels[known], values[known]).statistic) if known.sum() > 2 else np.nan


def _auc(off: np.ndarray, on: np.ndarray) -> float:
    off, on = off[~np.isnan(off)], on[~np.isnan(on)]
    if not off.size or not on.size:
        return float("nan")
    return float((0.5 * (1.0 + np.sign(on[:, None] - off[None, :]))).mean())


def _slope(values: np.ndarray) -> float:
    known = ~np.isnan(values).all(axis=1)
    if known.sum() < 2:
        return float("nan")
    means = np.nanmean(values[known], axis=1)
    return float(np.polyfit(np.array(LEVELS)[known], means, 1)[0])


def main() -> None:
    """Run the study, print its table, keep the full form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short form that is not kept")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {line}", file=sys.stderr)

    worlds, suite = (2 if options.quick else WORLDS), load_suite("shapes-quick")
    grid = run(worlds, options.seed, suite, tell)
    command = f"python -m benchmarks.study_rendered --seed {options.seed}"
    text = page(grid, worlds, suite, command)
    print(text)
    if not options.quick:
        PAGE.write_text(text, encoding="utf-8")
        tell(f"written to {PAGE}")


if __name__ == "__main__":
    main()
