"""A checkpoint in one file opens as the folder that it was made from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.ldm_files import write_file
from tireg.errors import BaseError
from tireg.models import bases


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_file_has_the_weights_of_its_folder(
    family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(f"tiny_{family}")
    original = bases.open_base(folder, device="cpu")
    path = write_file(original.pipe, tmp_path / "one.safetensors")
    base = bases.open_base(path, device="cpu", config=folder)
    assert (base.family.id, list(base.encoders)) == (family, list(original.encoders))
    for name, part in original.pipe.components.items():
        if isinstance(part, torch.nn.Module):
            ours = getattr(base.pipe, name).state_dict()
            theirs = part.state_dict()
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name
    assert not any(w.requires_grad for w in base.pipe.unet.parameters())


def test_marks_of_v_prediction_are_read(tiny_sdxl: Path, tmp_path: Path) -> None:
    pipe = bases.open_base(tiny_sdxl, device="cpu").pipe
    path = write_file(pipe, tmp_path / "v.safetensors", marks=("v_pred", "ztsnr"))
    config = bases.open_base(path, device="cpu", config=tiny_sdxl).pipe.scheduler.config
    assert (config.prediction_type, config.rescale_betas_zero_snr) == ("v_prediction", True)


@pytest.fixture
def one_file(tiny_sd1: Path, tmp_path: Path) -> Path:
    return write_file(bases.open_base(tiny_sd1, device="cpu").pipe, tmp_path / "one.safetensors")


def test_without_configs_it_says_what_to_give(one_file: Path) -> None:
    with pytest.raises(BaseError, match=r"configs that go with 'one\.safetensors'") as caught:
        bases.open_base(one_file, device="cpu")
    assert "--base-config" in caught.value.hint


def test_configs_of_another_family_are_refused(one_file: Path, tiny_sdxl: Path) -> None:
    with pytest.raises(BaseError, match="holds a Stable Diffusion 1 model"):
        bases.open_base(one_file, device="cpu", config=tiny_sdxl)


def test_what_the_file_lacks_is_named_and_no_pickle_is_taken(
    one_file: Path, tiny_sd1: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_sd1, tmp_path / "config"))
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(
        folder / "vae" / "diffusion_pytorch_model.bin"
    )
    kept = {k: w for k, w in load_file(one_file).items() if not k.startswith("first_stage")}
    save_file(kept, one_file)
    with pytest.raises(BaseError, match=r"one\.safetensors.*(vae|lacks|cannot be opened)"):
        bases.open_base(one_file, device="cpu", config=folder)


def test_pickles_are_never_opened(tmp_path: Path, tiny_sd1: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"\x80\x02.")
    with pytest.raises(BaseError, match="opens no pickled checkpoints"):
        bases.open_base(path, device="cpu", config=tiny_sd1)


@pytest.mark.parametrize("name", ["one.sft", "ONE.SAFETENSORS"])
def test_other_names_for_safetensors_are_not_unpickled(
    one_file: Path, tiny_sd1: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """diffusers goes by the name: whatever does not end in .safetensors it hands to torch.load."""
    unpickled: list[object] = []
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: unpickled.append(args))
    renamed = one_file.rename(tmp_path / name)
    base = bases.open_base(renamed, device="cpu", config=tiny_sd1)
    assert base.family.id == "sd1"
    assert unpickled == []
    renamed.write_bytes(b"\x80\x02.")
    with pytest.raises(BaseError):
        bases.open_base(renamed, device="cpu", config=tiny_sd1)
    assert unpickled == []


def test_inpainting_files_are_refused(one_file: Path, tiny_sd1: Path) -> None:
    tensors = load_file(one_file)
    name = "model.diffusion_model.input_blocks.0.0.weight"
    tensors[name] = torch.zeros(32, 9, 3, 3)
    save_file(tensors, one_file)
    with pytest.raises(BaseError, match="inpainting"):
        bases.open_base(one_file, device="cpu", config=tiny_sd1)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    save_file({"lora_up.weight": torch.ones(2, 2)}, tmp_path / "lora.safetensors")
    with pytest.raises(BaseError, match="no whole checkpoint"):
        bases.open_base(tmp_path / "lora.safetensors", device="cpu")
