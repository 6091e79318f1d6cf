"""Small worlds of features for the tests of the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tireg.domain.statistics import FloatArray
from tireg.domain.suites import Prompt
from tireg.metrics import METRICS, Samples, Words

WIDTH = 12


def unit(rows: FloatArray) -> FloatArray:
    result: FloatArray = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return result


def random_block(
    rng: np.random.Generator, *shape: int, toward: FloatArray | None = None
) -> FloatArray:
    """Unit rows, on average along ``toward`` if given."""
    rows = rng.normal(size=(*shape, WIDTH))
    return unit(rows if toward is None else rows + toward)


def prompts(count: int, free: int = 0) -> tuple[Prompt, ...]:
    places = ("snow", "beach", "jungle", "city")
    asking = [
        Prompt(
            id=f"p{i}",
            text=f"a {{concept}} in place {i}",
            role="background",
            context=f"in place {i}",
            background=(places[i % 4],),
            objects=(("dog", "cat", "car")[i % 3],),
        )
        for i in range(count)
    ]
    return (
        *asking,
        *(Prompt(id=f"n{i}", text=f"a house {i}", role="neutral") for i in range(free)),
    )


def world(seed: int = 0, n: int = 6, seeds: int = 3, free: int = 3, **changes: Any) -> Samples:
    """A complete set of samples: every feature kind, condition and text there is."""
    rng = np.random.default_rng(seed)
    total = n + free
    concept = 3 * unit(rng.normal(size=WIDTH))
    contexts = random_block(rng, n)
    text = np.full((total, WIDTH), np.nan)
    text[:n] = contexts

    def drawn(toward: FloatArray | None = None, follow: float = 2.0) -> FloatArray:
        block = rng.normal(size=(total, seeds, WIDTH)) * 0.6
        block[:n] += follow * contexts[:, None]
        return unit(block if toward is None else block + toward)

    def slots_only(block: FloatArray) -> FloatArray:
        block[n:] = np.nan
        return block

    kinds: dict[str, Mapping[str, FloatArray]] = {}
    for kind in ("concept", "clip", "copy", "background"):
        plain = drawn()
        kinds[kind] = {
            # As sure of its prompt as the class noun, whatever of the concept is in it.
            "token": slots_only(drawn(concept, 9.0 if kind == "concept" else 1.0)),
            "class": plain,
            "base": unit(plain + 0.05 * rng.normal(size=plain.shape)),
        }
    kinds["crop"] = {"pair": slots_only(drawn(concept)), "pair_class": slots_only(drawn())}
    # From a generator of its own, so that the other numbers do not hang on it.
    apart = np.random.default_rng(seed + 1000).uniform(0.2, 0.9, (2, total, seeds, seeds))
    apart = (apart + apart.swapaxes(2, 3)) / 2 * (1 - np.eye(seeds))
    apart[:, n:] = np.nan
    fields: dict[str, Any] = {
        "prompts": prompts(n, free),
        "distances": {"perceptual": dict(zip(("token", "class"), apart, strict=True))},
        "seeds": tuple(range(seeds)),
        "images": kinds,
        "references": {k: random_block(rng, 4, toward=concept) for k in kinds},
        "held_out": {"copy": random_block(rng, 3, toward=concept)},
        "texts": {"class": text, "empty": text, "context": text, "ti": text},
        "others": {
            "concept": {
                "b": random_block(rng, 3, toward=3 * unit(rng.normal(size=WIDTH))),
                "c": random_block(rng, 2, toward=3 * unit(rng.normal(size=WIDTH))),
            }
        },
        "partner": {"crop": random_block(rng, 3, toward=3 * unit(rng.normal(size=WIDTH)))},
        "words": {
            "background": Words(("snow", "beach", "jungle", "city", "sofa"), random_block(rng, 5)),
            "object": Words(("dog", "cat", "car", "house"), random_block(rng, 4)),
        },
        "training_words": {"background": ("sofa",), "object": ("house",)},
        "encoders": {k: f"{k}-encoder" for k in (*kinds, "perceptual")},
        "probe": {"token": random_block(rng, 7, toward=concept), "class": random_block(rng, 7)},
    }
    return Samples(**(fields | changes))


def with_images(samples: Samples, kind: str, **blocks: np.ndarray) -> Samples:
    return replace(samples, images={**samples.images, kind: {**samples.images[kind], **blocks}})


def value(name: str, samples: Samples) -> float:
    result = METRICS[name](samples)
    assert result.unscored is None, result.unscored
    assert result.value is not None
    return result.value
