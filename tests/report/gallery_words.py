"""Words for galleries: plain ones, many that differ, and one that is hostile everywhere."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.store.make import sha
from tireg.report.gallery import Built, write_gallery
from tireg.report.gallery_data import (
    BaseVerdict,
    MetricInfo,
    Parent,
    Preview,
    RunPart,
    ScoreLine,
    Site,
    VersionPart,
    Word,
)

KINDS = ("object", "style", "subject")
WORDS = 130
EVIL = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg/onload=alert(3)>"
    "javascript:alert(4) {{ 7 * 7 }} ${7*7} \\u003cb\\u003e </title></style><!-- ]]> -->"
    "\u202egnp.exe\u2066 \x1b[31mred\x00 \u2028\u2029 \ud800 __proto__ %3Cb%3E &lt;b&gt;"
)


def picture(colour: str = "crimson", size: tuple[int, int] = (400, 300)) -> bytes:
    """A PNG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def score(metric: str, value: float | None, **changes: Any) -> ScoreLine:
    known = {} if value is None else {"low": value - 0.1, "high": value + 0.1, "baseline": 0.0}
    return ScoreLine(metric, value, **{**known, **changes})


def version(number: int = 1, name: str = "word", **changes: Any) -> VersionPart:
    values: dict[str, Any] = {
        "number": number,
        "record": sha(f"{name}{number}"),
        "tensor_hash": sha(name),
        "created": f"2026-08-{number:02}T12:00:00Z",
        "base": "maker/base",
        "families": ("sd1",),
        "license": "apache-2.0",
        "vectors": "clip_l 2 × 768",
        "facts": (("how", "trained"),),
        "recipe": (("steps", "300"),),
        "training": (("steps", "200"),),
    }
    return VersionPart(**{**values, **changes})


def word(name: str, *versions: VersionPart, **changes: Any) -> Word:
    values: dict[str, Any] = {
        "name": name,
        "token": f"<{name}>",
        "kind": "object",
        "class_noun": "cat",
        "negative": False,
        "author": "someone",
        "notes": "",
        "tags": (),
        "versions": versions or (version(name=name),),
        "commands": (("all there is to know", f"tireg show {name}"),),
    }
    return Word(**{**values, **changes})


def run(*scores: ScoreLine, frame: str = "f" * 8, **changes: Any) -> RunPart:
    values: dict[str, Any] = {
        "base": "maker/base", "suite": "core", "suite_version": 1, "seeds": 4, "sampler": "ddim",
        "steps": 20, "created": "2026-08-02T12:00:00Z", "frame": frame, "scores": scores,
    }  # fmt: skip
    return RunPart(**{**values, **changes})


def evil_word() -> Word:
    """Hostile text wherever there can be text."""
    line = score(EVIL, 0.5, baseline_name=EVIL, encoder=EVIL)
    mute = score("copying", None, unscored=EVIL)
    one = version(
        1, "evil", base=EVIL, families=(EVIL,), license=EVIL, vectors=EVIL, facts=((EVIL, EVIL),),
        recipe=((EVIL, EVIL),), training=((EVIL, EVIL),), aliases=(EVIL,), created=EVIL,
        parent=Parent(EVIL), previews=(Preview(sha("evil picture"), EVIL),),
        runs=(run(line, mute, base=EVIL, suite=EVIL, sampler=EVIL, created=EVIL, frame=EVIL),),
    )  # fmt: skip
    two = replace(one, number=2, record=sha("two"), parent=Parent("x", one.record))
    return word(
        EVIL, two, one, token=EVIL, kind=EVIL, class_noun=EVIL, author=EVIL,
        notes=EVIL + "\n" + EVIL, tags=(EVIL, "__proto__", "constructor"),
        commands=((EVIL, f"tireg show '{EVIL}'"),),
        verdicts=(BaseVerdict(EVIL, "near", EVIL), BaseVerdict("b", "incompatible", EVIL)),
    )  # fmt: skip


def build(words: Iterable[Word], folder: Path, title: str = "Words", **pictures: bytes) -> Built:
    """Write a gallery whose pictures are found by the names of their sources."""
    found = {sha(name.replace("_", " ")): data for name, data in pictures.items()}
    metrics = {
        "concept_fidelity": MetricInfo("target", 1.0, "below 0.2"),
        "semantic_collapse": MetricInfo("lower", None, "above 0.25"),
    }
    site = Site(title, tuple(words), metrics)
    return write_gallery(site, folder, found.get, lambda task, done, total: None)


def many() -> Iterator[Word]:
    """Words that differ in all that can be filtered by; three of them scored."""
    for n in range(WORDS):
        name = f"word-{n:03}"
        made = version(
            1, name, license=("apache-2.0", "mit")[n % 2], families=(("sd1",), ("sdxl",))[n % 2],
            created=f"2026-{1 + n // 28:02}-{1 + n % 28:02}T00:00:00Z",
            previews=(Preview(sha("shot"), f"a photo of <{name}>"),) if n % 3 == 0 else (),
            runs=(run(score("concept_fidelity", n / 10), score("semantic_collapse", 0.1)),)
            if n in (3, 6, 9) else (),
        )  # fmt: skip
        tags = ("even",) if n % 2 == 0 else ("odd", f"t{n}")
        verdict = BaseVerdict("maker/base", "near" if n % 5 == 0 else "unknown", "because")
        extra = {"class_noun": "château"} if n == 7 else {}
        yield word(name, made, kind=KINDS[n % 3], tags=tags, verdicts=(verdict,), **extra)


def chromium() -> str:
    """Where Chromium is; skips the test where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip("there is no Chromium here")
    return found
