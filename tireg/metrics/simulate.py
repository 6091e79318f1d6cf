"""A simulated personaliser whose true failures are known, seen by an oracle attribute encoder.

A picture is a list of attributes and a fingerprint (everything that has no name). A concept fixes
the attributes of the object; a prompt names some attributes of the scene. The personaliser starts
from the picture that the class noun would have given at the same seed and fails by dials, each the
share of pictures (or of attributes) that it touches. So what a metric should read is known.

Features are exact attribute codes plus a little noise: this tests the estimators, not an encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from tireg.domain.statistics import FloatArray, IntArray
from tireg.domain.suites import Prompt
from tireg.metrics.samples import BoolArray, Samples, Words

OBJECT = {"hue": 8, "texture": 6, "mark": 6}
SCENE = {"background": 8, "thing": 8, "place": 5, "light": 5}
SIZES = tuple({**OBJECT, **SCENE}.values())
NAMES = (*OBJECT, *SCENE)
N_OBJECT = len(OBJECT)
BACKGROUND, THING = NAMES.index("background"), NAMES.index("thing")
FINGERPRINT = 48
OBEYED = 0.9
"""How often the base draws an attribute that the prompt names."""
REDRAWN = 0.3
"""How often an attribute comes out otherwise with the token, though nothing went wrong."""
CONCENTRATION = 10.0
"""How alike prompts are: each prompt has its own dial, beta-distributed around the set one."""


@dataclass(frozen=True)
class Dials:
    """Shares in [0, 1]; the default is a good embedding."""

    fidelity: float = 0.8
    """Object attributes taken from the concept."""
    suppression: float = 0.0
    """Scene attributes named by the prompt but drawn as if they were not."""
    background: float = 0.0
    """Pictures with the training pictures' background."""
    copying: float = 0.0
    """Pictures that are a training picture."""
    seed_collapse: float = 0.0
    """Pictures that repeat the prompt's first seed."""
    off_token: float = 0.0
    """Pictures without the token whose object is the concept all the same."""
    pair_swap: float = 0.0
    """Pictures of two concepts where the first looks like the second."""
    style_content: float = 0.0
    """Pictures with the training pictures' thing in place of the one asked for."""
    mix_in: float = 0.0
    """Pictures of the token whose object is another stored concept."""
    disturbance: float = 0.1
    """Attributes that come out otherwise on the loaded model; 0 for a plain embedding."""


DIALS: tuple[str, ...] = tuple(dial.name for dial in fields(Dials))


@dataclass(frozen=True)
class Pictures:
    """Attributes ``[..., 7]`` as indices and fingerprints ``[..., 48]``."""

    attributes: IntArray
    fingerprint: FloatArray

    def where(self, mask: BoolArray, other: Pictures) -> Pictures:
        """``other`` where the mask holds, this elsewhere."""
        return Pictures(
            np.where(mask[..., None], other.attributes, self.attributes),
            np.where(mask[..., None], other.fingerprint, self.fingerprint),
        )

    def take(self, index: IntArray) -> Pictures:
        """Pictures at these positions of the first axis."""
        return Pictures(self.attributes[index], self.fingerprint[index])


@dataclass(frozen=True)
class World:
    """One concept with its training pictures, and the other concepts of its class."""

    concept: IntArray
    others: tuple[IntArray, ...]
    background: int
    thing: int
    references: Pictures
    held_out: Pictures
    other_references: tuple[Pictures, ...]
    direction: FloatArray
    """Where the token pulls the generator's text features."""
    seed: int
    """Of the noise in features of the references, which are encoded once."""


def make_world(rng: np.random.Generator, *, references: int = 5) -> World:
    """A random concept, its pictures (four fifths on one background, with one thing)."""
    background, thing = int(rng.integers(SIZES[BACKGROUND])), int(rng.integers(SIZES[THING]))
    concepts = [_random(rng, 1).attributes[0, :N_OBJECT] for _ in range(3)]
    usual = (background, thing)
    return World(
        concept=concepts[0],
        others=tuple(concepts[1:]),
        background=background,
        thing=thing,
        references=_photographs(rng, concepts[0], references, usual),
        held_out=_photographs(rng, concepts[0], references, usual),
        other_references=tuple(_photographs(rng, c, references) for c in concepts[1:]),
        direction=_unit(rng.normal(size=(sum(SIZES) + 1 + FINGERPRINT,))),
        seed=int(rng.integers(2**31)),
    )


def photographed_again(world: World, rng: np.random.Generator, *, references: int = 5) -> World:
    """The same concepts with other pictures of each, taken in the same manner."""
    usual = (world.background, world.thing)
    return replace(
        world,
        references=_photographs(rng, world.concept, references, usual),
        other_references=tuple(_photographs(rng, c, references) for c in world.others),
        seed=int(rng.integers(2**31)),
    )


def _photographs(
    rng: np.random.Generator, concept: IntArray, count: int, usual: tuple[int, int] | None = None
) -> Pictures:
    """Pictures of a concept; with ``usual``, four fifths have that background and that thing."""
    pictures = _random(rng, count)
    attributes = pictures.attributes.copy()
    attributes[:, :N_OBJECT] = concept
    if usual is not None:
        same = np.arange(count) < round(0.8 * count)
        for column, value in zip((BACKGROUND, THING), usual, strict=True):
            attributes[same, column] = value
    return Pictures(attributes, pictures.fingerprint)


def simulate(
    world: World,
    dials: Dials,
    rng: np.random.Generator,
    *,
    prompts: int = 25,
    seeds: int = 4,
    free: int = 8,
) -> Samples:
    """One evaluation of one personaliser: every condition and feature that the metrics read.

    Args: prompts that ask for the concept, seeds of each, free prompts that do not.
    """
    total = prompts + free
    scene, named = _scenes(rng, prompts)
    wish = np.zeros((total, len(SIZES)), dtype=np.int64)
    asked = np.zeros((total, len(SIZES)), dtype=np.bool_)
    wish[:prompts, N_OBJECT:], asked[:prompts, N_OBJECT:] = scene, named
    base = _obeying(rng, _random(rng, total, seeds), wish, asked)
    again, other = (_obeying(rng, _random(rng, total, seeds), wish, asked) for _ in range(2))
    plain = _off_token(world, dials, rng, _redrawn(rng, base, again, dials.disturbance))
    token = _personalised(world, dials, rng, _redrawn(rng, plain, other, REDRAWN), asked)
    pair_class = _with_object(token, world.concept)
    swapped = _with_object(token, world.others[0])
    pair = pair_class.where(_chance(rng, dials.pair_swap, total, seeds), swapped)
    pair = Pictures(pair.attributes, other.fingerprint)
    drawn = {"base": base, "class": plain, "token": token}
    images = {
        kind: {condition: encode(rng, p) for condition, p in drawn.items()}
        for kind, encode in ENCODERS.items()
    }
    # What is the same picture, an encoder sees as the same.
    untouched = (plain.fingerprint == base.fingerprint).all(axis=-1)
    untouched &= (plain.attributes == base.attributes).all(axis=-1)
    for blocks in images.values():
        blocks["class"] = np.where(untouched[..., None], blocks["base"], blocks["class"])
    images["crop"] = {c: _crop(rng, p) for c, p in (("pair", pair), ("pair_class", pair_class))}
    for conditions in images.values():
        for condition in ("token", "pair", "pair_class"):
            if condition in conditions:
                conditions[condition][prompts:] = np.nan
    kinds, texts = {**ENCODERS, "crop": _crop}, _texts(wish, asked, prompts)
    once = np.random.default_rng(world.seed)
    return Samples(
        prompts=tuple(_prompt(i, wish[i], i < prompts) for i in range(total)),
        seeds=tuple(range(seeds)),
        images=images,
        references={kind: encode(once, world.references) for kind, encode in kinds.items()},
        held_out={kind: encode(once, world.held_out) for kind, encode in kinds.items()},
        others={
            "concept": {f"other-{i}": _whole(once, p) for i, p in enumerate(world.other_references)}
        },
        partner={"crop": _crop(once, world.other_references[0])},
        texts=texts,
        words={"background": _words("background"), "object": _words("thing")},
        training_words={
            "background": (f"background-{world.background}",),
            "object": (f"thing-{world.thing}",),
        },
        probe=_probe(world, rng, texts["context"][:prompts], dials.suppression),
        encoders=dict.fromkeys(kinds, "oracle"),
    )


def _random(rng: np.random.Generator, *shape: int) -> Pictures:
    columns = [rng.integers(size, size=shape) for size in SIZES]
    return Pictures(np.stack(columns, axis=-1), _fingerprint(rng, *shape))


def _fingerprint(rng: np.random.Generator, *shape: int) -> FloatArray:
    return rng.normal(scale=FINGERPRINT**-0.5, size=(*shape, FINGERPRINT))


def _scenes(rng: np.random.Generator, prompts: int) -> tuple[IntArray, BoolArray]:
    """What each prompt names: always a background and a thing, the rest every other time."""
    wish = _random(rng, prompts).attributes[:, N_OBJECT:]
    named = rng.random(wish.shape) < 0.5
    named[:, [BACKGROUND - N_OBJECT, THING - N_OBJECT]] = True
    return wish, named


def _obeying(
    rng: np.random.Generator, pictures: Pictures, wish: IntArray, asked: BoolArray
) -> Pictures:
    obeyed = asked[:, None] & (rng.random(pictures.attributes.shape) < OBEYED)
    return Pictures(np.where(obeyed, wish[:, None], pictures.attributes), pictures.fingerprint)


def _redrawn(
    rng: np.random.Generator, pictures: Pictures, other: Pictures, share: float
) -> Pictures:
    """Some attributes, and as much of the fingerprint, as in another picture of the prompt."""
    taken = rng.random(pictures.attributes.shape) < share
    mixed = (1 - share) ** 0.5 * pictures.fingerprint + share**0.5 * other.fingerprint
    return Pictures(np.where(taken, other.attributes, pictures.attributes), mixed)


def _chance(rng: np.random.Generator, dial: float, prompts: int, *shape: int) -> BoolArray:
    """True with probability ``dial``, which each prompt has its own version of."""
    own = np.full(prompts, dial)
    if 0.0 < dial < 1.0:
        own = rng.beta(CONCENTRATION * dial, CONCENTRATION * (1 - dial), prompts)
    result = rng.random((prompts, *shape)) < own.reshape(-1, *(1 for _ in shape))
    return np.asarray(result, dtype=np.bool_)


def _with_object(pictures: Pictures, concept: IntArray) -> Pictures:
    attributes = pictures.attributes.copy()
    attributes[..., :N_OBJECT] = concept
    return Pictures(attributes, pictures.fingerprint)


def _with_attribute(pictures: Pictures, column: int, value: int) -> Pictures:
    attributes = pictures.attributes.copy()
    attributes[..., column] = value
    return Pictures(attributes, pictures.fingerprint)


def _off_token(world: World, dials: Dials, rng: np.random.Generator, plain: Pictures) -> Pictures:
    changed = _chance(rng, dials.off_token, *plain.attributes.shape[:2])
    return plain.where(changed, _with_object(plain, world.concept))


def _personalised(
    world: World, dials: Dials, rng: np.random.Generator, plain: Pictures, asked: BoolArray
) -> Pictures:
    total, seeds = plain.attributes.shape[:2]
    attributes = plain.attributes.copy()
    taken = _chance(rng, dials.fidelity, total, seeds, N_OBJECT)
    attributes[..., :N_OBJECT] = np.where(taken, world.concept, attributes[..., :N_OBJECT])
    forgotten = _chance(rng, dials.suppression, total, seeds, len(SIZES)) & asked[:, None]
    attributes = np.where(forgotten, _random(rng, total, seeds).attributes, attributes)
    token = Pictures(attributes, plain.fingerprint)
    steps: list[tuple[float, Callable[[Pictures], Pictures]]] = [
        (dials.mix_in, lambda p: _with_object(p, world.others[0])),
        (dials.background, lambda p: _with_attribute(p, BACKGROUND, world.background)),
        (dials.style_content, lambda p: _with_attribute(p, THING, world.thing)),
        (
            dials.copying,
            lambda p: world.references.take(
                rng.integers(len(world.references.attributes), size=(total, seeds))
            ),
        ),
    ]
    for dial, change in steps:
        token = token.where(_chance(rng, dial, total, seeds), change(token))
    first = Pictures(
        np.broadcast_to(token.attributes[:, :1], token.attributes.shape),
        np.broadcast_to(token.fingerprint[:, :1], token.fingerprint.shape),
    )
    return token.where(_chance(rng, dials.seed_collapse, total, seeds), first)


# What an encoder sees ----------------------------------------------------------------------------


def _codes(attributes: IntArray, weights: dict[str, float]) -> FloatArray:
    """Attributes ``[..., 7]`` as weighted one-hot codes ``[..., d]``; a weight of 0 leaves out."""
    parts = [
        weights[name] * np.eye(size)[attributes[..., i]]
        for i, (name, size) in enumerate(zip(NAMES, SIZES, strict=True))
        if weights.get(name, 0.0) > 0.0
    ]
    result: FloatArray = np.concatenate(parts, axis=-1)
    return result


def _unit(rows: FloatArray) -> FloatArray:
    result: FloatArray = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return result


def _see(
    rng: np.random.Generator, codes: FloatArray, fingerprint: FloatArray, share: float
) -> FloatArray:
    """Unit features from codes, what has no name (to the given share) and encoder noise."""
    noise = 0.05 * rng.normal(size=codes.shape)
    return _unit(np.concatenate([codes + noise, share * fingerprint], axis=-1))


def _whole(rng: np.random.Generator, pictures: Pictures) -> FloatArray:
    weights = dict.fromkeys(OBJECT, 1.0) | dict.fromkeys(SCENE, 0.7)
    return _see(rng, _codes(pictures.attributes, weights), pictures.fingerprint, 0.6)


def _aligned(rng: np.random.Generator, pictures: Pictures) -> FloatArray:
    codes = _with_floor(_codes(pictures.attributes, dict.fromkeys(NAMES, 1.0)))
    return _see(rng, codes, pictures.fingerprint, 0.6)


def _detector(rng: np.random.Generator, pictures: Pictures) -> FloatArray:
    return _see(rng, np.zeros((*pictures.fingerprint.shape[:-1], 1)), pictures.fingerprint, 1.0)


def _surroundings(rng: np.random.Generator, pictures: Pictures) -> FloatArray:
    codes = _codes(pictures.attributes, dict.fromkeys(SCENE, 1.0))
    return _see(rng, codes, pictures.fingerprint, 0.6)


def _crop(rng: np.random.Generator, pictures: Pictures) -> FloatArray:
    codes = _codes(pictures.attributes, dict.fromkeys(OBJECT, 1.0))
    return _see(rng, codes, pictures.fingerprint, 0.6)


ENCODERS: dict[str, Callable[[np.random.Generator, Pictures], FloatArray]] = {
    "concept": _whole,
    "clip": _aligned,
    "copy": _detector,
    "background": _surroundings,
}


def _with_floor(codes: FloatArray) -> FloatArray:
    """A direction that all pictures and texts share, as the cosines of a real CLIP have."""
    return np.concatenate([codes, np.full((*codes.shape[:-1], 1), 2.0)], axis=-1)


def _texts(wish: IntArray, asked: BoolArray, prompts: int) -> dict[str, FloatArray]:
    """Unit features of what each prompt says, in the space of ``clip``; class noun unseen."""
    codes = np.concatenate(
        [np.eye(size)[wish[:, i]] * asked[:, i, None] for i, size in enumerate(SIZES)], axis=-1
    )
    texts = _unit(np.pad(_with_floor(codes), ((0, 0), (0, FINGERPRINT))))
    texts[prompts:] = np.nan
    return dict.fromkeys(("class", "context", "empty"), texts)


def _words(attribute: str) -> Words:
    index = NAMES.index(attribute)
    size, start = SIZES[index], sum(SIZES[:index])
    codes = np.eye(sum(SIZES))[start : start + size]
    features = _unit(np.pad(_with_floor(codes), ((0, 0), (0, FINGERPRINT))))
    return Words(tuple(f"{attribute}-{i}" for i in range(size)), features)


def _probe(
    world: World, rng: np.random.Generator, contexts: FloatArray, suppression: float
) -> dict[str, FloatArray]:
    """The generator's text features: the token's own direction drowns the context's share."""
    own = world.direction
    noise = 0.02 * rng.normal(size=(2, *contexts.shape))
    mixed = (1.0 - suppression) * contexts + (0.3 + suppression) * own
    return {"token": _unit(mixed + noise[0]), "class": _unit(contexts + 0.3 * own + noise[1])}


def _prompt(index: int, wish: IntArray, asks: bool) -> Prompt:
    if not asks:
        return Prompt(id=f"free-{index}", text=f"scene {index}", role="neutral")
    return Prompt(
        id=f"prompt-{index}",
        text=f"a {{concept}} in scene {index}",
        role="background",
        context=f"in scene {index}",
        background=(f"background-{wish[BACKGROUND]}",),
        objects=(f"thing-{wish[THING]}",),
    )
