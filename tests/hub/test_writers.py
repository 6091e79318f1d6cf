"""Many writers on one repository at once: every version arrives, none is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.hub.words import keep
from tests.hubserver import HubServer

WRITER = """
import sys
from pathlib import Path
import warnings
warnings.simplefilter("ignore")
from tireg.workflows.publish import PublishRequest, publish
from tireg.workflows.sync import sync

home, how, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if how == "sync":
    failed = [step.failed for step in sync("hub", home=home) if step.failed]
    assert not failed, failed
else:
    for number in range(1, count + 1):
        assert publish(PublishRequest(f"my-cat@{number}", "club/my-cat"), home=home).committed
"""


def write(client_env: dict[str, str], homes: list[Path], how: str, count: int) -> None:
    """One process per home, all at once; each must succeed."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home), how, str(count)],
            env=client_env, cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for home in homes
    ]  # fmt: skip
    for process in processes:
        _, errors = process.communicate(timeout=1800)
        assert process.returncode == 0, errors[-3000:]


def contend(
    server: HubServer, client_env: dict[str, str], tmp_path: Path, writers: int, count: int
) -> None:
    """``writers`` processes publish ``count`` versions each of one word to one repository."""
    homes = [tmp_path / f"home{n}" for n in range(writers)]
    made = {
        keep(home, "my-cat", 1000 * n + seed).record_sha
        for n, home in enumerate(homes)
        for seed in range(count)
    }
    write(client_env, homes, "publish", count)
    repo = server.hub.repos["club/my-cat"]
    tree = repo.resolve("main").tree
    index = json.loads(repo.read(tree["versions.json"]))
    assert {row["record"] for row in index["versions"]} == made
    assert len(index["versions"]) == len(made) == writers * count
    for sha in made:
        assert f"versions/{sha[:16]}/files/01-embedding.safetensors" in tree
    tags = [f"v{n}" for n in range(1, len(made) + 1)]
    assert sorted(repo.tags, key=lambda tag: int(tag[1:])) == tags
    commits = [c.title for c in repo.history("main")]
    assert len(commits) == len(made) + 1


def test_two_writers_lose_nothing(
    server: HubServer, client_env: dict[str, str], tmp_path: Path
) -> None:
    contend(server, client_env, tmp_path, 2, 3)


@pytest.mark.soak
def test_five_writers_of_twenty_lose_nothing(
    server: HubServer, client_env: dict[str, str], tmp_path: Path
) -> None:
    contend(server, client_env, tmp_path, 5, 20)


def sync_together(
    server: HubServer, client_env: dict[str, str], tmp_path: Path, writers: int
) -> None:
    from tireg.store.registry import Registry
    from tireg.workflows.sync import add_remote

    homes = [tmp_path / f"home{n}" for n in range(writers)]
    for n, home in enumerate(homes):
        keep(home, f"word{n}", n)
        keep(home, "shared", 100 + n)
        add_remote(home, "hub", "club/words")
    write(client_env, homes, "sync", 0)
    write(client_env, homes, "sync", 0)
    every = set()
    for home in homes:
        with Registry.open(home) as registry:
            assert len(registry.list(limit=None)) == writers + 1
            every.add(tuple(sorted(v.record_sha for v in registry.versions("shared"))))
    assert len(every) == 1
    assert len(every.pop()) == writers


def test_two_registries_sync_at_once(
    server: HubServer, client_env: dict[str, str], tmp_path: Path
) -> None:
    sync_together(server, client_env, tmp_path, 2)


@pytest.mark.soak
def test_five_registries_sync_at_once(
    server: HubServer, client_env: dict[str, str], tmp_path: Path
) -> None:
    sync_together(server, client_env, tmp_path, 5)
