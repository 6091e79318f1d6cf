"""A loopback Hub that this process' own client talks to."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.hubserver import HubServer, running

TOKEN = "hf_alice"


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A Hub with the users alice and bob, who share the organisation club, and mallory."""
    with warnings.catch_warnings(), running() as found:
        # huggingface_hub's own upload hands httpx its bytes by an old name.
        warnings.filterwarnings("ignore", "Use 'content", DeprecationWarning)
        found.hub.users.update(hf_alice="alice", hf_bob="bob", hf_mallory="mallory")
        found.hub.orgs["club"] = {"alice", "bob"}
        yield found


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``connect(url)`` points huggingface_hub of this process at another endpoint, online."""
    from huggingface_hub import close_session, constants

    def point(url: str, token: str | None = TOKEN) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", url)
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        else:
            monkeypatch.delenv("HF_TOKEN", raising=False)
        close_session()

    return point


@pytest.fixture
def hub(server: HubServer, connect: Callable[[str], None]) -> HubServer:
    """The server, with this process logged in to it as alice."""
    connect(server.url)
    return server


@pytest.fixture
def client_env(server: HubServer, tmp_path: Path) -> dict[str, str]:
    """The environment of a process that talks to the server as alice."""
    env = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    return {
        **env,
        "HF_ENDPOINT": server.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf-home"),
        "PYTHONPATH": str(ROOT),
    }
