"""Training data of the built-in base, drawn once, and its tokenizer."""

from __future__ import annotations

import json
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tireg.shapes.builder_sizes import Sizes
from tireg.shapes.captions import (
    ATTRIBUTE_WORDS,
    ATTRIBUTES,
    MAX_TOKENS,
    caption,
    color_words,
    shade_words,
    spoken,
    vocabulary,
)
from tireg.shapes.world import NEUTRALS, Scene, draw_scene, render

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CHUNK = 2_500
NOTHING = -1
"""Class number of an attribute that a scene does not have or a caption does not name."""


@dataclass(frozen=True, slots=True)
class Data:
    """Pictures ``uint8 [n, 32, 32, 3]``, tokens ``int16 [n, captions, 32]``, class numbers.

    ``seen`` is ``int8 [n, attributes]``, ``said`` is ``int8 [n, captions, attributes]``; both
    count in the order of :data:`tireg.shapes.captions.ATTRIBUTES`, with :data:`NOTHING` for none.
    """

    pictures: NDArray[np.uint8]
    tokens: NDArray[np.int16]
    seen: NDArray[np.int8]
    said: NDArray[np.int8]


def scene_attributes(scene: Scene) -> dict[str, str | None]:
    """What a scene shows, by the words of each attribute; ``None`` where no word fits."""
    two = scene.fill in ("split", "stacked")
    tinted = scene.style == "tinted"
    hidden = tinted and scene.background not in NEUTRALS
    return {
        "shape": scene.shape,
        "hue": None if tinted else scene.hue,
        "second_hue": scene.second_hue if two else None,
        "background": None if hidden else scene.background,
        "fill": scene.fill,
        "position": scene.position,
        "style": scene.style,
        "tint": scene.tint_name,
        "shade": None if tinted or scene.hue else color_words(None, scene.color),
        "second_shade": color_words(None, scene.second) if two and not scene.second_hue else None,
        "tint_shade": shade_words(scene.tint) if tinted and not scene.tint_name else None,
    }


def class_numbers(words: dict[str, str | None]) -> list[int]:
    """Class numbers of attribute words, in the order of ``ATTRIBUTES``."""
    numbers = []
    for name in ATTRIBUTES:
        word = words[name]
        numbers.append(NOTHING if word is None else ATTRIBUTE_WORDS[name].index(word))
    return numbers


def _chunk(job: tuple[int, int, int, int]) -> tuple[NDArray[np.uint8], list[list[str]], Any]:
    seed, number, count, captions = job
    rng = np.random.default_rng([seed, number])
    scenes = [draw_scene(rng) for _ in range(count)]
    texts = [[caption(scene, rng) for _ in range(captions)] for scene in scenes]
    seen = [class_numbers(scene_attributes(scene)) for scene in scenes]
    return np.stack([render(scene) for scene in scenes]), texts, seen


def make_data(folder: Path, sizes: Sizes, workers: int = 2) -> Data:
    """Draw and caption all training scenes, or read them back from ``folder/data.npz``."""
    path = folder / "data.npz"
    if not path.exists():
        jobs = [
            (sizes.seed, start // CHUNK, min(CHUNK, sizes.scenes - start), sizes.captions)
            for start in range(0, sizes.scenes, CHUNK)
        ]
        if workers > 1 and len(jobs) > 1:
            with ProcessPoolExecutor(workers) as pool:
                chunks = list(pool.map(_chunk, jobs))
        else:
            chunks = [_chunk(job) for job in jobs]
        tokenizer = make_tokenizer(folder / "tokenizer")
        texts = [text for chunk in chunks for group in chunk[1] for text in group]
        tokens = tokenize(tokenizer, texts).reshape(sizes.scenes, sizes.captions, MAX_TOKENS)
        said = np.array([class_numbers(spoken(text)) for text in texts], dtype=np.int8)
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            pictures=np.concatenate([chunk[0] for chunk in chunks]),
            tokens=tokens.astype(np.int16),
            seen=np.concatenate([np.array(chunk[2], dtype=np.int8) for chunk in chunks]),
            said=said.reshape(sizes.scenes, sizes.captions, len(ATTRIBUTES)),
        )
        partial.replace(path)
    with np.load(path) as stored:
        return Data(stored["pictures"], stored["tokens"], stored["seen"], stored["said"])


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> NDArray[np.int64]:
    """Token numbers ``int64 [n, 32]``, padded with the end token."""
    encoded = tokenizer(
        texts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="np"
    )
    numbers: NDArray[np.int64] = np.asarray(encoded["input_ids"], dtype=np.int64)
    return numbers


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    """The byte-level CLIP tokenizer of the world's words, written to ``folder``.

    Every word of :func:`~tireg.shapes.captions.vocabulary` is one token; any other text falls
    apart into bytes. The end token has the highest number, which is where both transformers'
    and open_clip's older pooling look for it.
    """
    from transformers import CLIPTokenizer

    if not (folder / "tokenizer_config.json").exists():
        vocab, merges = _byte_pairs(vocabulary())
        tokenizer = CLIPTokenizer(
            vocab=vocab,
            merges=merges,
            model_max_length=MAX_TOKENS,
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False) + "\n", "utf-8")
        lines = [f"{first} {second}" for first, second in merges]
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n", "utf-8")
        tokenizer.save_pretrained(folder)
    loaded: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return loaded


def _byte_pairs(words: tuple[str, ...]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges under which each word becomes one token.

    Plain byte-pair training: the commonest neighbouring pair is merged until nothing is left to
    merge; equal counts are taken in alphabetical order, so the result does not depend on anything.
    """
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    split = [[*word[:-1], word[-1] + "</w>"] for word in words if re.fullmatch("[a-z]+", word)]
    merges: list[tuple[str, str]] = []
    while True:
        counts: dict[tuple[str, str], int] = {}
        for parts in split:
            for pair in pairwise(parts):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        split = [_merge(parts, best) for parts in split]
    names = [*letters, *(letter + "</w>" for letter in letters)]
    names += [first + second for first, second in merges]
    names += ["<|startoftext|>", "<|endoftext|>"]
    return {name: number for number, name in enumerate(names)}, merges


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged
