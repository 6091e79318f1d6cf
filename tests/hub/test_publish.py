"""Publishing: one commit, nothing twice, nothing of others touched, nothing private."""

from __future__ import annotations

import hashlib
import html
import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import RunCli
from tests.hub.words import files, keep, png
from tests.hubserver import HubServer
from tests.store import make
from tireg.domain.scores import SuiteRef
from tireg.domain.suites import load_suite
from tireg.errors import HubError, InputError
from tireg.store.registry import Registry
from tireg.workflows.publish import PublishRequest, plan_publish, publish

REPO = "alice/my-cat"
BENCHMARK = """
format_version: 1
name: mine
version: 1
kind: object
title: Mine
source: by hand, CC0
seeds: [1]
prompts:
- {id: one, role: background, text: "a {concept} in the snow", context: in the snow}
benchmark: {dataset: some/benchmark, tasks: {fidelity: alike}}
"""


def commits(server: HubServer, repo: str = REPO) -> int:
    return len(server.hub.repos[repo].history("main"))


def test_a_version_becomes_one_commit_with_a_tag(hub: HubServer, home: Path) -> None:
    version = keep(home, scored=True, pictures=True)
    done = publish(PublishRequest("my-cat", REPO), home=home)
    assert done.committed
    assert done.tagged
    repo = hub.hub.repos[REPO]
    assert [c.title for c in repo.history("main")] == ["my-cat v1", "initial commit"]
    assert repo.tags == {"v1": done.commit}
    found = files(hub)
    short = version.record_sha[:16]
    assert hashlib.sha256(found["tireg.json"]).hexdigest() == version.record_sha
    assert set(found) - {".gitattributes"} == {
        "README.md", "tireg.json", "versions.json", "learned_embeds.safetensors",
        "webui/my-cat.safetensors", "comfyui/my-cat.safetensors", "invokeai/my-cat.safetensors",
        "previews/preview-1.png",
        f"versions/{short}/tireg.json",
        f"versions/{short}/files/01-embedding.safetensors",
        f"versions/{short}/files/02-preview.png",
        *(p for p in found if "/scores/" in p),
    }  # fmt: skip
    assert sum("/scores/" in path for path in found) == 1


def test_uploads_need_no_xet(hub: HubServer, home: Path) -> None:
    """This server has none, and huggingface_hub insists on it for files and plain bytes."""
    from huggingface_hub.utils._runtime import is_xet_available

    if not is_xet_available():
        pytest.skip("hf_xet is not installed, so nothing would ask for it")
    keep(home)
    publish(PublishRequest("my-cat", REPO), home=home)
    asked = [entry.path for entry in hub.seen]
    assert any(path.endswith("/info/lfs/objects/batch") for path in asked)
    assert not any("xet" in path for path in asked)


def test_scores_on_a_benchmark_reach_its_leaderboard(
    hub: HubServer, home: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    from huggingface_hub import parse_eval_result_entries

    file = tmp_path / "mine.yaml"
    file.write_text(BENCHMARK)
    version = keep(home)
    run, sheet = make.run(version.record, values={"fidelity": 0.71, "leakage": 0.2})
    suite = load_suite(file)
    ref = SuiteRef(name=suite.name, version=suite.version, sha256=suite.sha256)
    with Registry.open(home) as registry:
        registry.add_run(run, sheet)
    assert "not scored on the suite 'mine'" in run_cli(
        "publish", "my-cat", REPO, "--suite", file, code=2
    ).stderr  # fmt: skip
    scored = run.model_copy(
        update={"run_id": "b" * 64, "spec": run.spec.model_copy(update={"suite": ref})}
    )
    with Registry.open(home) as registry:
        registry.add_run(scored, sheet)
    publish(PublishRequest("my-cat", REPO), home=home)
    assert not any(path.startswith(".eval_results") for path in files(hub))
    publish(PublishRequest("my-cat", REPO, suites=(str(file),)), home=home)
    found = files(hub)
    (entry,) = parse_eval_result_entries(yaml.safe_load(found[".eval_results/mine.yaml"]))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("some/benchmark", "alike", 0.71)
    assert ".eval_results" in html.unescape(found["README.md"].decode())
    again = publish(PublishRequest("my-cat", REPO), home=home)
    assert not again.committed, "what was said before still holds"
    keep(home, seed=9)
    publish(PublishRequest("my-cat", REPO), home=home)
    assert ".eval_results/mine.yaml" not in files(hub), "they are scores of the version before"


def test_the_same_thing_twice_is_one_commit(hub: HubServer, home: Path) -> None:
    keep(home, scored=True)
    publish(PublishRequest("my-cat", REPO), home=home)
    again = publish(PublishRequest("my-cat", REPO), home=home)
    assert not again.committed
    assert again.plan.empty
    assert commits(hub) == 2
    assert not [s for s in hub.seen[-6:] if "/commit/" in s.path]


def test_a_new_version_is_a_commit_and_a_tag_and_the_old_one_stays(
    hub: HubServer, home: Path
) -> None:
    first = keep(home, seed=1)
    publish(PublishRequest("my-cat", REPO), home=home)
    second = keep(home, seed=2)
    publish(PublishRequest("my-cat", REPO), home=home)
    assert set(hub.hub.repos[REPO].tags) == {"v1", "v2"}
    found = files(hub)
    index = json.loads(found["versions.json"])
    assert index["current"] == second.record_sha
    assert [(r["record"], r["tag"]) for r in index["versions"]] == [
        (first.record_sha, "v1"),
        (second.record_sha, "v2"),
    ]
    assert f"versions/{first.record_sha[:16]}/files/01-embedding.safetensors" in found
    # An older version that is there already does not become the current one again.
    assert not publish(PublishRequest("my-cat@1", REPO), home=home).committed


def test_scores_measured_later_are_added_to_the_version(hub: HubServer, home: Path) -> None:
    from tests.store import make
    from tireg.store.registry import Registry

    version = keep(home)
    publish(PublishRequest("my-cat", REPO), home=home)
    assert "Not scored yet" in files(hub)["README.md"].decode()
    with Registry.open(home) as registry:
        registry.add_run(*make.run(version.record))
    assert publish(PublishRequest("my-cat", REPO), home=home).committed
    found = files(hub)
    assert "Not scored yet" not in found["README.md"].decode()
    (path,) = [p for p in found if "/scores/" in p]
    assert b'"files":[]' in found[path], "the contact sheet shows training pictures"
    assert set(hub.hub.repos[REPO].tags) == {"v1"}


def test_a_dry_run_says_all_and_does_nothing(hub: HubServer, home: Path, run_cli: RunCli) -> None:
    keep(home)
    plan = plan_publish(PublishRequest("my-cat", REPO), home=home)
    assert REPO not in hub.hub.repos
    told = run_cli("publish", "my-cat", REPO, "--dry-run", code=0)
    assert "(to be made)" in told.stdout
    publish(PublishRequest("my-cat", REPO), home=home)
    wrote = {row["path"]: row["bytes"] for row in plan["write"]}
    assert wrote == {p: len(d) for p, d in files(hub).items() if p != ".gitattributes"}
    assert "nothing to do" in run_cli("publish", "my-cat", REPO, "--dry-run", code=0).stderr


def test_the_file_of_another_is_never_overwritten(hub: HubServer, home: Path) -> None:
    keep(home, seed=1)
    hub.hub.put(REPO, {"learned_embeds.safetensors": b"theirs"})
    with pytest.raises(HubError, match="tireg did not write"):
        publish(PublishRequest("my-cat", REPO), home=home)
    assert files(hub)["learned_embeds.safetensors"] == b"theirs"
    publish(PublishRequest("my-cat", "alice/other"), home=home)
    hub.hub.put("alice/other", {"previews/preview-1.png": png(77), "notes.txt": b"mine"})
    keep(home, seed=2)
    with pytest.raises(HubError, match=r"previews/preview-1.png"):
        publish(PublishRequest("my-cat", "alice/other"), home=home)
    assert files(hub, "alice/other")["notes.txt"] == b"mine"


def test_another_word_does_not_take_the_place(hub: HubServer, home: Path) -> None:
    keep(home)
    keep(home, "my-dog")
    publish(PublishRequest("my-cat", REPO), home=home)
    with pytest.raises(InputError, match="already holds the embedding '<my-cat>'"):
        publish(PublishRequest("my-dog", REPO), home=home)


def test_several_words_share_a_repository(hub: HubServer, home: Path) -> None:
    keep(home)
    keep(home, "my-dog", 5)
    publish(PublishRequest("my-cat", "club/words", folder="my-cat"), home=home)
    publish(PublishRequest("my-dog", "club/words", folder="my-dog"), home=home)
    found = files(hub, "club/words")
    assert {"my-cat/tireg.json", "my-dog/tireg.json", "my-cat/README.md"} <= set(found)
    top = found["README.md"].decode()
    assert "(my-cat/README.md)" in top
    assert "(my-dog/README.md)" in top
    assert set(hub.hub.repos["club/words"].tags) == {"my-cat-v1", "my-dog-v1"}
    assert not publish(PublishRequest("my-cat", "club/words", folder="my-cat"), home=home).committed


def test_a_moved_head_is_planned_for_anew(
    hub: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tireg.hub import publish as module

    keep(home)
    real, moves = module._commit, iter([b"1", b"2"])

    def late(*args: object, **kwargs: object) -> str:
        data = next(moves, None)
        if data is not None:
            hub.hub.put(REPO, {"theirs.txt": data})
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_commit", late)
    assert publish(PublishRequest("my-cat", REPO), home=home).committed
    assert files(hub)["theirs.txt"] == b"2"
    assert [s.status for s in hub.seen if "/commit/" in s.path] == [412, 412, 200]


def test_not_logged_in_or_not_allowed(
    hub: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(home)
    with pytest.raises(HubError, match="may not do that with 'bob/my-cat'") as caught:
        publish(PublishRequest("my-cat", "bob/my-cat"), home=home)
    assert "hf auth login" in caught.value.hint
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="not logged in"):
        publish(PublishRequest("my-cat", REPO), home=home)
    monkeypatch.setenv("HF_TOKEN", "hf_nobody")
    with pytest.raises(HubError, match="does not know your token"):
        publish(PublishRequest("my-cat", REPO), home=home)
    assert hub.hub.repos == {}


def test_tags_are_checked_before_anything_is_sent(
    hub: HubServer, home: Path, run_cli: RunCli
) -> None:
    keep(home)
    for tag in ("two words", "a..b", "end.lock", "-x", "a/b", "x~1", "ä"):
        with pytest.raises(InputError, match="cannot be a tag"):
            publish(PublishRequest("my-cat", REPO, tag=tag), home=home)
    assert REPO not in hub.hub.repos
    publish(PublishRequest("my-cat", REPO, tag="first"), home=home)
    assert not publish(PublishRequest("my-cat", REPO, tag="first"), home=home).committed
    with pytest.raises(InputError, match=r"already, with the tag 'first'") as caught:
        publish(PublishRequest("my-cat", REPO, tag="second"), home=home)
    assert caught.value.hint == "leave --tag out"
    publish(PublishRequest("my-cat", "club/all", folder="a..b"), home=home)
    assert set(hub.hub.repos["club/all"].tags) == {"a.b-v1"}
    told = run_cli("publish", "my-cat", "club/all", "--folder", "a..b", code=0)
    assert "tireg pull club/all --folder a..b" in told.stderr
    assert "no commit" in run_cli("publish", "my-cat", REPO, "--dry-run", code=0).stdout
