"""A Hub that lies, breaks off, dawdles and leads astray: nothing is kept, each has its sentence."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunCli
from tests.hub.conftest import TOKEN
from tests.hub.words import keep
from tests.hubserver import HubServer, running
from tireg.errors import HubError, InputError, TiregError
from tireg.hub import session
from tireg.hub.searching import Wanted
from tireg.store.registry import Registry
from tireg.workflows.hub_search import search_hub
from tireg.workflows.publish import PublishRequest, publish
from tireg.workflows.pull import pull

REPO = "alice/my-cat"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def bad(hub: HubServer, home: Path) -> HubServer:
    """A server with one published word, about to misbehave."""
    keep(home, scored=True)
    publish(PublishRequest("my-cat", REPO), home=home)
    del hub.seen[:]
    return hub


@pytest.fixture
def elsewhere() -> Iterator[HubServer]:
    """Another host, which must never see the token."""
    with running() as found:
        yield found
        assert not [s for s in found.seen if s.token], "the token went to another host"


def outside(tmp_path: Path, *inside: Path) -> set[Path]:
    """Every file below the test's folder that is in none of the folders where files belong."""
    return {
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and not any(folder in path.parents for folder in inside)
    }


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "corrupt vectors": ({"corrupt": "01-embedding.safetensors"}, "arrived with other bytes"),
    "corrupt record": ({"corrupt": "tireg.json"}, "arrived with other bytes"),
    "corrupt index": ({"corrupt": "versions.json"}, "arrived with other bytes"),
    "longer": ({"longer": "01-embedding.safetensors"}, "more than the"),
    "wrong hashes": ({"wrong_hash": ".safetensors"}, "arrived with other bytes"),
    "commit id": ({"commit_id": "../../../../pwned"}, "impossible commit"),
    "short commit id": ({"commit_id": "abc"}, "impossible commit"),
    "traversal": ({"names": ["../../../pwned"]}, "a file in .* that cannot be"),
    "absolute": ({"names": ["/etc/pwned"]}, "a file in .* that cannot be"),
    "backslash": ({"names": ["..\\pwned"]}, "a file in .* that cannot be"),
    "control": ({"names": ["a\u001b[2Jb"]}, "a file in .* that cannot be"),
    "endless pages": ({"loop_pages": True}, "never ends"),
    "no JSON": ({"not_json": True}, "does not answer like a Hub"),
    "dropped": ({"drop": -1}, "broke off, again and again"),
    "busy": ({"busy": -1}, "trouble of its own"),
    "paused": ({"limited": 77}, "pause of 77 seconds"),
    "teapot": ({"status": 418}, "status 418"),
    "gone": ({"status": 404}, "there is no 'alice/my-cat'"),
}


@pytest.mark.parametrize("name", LIES)
def test_nothing_is_kept_of_a_lie(
    bad: HubServer, home: Path, there: Path, tmp_path: Path, name: str
) -> None:
    faults, sentence = LIES[name]
    bad.faults.set(faults)
    before = outside(tmp_path, home, there)
    with pytest.raises(TiregError, match=sentence) as caught:
        pull(REPO, home=there)
    assert "\x1b" not in str(caught.value)
    with Registry.open(there, create=False) as registry:
        assert registry.list() == []
    assert not list(there.rglob("*")) or not list((there / "objects").rglob("*"))
    assert outside(tmp_path, home, there) == before
    bad.faults.set({})
    assert pull(REPO, home=there)[0].added, "an honest answer is taken afterwards"


def test_etags_are_not_looked_at(bad: HubServer, there: Path, tmp_path: Path) -> None:
    bad.faults.set({"etag": "../../../../pwned"})
    assert pull(REPO, home=there)[0].added
    assert not list(tmp_path.rglob("*pwned*"))


def test_a_connection_that_drops_once_is_tried_again(bad: HubServer, there: Path) -> None:
    bad.faults.set({"drop": 1})
    assert pull(REPO, home=there)[0].added


def test_a_slow_server_does_not_hold_us(
    bad: HubServer, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PATIENCE", 0.5)
    bad.faults.set({"slow": 0.05})
    began = time.monotonic()
    with pytest.raises(HubError, match="too slow"):
        pull(REPO, home=there)
    assert time.monotonic() - began < 10
    bad.faults.set({})


def test_an_endless_file_is_cut_off(bad: HubServer, there: Path) -> None:
    bad.faults.set({"endless": ".json"})
    with pytest.raises(HubError, match="more than the"):
        pull(REPO, home=there)


def test_files_may_come_from_storage_but_the_token_does_not_go_there(
    bad: HubServer, there: Path, elsewhere: HubServer
) -> None:
    elsewhere.hub.repos = bad.hub.repos
    bad.faults.set({"redirect": elsewhere.url})
    assert pull(REPO, home=there)[0].added
    assert elsewhere.seen
    assert {s.token for s in elsewhere.seen} == {None}
    assert TOKEN in {s.token for s in bad.seen}


def test_another_host_does_not_answer_for_the_hub(
    bad: HubServer, there: Path, elsewhere: HubServer
) -> None:
    for fault in ("redirect_api", "next_host"):
        bad.faults.set({fault: elsewhere.url})
        with pytest.raises(HubError, match=r"sends on to another host, '127\.0\.0\.1'"):
            pull(REPO, home=there)
        with pytest.raises(HubError, match="sends on to another host"):
            search_hub(Wanted("cat"), home=there)
    assert elsewhere.seen == []


def test_uploads_sent_to_another_host_go_without_the_token(
    bad: HubServer, home: Path, elsewhere: HubServer
) -> None:
    keep(home, seed=2)
    bad.faults.set({"upload_host": elsewhere.url})
    with pytest.raises(HubError):
        publish(PublishRequest("my-cat", REPO), home=home)
    assert elsewhere.seen
    assert len(bad.hub.repos[REPO].history("main")) == 2


def test_the_token_of_the_store_stays_at_its_own_hub(
    bad: HubServer, home: Path, there: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN")
    assert session.token_for(session.OFFICIAL) == TOKEN
    assert session.token_for(bad.url) is None
    assert pull(REPO, home=there)[0].added
    assert {s.token for s in bad.seen} == {None}
    with pytest.raises(HubError, match="not logged in"):
        publish(PublishRequest("my-cat", "alice/other"), home=home)


def test_the_token_is_never_printed(
    bad: HubServer, home: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIREG_DEBUG", "1")
    bad.faults.set({"status": 403})
    told = run_cli("pull", REPO, code=1)
    assert TOKEN not in told.output
    assert "you may not do that" in told.stderr


def test_a_record_that_speaks_of_other_vectors(bad: HubServer, there: Path) -> None:
    import hashlib

    repo = bad.hub.repos[REPO]
    tree = repo.resolve("main").tree
    index = json.loads(repo.read(tree["versions.json"]))
    record = json.loads(repo.read(tree["tireg.json"])) | {"tensor_hash": "0" * 64}
    raw = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    sha, old = hashlib.sha256(raw).hexdigest(), index["current"][:16]
    index["current"] = index["versions"][0]["record"] = sha
    moved = {
        path.replace(old, sha[:16]): repo.read(entry)
        for path, entry in tree.items()
        if f"versions/{old}/files" in path
    }
    moved[f"versions/{sha[:16]}/tireg.json"] = raw
    bad.hub.put(REPO, {**moved, "versions.json": json.dumps(index).encode()})
    with pytest.raises(HubError, match="are not those its record speaks of"):
        pull(REPO, home=there)
    assert not there.exists()


def test_a_pickle_that_runs_code_is_refused(bad: HubServer, there: Path, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path / 'pwned'}",)

    bad.hub.put("bob/evil", {"learned_embeds.bin": pickle.dumps(Evil())})
    with pytest.raises(InputError, match="holds no readable embedding"):
        pull("bob/evil", home=there)
    assert not (tmp_path / "pwned").exists()
    assert not there.exists()


def test_a_gated_repository_says_what_to_do(bad: HubServer, there: Path) -> None:
    bad.hub.create("bob/gated", gated=True)
    bad.hub.put("bob/gated", {"learned_embeds.bin": b"x"})
    with pytest.raises(HubError, match="gated: its owner must let you in") as caught:
        pull("bob/gated", home=there)
    assert "accept the terms" in caught.value.hint


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that takes no connection and refuses none: its queue is full."""
    with socket.socket() as server, ExitStack() as crowd:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = crowd.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_offline_says_so_at_once(
    home: Path, run_cli: RunCli, connect: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    keep(home)
    connect("http://127.0.0.1:9")  # nothing listens there
    commands = (
        ("pull", REPO), ("publish", "my-cat", REPO), ("search", "--hub", "cat"),
        ("pull", "--all-from", "alice"),
    )  # fmt: skip
    for command in commands:
        began = time.monotonic()
        told = run_cli(*command, code=1)
        assert "the Hub at 127.0.0.1:9 cannot be reached" in told.stderr
        assert time.monotonic() - began < 3
    with black_hole() as port, monkeypatch.context() as resolver:
        # As huggingface.co, which has many addresses, behind a wall that drops every packet.
        found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM) * 8
        resolver.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        connect(f"http://127.0.0.1:{port}")
        for command in (commands[0], ("bases", "add", "some/base")):
            began = time.monotonic()
            assert "cannot be reached" in run_cli(*command).stderr
            assert time.monotonic() - began < 3
    connect("http://no-such-host.invalid")
    assert "cannot be reached" in run_cli("pull", REPO, code=1).stderr
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in run_cli("pull", REPO, code=1).stderr
    assert "my-cat" in run_cli("list", code=0).stdout
