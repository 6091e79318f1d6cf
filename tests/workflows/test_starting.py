"""Where a run begins: words, embeddings, pictures, chance; wrong wishes in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from tireg.domain.concepts import Picture
from tireg.domain.recipes import Recipe
from tireg.errors import EvaluationError, FileRefusedError, RecipeError, RefError
from tireg.models import bases
from tireg.training.images import Photo
from tireg.workflows import starting
from tireg.workflows.starting import Start, probe_for, starting_rows

TEMPLATES = ("a photo of a {token}",)


def begin(base: bases.Base, home: Path, photos: Any = (), **knobs: Any) -> tuple[Start, list[str]]:
    told: list[str] = []
    noun = knobs.pop("noun", "cat")
    loss = knobs.pop("loss", None)
    rank = knobs.pop("rank", None)
    start = starting_rows(
        base, Recipe(**knobs), class_noun=noun, photos=photos, registry_home=home,
        listen=lambda event: told.append(getattr(event, "text", "")), templates=TEMPLATES,
        rank=rank, loss=loss,
    )  # fmt: skip
    return start, [text for text in told if text]


@pytest.fixture(scope="module")
def sd1(tiny_sd1: Path) -> bases.Base:
    return bases.open_base(tiny_sd1, device="cpu")


def test_words_chance_and_the_encoders_output(sd1: bases.Base, tmp_path: Path) -> None:
    words, _ = begin(sd1, tmp_path, init="orange square")
    assert (words.words, words.lineage) == ("orange square", {})
    assert begin(sd1, tmp_path)[0].words == "cat"
    chance, _ = begin(sd1, tmp_path, init="random")
    assert chance.words == ""
    norms = np.linalg.norm(chance.rows["clip_l"], axis=1)
    assert np.allclose(norms, chance.scales["clip_l"], rtol=1e-5)
    cross, _ = begin(sd1, tmp_path, init="orange square", method="cross")
    assert not np.allclose(cross.rows["clip_l"], words.rows["clip_l"])
    with pytest.raises(RecipeError, match="zzqxw"):
        begin(sd1, tmp_path, init="zzqxw")


def test_a_file_starts_its_half_of_sdxl(tiny_sdxl: Path, tmp_path: Path) -> None:
    base = bases.open_base(tiny_sdxl, device="cpu")
    rows = np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    path = tmp_path / "both.safetensors"
    other = np.ones((1, 48), np.float32)
    save_file({"clip_l": rows, "clip_g": other}, path)
    start, _ = begin(base, tmp_path, init_from=str(path), vectors=3)
    assert np.array_equal(start.rows["clip_l"], rows)
    assert start.rows["clip_g"].shape == (3, 48)
    assert start.lineage["init_from"] == str(path)
    assert len(start.lineage["file"]) == len(start.lineage["tensors"]) == 64
    assert begin(base, tmp_path, init_from=str(path), vectors=1)[1], "averaging is told"


def test_encoders_without_rows_start_from_the_words(
    tiny_sdxl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = bases.open_base(tiny_sdxl, device="cpu")
    rows = np.ones((2, 32), np.float32)
    origin = starting._Origin({"clip_l": rows}, {"init_from": "half"})
    monkeypatch.setattr(starting, "_origin", lambda *_: origin)
    start, _ = begin(base, tmp_path, init_from="half")
    plain, _ = begin(base, tmp_path)
    assert np.array_equal(start.rows["clip_l"], rows)
    assert np.array_equal(start.rows["clip_g"], plain.rows["clip_g"])
    assert start.words == "cat"
    assert "clip_g" in start.why


def test_one_of_several_in_a_file_is_named(
    sd1: bases.Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tireg import dialects
    from tireg.domain.tensors import from_fp32

    path = tmp_path / "two.pt"
    path.write_bytes(b"two")
    both = tuple(
        dialects.ReadEmbedding(
            f"<{n}>", f"<{n}>", n, {"clip_l": from_fp32(np.full((2, 32), v, np.float32))}
        )
        for n, v in (("a", 1.0), ("b", 2.0))
    )
    reading = dialects.FileReading(path, "torch", "0" * 64, both)
    monkeypatch.setattr(dialects, "read_path", lambda *_, **__: [reading])
    with pytest.raises(RefError, match="holds 2 embeddings: <a>, <b>") as caught:
        begin(sd1, tmp_path, init_from=str(path))
    assert f"{path}#<a>" in caught.value.hint
    start, _ = begin(sd1, tmp_path, init_from=f"{path}#<b>")
    assert (start.rows["clip_l"] == 2.0).all()


def test_wrong_embeddings_are_one_sentence(sd1: bases.Base, tmp_path: Path) -> None:
    with pytest.raises(RefError, match="nobody"):
        begin(sd1, tmp_path, init_from="nobody")
    with pytest.raises(RefError, match="no file"):
        begin(sd1, tmp_path, init_from="nowhere.pt")
    junk = tmp_path / "junk.pt"
    junk.write_text("these are words")
    with pytest.raises(FileRefusedError, match="junk"):
        begin(sd1, tmp_path, init_from=str(junk))
    wide = tmp_path / "wide.safetensors"
    save_file({"<a>": np.ones((1, 768), np.float32)}, wide)
    with pytest.raises(RecipeError, match="768"):
        begin(sd1, tmp_path, init_from=str(wide))


def photo(pixels: np.ndarray) -> Photo:
    picture = Picture(name="p", sha256="0" * 64, width=32, height=32, format="PNG", mode="RGB")
    return Photo(Image.fromarray(pixels), picture)


def test_pictures_of_stars_start_from_words_for_them(tmp_path: Path) -> None:
    import torch

    from tireg.shapes import base_path
    from tireg.training.data import Data, encode_pictures
    from tireg.training.images import to_tensor

    base = bases.open_base(base_path(), device="cpu")
    from tireg.shapes.concepts import CONCEPTS

    photos = [photo(p) for p in CONCEPTS["lime-star"].pictures(5)]
    start, _ = begin(base, tmp_path, photos, init="auto", noun="shape")
    assert "star" in start.words.split() or "green" in start.words.split(), start.why
    prompts = ["a photo of a <x>"]
    bucket = encode_pictures(base, to_tensor(photos, 32), [torch.arange(1)] * 5)
    recipe = Recipe(batch=8)
    loss = probe_for(base, recipe, Data((bucket,)), prompts, "<x>")
    probed, _ = begin(base, tmp_path, photos, init="auto", noun="shape", loss=loss, batch=8)
    assert "star" in probed.words.split(), probed.why
    assert "loss" in probed.why
    assert begin(base, tmp_path, photos, init="auto", noun="shape", loss=loss, batch=8)[0].why == (
        probed.why
    )


def test_without_a_scoring_encoder_the_class_noun_is_used(
    sd1: bases.Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(_: object) -> None:
        raise EvaluationError("the scoring encoder cannot be opened")

    monkeypatch.setattr(starting, "_scorer", offline)
    start, told = begin(sd1, tmp_path, init="auto")
    assert start.words == "cat"
    assert "cannot be opened" in told[0]
    with pytest.raises(RecipeError, match="cannot choose"):
        begin(sd1, tmp_path, init="auto", noun="")
