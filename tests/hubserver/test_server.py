"""The loopback Hub, checked by clients that know nothing of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.hubserver import Hub, HubServer, running

# huggingface_hub's own upload hands httpx its bytes by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")

CARD = "---\nlicense: mit\ntags:\n- textual_inversion\nbase_model: some/base\n---\n# A word\n"


@pytest.fixture
def server() -> Iterator[HubServer]:
    with running(Hub(users={"hf_me": "me", "hf_you": "you"})) as found:
        yield found


@pytest.fixture
def api(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    import huggingface_hub as hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    hub.close_session()
    return hub.HfApi(endpoint=server.url, token="hf_me")


def add(path: str, data: bytes) -> Any:
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path, io.BytesIO(data))


def test_huggingface_hub_makes_lists_and_reads(api: Any, server: HubServer, tmp_path: Path) -> None:
    import huggingface_hub as hub

    api.create_repo("me/word", private=False)
    api.create_repo("me/word", exist_ok=True)
    with pytest.raises(hub.errors.HfHubHTTPError):
        api.create_repo("me/word")
    vectors = os.urandom(3000)
    made = api.create_commit(
        "me/word",
        [add("README.md", CARD.encode()), add("a/v.safetensors", vectors), add("n.txt", b"no")],
        commit_message="first",
    )
    assert api.whoami()["name"] == "me"
    info = api.model_info("me/word")
    assert info.sha == made.oid
    assert {"textual_inversion", "license:mit", "base_model:some/base"} <= set(info.tags)
    assert {s.rfilename for s in info.siblings} == {
        ".gitattributes", "README.md", "a/v.safetensors", "n.txt",
    }  # fmt: skip
    (large,) = api.get_paths_info("me/word", ["a/v.safetensors"])
    assert large.lfs.sha256 == hashlib.sha256(vectors).hexdigest()
    folder = Path(
        hub.snapshot_download(
            "me/word", endpoint=server.url, token="hf_me", cache_dir=tmp_path / "cache"
        )
    )
    assert (folder / "a" / "v.safetensors").read_bytes() == vectors
    assert (folder / "n.txt").read_bytes() == b"no"
    api.create_tag("me/word", tag="v1", revision=made.oid)
    with pytest.raises(hub.errors.HfHubHTTPError):
        api.create_tag("me/word", tag="v1", revision=made.oid)
    refs = api.list_repo_refs("me/word")
    assert [(t.name, t.target_commit) for t in refs.tags] == [("v1", made.oid)]
    assert [c.title for c in api.list_repo_commits("me/word")] == ["first", "initial commit"]
    api.create_commit(
        "me/word", [hub.CommitOperationDelete("a/", is_folder=True)], commit_message="less"
    )
    assert "a/v.safetensors" not in api.list_repo_files("me/word")
    assert "a/v.safetensors" in api.list_repo_files("me/word", revision="v1")
    assert [m.id for m in api.list_models(filter=["textual_inversion"], search="WOR")] == [
        "me/word"
    ]
    assert [m.id for m in api.list_models(filter="lora")] == []


def test_a_stale_parent_is_412_and_changes_nothing(api: Any, server: HubServer) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api.create_repo("me/word")
    head = api.model_info("me/word").sha
    api.create_commit("me/word", [add("a", b"1")], commit_message="a", parent_commit=head)
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_commit("me/word", [add("b", b"2")], commit_message="b", parent_commit=head)
    assert caught.value.response.status_code == 412
    assert set(server.hub.repos["me/word"].resolve("main").tree) == {".gitattributes", "a"}


def test_refusals_are_those_of_the_hub(api: Any, server: HubServer) -> None:
    from huggingface_hub import errors

    server.hub.create("you/secret", private=True)
    server.hub.create("you/gated", gated=True)
    server.hub.put("you/gated", {"x.txt": b"x"})
    with pytest.raises(errors.RepositoryNotFoundError):
        api.model_info("you/secret")
    with pytest.raises(errors.RevisionNotFoundError):
        api.model_info("you/gated", revision="v9")
    with pytest.raises(errors.GatedRepoError):
        api.hf_hub_download("you/gated", "x.txt")
    with pytest.raises(errors.HfHubHTTPError, match="403"):
        api.create_commit("you/gated", [add("y", b"")], commit_message="y")
    api.create_repo("me/word")
    with pytest.raises(ValueError, match="license"):
        api.create_commit(
            "me/word", [add("README.md", b"---\nlicense: nonsense\n---\n")], commit_message="x"
        )


def test_pages_are_followed_to_the_last(api: Any, server: HubServer) -> None:
    server.faults.page_size = 3
    for number in range(8):
        server.hub.create(f"me/word{number}")
    assert len(list(api.list_models(author="me"))) == 8


def test_xet_is_refused_as_by_a_server_without_it(api: Any, server: HubServer) -> None:
    import urllib.error
    import urllib.request

    server.hub.create("me/word")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.url}/api/models/me/word/xet-write-token/main")


def test_an_unknown_fault_is_an_error(server: HubServer) -> None:
    server.faults.set({"corrupt": ".bin"})
    assert (server.faults.corrupt, server.faults.drop) == (".bin", 0)
    with pytest.raises(KeyError, match="corupt"):
        server.faults.set({"corupt": ".bin"})


def test_it_runs_by_hand(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hubserver", "--port", "0", "--fault", "limited=7"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("export HF_ENDPOINT=http://127.0.0.1:")
        assert "HF_TOKEN=hf_me" in line
    finally:
        process.terminate()
        process.communicate()


def node_modules() -> Path:
    """Where @huggingface/hub is installed; skips the test where it, or node, is not."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed, so @huggingface/hub cannot check the server")
    places = [Path(__file__).parent / "node_modules", ROOT / "node_modules"]
    if named := os.environ.get("TIREG_NODE_MODULES"):
        places.insert(0, Path(named))
    for place in places:
        if (place / "@huggingface" / "hub").is_dir():
            return place
    pytest.skip("@huggingface/hub is not installed: npm install --prefix tests/hubserver")


def test_the_npm_client_makes_uploads_lists_and_downloads(server: HubServer) -> None:
    modules = node_modules()
    done = subprocess.run(
        ["node", str(Path(__file__).parent / "client.mjs"), server.url, str(modules)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {
        "files": [".gitattributes", "README.md", "sub/v.safetensors"],
        "models": ["me/from-node"],
        "small": CARD,
        "large": hashlib.sha256(bytes(range(256)) * 40).hexdigest(),
        "commits": 2,
        "conflict": 412,
    }
    tree = server.hub.repos["me/from-node"].resolve("main").tree
    assert tree["sub/v.safetensors"].lfs == told["large"]
