"""diffusers itself loads what tireg writes for it, with every vector in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import tinypipes
from tests.dialects.layouts import rows
from tireg.dialects import make_embedding, write
from tireg.domain.tensors import from_fp32


def table(encoder: Any) -> torch.Tensor:
    weight = encoder.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


def loaded_rows(tokenizer: Any, encoder: Any, token: str, count: int) -> np.ndarray[Any, Any]:
    """The rows that diffusers filled for ``token``, ``token_1`` …"""
    names = [token, *(f"{token}_{n}" for n in range(1, count))]
    return table(encoder)[tokenizer.convert_tokens_to_ids(names)].float().numpy()


@pytest.mark.parametrize("file", ["learned_embeds.safetensors", "cat.pt"])
def test_sd1_loads_files_of_two_dialects(tiny_sd1: Path, tmp_path: Path, file: str) -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd1, local_files_only=True)
    width = table(pipe.text_encoder).shape[1]
    item = make_embedding("<my-cat>", {"clip_l": from_fp32(rows(3, width))}, family="sd1")
    dialect = "diffusers" if file.endswith(".safetensors") else "webui"
    write(dialect, tmp_path / file, item)
    pipe.load_textual_inversion(str(tmp_path), weight_name=file, local_files_only=True)
    found = loaded_rows(pipe.tokenizer, pipe.text_encoder, "<my-cat>", 3)
    np.testing.assert_array_equal(found, rows(3, width))
    assert (
        pipe.maybe_convert_prompt("a <my-cat>", pipe.tokenizer)
        == "a <my-cat> <my-cat>_1 <my-cat>_2"
    )


def test_sdxl_loads_its_two_files_by_two_calls(tmp_path: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    base = tinypipes.build_sdxl(tmp_path / "base")
    pipe = StableDiffusionXLPipeline.from_pretrained(base, local_files_only=True)
    encoders = {"clip_l": pipe.text_encoder, "clip_g": pipe.text_encoder_2}
    values = {key: rows(2, table(encoder).shape[1]) for key, encoder in encoders.items()}
    tensors = {key: from_fp32(array) for key, array in values.items()}
    files = write("diffusers", tmp_path / "out", make_embedding("<my-cat>", tensors, family="sdxl"))
    assert [path.name for path in files] == [
        "learned_embeds.safetensors", "learned_embeds_2.safetensors",
    ]  # fmt: skip
    tokenizers = [pipe.tokenizer, pipe.tokenizer_2]
    for path, encoder, tokenizer, key in zip(
        files, encoders.values(), tokenizers, encoders, strict=True
    ):
        pipe.load_textual_inversion(str(path), text_encoder=encoder, tokenizer=tokenizer)
        np.testing.assert_array_equal(loaded_rows(tokenizer, encoder, "<my-cat>", 2), values[key])
