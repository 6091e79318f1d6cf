"""Whole evaluations made up for reports: record, pictures, features, list of pixels, scores."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.store import make
from tireg.domain.records import CurvePoint, Record, StoredFile, Training
from tireg.domain.scores import EncoderAccuracy, EncoderRef, Run, RunFile, Score, SuiteRef
from tireg.domain.statistics import clustered_mean
from tireg.domain.suites import Suite, load_suite
from tireg.store.registry import Registry
from tireg.workflows.drawing import Loaded, PictureCache, picture_key
from tireg.workflows.looking import FeatureCache, pixel_hash
from tireg.workflows.measuring import plan

SUITE = "shapes-quick"
WIDTH = 8


@dataclass(frozen=True)
class Reported:
    """What was put into a registry."""

    record: Record
    run: Run
    suite: Suite


SEEN = EncoderAccuracy(encoder="clip", measured_on="renders", accuracy={"shape": 0.9, "hue": 0.8})


def png(seed: int, side: int = 24) -> bytes:
    """A PNG that differs with ``seed``."""
    data = io.BytesIO()
    Image.fromarray(picture(seed, side)).save(data, "PNG")
    return data.getvalue()


def picture(seed: int, side: int = 24) -> np.ndarray:
    """Noise [side, side, 3] that differs with ``seed``."""
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)


def stored(role: str, data: bytes, name: str, text: str | None = None) -> StoredFile:
    """A file of a record."""
    return StoredFile.model_validate(
        {"role": role, "name": name, "sha256": make.sha(data), "bytes": len(data),
         "media_type": "image/png", "text": text}
    )  # fmt: skip


def a_record(name: str, **changes: Any) -> tuple[Record, dict[str, bytes]]:
    """A record with three training pictures, two previews and a curve."""
    first, objects = make.record(name)
    pictures = [png(100 + n) for n in range(3)]
    previews = [png(200 + n) for n in range(2)]
    files = [first.files[0]]
    files += [stored("picture", data, f"{n}.png") for n, data in enumerate(pictures)]
    files += [stored("preview", data, f"{n}.png", f"a <{name}>") for n, data in enumerate(previews)]
    curve = tuple(
        CurvePoint(step=n, loss=0.1 / (n + 1), validation=0.1, gain=n * 1e-4, gain_error=1e-5,
                   norm=1.0, cosine=1 - n / 500, fidelity=n / 100, editability=1.0)
        for n in range(0, 100, 10)
    )  # fmt: skip
    training = Training(
        steps=100, samples=400, seconds=3.5, device="cpu", dtype="fp32", threads=1, curve=curve,
        chosen_step=80, stopped="the last step was reached",
    )  # fmt: skip
    record, own = make.record(name, **{"files": tuple(files), "training": training, **changes})
    kept = {file.sha256 for file in record.files}
    objects |= own | {make.sha(data): data for data in (*pictures, *previews)}
    return record, {sha: data for sha, data in objects.items() if sha in kept}


def a_score(metric: str, values: dict[str, float] | None, **changes: Any) -> Score:
    """A score whose value is the mean of one number per prompt; None: unscored."""
    told: dict[str, Any] = {
        "metric": metric, "version": 1, "encoder": "clip", "direction": "higher", "n_seeds": 4,
        "n_prompts": 0, "value": None, "unscored": "nobody looked", "baseline_name": "class noun",
    }  # fmt: skip
    if values is not None:
        estimate = clustered_mean(np.array(list(values.values())))
        known = estimate.low is not None and estimate.high is not None
        ci = (estimate.low, estimate.high) if known else None
        told |= {"value": estimate.value, "ci": ci, "unscored": None, "n_prompts": len(values),
                 "prompt_values": values, "baseline": 0.0, "difference": estimate.value,
                 "difference_ci": ci}  # fmt: skip
    return Score.model_validate(told | changes)


def usual_scores(suite: Suite, lift: float = 0.0) -> list[Score]:
    """A good word: like its pictures, follows prompts, leaks nothing, copies unknown."""
    asked = [prompt.id for prompt in suite.prompts if prompt.has_slot]
    free = [prompt.id for prompt in suite.prompts if not prompt.has_slot]
    likeness = {p: 0.5 + 0.05 * n + lift for n, p in enumerate(asked)}
    details = {
        "token_similarity": 0.7, "class_similarity": 0.5, "reference_similarity": 0.8,
    }  # fmt: skip
    return [
        a_score("concept_fidelity", likeness, direction="target", details=details),
        a_score("prompt_fidelity", {p: 0.01 * (n % 3 - 1) for n, p in enumerate(asked)}),
        a_score("semantic_collapse", {p: 0.02 * (n % 3 - 1) for n, p in enumerate(asked)},
                direction="lower"),
        a_score("off_token_leakage", dict.fromkeys(free, 0.0), direction="lower",
                details={"identical_pictures": 1.0}),
        a_score("copying", None, direction="lower"),
    ]  # fmt: skip


def report_on(
    home: Path,
    name: str = "my-cat",
    *,
    scores: list[Score] | None = None,
    spec: dict[str, Any] | None = None,
    keep: bool = True,
    created: str = "2026-08-02T12:00:00Z",
    **changes: Any,
) -> Reported:
    """Put an embedding and its evaluation into ``home``; ``keep``: with pictures and features."""
    record, objects = a_record(name, **changes)
    suite = load_suite(SUITE)
    run, run_objects = make.run(record, created=created)
    references = tuple(f.sha256 for f in record.files if f.role == "picture")
    told = run.spec.model_copy(
        update={
            "suite": SuiteRef(name=suite.name, version=suite.version, sha256=suite.sha256),
            "seeds": suite.seeds,
            "class_noun": record.class_noun or "",
            "encoders": (EncoderRef(name="clip", sha256=make.sha("clip")),),
            "references": references,
            **(spec or {}),
        }
    )
    run = run.model_copy(
        update={
            "spec": told,
            "scores": tuple(usual_scores(suite) if scores is None else scores),
            "accuracy": (SEEN,),
            "run_id": make.sha(f"{name}{created}{told!r}"),
        }
    )
    lines = keep_pictures(home, record, run, suite) if keep else b""
    file = RunFile(role="samples", name="p.jsonl", sha256=make.sha(lines), bytes=len(lines),
                   media_type="application/jsonl")  # fmt: skip
    run = run.model_copy(update={"files": (*run.files, file)})
    with Registry.open(home) as registry:
        registry.add(record, objects)
        registry.add_run(run, run_objects | {make.sha(lines): lines})
    return Reported(record, run, suite)


def keep_pictures(home: Path, record: Record, run: Run, suite: Suite) -> bytes:
    """Fill the caches as an evaluation does; the list of pixels."""
    cache = PictureCache(home / "cache" / "pictures")
    features = FeatureCache(home / "cache" / "features")
    word = Loaded(run.spec.token, run.spec.embedding, {})
    rng = np.random.default_rng(7)
    lines = []
    wanted = plan(suite, record)
    for groups, loaded in ((wanted.loaded, [word]), (wanted.bare, [])):
        for condition, group in groups.items():
            for (p, s), wish in group.items():
                free = not suite.prompts[p].has_slot
                shade = 0 if free else {"token": 1, "class": 2}.get(condition, 3)
                drawn = picture(1000 * shade + 10 * p + s)
                key = picture_key(wish, run.spec.sampling, run.spec.base_fingerprint, loaded)
                cache.put(key, drawn)
                pixels = pixel_hash(drawn)
                features.put(make.sha("clip"), pixels, rng.normal(size=WIDTH) + shade)
                lines.append({"condition": condition, "prompt": suite.prompts[p].id,
                              "seed": suite.seeds[s], "sha256": pixels, "values": {}})  # fmt: skip
    for n in range(3):
        features.put(make.sha("clip"), pixel_hash(picture(100 + n)), rng.normal(size=WIDTH) + 1)
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()
