"""Every known layout is read with the right token, family and every vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.dialects.layouts import (
    L1,
    L2,
    LAYOUTS,
    Layout,
    as_torch,
    rows,
    safetensors_file,
    torch_file,
    webui_table,
)
from tireg.dialects import FileReading, read_file, read_path


def read(path: Path, family: str | None = None, token: str | None = None) -> FileReading:
    """The one reading of the folder around ``path``, so that halves are joined."""
    (reading,) = read_path(path.parent, family=family, token=token)
    return reading


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_token_family_and_every_vector(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / layout.file
    path.write_bytes(layout.make(tmp_path))
    reading = read(path, **layout.options)
    assert reading.refused is None
    assert reading.dialect == layout.dialect
    assert [embedding.token for embedding in reading.embeddings] == [
        token for token, _ in layout.embeddings
    ]
    for embedding, (_, wanted) in zip(reading.embeddings, layout.embeddings, strict=True):
        assert set(embedding.tensors) == set(wanted)
        assert embedding.families[0] == layout.family
        for key, values in wanted.items():
            assert embedding.tensors[key].dtype == "fp32"
            np.testing.assert_array_equal(embedding.tensors[key].to_fp32(), values)


def test_there_are_at_least_the_known_layouts() -> None:
    assert len({layout.name for layout in LAYOUTS}) >= 22


def test_encoders_come_in_the_order_of_the_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "cat.safetensors"
    path.write_bytes(safetensors_file({"clip_g": rows(2, 1280), "clip_l": L2}))
    assert list(read(path).embeddings[0].tensors) == ["clip_l", "clip_g"]


def test_a1111_token_is_the_inner_name_and_the_trigger_the_file_name(tmp_path: Path) -> None:
    path = tmp_path / "renamed.pt"
    path.write_bytes(torch_file(webui_table(L2, "my cat")))
    reading = read(path)
    (embedding,) = reading.embeddings
    assert (embedding.token, embedding.trigger) == ("my cat", "renamed")
    assert "type the file name, 'renamed'" in " ".join(reading.warnings)
    assert reading.metadata["step"] == 500
    assert reading.metadata["sd_checkpoint"] == "e6e8e1fc"


def test_trailing_space_and_chinese_tokens_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "learned_embeds.bin"
    path.write_bytes(torch_file({"<Le Petit Prince-moon >": as_torch(L1), "<水墨>": as_torch(L1)}))
    assert [e.token for e in read(path).embeddings] == ["<Le Petit Prince-moon >", "<水墨>"]


def test_unrelated_tokens_that_share_a_beginning_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "learned_embeds.bin"
    path.write_bytes(torch_file({"28017_v0": as_torch(L1[0]), "28017_v1": as_torch(L1[0])}))
    assert [e.token for e in read(path).embeddings] == ["28017_v0", "28017_v1"]


def test_a_list_of_steps_gives_every_step(tmp_path: Path) -> None:
    path = tmp_path / "puppet.pt"
    steps = [
        {"emb": as_torch(rows(1, 768, n)), "emb2": as_torch(rows(1, 1280, n))} for n in range(11)
    ]
    path.write_bytes(torch_file(steps))
    reading = read(path)
    assert [e.token for e in reading.embeddings] == ["puppet"] * 11
    assert len({e.name for e in reading.embeddings}) == 11
    assert {e.families for e in reading.embeddings} == {("sdxl",)}


def test_tokens_among_lora_tensors(tmp_path: Path) -> None:
    path = tmp_path / "lora_disney.safetensors"
    tensors = {"<s1>": L1, "<s2>": L1, "unet:0:up": np.zeros((320, 4), "f4")}
    path.write_bytes(safetensors_file(tensors, {"<s1>": "<embed>", "<s2>": "<embed>"}))
    reading = read(path)
    assert reading.dialect == "lora-bundle"
    assert [e.token for e in reading.embeddings] == ["<s1>", "<s2>"]


def test_cog_file_with_two_words_is_split(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.pti"
    both = rows(3, 768)
    path.write_bytes(safetensors_file({"text_encoders_0": both, "text_encoders_1": rows(3, 1280)}))
    (tmp_path / "special_params.json").write_text('{"TOK": "<s0><s1>", "DOG": "<s2>"}')
    first, second = read_file(path).embeddings
    assert (first.token, second.token) == ("TOK", "DOG")
    np.testing.assert_array_equal(first.tensors["clip_l"].to_fp32(), both[:2])
    np.testing.assert_array_equal(second.tensors["clip_l"].to_fp32(), both[2:])


def test_bare_tensor_needs_family_and_token(tmp_path: Path) -> None:
    path = tmp_path / "laion_7plus.pt"
    path.write_bytes(torch_file(as_torch(L1[0])))
    for options in ({}, {"family": "sd1"}, {"token": "<cat>"}):
        assert "--family and --token" in str(read_file(path, **options).refused)
    wrong = read_file(path, family="sd2", token="<cat>")
    assert wrong.refused == "its vectors are 768 wide and sd2 has encoders of width 1024"


def test_one_token_cannot_name_several_embeddings(tmp_path: Path) -> None:
    path = tmp_path / "two.pt"
    path.write_bytes(torch_file({"<a>": as_torch(L1), "<b>": as_torch(L1)}))
    assert "one token cannot name them all" in str(read_file(path, token="<c>").refused)


def test_ambiguous_width_is_told(tmp_path: Path) -> None:
    path = tmp_path / "wide.bin"
    path.write_bytes(torch_file({"<wide>": as_torch(rows(1, 4096))}))
    reading = read(path)
    assert "t5xxl or umt5xxl or llama or qwen3_8b" in " ".join(reading.warnings)
    assert {"flux1", "sd3", "wan", "flux2_klein_9b"} <= set(reading.embeddings[0].families)
    assert read_file(path, family="wan").embeddings[0].families == ("wan",)
    assert list(read_file(path, family="wan").embeddings[0].tensors) == ["umt5xxl"]


def test_metadata_that_contradict_the_vectors_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "cat.safetensors"
    lie = {"modelspec.architecture": "stable-diffusion-xl-v1-base/textual-inversion"}
    path.write_bytes(safetensors_file({"<cat>": rows(1, 1024)}, lie))
    reading = read(path)
    assert reading.embeddings[0].families == ("sd2",)
    assert "its metadata say sdxl" in " ".join(reading.warnings)


def test_forged_hash_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cat.safetensors"
    path.write_bytes(
        safetensors_file({"emb_params": L2}, {"modelspec.hash_sha256": "0x" + "0" * 64})
    )
    assert "claim a hash" in " ".join(read(path).warnings)


def test_modelspec_of_other_tools(tmp_path: Path) -> None:
    path = tmp_path / "neg.safetensors"
    told = {
        "modelspec.architecture": "Flux.1-dev/embedding",
        "modelspec.is_negative_embedding": "true",
        "modelspec.title": "no\x1b[31mred",
    }
    path.write_bytes(safetensors_file({"t5": rows(2, 4096)}, told))
    reading = read(path)
    assert reading.embeddings[0].families == ("flux1",)
    assert reading.embeddings[0].negative is True
    assert reading.metadata["modelspec.title"] == "no\\x1b[31mred"


def test_a_file_under_another_extension_is_read_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "learned_embeds.safetensors"
    path.write_bytes(torch_file({"<cat>": as_torch(L1)}))
    assert read(path).warnings == ("it is called .safetensors and is a torch file",)


def test_json_shape(tmp_path: Path) -> None:
    path = tmp_path / "learned_embeds.bin"
    path.write_bytes(torch_file({"<cat>": as_torch(L2)}))
    data = read_file(path).as_json()
    assert list(data) == [
        "path", "dialect", "sha256", "embeddings", "metadata", "warnings", "refused",
    ]  # fmt: skip
    (embedding,) = data["embeddings"]
    assert list(embedding) == [
        "token", "trigger", "name", "kind", "negative", "encoders", "families", "tensor_hash",
    ]  # fmt: skip
    assert embedding["encoders"] == {"clip_l": {"vectors": 2, "width": 768, "dtype": "fp32"}}
