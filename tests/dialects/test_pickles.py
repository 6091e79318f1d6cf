"""Torch files as every version, device and type of numbers writes them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.dialects.layouts import L2, as_torch, torch_file, webui_table
from tests.rejects.pickles import table, tensor, text, torch_zip
from tireg.dialects import read_file, read_strict
from tireg.domain.tensors import Tensor

DTYPES = {
    "fp64": torch.float64,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def only(path: Path, data: bytes) -> Tensor:
    """The one tensor of a file with these bytes."""
    path.write_bytes(data)
    (embedding,) = read_strict(path).embeddings
    (found,) = embedding.tensors.values()
    return found


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("dtype", list(DTYPES))
def test_every_type_in_both_containers(tmp_path: Path, dtype: str, zipped: bool) -> None:
    values = as_torch(L2).to(DTYPES[dtype])
    data = torch_file({"<cat>": values}, _use_new_zipfile_serialization=zipped)
    found = only(tmp_path / "a.bin", data)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.to_fp32(), values.float().numpy())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a1111_file_with_gradients(tmp_path: Path, zipped: bool) -> None:
    data = torch_file(webui_table(L2), _use_new_zipfile_serialization=zipped)
    np.testing.assert_array_equal(only(tmp_path / "a.pt", data).to_fp32(), L2)


def test_legacy_parameter_dict(tmp_path: Path) -> None:
    params = torch.nn.ParameterDict({"*": torch.nn.Parameter(as_torch(L2))})
    value = {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": params}
    data = torch_file(value, _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(only(tmp_path / "a.pt", data).to_fp32(), L2)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol(tmp_path: Path, protocol: int) -> None:
    data = torch_file(webui_table(L2), pickle_protocol=protocol)
    np.testing.assert_array_equal(only(tmp_path / "a.pt", data).to_fp32(), L2)


def test_tensor_saved_on_cuda(tmp_path: Path) -> None:
    raw = table(tensor((2, 768), (768, 1), numel=1536)).replace(text("cpu"), text("cuda:3"))
    np.testing.assert_array_equal(
        only(tmp_path / "a.bin", torch_zip(raw, {"0": L2.tobytes()})).to_fp32(), L2
    )


def test_tensor_saved_on_a_device_without_storage(tmp_path: Path) -> None:
    """Apple's GPUs and others: the numbers lie inside the pickle as a numpy array."""

    class Device:
        def __reduce__(self) -> tuple[Any, ...]:
            rebuild = torch._utils._rebuild_device_tensor_from_numpy
            return rebuild, (L2, torch.float32, "mps:0", True)

    # Protocol 2 writes the bytes as text, the way such files have them.
    data = torch_zip(pickle.dumps({"<cat>": Device()}, protocol=2))
    np.testing.assert_array_equal(only(tmp_path / "a.bin", data).to_fp32(), L2)


def test_rows_cut_out_of_a_large_table(tmp_path: Path) -> None:
    """Files that hold a whole token table of which the tensor is a part."""
    whole = torch.randn(2000, 768, generator=torch.Generator().manual_seed(1))
    found = only(tmp_path / "a.bin", torch_file({"<cat>": whole[1500:1503]}))
    np.testing.assert_array_equal(found.to_fp32(), whole[1500:1503].numpy())


def test_transposed_and_stepped_views(tmp_path: Path) -> None:
    turned = torch.randn(768, 3, generator=torch.Generator().manual_seed(1)).t()
    stepped = torch.randn(4, 1536, generator=torch.Generator().manual_seed(2))[::2, ::2]
    for number, view in enumerate((turned, stepped)):
        found = only(tmp_path / f"{number}.bin", torch_file({"<cat>": view}))
        np.testing.assert_array_equal(found.to_fp32(), view.numpy())


def test_storage_shared_by_two_tokens(tmp_path: Path) -> None:
    both = as_torch(L2)
    path = tmp_path / "a.bin"
    path.write_bytes(torch_file({"<a>": both[0], "<b>": both[1]}))
    first, second = read_strict(path).embeddings
    np.testing.assert_array_equal(first.tensors["clip_l"].to_fp32(), L2[:1])
    np.testing.assert_array_equal(second.tensors["clip_l"].to_fp32(), L2[1:])


def test_numpy_numbers_beside_the_vectors(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(torch_file({**webui_table(L2), "step": np.int64(42)}))
    assert read_strict(path).metadata["step"] == 42


def test_nothing_of_torch_is_imported(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = tmp_path / "a.pt"
    path.write_bytes(torch_file(webui_table(L2)))
    code = (
        "import sys; from tireg.dialects import read_strict; "
        f"print(read_strict({str(path)!r}).embeddings[0].token); "
        "print(sorted({'torch', 'safetensors', 'PIL', 'blake3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["my cat", "[]"]


def test_hypernetwork_and_optimiser_state_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(torch_file({320: [{"linear.weight": as_torch(L2)}], "step": 1, "name": "x"}))
    assert read_file(path).refused == "it is a hypernetwork"
    path.write_bytes(torch_file({"optimizer_state_dict": {}, "hash": "1"}))
    assert read_file(path).refused == "it is the state of an optimiser"
    path.write_bytes(torch_file({"state_dict": {"encoder.conv_in.weight": as_torch(L2)}}))
    assert read_file(path).refused == "it is a VAE"
