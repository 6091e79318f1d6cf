"""The verdict rule: what fingerprints prove, and that widths prove nothing."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from tireg.domain import sketches
from tireg.domain.compat import Target, judge, sketch_cosine
from tireg.domain.fingerprints import EncoderFingerprint, Fingerprint

RANDOM = np.random.default_rng(0)
TABLE = RANDOM.standard_normal((sketches.ANCHORS, 64))
STATES = RANDOM.standard_normal((32, 64))


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def moved(values: np.ndarray, cosine: float) -> np.ndarray:
    """Rows at about this cosine to ``values``."""
    other = np.random.default_rng(1).standard_normal(values.shape)
    result: np.ndarray = cosine * values + (1 - cosine**2) ** 0.5 * other
    return result


def encoder(
    key: str = "clip_l", table: float = 1.0, behaviour: float = 1.0, **changes: Any
) -> EncoderFingerprint:
    values: dict[str, Any] = {
        "key": key,
        "width": 768,
        "rows": 49408,
        "table_sha256": sha(f"table {table}"),
        "layers_sha256": sha(f"layers {behaviour}"),
        "config_sha256": sha("config"),
        "tokenizer_sha256": sha("tokenizer"),
        "sketch": sketches.pack(sketches.project(moved(TABLE, table))),
        "behaviour": sketches.pack(sketches.project(moved(STATES, behaviour))),
    }
    return EncoderFingerprint(**{**values, **changes})


def unheard(measured: EncoderFingerprint) -> EncoderFingerprint:
    return measured.model_copy(update={"behaviour": None})


def base(*encoders: EncoderFingerprint, denoiser: str | None = "unet", **more: Any) -> Fingerprint:
    return Fingerprint(
        encoders=encoders, denoiser_sha256=sha(denoiser) if denoiser else None, **more
    )


def target(fingerprint: Fingerprint) -> Target:
    return Target("there", {e.key: e.width for e in fingerprint.encoders}, fingerprint)


ROWS = {"clip_l": 768}


def test_equal_hashes_are_exact_whatever_the_sketches_say() -> None:
    found = judge(ROWS, base(encoder()), target(base(unheard(encoder(sketch="AAAA")))))
    assert (found.verdict, found.denoiser) == ("exact", "same")
    assert found.encoders[0].table is None


@pytest.mark.parametrize(
    ("table", "behaviour", "verdict"),
    [
        (0.99, 0.99, "near"),
        (1.0, 0.99, "near"),
        (0.99, 0.75, "unknown"),
        (0.75, 0.99, "unknown"),
        (0.0, 0.99, "unknown"),
        (0.0, 0.0, "incompatible"),
    ],
)
def test_cosines_decide_where_hashes_differ(table: float, behaviour: float, verdict: str) -> None:
    found = judge(ROWS, base(encoder()), target(base(encoder("clip_l", table, behaviour))))
    (one,) = found.encoders
    assert (found.verdict, one.verdict) == (verdict, verdict)
    assert one.table is not None
    assert one.behaviour is not None
    assert one.table.low <= table <= one.table.high or abs(one.table.value - table) < 0.01
    assert str(one.table) in one.reason


@pytest.mark.parametrize("name", ["config_sha256", "tokenizer_sha256"])
def test_another_config_or_tokenizer_is_near_at_best(name: str) -> None:
    found = judge(
        ROWS, base(encoder()), target(base(encoder().model_copy(update={name: sha("other")})))
    )
    assert found.verdict == "near"
    assert name.split("_")[0] in found.reason


@pytest.mark.parametrize(
    ("made", "there", "word"),
    [
        (None, base(encoder()), "not known"),
        (base(encoder()), None, "not measured"),
        (None, None, "not measured"),
        (base(encoder()), base(encoder(), method=2), "different versions"),
        (base(encoder()), base(unheard(encoder(table=0.99))), "behaviour sketches cannot be"),
        (base(encoder()), base(encoder(sketch="!", table_sha256=sha("x"))), "table sketches"),
    ],
)
def test_what_is_missing_is_unknown_though_the_width_is_equal(
    made: Fingerprint | None, there: Fingerprint | None, word: str
) -> None:
    found = judge(ROWS, made, Target("there", {"clip_l": 768}, there))
    assert found.verdict == "unknown"
    assert word in found.reason
    assert found.advice


def test_another_width_or_no_such_encoder_is_incompatible_without_any_measuring() -> None:
    assert judge(ROWS, None, Target("sd2", {"clip_h": 1024})).verdict == "incompatible"
    assert judge(ROWS, None, Target("odd", {"clip_l": 1024})).verdict == "incompatible"


def test_one_encoder_of_two_is_partial() -> None:
    both = base(encoder(), encoder("clip_g"))
    found = judge({"clip_l": 768}, base(encoder()), target(both))
    assert found.verdict == "partial"
    assert "no vectors for clip_g" in found.reason
    found = judge({"clip_l": 768, "t5xxl": 4096}, base(encoder()), target(base(encoder())))
    assert found.verdict == "partial"
    assert "t5xxl is incompatible" in found.reason


def test_the_worst_encoder_counts() -> None:
    made = base(encoder(), encoder("clip_g"))
    rows = {"clip_l": 768, "clip_g": 768}
    assert judge(rows, made, target(made)).verdict == "exact"
    near = base(encoder(), encoder("clip_g", 0.99, 0.99))
    assert judge(rows, made, target(near)).verdict == "near"
    other = base(encoder("clip_l", 0, 0), encoder("clip_g", 0, 0))
    assert judge(rows, made, target(other)).verdict == "incompatible"


@pytest.mark.parametrize(
    ("one", "two", "wanted"),
    [("a", "a", "same"), ("a", "b", "other"), (None, "a", "unknown"), ("a", None, "unknown")],
)
def test_the_denoiser_is_told_apart(one: str | None, two: str | None, wanted: str) -> None:
    found = judge(ROWS, base(encoder(), denoiser=one), target(base(encoder(), denoiser=two)))
    assert found.denoiser == wanted


@pytest.mark.parametrize("cosine", [0.99, 0.92, 0.75, 0.3, 0.0])
def test_bounds_hold_the_truth(cosine: float) -> None:
    """Of 60 tables, at least 57 true cosines lie within their bounds."""
    inside = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        a = random.standard_normal((sketches.ANCHORS, 96))
        b = cosine * a + (1 - cosine**2) ** 0.5 * random.standard_normal(a.shape)
        true = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
        found = sketch_cosine(*(sketches.pack(sketches.project(x)) for x in (a, b)))
        assert found is not None
        inside += found.low <= true <= found.high
    assert inside >= 57
