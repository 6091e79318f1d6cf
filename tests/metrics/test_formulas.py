"""Every formula once more, written plainly with loops, on the same features."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.metrics.builders import world
from tireg.domain.statistics import FloatArray
from tireg.metrics import METRICS, Samples

S = Samples


def slot(samples: S) -> list[int]:
    return [i for i, p in enumerate(samples.prompts) if p.has_slot]


def mean(values: Iterator[float] | list[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)


def seeds(samples: S) -> range:
    return range(len(samples.seeds))


def likeness(samples: S, kind: str, condition: str) -> float:
    x, refs = samples.images[kind][condition], samples.references[kind]
    return mean(
        float(np.dot(x[p, s], r)) for p in slot(samples) for s in seeds(samples) for r in refs
    )


def fidelity(samples: S) -> float:
    refs = samples.references["concept"]
    ceiling = mean(float(np.dot(a, b)) for a, b in itertools.permutations(refs, 2))
    token, noun = likeness(samples, "concept", "token"), likeness(samples, "concept", "class")
    return (token - noun) / (ceiling - noun)


def identity(samples: S) -> float:
    x, own = samples.images["concept"]["token"], samples.references["concept"]
    per_other = []
    for other in samples.others["concept"].values():
        hits = []
        for p, s in itertools.product(slot(samples), seeds(samples)):
            for r, q in itertools.product(own, other):
                mine, theirs = float(x[p, s] @ r), float(x[p, s] @ q)
                hits.append(1.0 if mine > theirs else 0.5 if mine == theirs else 0.0)
        per_other.append(mean(hits))
    return mean(per_other)


def text_cosine(samples: S, condition: str, variant: str = "class") -> float:
    x, t = samples.images["clip"][condition], samples.texts[variant]
    return mean(float(np.dot(x[p, s], t[p])) for p in slot(samples) for s in seeds(samples))


def retrieval(samples: S) -> float:
    x, t = samples.images["clip"]["token"], samples.texts["context"]
    hits = []
    for p, s in itertools.product(slot(samples), seeds(samples)):
        scores = {q: float(np.dot(x[p, s], t[q])) for q in slot(samples)}
        hits.append(float(max(scores, key=lambda q: scores[q]) == p))
    return mean(hits)


def following(samples: S, condition: str) -> float:
    x, t = samples.images["clip"][condition], samples.texts["context"]
    own = text_cosine(samples, condition, "context")
    other = mean(
        float(np.dot(x[p, s], t[q]))
        for p in slot(samples)
        for q in slot(samples)
        if p != q
        for s in seeds(samples)
    )
    return own - other


def collapse(samples: S) -> float:
    return 1 - following(samples, "token") / following(samples, "class")


def collapse_text(samples: S) -> float:
    d = {
        c: mean(1 - float(a @ b) for a, b in itertools.combinations(samples.probe[c], 2))
        for c in ("token", "class")
    }
    return 1 - d["token"] / d["class"]


def off_token_changes(samples: S) -> list[float]:
    x, refs = samples.images["concept"], samples.references["concept"]
    return [
        mean(float(x["class"][p, s] @ r) - float(x["base"][p, s] @ r) for r in refs)
        for p in range(len(samples.prompts))
        for s in seeds(samples)
    ]


def off_token(samples: S) -> float:
    return mean(off_token_changes(samples))


def off_token_rate(samples: S) -> float:
    return mean([1.0 if d > 0 else 0.0 if d < 0 else 0.5 for d in off_token_changes(samples)])


def drift(samples: S) -> float:
    x = samples.images["concept"]
    return mean(
        1 - float(x["class"][p, s] @ x["base"][p, s])
        for p in range(len(samples.prompts))
        for s in seeds(samples)
    )


def double_difference(
    samples: S, vocabulary: str, named: Callable[[int], tuple[str, ...]]
) -> float:
    words = samples.words[vocabulary]
    trained = samples.training_words[vocabulary]
    feature = dict(zip(words.names, words.features, strict=True))
    x = samples.images["clip"]
    values = []
    for p, s in itertools.product(slot(samples), seeds(samples)):
        change = x["token"][p, s] - x["class"][p, s]
        unrelated = [w for w in words.names if w not in trained and w not in named(p)]
        values.append(
            mean(float(change @ feature[w]) for w in trained)
            - mean(float(change @ feature[w]) for w in unrelated)
        )
    return mean(values)


def background(samples: S) -> float:
    return double_difference(samples, "background", lambda p: samples.prompts[p].background)


def style_content(samples: S) -> float:
    return double_difference(samples, "object", lambda p: samples.prompts[p].objects)


def intrusion(samples: S) -> float:
    words = samples.words["object"]
    feature = dict(zip(words.names, words.features, strict=True))
    x = samples.images["clip"]["token"]
    hits = []
    for p, s in itertools.product(slot(samples), seeds(samples)):
        names = [*samples.prompts[p].objects, *samples.training_words["object"]]
        best = max(names, key=lambda w: float(x[p, s] @ feature[w]))
        hits.append(float(best in samples.training_words["object"]))
    return mean(hits)


def background_masked(samples: S) -> float:
    return likeness(samples, "background", "token") - likeness(samples, "background", "class")


def copied(samples: S) -> float:
    x, refs = samples.images["copy"]["token"], samples.references["copy"]
    return mean(
        float(max(float(x[p, s] @ r) for r in refs) > samples.copy_threshold)
        for p in slot(samples)
        for s in seeds(samples)
    )


def copy_gap(samples: S) -> float:
    x = samples.images["copy"]["token"]
    train, held = samples.references["copy"], samples.held_out["copy"]
    size = min(len(train), len(held))

    def best(row: np.ndarray, references: np.ndarray) -> float:
        return mean(
            max(float(row @ r) for r in subset)
            for subset in itertools.combinations(references, size)
        )

    return mean(
        best(x[p, s], train) - best(x[p, s], held) for p in slot(samples) for s in seeds(samples)
    )


def between_seeds(x: np.ndarray, samples: S) -> float:
    pairs = list(itertools.combinations(seeds(samples), 2))
    return mean(1 - float(x[p, s] @ x[p, z]) for p in slot(samples) for s, z in pairs)


def diversity_masked(samples: S) -> float:
    x = samples.images["background"]
    return between_seeds(x["token"], samples) / between_seeds(x["class"], samples)


def concept_way(samples: S) -> np.ndarray:
    x = samples.images["concept"]
    centre = {
        c: np.mean([x[c][p, s] for p in slot(samples) for s in seeds(samples)], axis=0)
        for c in ("token", "class")
    }
    way = centre["token"] - centre["class"]
    result: np.ndarray = way / np.sqrt(way @ way)
    return result


def diversity(samples: S, way: np.ndarray | None = None) -> float:
    x = samples.images["concept"]
    own = between_seeds(x["token"], samples)
    way = concept_way(samples) if way is None else way
    gap = {}
    for c in ("token", "class"):
        y = {
            (p, s): x[c][p, s] - float(x[c][p, s] @ way) * way
            for p in slot(samples)
            for s in seeds(samples)
        }
        pairs = list(itertools.permutations(y, 2))
        within = mean(float(y[a] @ y[b]) for a, b in pairs if a[0] == b[0])
        across = mean(float(y[a] @ y[b]) for a, b in pairs if a[0] != b[0] and a[1] != b[1])
        gap[c] = within - across
    return own / (own + gap["token"] - gap["class"])


def diversity_apart(samples: S) -> float:
    spread = {}
    for c in ("token", "class"):
        table = samples.distances["perceptual"][c]
        spread[c] = mean(
            float(table[p, s, z])
            for p in slot(samples)
            for s, z in itertools.combinations(seeds(samples), 2)
        )
    return spread["token"] / spread["class"]


def pair_bleeding(samples: S) -> float:
    x, refs = samples.images["crop"], samples.partner["crop"]
    like = {
        c: mean(float(x[c][p, s] @ r) for p in slot(samples) for s in seeds(samples) for r in refs)
        for c in x
    }
    ceiling = mean(float(a @ b) for a, b in itertools.permutations(refs, 2))
    return (like["pair"] - like["pair_class"]) / (ceiling - like["pair_class"])


def bleeding(samples: S) -> float:
    x = samples.images["concept"]
    sets = [samples.references["concept"], *samples.others["concept"].values()]

    def like(condition: str, refs: FloatArray) -> float:
        return mean(
            float(x[condition][p, s] @ r)
            for p in slot(samples)
            for s in seeds(samples)
            for r in refs
        )

    noun = [like("class", refs) for refs in sets]
    rise = [like("token", refs) - k for refs, k in zip(sets, noun, strict=True)]
    pairs = [
        [
            mean(float(u @ v) for u, v in itertools.permutations(a, 2))
            if a is b
            else mean(float(u @ v) for u in a for v in b)
            for b in sets
        ]
        for a in sets
    ]
    ways = [[pairs[a][b] - noun[b] for a in range(len(sets))] for b in range(len(sets))]
    return float(np.linalg.lstsq(np.array(ways), np.array(rise))[0][1:].sum())


PLAIN: dict[str, Callable[[S], float]] = {
    "concept_fidelity": fidelity,
    "identifiability": identity,
    "prompt_fidelity": lambda s: text_cosine(s, "token") - text_cosine(s, "class"),
    "prompt_retrieval": retrieval,
    "semantic_collapse": collapse,
    "semantic_collapse_text": collapse_text,
    "off_token_leakage": off_token,
    "off_token_rate": off_token_rate,
    "off_token_drift": drift,
    "background_leakage": background,
    "background_leakage_masked": background_masked,
    "copying": copied,
    "copying_gap": copy_gap,
    "diversity": diversity,
    "diversity_masked": diversity_masked,
    "diversity_lpips": diversity_apart,
    "pair_bleeding": pair_bleeding,
    "concept_bleeding": bleeding,
    "style_content_leakage": style_content,
    "style_intrusion": intrusion,
    "clip_image_similarity": lambda s: likeness(s, "clip", "token"),
    "clip_text_similarity/class": lambda s: text_cosine(s, "token", "class"),
    "clip_text_similarity/empty": lambda s: text_cosine(s, "token", "empty"),
    "clip_text_similarity/context": lambda s: text_cosine(s, "token", "context"),
}


def test_every_metric_has_a_plain_form() -> None:
    assert set(PLAIN) == set(METRICS)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_value_is_the_plain_formula(name: str, seed: int) -> None:
    samples = world(seed)
    result = METRICS[name](samples)
    assert result.unscored is None
    assert result.value == pytest.approx(PLAIN[name](samples), abs=1e-10)
