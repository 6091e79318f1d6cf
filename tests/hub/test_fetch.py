"""Bringing a base here through the normal cache, from servers good and bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tests.hub.conftest import TOKEN
from tests.hubserver import HubServer
from tireg.errors import BaseError, HubError
from tireg.hub.fetch import fetch_base, needed_files

FILES = {
    "README.md": b"---\nlicense: openrail\n---\n",
    "model_index.json": b"{}",
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": b"weights",
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "safety_checker/model.safetensors": b"not needed",
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    folder = tmp_path / "hf-cache" / "deep" / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def base(hub: HubServer, cache: Path) -> HubServer:
    hub.hub.put("bob/base", FILES)
    return hub


def test_only_what_is_needed_comes_and_only_once(base: HubServer) -> None:
    fetched = fetch_base("bob/base")
    names = {p.relative_to(fetched.folder).as_posix() for p in fetched.folder.rglob("*.*")}
    assert names == {
        "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
    }  # fmt: skip
    assert fetched.license == "openrail"
    assert fetched.revision == base.hub.repos["bob/base"].branches["main"]
    del base.seen[:]
    assert fetch_base("bob/base") == fetched
    assert not [s for s in base.seen if "/resolve/" in s.path and s.method == "GET"]


def test_without_a_network_the_cache_serves(
    base: HubServer, connect: Callable[[str], None]
) -> None:
    fetched = fetch_base("bob/base")
    connect("http://127.0.0.1:9")
    assert fetch_base("bob/base").folder == fetched.folder
    with pytest.raises(BaseError, match="not on this machine and the Hub cannot be reached"):
        fetch_base("bob/other")


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        ({"etag": "../../../../pwned"}, "impossible"),
        ({"commit_id": "../../../../pwned"}, "impossible"),
    ],
)
def test_names_that_leave_the_cache_are_refused(
    base: HubServer, cache: Path, tmp_path: Path, faults: dict[str, str], sentence: str
) -> None:
    base.faults.set(faults)
    with pytest.raises(HubError, match=sentence):
        fetch_base("bob/base")
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and cache not in p.parents]
    assert not [p for p in outside if p.read_bytes() in FILES.values()]
    assert not list(tmp_path.rglob("*pwned*"))


def test_a_stored_token_is_not_sent_to_another_endpoint(
    base: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN")
    fetch_base("bob/base")
    assert {s.token for s in base.seen} == {None}


def test_errors_are_sentences(base: HubServer, run_cli: RunCli) -> None:
    with pytest.raises(BaseError, match="there is no base 'bob/nothing' on the Hub"):
        fetch_base("bob/nothing")
    with pytest.raises(BaseError, match="has no revision 'v9'"):
        fetch_base("bob/base", "v9")
    base.hub.put("bob/words", {"README.md": b"hello"})
    with pytest.raises(BaseError, match="holds no safetensors weights"):
        fetch_base("bob/words")


def test_the_half_precision_variant_is_taken_where_there_is_no_other() -> None:
    names = ["unet/diffusion_pytorch_model.fp16.safetensors", "vae/model.safetensors",
             "vae/model.fp16.safetensors"]  # fmt: skip
    assert needed_files(names) == names[:2]
