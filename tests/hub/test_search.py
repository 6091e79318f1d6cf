"""Searching the Hub: tags, the library without them, what is here, what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tests.hub.words import keep
from tests.hubserver import HubServer
from tests.store import make
from tireg.errors import RefError
from tireg.hub.searching import Wanted
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow
from tireg.workflows.hub_search import search_hub
from tireg.workflows.publish import PublishRequest, publish
from tireg.workflows.pull import pull

CARD = "---\ntags: [textual_inversion]\nbase_model: {base}\nlicense: mit\n---\n"


@pytest.fixture
def full(hub: HubServer, home: Path) -> HubServer:
    """A Hub with a tireg word, two of other tools, one of the library, and a model."""
    keep(home, scored=True)
    publish(PublishRequest("my-cat", "alice/my-cat"), home=home)
    for name, base in (("cat-art", "some/base"), ("cat-xl", "other/xl")):
        hub.hub.put(f"bob/{name}", {"README.md": CARD.format(base=base).encode()})
    hub.hub.put("sd-concepts-library/cat-toy", {"README.md": b"---\nlicense: mit\n---\n"})
    hub.hub.put("bob/cat-model", {"README.md": b"---\ntags: [lora]\n---\n"})
    hub.hub.repos["bob/cat-xl"].downloads = 9
    return hub


def repos(rows: list[dict[str, object]]) -> list[object]:
    return [row["repo"] for row in rows]


def test_words_filters_and_the_library(full: HubServer, tmp_path: Path) -> None:
    there = tmp_path / "there"
    rows = search_hub(Wanted("cat"), home=there)
    assert repos(rows) == [
        "bob/cat-xl",
        "alice/my-cat",
        "bob/cat-art",
        "sd-concepts-library/cat-toy",
    ]
    assert repos(search_hub(Wanted("cat", author="bob"), home=there)) == [
        "bob/cat-xl",
        "bob/cat-art",
    ]
    assert repos(search_hub(Wanted("cat", base="some/base"), home=there)) == [
        "alice/my-cat", "bob/cat-art",
    ]  # fmt: skip
    assert repos(search_hub(Wanted(kind="object"), home=there)) == ["alice/my-cat"]
    assert repos(search_hub(Wanted("cat toy"), home=there)) == ["sd-concepts-library/cat-toy"]
    assert len(search_hub(Wanted("cat", limit=2), home=there)) == 2


def test_scores_and_what_is_here(full: HubServer, home: Path, tmp_path: Path) -> None:
    (row,) = search_hub(Wanted("my-cat"), home=home)
    assert (row["token"], row["scores"]) == ("<my-cat>", {"fidelity": 0.71})
    assert (row["here"], row["state"]) == ("my-cat", "here")
    there = tmp_path / "there"
    assert search_hub(Wanted("my-cat"), home=there)[0]["here"] is None
    pull("alice/my-cat", home=there)
    assert search_hub(Wanted("my-cat"), home=there)[0]["state"] == "here"
    keep(home, seed=2)
    publish(PublishRequest("my-cat", "alice/my-cat"), home=home)
    assert search_hub(Wanted("my-cat", limit=3), home=there)[0]["state"] == "older here"


def test_only_what_runs_on_a_base(full: HubServer, tmp_path: Path) -> None:
    there = tmp_path / "there"
    with pytest.raises(RefError, match="no base is called 'some/base' here"):
        search_hub(Wanted("cat"), home=there, compatible_with="some/base")
    with Registry.open(there) as registry:
        registry.add_base(BaseRow.of(make.base("some/base")))
        registry.add_base(BaseRow.of(make.base("a/twin", seed="some/base")))
        registry.add_base(BaseRow.of(make.base("a/stranger")))

    def verdicts(base: str) -> dict[str, str]:
        rows = search_hub(Wanted("cat"), home=there, compatible_with=base)
        return {row["repo"]: row["verdict"] for row in rows}

    assert verdicts("some/base") == {"alice/my-cat": "exact", "bob/cat-art": "stated"}
    assert verdicts("a/twin") == {"alice/my-cat": "exact"}
    assert verdicts("a/stranger") == {}


def test_the_same_question_is_asked_once(full: HubServer, tmp_path: Path) -> None:
    search_hub(Wanted("cat"), home=tmp_path)
    del full.seen[:]
    search_hub(Wanted("cat"), home=tmp_path)
    assert full.seen == []


def test_rows_of_a_hostile_listing_are_passed_over(full: HubServer, tmp_path: Path) -> None:
    from tireg.hub.searching import _hit

    for row in (None, {}, {"id": 3}, {"id": "../../x"}, {"id": "a/b\x1b[2J"}):
        assert _hit(row) is None
    odd = _hit({"id": "a/b", "sha": "../x", "tags": [1, "t"], "cardData": {"model-index": [[]]}})
    assert odd is not None
    assert (odd.commit, odd.tags, odd.scores) == (None, ("t",), {})


def test_an_address_that_is_no_hub(
    full: HubServer, connect: Callable[[str], None], run_cli: RunCli
) -> None:
    connect(f"{full.url}/elsewhere")
    assert "does not answer like a Hub" in run_cli("search", "--hub", "cat", code=1).stderr


def test_the_command(full: HubServer, run_cli: RunCli) -> None:
    told = run_cli("search", "--hub", "cat", "--author", "alice", code=0)
    assert "alice/my-cat" in told.stdout
    assert "my-cat (here)" in told.stdout
    rows = json.loads(run_cli("search", "--hub", "cat", "--json", code=0).stdout)
    assert len(rows) == 4
    assert "my-cat" in run_cli("search", "cat", code=0).stdout
    assert "--author needs --hub" in run_cli("search", "cat", "--author", "bob", code=2).stderr
    assert "does not go with --hub" in run_cli("search", "--hub", "--tag", "x", code=2).stderr
