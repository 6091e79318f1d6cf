"""Synthetic embeddings for the registry's benchmark: records, previews and words, by number."""

from __future__ import annotations

import hashlib
import random

from tireg.domain.concepts import Concept, Picture
from tireg.domain.fingerprints import BaseRef, EncoderFingerprint, Fingerprint
from tireg.domain.recipes import Recipe
from tireg.domain.records import Record, Source, StoredFile, TensorInfo
from tireg.store.adding import Item

SYLLABLES = "ka lo mi ra te su no vi da pe zu fa ri go ba ne xi qua tor len mar sil".split()
BASES = 20
WIDTH = 512
SPACE = "benchmark/512"
WORDS = ["watercolour", "fox", "castle", "neon", "portrait", "origami", "teapot", "cat", "dragon"]


def word(number: int) -> str:
    """The same made-up word for the same number."""
    rng = random.Random(number)
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 4)))


VOCABULARY = [word(n) for n in range(20_000)]
# As in a language: little words are in almost every text, those people search for further down.
for _place, _word in zip((30, 50, 80, 120, 200, 400, 800, 1500, 3000), WORDS, strict=True):
    VOCABULARY[_place] = _word


def sha(data: bytes) -> str:
    """Hex sha256."""
    return hashlib.sha256(data).hexdigest()


def pick(rng: random.Random, count: int) -> list[str]:
    """Words as often as words are: a few very often, most hardly ever (Zipf)."""
    size = len(VOCABULARY)
    return [VOCABULARY[min(int(size ** rng.random()) - 1, size - 1)] for _ in range(count)]


def base(number: int) -> BaseRef:
    """One of the bases, with a fingerprint of real size."""

    def digest(what: str) -> str:
        return sha(f"{what}{number}".encode())

    encoder = EncoderFingerprint(
        key="clip_l",
        width=768,
        rows=49408,
        table_sha256=digest("table"),
        layers_sha256=digest("layers"),
        config_sha256=digest("config"),
        tokenizer_sha256=digest("tokenizer"),
        sketch="A" * 21_848,
    )
    family = ("sd1", "sd2", "sdxl", "shapes")[number % 4]
    return BaseRef(
        id=f"maker/base-{number}",
        family=family,
        revision="0" * 40,
        fingerprint=Fingerprint(encoders=(encoder,)),
        license="openrail",
    )


ALL_BASES = [base(n) for n in range(BASES)]


def item(number: int) -> Item:
    """One embedding: 3 kB of vectors, a preview of 2 kB, a concept of four pictures."""
    rng = random.Random(number)
    vectors = rng.randbytes(3200)
    preview = rng.randbytes(2048)
    name = f"{'-'.join(pick(rng, 2))}-{number}"
    token = f"<{name}>"
    prompt = f"a photo of {token} {' '.join(pick(rng, 6))}"
    # One in ten was trained here and carries its base's fingerprint; the rest are imports.
    trained = number % 10 == 0
    record = Record(
        name=name,
        token=token,
        kind=("object", "style", "subject")[rng.randrange(3)],
        class_noun=rng.choice(WORDS),
        tensor_hash=sha(vectors + b"tensors"),
        tensors=(TensorInfo(encoder="clip_l", vectors=1, width=768, dtype="float32"),),
        families=("sd1",),
        files=(
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
                text=prompt,
            ),
        ),
        base=ALL_BASES[rng.randrange(BASES)] if trained else None,
        concept=Concept(
            kind="object",
            class_noun=rng.choice(WORDS),
            pictures=tuple(
                Picture(
                    name=f"{n}.png",
                    sha256=sha(f"{number} {n}".encode()),
                    width=512,
                    height=512,
                    format="PNG",
                    mode="RGB",
                    caption=" ".join(pick(rng, 8)),
                )
                for n in range(4)
            ),
            templates=("a photo of {token}",),
        )
        if trained
        else None,
        recipe=Recipe(seed=number) if trained else None,
        source=Source(how="trained" if trained else "imported", where=f"{name}.pt"),
        license=("apache-2.0", "openrail", None)[rng.randrange(3)],
        notes=" ".join(pick(rng, 12)),
        tags=tuple(pick(rng, 3)),
        created=f"2026-{1 + number % 12:02}-{1 + number % 28:02}T{number % 24:02}:00:00Z",
        tireg_version="0.1.0",
    )
    objects = {sha(vectors): vectors, sha(preview): preview}
    return Item(record, objects, hashes={"autov3": sha(vectors)[20:32]})
