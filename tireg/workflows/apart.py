"""How far apart the pictures of one prompt are, by an encoder that compares two at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tireg.domain.suites import SLOT_ROLES, Prompt
from tireg.workflows.drawing import Shot
from tireg.workflows.looking import FeatureCache
from tireg.workflows.progress import Event, Listener

if TYPE_CHECKING:
    import numpy as np

    from tireg.models.lpips_distance import LpipsDistance

COMPARED = ("token", "class")
"""Conditions whose seeds are set against each other."""


def distances_by_prompt(
    pictures: Mapping[str, Mapping[tuple[int, int], Shot]],
    pixels: Mapping[str, np.ndarray],
    prompts: Sequence[Prompt],
    encoder: LpipsDistance,
    cache: FeatureCache,
    listen: Listener,
) -> dict[str, np.ndarray]:
    """Per condition ``[P, S, S]`` for slot prompts, NaN where a picture is missing.

    ``pixels`` are the pictures' hashes ``[P, S]`` by condition. Distances are kept by what they
    are of; only prompts that lack one are read and looked at again.
    """
    import numpy as np

    found: dict[str, np.ndarray] = {}
    places = [
        (condition, p)
        for condition in COMPARED
        if condition in pictures
        for p, prompt in enumerate(prompts)
        if prompt.role in SLOT_ROLES
    ]
    for number, (condition, p) in enumerate(places, 1):
        names = pixels[condition]
        count = names.shape[1]
        table = found.setdefault(condition, np.full((len(prompts), count, count), np.nan))
        seeds = [s for s in range(count) if names[p, s]]
        shots = [pictures[condition][p, s] for s in seeds]
        table[np.ix_([p], seeds, seeds)] = _table(shots, names[p, seeds].tolist(), encoder, cache)
        listen(Event("comparing the pictures of each prompt", number, len(places)))
    return found


def _table(
    shots: Sequence[Shot], names: Sequence[str], encoder: LpipsDistance, cache: FeatureCache
) -> np.ndarray:
    import numpy as np

    kept = np.zeros((len(shots), len(shots)))
    pairs = [(i, j) for i in range(len(shots)) for j in range(i)]
    keys = {pair: _pair_key(names[pair[0]], names[pair[1]]) for pair in pairs}
    for (i, j), key in keys.items():
        one = cache.get(encoder.sha256, key)
        if one is None:
            break
        kept[i, j] = kept[j, i] = one[0]
    else:
        return kept
    made = encoder.distances([shot.read() for shot in shots])
    for (i, j), key in keys.items():
        cache.put(encoder.sha256, key, made[i, j, None])
    return made


def _pair_key(one: str, other: str) -> str:
    return hashlib.sha256(":".join(sorted((one, other))).encode()).hexdigest()
