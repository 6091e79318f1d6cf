"""``tireg compat`` and ``tireg bases add|show``: verdicts from what is stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import RunCli
from tests.store import make
from tireg.domain.fingerprints import BaseRef, Fingerprint
from tireg.domain.records import TensorInfo
from tireg.models.bases import identify
from tireg.models.fingerprint import measure_folder
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow


@pytest.fixture(scope="session")
def sd1_print(tiny_sd1: Path) -> Fingerprint:
    return measure_folder(tiny_sd1, identify(tiny_sd1))


@pytest.fixture
def word(home: Path, sd1_print: Fingerprint) -> str:
    """A word recorded as made on the tiny SD1 base."""
    tensors = (TensorInfo(encoder="clip_l", vectors=2, width=32, dtype="fp32"),)
    ref = BaseRef(id="tiny", family="sd1", fingerprint=sd1_print)
    record, objects = make.record("ball", tensors=tensors, base=ref)
    with Registry.open(home) as registry:
        registry.add(record, objects)
    return "ball"


def fine_tune(tiny_sd1: Path, folder: Path, strength: float) -> Path:
    """A copy whose text encoder has moved by this much of its own size."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_sd1, folder)
    file = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    generator = torch.Generator().manual_seed(3)
    for name, weight in tensors.items():
        if weight.ndim == 2:
            noise = torch.randn(weight.shape, generator=generator)
            tensors[name] = weight + strength * weight.std() * noise
    save_file(tensors, file, {"format": "pt"})
    return folder


def answer(run_cli: RunCli, *args: str | Path) -> Any:
    return json.loads(run_cli("compat", *args, "--json", code=0).stdout)


def test_its_own_base_is_exact_with_no_model_there(run_cli: RunCli, word: str) -> None:
    found = answer(run_cli, word, "tiny")
    assert (found["verdict"], found["denoiser"]) == ("exact", "same")
    assert found["made_on"] == "tiny"
    assert "exact" in run_cli("compat", word, "tiny", code=0).stdout


def test_fine_tunes_and_strangers(
    run_cli: RunCli, word: str, tiny_sd1: Path, tiny_sd2: Path, tmp_path: Path, home: Path
) -> None:
    near = fine_tune(tiny_sd1, tmp_path / "near-tune", 0.02)
    run_cli("bases", "add", near, code=0)
    run_cli("bases", "add", tiny_sd2, code=0)
    from tests.tinypipes import build_sd1

    other = build_sd1(tmp_path / "stranger", seed=5)
    run_cli("bases", "add", other, code=0)
    found = answer(run_cli, word)
    verdicts = {row["base"]: row["verdict"] for row in found}
    assert verdicts["tiny"] == "exact"
    assert verdicts["near-tune"] == "near"
    assert verdicts["stranger"] == verdicts[tiny_sd2.name] == verdicts["shapes"] == "incompatible"
    assert [row["base"] for row in found][:2] == ["tiny", "near-tune"]
    (encoder,) = found[1]["encoders"]
    assert encoder["table"]["cosine"] == pytest.approx(0.9998, abs=0.002)
    assert 0 < encoder["table"]["error"] < 0.01
    assert found[1]["denoiser"] == "same"
    assert next(r for r in found if r["base"] == "stranger")["denoiser"] == "other"
    with Registry.open(home) as registry:
        kept = {(v.encoder, v.verdict) for v in registry.verdicts()}
    assert {("clip_l", "near"), ("clip_l", "incompatible")} <= kept


def test_verdicts_do_not_need_the_folders_any_more(
    run_cli: RunCli, word: str, tiny_sd1: Path, tmp_path: Path
) -> None:
    folder = fine_tune(tiny_sd1, tmp_path / "gone", 0.02)
    run_cli("bases", "add", folder, code=0)
    shutil.rmtree(folder)
    assert answer(run_cli, word, "gone")["verdict"] == "near"


def test_a_family_alone_is_never_more_than_unknown(run_cli: RunCli, home: Path) -> None:
    record, objects = make.record("real")
    with Registry.open(home) as registry:
        registry.add(record, objects)
    assert answer(run_cli, "real", "sd1")["verdict"] == "unknown"
    assert answer(run_cli, "real", "sdxl")["verdict"] == "unknown"
    assert answer(run_cli, "real", "sd2")["verdict"] == "incompatible"


def test_an_unmeasured_base_is_unknown(run_cli: RunCli, home: Path) -> None:
    record, objects = make.record("real")
    with Registry.open(home) as registry:
        registry.add(record, objects)
        registry.add_base(BaseRow("some/base", "sd1"))
    found = answer(run_cli, "real", "some/base")
    assert found["verdict"] == "unknown"
    assert "tireg bases add some/base" in found["advice"]


def test_a_foreign_file_is_unknown_and_an_exported_one_brings_its_base(
    run_cli: RunCli, sd1_print: Fingerprint, tmp_path: Path, home: Path
) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    from tireg.domain.tensors import tensor_hash
    from tireg.workflows.vectors import describe, pack_vectors

    plain = tmp_path / "plain.safetensors"
    save_file({"emb_params": np.ones((2, 768), np.float32)}, plain)
    assert answer(run_cli, plain, "sd1")["verdict"] == "unknown"
    rows = {"clip_l": np.ones((2, 768), np.float32)}
    data = pack_vectors("<own>", rows)
    file = (
        make.record()[0].files[0].model_copy(update={"sha256": make.sha(data), "bytes": len(data)})
    )
    wide = sd1_print.encoders[0].model_copy(update={"width": 768})
    ref = BaseRef(id="b", family="sd1", fingerprint=Fingerprint(encoders=(wide,)))
    record, _ = make.record(
        "own", token="<own>", tensors=describe(rows), files=(file,), base=ref,
        tensor_hash=tensor_hash(rows),
    )  # fmt: skip
    with Registry.open(home) as registry:
        registry.add(record, {file.sha256: data})
    out = tmp_path / "own.safetensors"
    run_cli("export", "own", "--to", "diffusers", "--out", out, code=0)
    found = answer(run_cli, out, "b")
    assert (found["verdict"], found["made_on"]) == ("exact", "b")


def test_folders_are_measured_when_asked_for(run_cli: RunCli, word: str, tiny_sd1: Path) -> None:
    assert answer(run_cli, word, tiny_sd1)["verdict"] == "exact"


def test_what_is_not_there(run_cli: RunCli, word: str) -> None:
    assert "tireg bases add" in run_cli("compat", word, "no-such-base", code=2).stderr
    assert run_cli("compat", "nobody", "tiny", code=2).stderr
    assert "no such file" in run_cli("compat", "./missing.pt", code=2).stderr.lower()
    assert run_cli("bases", "show", "nothing", code=2).stderr
    assert run_cli("bases", "add", "./nowhere", code=2).stderr


def test_bases_are_listed_and_shown(run_cli: RunCli, tiny_sdxl: Path) -> None:
    before = json.loads(run_cli("bases", "--json", code=0).stdout)
    assert before == json.loads(run_cli("bases", "list", "--json", code=0).stdout)
    assert not before["bases"][0]["measured"]
    added = json.loads(run_cli("bases", "add", tiny_sdxl, "--json", code=0).stdout)
    assert [e["key"] for e in added["encoders"]] == ["clip_l", "clip_g"]
    shown = json.loads(run_cli("bases", "show", tiny_sdxl.name, "--json", code=0).stdout)
    assert shown == added
    assert run_cli("bases", "show", tiny_sdxl.name, code=0).stdout.count("clip_") == 2
    assert tiny_sdxl.name in run_cli("bases", code=0).stdout
