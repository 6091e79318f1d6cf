"""``tireg check``: what vectors do to a real text encoder, without a picture."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store import make
from tireg.domain.fingerprints import BaseRef
from tireg.domain.records import StoredFile
from tireg.domain.tensors import tensor_hash
from tireg.errors import BaseError, FileRefusedError, RefError, SuiteError
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow
from tireg.workflows.check import check, vector_findings
from tireg.workflows.vectors import describe, pack_vectors

WIDTH = 32


def rows_like_words(count: int = 2, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    """Rows about as long as those of the tiny base's words."""
    rng = np.random.default_rng(seed)
    rows: np.ndarray = (scale * 0.02 * rng.normal(size=(count, WIDTH))).astype(np.float32)
    return rows


def add(
    home: Path, rows: np.ndarray, name: str = "word", *, key: str = "clip_l", **changes: Any
) -> None:
    """Record vectors as learned on the tiny SD1 base."""
    tensors = {key: rows}
    token = str(changes.pop("token", f"<{name}>"))
    data = pack_vectors(token, tensors)
    file = StoredFile(
        role="embedding", name="v.safetensors", sha256=make.sha(data), bytes=len(data),
        media_type="application/x-safetensors",
    )  # fmt: skip
    told: dict[str, Any] = {
        "token": token, "files": (file,), "tensors": describe(tensors),
        "tensor_hash": tensor_hash(tensors), "base": BaseRef(id="tiny", family="sd1"),
    }  # fmt: skip
    record, _ = make.record(name, **(told | changes))
    with Registry.open(home) as registry:
        registry.add(record, {file.sha256: data})


@pytest.fixture
def tiny(home: Path, tiny_sd1: Path) -> Path:
    """The tiny base, known here under the name ``tiny``."""
    with Registry.open(home) as registry:
        registry.add_base(BaseRow("tiny", "sd1", path=str(tiny_sd1)))
    return tiny_sd1


def of(found: dict[str, Any], name: str) -> dict[str, Any]:
    (finding,) = [f for f in found["findings"] if f["check"] == name]
    result: dict[str, Any] = finding
    return result


def test_a_plain_word_is_right_and_leaves_other_prompts_alone(home: Path, tiny: Path) -> None:
    add(home, rows_like_words())
    found = check(home, "word")
    assert found["ok"]
    assert found["base"] == "tiny"
    off = of(found, "off-token")
    assert (off["status"], off["value"]) == ("ok", 0.0)
    assert "prompts without it keep every bit" in off["message"]
    assert of(found, "norm")["status"] == "ok"
    assert of(found, "text collapse")["status"] in ("ok", "doubt")
    assert len([f for f in found["findings"] if f["check"] == "nearest words"]) == 2
    assert not any(f["check"] in ("heard", "taken out") for f in found["findings"])


def test_only_the_text_encoder_is_read(home: Path, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(tiny / part, folder / part)
    shutil.copy(tiny / "model_index.json", folder)
    add(home, rows_like_words())
    assert check(home, "word", base=str(folder))["ok"]


def test_a_token_that_is_an_ordinary_word_changes_prompts_and_is_wrong(
    home: Path, tiny: Path
) -> None:
    add(home, rows_like_words(), token="cat")
    found = check(home, "word")
    assert not found["ok"]
    assert of(found, "ordinary word")["status"] == "wrong"
    off = of(found, "off-token")
    assert off["status"] == "wrong"
    assert "cat" in off["message"]
    assert off["value"] >= 1


def test_numbers_that_are_not_finite_are_wrong_and_not_tried(home: Path, tiny: Path) -> None:
    rows = rows_like_words(3)
    rows[1, 5] = np.nan
    add(home, rows)
    found = check(home, "word")
    assert not found["ok"]
    assert of(found, "finite")["message"] == "vector 2 is not finite numbers"
    assert of(found, "text encoder")["status"] == "not checked"


def test_a_far_too_long_vector_is_doubted(home: Path, tiny: Path) -> None:
    add(home, rows_like_words(scale=100))
    found = check(home, "word")
    norm = of(found, "norm")
    assert norm["status"] == "doubt"
    assert norm["value"] > 10
    assert found["ok"], "doubts alone are not wrong"


def test_a_copy_of_a_word_is_told(home: Path, tiny: Path) -> None:
    from tireg.models.bases import identify
    from tireg.models.text_probe import open_probe

    probe = open_probe(tiny, identify(tiny), "clip_l")
    add(home, probe.word_rows(["house"]).astype(np.float32))
    nearest = of(check(home, "word"), "nearest words")
    assert nearest["status"] == "doubt"
    assert nearest["message"].startswith("vector 1 is nearest to house 1.00")


def test_the_probe_gives_the_encoder_back_as_it_was(tiny: Path) -> None:
    from tireg.models.bases import identify
    from tireg.models.text_probe import differing, open_probe

    probe = open_probe(tiny, identify(tiny), "clip_l")
    tokenizer = probe.tokenizer
    before = probe.states("a photo of <w> there")
    probe.put("<w>", rows_like_words())
    assert differing(before, probe.states("a photo of <w> there"))
    probe.take_out()
    assert probe.tokenizer is tokenizer
    assert not differing(before, probe.states("a photo of <w> there"))


def test_the_text_features_are_those_of_the_evaluation(tiny: Path) -> None:
    from tireg.models.bases import identify, open_base
    from tireg.models.conditioning import pooled_text
    from tireg.models.text_probe import open_probe

    prompts = ["a photo of a cat", "a red star on a table"]
    probe = open_probe(tiny, identify(tiny), "clip_l")
    whole = pooled_text(open_base(tiny, device="cpu", dtype="fp32"), prompts)
    np.testing.assert_allclose(probe.features(prompts), whole, atol=1e-5)


def test_both_encoders_of_a_larger_family_are_looked_at(home: Path, tiny_sdxl: Path) -> None:
    from tireg.models.bases import identify
    from tireg.models.text_probe import open_probe

    family = identify(tiny_sdxl)
    rng = np.random.default_rng(0)
    rows = {}
    for row in family.encoders:
        table = open_probe(tiny_sdxl, family, row.key).table()
        rows[row.key] = (rng.normal(size=(1, table.shape[1])) * table.std()).astype(np.float32)
    data = pack_vectors("<word>", rows)
    file = StoredFile(
        role="embedding", name="v.safetensors", sha256=make.sha(data), bytes=len(data),
        media_type="application/x-safetensors",
    )  # fmt: skip
    record, _ = make.record(
        "word", files=(file,), tensors=describe(rows), tensor_hash=tensor_hash(rows), base=None
    )
    with Registry.open(home) as registry:
        registry.add(record, {file.sha256: data})
    found = check(home, "word", base=str(tiny_sdxl))
    quiet = [f for f in found["findings"] if f["check"] == "off-token"]
    assert [(f["encoder"], f["status"]) for f in quiet] == [("clip_l", "ok"), ("clip_g", "ok")]


def test_without_the_base_the_vectors_are_looked_at_and_the_rest_is_named(home: Path) -> None:
    add(home, rows_like_words())
    found = check(home, "word")
    assert found["ok"]
    assert found["base"] is None
    absent = of(found, "text encoders")
    assert absent["status"] == "not checked"
    assert "tireg bases add tiny" in absent["message"]
    assert of(found, "finite")["status"] == "ok"


def test_two_words_typed_alike_are_told(home: Path) -> None:
    add(home, rows_like_words())
    add(home, rows_like_words(seed=1), "twin", token="<word>")
    add(home, rows_like_words(seed=2), "loud", token="<WORD>")
    assert "'loud' has the same token but" not in of(check(home, "word"), "token")["message"]
    assert "'twin' has the token <word> too" in of(check(home, "word"), "token")["message"]
    assert "but for capitals" in of(check(home, "loud"), "token")["message"]


def test_rows_that_repeat_or_are_empty() -> None:
    row = rows_like_words(1)
    (_, same) = vector_findings({"clip_l": np.concatenate([row, row])})
    assert (same.check, same.status) == ("repeated", "doubt")
    (_, scaled) = vector_findings({"clip_l": np.concatenate([row, 3 * row])})
    assert scaled.status == "ok", "the same way, three times as far, is another vector"
    (_, empty) = vector_findings({"clip_l": np.concatenate([row, 0 * row])})
    assert (empty.check, empty.status) == ("zero", "wrong")
    assert "vector 2 is zero" in empty.message


def test_a_file_is_checked_before_it_is_taken_in(home: Path, tiny: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "word.safetensors"
    save_file({"<new>": np.ones((1, 768), np.float32)}, path)
    found = check(home, str(path))
    assert found["file"]
    assert found["token"] == "<new>"
    wide = check(home, str(path), base=str(tiny), noun="cat")
    assert not wide["ok"]
    assert "768 wide, the base's are 32" in of(wide, "width")["message"]
    path.write_bytes(b"not an embedding")
    with pytest.raises(FileRefusedError):
        check(home, str(path))


def test_no_class_noun_and_the_negative_prompt(home: Path, tiny: Path) -> None:
    add(home, rows_like_words(), class_noun=None)
    assert "--noun WORD" in of(check(home, "word"), "text collapse")["message"]
    assert of(check(home, "word", noun="cat"), "text collapse")["value"] is not None
    add(home, rows_like_words(seed=4), "bad", negative=True)
    assert of(check(home, "bad"), "text collapse")["status"] == "not checked"


def test_what_is_not_there(home: Path, tiny: Path) -> None:
    add(home, rows_like_words())
    with pytest.raises(RefError):
        check(home, "nobody")
    with pytest.raises(BaseError, match="not on this machine"):
        check(home, "word", base="some/base")
    with pytest.raises(SuiteError):
        check(home, "word", suite="nothing")
    with pytest.raises(BaseError, match="the vectors are for clip_l, and a base of the family"):
        check(home, "word", base="shapes")
