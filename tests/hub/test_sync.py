"""Two registries and one place on the Hub: in step, in both directions, nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunCli
from tests.hub.words import keep
from tests.hubserver import HubServer
from tests.store import make
from tireg.errors import InputError
from tireg.store.registry import Registry
from tireg.workflows.sync import add_remote, read_remotes, remove_remote, sync


@pytest.fixture(params=["club", "club/words"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def there(tmp_path: Path, home: Path, target: str) -> Path:
    """Another registry; both know the place as ``hub``."""
    other = tmp_path / "there"
    add_remote(home, "hub", target)
    add_remote(other, "hub", target)
    return other


def states(home: Path, **options: Any) -> dict[str, str]:
    steps = sync("hub", home=home, **options)
    assert not [step.failed for step in steps if step.failed]
    return {step.name: step.state for step in steps}


def records(home: Path, name: str) -> set[str]:
    with Registry.open(home) as registry:
        return {v.record_sha for v in registry.versions(name)}


def test_both_sides_get_everything_and_then_it_is_quiet(
    hub: HubServer, home: Path, there: Path
) -> None:
    keep(home, "my-cat", 1, scored=True)
    keep(home, "my-cat", 2)
    keep(there, "my-dog", 3)
    assert states(home, dry_run=True) == {"my-cat": "new here"}
    assert hub.hub.repos == {}
    assert states(home) == {"my-cat": "new here"}
    assert states(there) == {"my-cat": "new there", "my-dog": "new here"}
    assert states(home) == {"my-cat": "same", "my-dog": "new there"}
    for name in ("my-cat", "my-dog"):
        assert records(home, name) == records(there, name)
    for place in (home, there):
        heads = {r.id: len(r.commits) for r in hub.hub.repos.values()}
        assert states(place) == {"my-cat": "same", "my-dog": "same"}
        assert {r.id: len(r.commits) for r in hub.hub.repos.values()} == heads
    with Registry.open(there) as registry:
        assert registry.resolve("my-cat@1").record_sha in records(home, "my-cat")
        assert registry.runs(registry.resolve("my-cat@1").record_sha)


def test_diverged_versions_are_kept_on_both_sides(hub: HubServer, home: Path, there: Path) -> None:
    keep(home, "my-cat", 1)
    states(home)
    states(there)
    keep(home, "my-cat", 2)
    keep(there, "my-cat", 3)
    assert states(home, dry_run=True) == {"my-cat": "ahead"}
    states(home)
    assert states(there, dry_run=True) == {"my-cat": "diverged"}
    states(there)
    assert states(home) == {"my-cat": "behind"}
    assert len(records(home, "my-cat")) == 3
    assert records(home, "my-cat") == records(there, "my-cat")
    assert states(there) == {"my-cat": "same"}


def test_scores_travel_on_their_own(hub: HubServer, home: Path, there: Path) -> None:
    version = keep(home, "my-cat", 1)
    states(home)
    states(there)
    with Registry.open(there) as registry:
        registry.add_run(*make.run(version.record))
    assert states(there) == {"my-cat": "ahead"}
    assert states(home) == {"my-cat": "behind"}
    with Registry.open(home) as registry:
        assert len(registry.runs(version.record_sha)) == 1
    assert states(home) == {"my-cat": "same"}


def test_captions_stay_here_and_all_else_stays_in_step(
    hub: HubServer, home: Path, there: Path
) -> None:
    said = "my cat in our kitchen"
    version = keep(home, "my-cat", 1, concept=make.concept("my-cat", said), scored=True)
    states(home)
    for repo in hub.hub.repos.values():
        assert not any(said.encode() in data for data in repo.blobs.values())
    assert states(home) == {"my-cat": "same"}
    states(there)
    with Registry.open(there) as registry:
        theirs = registry.resolve("my-cat")
        assert theirs.record.tensor_hash == version.record.tensor_hash
        assert theirs.record_sha != version.record_sha
        assert len(registry.runs(theirs.record_sha)) == 1
        registry.add_run(*make.run(theirs.record, seed="another"))
    assert states(there) == {"my-cat": "ahead"}
    assert states(home) == {"my-cat": "behind"}
    with Registry.open(home) as registry:
        assert [v.record_sha for v in registry.versions("my-cat")] == [version.record_sha]
        assert len(registry.runs(version.record_sha)) == 2
    for place in (home, there):
        assert states(place) == {"my-cat": "same"}


def test_deletions_are_carried_over_only_when_asked(
    hub: HubServer, home: Path, there: Path, target: str
) -> None:
    keep(home, "my-cat", 1)
    keep(home, "my-dog", 2)
    states(home)
    states(there)
    with Registry.open(home) as registry:
        registry.remove("my-cat")
    assert states(home)["my-cat"] == "deleted here"
    assert states(there)["my-cat"] == "same"
    assert states(home, delete=True)["my-cat"] == "deleted here"
    assert states(there)["my-cat"] == "deleted there"
    assert records(there, "my-cat")
    states(there, delete=True)
    with Registry.open(there) as registry:
        assert [f.name for f in registry.trash()] == ["my-cat"]
    assert states(there) == {"my-dog": "same"}


def test_one_direction_at_a_time(hub: HubServer, home: Path, there: Path) -> None:
    keep(home, "my-cat", 1)
    keep(there, "my-dog", 2)
    states(home, pull=False)
    states(there, push=False)
    assert records(there, "my-cat")
    assert states(home, dry_run=True) == {"my-cat": "same"}


def test_another_word_of_the_same_name_is_a_conflict(
    hub: HubServer, home: Path, there: Path
) -> None:
    keep(home, "my-cat", 1)
    keep(there, "my-cat", 2, token="<other>")
    states(home)
    assert states(there) == {"my-cat": "conflict"}
    with Registry.open(there) as registry:
        assert registry.resolve("my-cat").record.token == "<other>"


def test_remotes_are_remembered(home: Path, run_cli: RunCli) -> None:
    run_cli("remote", "add", "club", "my-org", code=0)
    run_cli("remote", "add", "words", "me/words", code=0)
    assert read_remotes(home) == {"club": "my-org", "words": "me/words"}
    assert "me/words" in run_cli("remote", "list", code=0).stdout
    run_cli("remote", "rm", "club", code=0)
    assert read_remotes(home) == {"words": "me/words"}
    for name, target in (("x", "../../etc"), ("x", "a/b/c"), ("../x", "org")):
        with pytest.raises(InputError):
            add_remote(home, name, target)
    with pytest.raises(InputError, match="no remote 'club'"):
        remove_remote(home, "club")
    assert "there is no remote 'x'; known: words" in run_cli("sync", "x", code=2).stderr


def test_the_command(hub: HubServer, home: Path, run_cli: RunCli) -> None:
    keep(home)
    add_remote(home, "hub", "club/words")
    assert "new here" in run_cli("sync", "--dry-run", code=0).stdout
    assert "new here" in run_cli("sync", code=0).stdout
    assert "everything is in step (1 words)" in run_cli("sync", code=0).stderr
