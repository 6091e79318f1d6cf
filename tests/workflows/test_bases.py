"""Known bases, and measuring them once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import RunCli
from tests.hub.conftest import connect, hub, server
from tests.hubserver import HubServer
from tests.models.test_single_file import text_model
from tireg.models.bases import identify
from tireg.models.single_file import measure_file
from tireg.store.registry import Registry
from tireg.workflows.bases import add_base, find_known, fingerprint_of

__all__ = ["connect", "hub", "server"]


def test_a_base_is_measured_once_and_again_when_a_file_changes(
    home: Path, tiny_sd1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_sd1, tmp_path / "base"))
    family = identify(folder)
    first = fingerprint_of(home, folder, family)
    (kept,) = (home / "cache" / "fingerprints").iterdir()
    # What is kept is what is given: no second measuring gives another number of rows.
    kept.write_text(kept.read_text().replace(f'"rows":{first.encoders[0].rows}', '"rows":7'))
    assert fingerprint_of(home, folder, family).encoders[0].rows == 7
    os.utime(folder / "text_encoder" / "model.safetensors", ns=(1, 1))
    assert fingerprint_of(home, folder, family) == first
    kept.write_text("{")
    assert fingerprint_of(home, folder, family) == first


def test_a_home_that_cannot_be_written_to_is_no_reason_to_fail(
    tmp_path: Path, tiny_sd1: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = fingerprint_of(blocked, tiny_sd1, identify(tiny_sd1))
    assert found.encoders[0].key == "clip_l"


def test_a_base_on_the_hub_is_measured_without_its_autoencoder(
    run_cli: RunCli,
    hub: HubServer,
    connect: Callable[[str], None],
    tiny_sd1: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    files = {
        path.relative_to(tiny_sd1).as_posix(): path.read_bytes()
        for path in tiny_sd1.rglob("*")
        if path.is_file()
    }
    assert "vae/diffusion_pytorch_model.safetensors" in files
    extra = {"README.md": b"---\nlicense: openrail\n---\n", "whole.safetensors": b"not needed"}
    hub.hub.put("bob/base", {**files, **extra})
    done = run_cli("bases", "add", "bob/base", "--json", code=0)
    found = json.loads(done.stdout)
    commit = hub.hub.repos["bob/base"].branches["main"]
    assert (found["id"], found["revision"], found["license"]) == ("bob/base", commit, "openrail")
    asked = {s.path.rpartition(f"/{commit}/")[2] for s in hub.seen if "/resolve/" in s.path}
    weights = {name for name in asked if name.endswith(".safetensors")}
    assert weights == {
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
    }
    assert not [name for name in asked if name.startswith("vae/")]
    # A folder with the same files is the same base.
    here = json.loads(run_cli("bases", "add", tiny_sd1, "--json", code=0).stdout)
    assert here["fingerprint"] == found["fingerprint"]
    assert here["denoiser_sha256"] == found["denoiser_sha256"] is not None
    # Measured once, it is known without a network.
    connect("http://127.0.0.1:9")
    shown = json.loads(run_cli("bases", "show", "bob/base", "--json", code=0).stdout)
    assert shown["fingerprint"] == found["fingerprint"]


def test_many_bases_are_measured_in_workers(
    run_cli: RunCli, home: Path, tiny_sd1: Path, tiny_sd2: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    names = [tiny_sd2, "shapes", broken, tiny_sd1]
    result = run_cli("bases", "add", *names, "--jobs", "2", "--json", code=2)
    told = json.loads(result.stdout)
    assert [one.get("id") for one in told] == [tiny_sd2.name, "shapes", None, tiny_sd1.name]
    assert told[2]["base"] == str(broken)
    assert f"{broken}: " in result.stderr
    assert "Traceback" not in result.stderr
    alone = tmp_path / "alone"
    for name, one in zip(names, told, strict=True):
        if name != broken:
            assert add_base(alone, str(name)).fingerprint == find_known(home, one["id"]).fingerprint
    # Every one of them is measured against all others, whatever the order.
    assert verdicts(home) == verdicts(alone)
    kept = {path: path.stat().st_mtime_ns for path in (home / "cache/fingerprints").iterdir()}
    assert len(kept) == 3
    shown = run_cli("bases", "add", tiny_sd1, "shapes", code=0).stdout
    assert shown.splitlines()[0].split() == ["id", "family", "license", "fingerprint", "where"]
    assert kept == {p: p.stat().st_mtime_ns for p in (home / "cache/fingerprints").iterdir()}


def verdicts(home: Path) -> set[tuple[str, str, str, str]]:
    with Registry.open(home) as registry:
        targets = {row.fingerprint.identity for row in registry.bases() if row.fingerprint}
        found = [v for target in targets for v in registry.verdicts(target=target)]
    return {(v.target, v.fingerprint, v.encoder, v.verdict) for v in found}


def test_a_single_file_is_measured_once(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.safetensors"
    weights = {
        f"cond_stage_model.transformer.{name}": weight
        for name, weight in text_model().state_dict().items()
    }
    weights["model.diffusion_model.input_blocks.0.0.weight"] = torch.ones(4, 4)
    save_file(weights, file)
    first = add_base(home, str(file))
    (kept,) = (home / "cache" / "fingerprints").iterdir()
    assert measure_file(file) == (first.family, first.fingerprint)
    kept.write_text(kept.read_text().replace('"rows":49408', '"rows":7'))
    again = add_base(home, str(file)).fingerprint
    assert again is not None
    assert again.encoders[0].rows == 7, "what is kept is what is given"
