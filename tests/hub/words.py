"""Trained words with real vectors and previews, made without training."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from tests.hubserver import HubServer
from tests.store import make
from tireg.domain.records import Record, StoredFile
from tireg.domain.tensors import tensor_hash
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.making import stored
from tireg.workflows.vectors import MEDIA_TYPE, describe, pack_vectors

WIDTHS = {"clip_l": 768, "clip_g": 1280}


def png(seed: int, side: int = 24) -> bytes:
    """A bare PNG of noise."""
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def word(
    name: str = "my-cat",
    seed: int = 0,
    *,
    encoders: tuple[str, ...] = ("clip_l",),
    pictures: bool = False,
    preview: bytes | None = None,
    **changes: Any,
) -> tuple[Record, dict[str, bytes]]:
    """A record and its objects, as training would have made them."""
    rng = np.random.default_rng(seed)
    token = str(changes.get("token", f"<{name}>"))
    tensors = {k: rng.normal(size=(2, WIDTHS[k])).astype(np.float32) for k in encoders}
    objects: dict[str, bytes] = {}
    files: list[StoredFile] = [
        stored(
            objects, "embedding", "learned_embeds.safetensors", pack_vectors(token, tensors),
            MEDIA_TYPE,
        ),
        stored(
            objects, "preview", "preview-1.png", preview or png(seed), "image/png",
            f"a photo of {token}",
        ),
    ]  # fmt: skip
    if pictures:
        data = png(seed + 1000)
        files.append(stored(objects, "picture", "picture-01.png", data, "image/png"))
    family = "sdxl" if len(encoders) > 1 else "sd1"
    values: dict[str, Any] = {
        "tensors": describe(tensors),
        "tensor_hash": tensor_hash(tensors),
        "files": tuple(files),
        "families": (family,),
        "base": make.base("some/base", family),
        "license": "creativeml-openrail-m",
        **changes,
    }
    record, _ = make.record(name, str(seed), **values)
    return record, objects


def keep(
    home: Path, name: str = "my-cat", seed: int = 0, *, scored: bool = False, **more: Any
) -> Version:
    """A word in the registry of ``home``, evaluated if asked for."""
    given = more.pop("objects", {})
    record, objects = word(name, seed, **more)
    named = {file.sha256 for file in record.files}
    objects = {sha: data for sha, data in {**objects, **given}.items() if sha in named}
    with Registry.open(home) as registry:
        version = registry.add(record, objects).version
        if scored:
            run, sheet = make.run(record, values={"fidelity": 0.71, "leakage": None})
            registry.add_run(run, sheet)
    return version


def files(server: HubServer, repo: str = "alice/my-cat") -> dict[str, bytes]:
    found = server.hub.repos[repo]
    return {path: found.read(entry) for path, entry in found.resolve("main").tree.items()}
