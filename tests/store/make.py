"""Records, runs and bases with made-up but whole contents."""

from __future__ import annotations

import hashlib
from typing import Any

from tireg.domain.concepts import Concept, Picture
from tireg.domain.fingerprints import BaseRef, EncoderFingerprint, Fingerprint
from tireg.domain.recipes import Recipe
from tireg.domain.records import Record, Source, StoredFile, TensorInfo, Training
from tireg.domain.scores import Run, RunFile, RunSpec, Sampling, Score, SuiteRef


def sha(text: str | bytes) -> str:
    """Hex sha256 of text."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def fingerprint(seed: str = "base", encoders: tuple[str, ...] = ("clip_l",)) -> Fingerprint:
    """A fingerprint that differs with ``seed``."""
    return Fingerprint(
        encoders=tuple(
            EncoderFingerprint(
                key=key,
                width=768,
                rows=49408,
                table_sha256=sha(f"{seed}{key}table"),
                layers_sha256=sha(f"{seed}{key}layers"),
                config_sha256=sha(f"{seed}{key}config"),
                tokenizer_sha256=sha(f"{seed}{key}tokenizer"),
                sketch="AAAA",
            )
            for key in encoders
        )
    )


def base(name: str = "base/one", family: str = "sd1", seed: str | None = None) -> BaseRef:
    """A base whose fingerprint follows its name."""
    return BaseRef(id=name, family=family, revision="a" * 40, fingerprint=fingerprint(seed or name))


def concept(seed: str = "cat", caption: str | None = None) -> Concept:
    """Two pictures, the first with a caption."""
    return Concept(
        kind="object",
        class_noun="cat",
        pictures=tuple(
            Picture(
                name=f"{seed}{n}.png",
                sha256=sha(f"{seed}{n}"),
                width=512,
                height=384,
                format="PNG",
                mode="RGB",
                caption=caption if n == 0 else None,
            )
            for n in range(2)
        ),
        templates=("a photo of {token}",),
    )


def record(
    name: str = "my-cat", seed: str = "one", *, size: int = 64, **changes: Any
) -> tuple[Record, dict[str, bytes]]:
    """A trained record and the objects it names; ``seed`` makes its bytes unique."""
    vectors = (f"vectors of {name} {seed} " * size).encode()[:size] + sha(seed).encode()
    preview = f"preview of {name} {seed}".encode()
    values: dict[str, Any] = {
        "name": name,
        "token": f"<{name}>",
        "kind": "object",
        "class_noun": "cat",
        "tensor_hash": sha(vectors),
        "tensors": (TensorInfo(encoder="clip_l", vectors=2, width=768, dtype="float32"),),
        "files": (
            StoredFile(
                role="embedding",
                name=f"{name}.safetensors",
                sha256=sha(vectors),
                bytes=len(vectors),
                media_type="application/octet-stream",
            ),
            StoredFile(
                role="preview",
                name="preview.png",
                sha256=sha(preview),
                bytes=len(preview),
                media_type="image/png",
                text=f"a photo of <{name}> on a beach",
            ),
        ),
        "base": base(),
        "concept": concept(name),
        "recipe": Recipe(),
        "training": Training(
            steps=300,
            samples=1200,
            seconds=12.5,
            device="cpu",
            dtype="float32",
            threads=1,
        ),
        "source": Source(how="trained"),
        "license": "apache-2.0",
        "author": "someone",
        "created": "2026-08-01T12:00:00Z",
        "tireg_version": "0.1.0",
    }
    made = Record.model_validate({**values, **changes})
    return made, {sha(vectors): vectors, sha(preview): preview}


def foreign(name: str, seed: str, **changes: Any) -> tuple[Record, dict[str, bytes]]:
    """An imported record: no kind, no base, no recipe."""
    values: dict[str, Any] = {
        "token": "*",
        "kind": None,
        "class_noun": None,
        "base": None,
        "concept": None,
        "recipe": None,
        "training": None,
        "license": None,
        "author": None,
        "source": Source(how="imported", where=f"{name}.pt", dialect="a1111", sha256=sha(seed)),
        "families": ("sd1",),
    }
    return record(name, seed, **{**values, **changes})


def run(
    about: Record,
    *,
    seed: str = "run",
    base_id: str = "base/one",
    created: str = "2026-08-02T12:00:00Z",
    values: dict[str, float | None] | None = None,
) -> tuple[Run, dict[str, bytes]]:
    """An evaluation of ``about`` with a sheet."""
    sheet = f"sheet {about.sha256} {seed}".encode()
    made = Run(
        run_id=sha(f"{about.sha256}{seed}{base_id}"),
        record=about.sha256,
        spec=RunSpec(
            embedding=about.tensor_hash,
            token=about.token,
            class_noun="cat",
            base=base_id,
            base_revision=None,
            base_fingerprint=sha(base_id),
            suite=SuiteRef(name="core", version=1, sha256=sha("core")),
            seeds=(1, 2),
            sampling=Sampling(
                sampler="ddim",
                steps=20,
                guidance=7.5,
                width=64,
                height=64,
                dtype="float32",
                device="cpu",
                batch=4,
            ),
            encoders=(),
            references=(),
            metrics=("fidelity@1",),
        ),
        scores=tuple(
            Score(
                metric=metric,
                version=1,
                encoder=None,
                value=value,
                ci=None if value is None else (value - 0.1, value + 0.1),
                n_prompts=8,
                n_seeds=2,
                direction="higher",
                unscored="nothing to see" if value is None else None,
            )
            for metric, value in (values or {"fidelity": 0.7, "leakage": None}).items()
        ),
        files=(
            RunFile(
                role="sheet",
                name="sheet.png",
                sha256=sha(sheet),
                bytes=len(sheet),
                media_type="image/png",
            ),
        ),
        seconds=3.5,
        created=created,
        tireg_version="0.1.0",
    )
    return made, {sha(sheet): sheet}
