"""Words in a registry, ready to be scored: random rows, real pictures, no training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.conftest import RunCli
from tireg.domain.fingerprints import BaseRef
from tireg.domain.records import Record, Source
from tireg.domain.tensors import tensor_hash
from tireg.models.folders import identify
from tireg.shapes import scorer_path
from tireg.store.registry import Registry
from tireg.workflows.bases import fingerprint_of
from tireg.workflows.making import png_bytes, remember_base, stored
from tireg.workflows.places import Place
from tireg.workflows.vectors import FILE_NAME, MEDIA_TYPE, describe, pack_vectors

SUITE = """
format_version: 1
name: small
version: 1
kind: object
title: "Small"
source: "Written for this test."
seeds: [0, 1]
prompts:
  - {id: red, text: "a photo of a {concept} on a red background", role: background,
     context: "a red background", background: ["red"]}
  - {id: blue, text: "a photo of a {concept} on a blue background", role: background,
     context: "a blue background", background: ["blue"]}
  - {id: left, text: "a photo of a {concept} on the left", role: composition,
     context: "on the left"}
  - {id: free, text: "a photo of a blue square", role: neutral}
  - {id: free-2, text: "a red star", role: sibling}
"""
FAST = ("--steps", "2", "--size", "64")


def add_word(
    home: Path, base: Path, name: str, *, seed: int = 0, pictures: int = 3, **changes: Any
) -> str:
    """Record a word with random rows for ``base``; its pictures are of one random colour."""
    family = identify(base)
    ref = BaseRef(id=base.name, family=family.id, fingerprint=fingerprint_of(home, base, family))
    rng = np.random.default_rng(seed)
    width = json.loads((base / "text_encoder" / "config.json").read_text())["hidden_size"]
    rows = {"clip_l": rng.normal(0, 0.05, (2, width)).astype(np.float32)}
    objects: dict[str, bytes] = {}
    token = f"<{name}>"
    packed = pack_vectors(token, rows)
    files = [stored(objects, "embedding", FILE_NAME, packed, MEDIA_TYPE)]
    for number in range(pictures):
        picture = rng.integers(0, 255, (1, 1, 3)) + rng.integers(-20, 20, (64, 64, 3))
        data = png_bytes(picture.clip(0, 255).astype(np.uint8))
        files.append(stored(objects, "picture", f"picture-{number}.png", data, "image/png"))
    fields: dict[str, Any] = {
        "name": name,
        "token": token,
        "kind": "object",
        "class_noun": "cat",
        "tensor_hash": tensor_hash(rows),
        "tensors": describe(rows),
        "files": tuple(files),
        "base": ref,
        "source": Source(how="trained"),
        "created": "2026-01-01T00:00:00Z",
        "tireg_version": "0",
    }
    record = Record(**(fields | changes))
    with Registry.open(home) as registry:
        remember_base(registry, ref, Place(base.name, base))
        registry.add(record, objects)
    return name


def evaluate(run_cli: RunCli, ref: str, suite: Path, *more: str | Path) -> dict[str, Any]:
    """``tireg eval --json`` on small pictures with the scoring CLIP that comes along."""
    drawn = () if "--rescore" in more or "--images" in more else (*FAST, "--batch", "4")
    # One CLIP to a run; LPIPS and the others stand beside it.
    given = any(n == "--encoder" and ":" not in str(more[i + 1]) for i, n in enumerate(more))
    scorer = () if given else ("--encoder", scorer_path())
    result = run_cli("eval", ref, "--suite", suite, *scorer, *drawn, "--json", *more, code=0)
    data: dict[str, Any] = json.loads(result.stdout)
    return data


def scores(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The scores of a printed run by metric."""
    return {score["metric"]: score for score in run["scores"]}


def save_pictures(folder: Path, names: list[str], *, seed: int = 0, side: int = 48) -> None:
    """Random pictures under these names."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
