"""Pulling: the same record, the same bits, the same scores; nothing half, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RunCli
from tests.hub.words import keep, word
from tests.hubserver import HubServer
from tireg.errors import FileRefusedError, HubError, InputError, RefError
from tireg.store.registry import Registry
from tireg.workflows.progress import Notice
from tireg.workflows.publish import PublishRequest, publish
from tireg.workflows.pull import pull, pull_all
from tireg.workflows.vectors import unpack_vectors

REPO = "alice/my-cat"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The registry of another machine."""
    return tmp_path / "there"


def vectors(home: Path, ref: str) -> dict[str, np.ndarray]:
    with Registry.open(home) as registry:
        record = registry.resolve(ref).record
        file = record.file("embedding")
        assert file is not None
        return unpack_vectors(record, registry.objects.read(file.sha256))


def names(home: Path) -> list[str]:
    with Registry.open(home) as registry:
        return sorted(row.name for row in registry.list(limit=None))


@pytest.mark.parametrize("encoders", [("clip_l",), ("clip_l", "clip_g")])
def test_what_is_pulled_is_what_was_published(
    hub: HubServer, home: Path, there: Path, encoders: tuple[str, ...]
) -> None:
    version = keep(home, scored=True, encoders=encoders)
    publish(PublishRequest("my-cat", REPO), home=home)
    (pulled,) = pull(REPO, home=there)
    assert pulled.added
    assert pulled.version.record_sha == version.record_sha
    assert pulled.version.record == version.record
    here, far = vectors(home, "my-cat"), vectors(there, "my-cat")
    assert all(here[key].tobytes() == far[key].tobytes() for key in here)
    with Registry.open(home) as mine, Registry.open(there) as theirs:
        assert [r.scores for r in theirs.runs(version.record_sha)] == [
            r.scores for r in mine.runs(version.record_sha)
        ]
        (remote,) = theirs.remotes("my-cat")
        assert (remote.repo, remote.record_sha) == (REPO, version.record_sha)
        assert not theirs.verify().problems


def test_a_word_with_training_pictures_comes_without_them(
    hub: HubServer, home: Path, there: Path
) -> None:
    version = keep(home, pictures=True)
    publish(PublishRequest("my-cat", REPO), home=home)
    (pulled,) = pull(REPO, home=there)
    assert pulled.version.record_sha == version.record_sha
    assert pulled.version.record.files == version.record.files
    with Registry.open(there) as registry:
        assert not registry.verify().problems


def test_a_second_pull_changes_nothing(hub: HubServer, home: Path, there: Path) -> None:
    keep(home, scored=True)
    publish(PublishRequest("my-cat", REPO), home=home)
    pull(REPO, home=there)
    before = {p: p.read_bytes() for p in there.rglob("*.json")}
    (again,) = pull(REPO, home=there)
    assert (again.added, again.scores, again.version.ref) == (False, 0, "my-cat@1")
    assert {p: p.read_bytes() for p in there.rglob("*.json")} == before


def test_publishing_what_was_pulled_makes_no_commit(
    hub: HubServer, home: Path, there: Path
) -> None:
    keep(home, scored=True)
    publish(PublishRequest("my-cat", REPO), home=home)
    pull(REPO, home=there)
    assert not publish(PublishRequest("my-cat", REPO), home=there).committed


def test_a_revision_and_a_name_of_ones_own(hub: HubServer, home: Path, there: Path) -> None:
    first = keep(home, seed=1)
    publish(PublishRequest("my-cat", REPO), home=home)
    second = keep(home, seed=2)
    publish(PublishRequest("my-cat", REPO), home=home)
    (old,) = pull(f"{REPO}@v1", home=there, name="their-cat")
    assert (old.version.name, old.version.record_sha) == ("their-cat", first.record_sha)
    (new,) = pull(REPO, home=there, name="their-cat")
    assert (new.version.ref, new.version.record_sha) == ("their-cat@2", second.record_sha)
    with pytest.raises(InputError, match="no such revision"):
        pull(f"{REPO}@v9", home=there)


def test_a_repository_of_several(hub: HubServer, home: Path, there: Path) -> None:
    for name in ("my-cat", "my-dog"):
        keep(home, name, len(name))
        publish(PublishRequest(name, "club/words", folder=name), home=home)
    with pytest.raises(RefError, match="holds 2 embeddings"):
        pull("club/words", home=there, name="x")
    assert [p.version.name for p in pull("club/words", home=there, folder="my-dog")] == ["my-dog"]
    assert len(pull("club/words", home=there)) == 2
    assert names(there) == ["my-cat", "my-dog"]


def test_a_diffusers_repository_of_another_tool(hub: HubServer, home: Path) -> None:
    from safetensors.numpy import save

    rows = np.random.default_rng(1).normal(size=(3, 768)).astype(np.float32)
    card = "---\nlicense: openrail\nbase_model: some/base\ntags: [textual_inversion]\n---\n"
    hub.hub.put(
        "bob/toy",
        {
            "README.md": card.encode(),
            "learned_embeds.safetensors": save({"<toy>": rows}),
            "learned_embeds-steps-500.safetensors": save({"<toy>": rows / 2}),
            "text_encoder/model.safetensors": b"not looked at",
        },
    )
    (pulled,) = pull("bob/toy", home=home)
    record = pulled.version.record
    assert (pulled.version.name, record.token, record.license) == ("toy", "<toy>", "openrail")
    assert record.base is not None
    assert (record.base.id, record.base.family) == ("some/base", "sd1")
    assert (record.source.how, record.source.where) == ("pulled", "bob/toy")
    assert record.source.revision == hub.hub.repos["bob/toy"].branches["main"]
    assert vectors(home, "toy")["clip_l"].tobytes() == rows.tobytes()
    (again,) = pull("bob/toy", home=home)
    assert not again.added


def test_the_layout_of_the_concepts_library(hub: HubServer, home: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    rows = torch.randn(768)
    path = tmp_path / "learned_embeds.bin"
    torch.save({"<cat-toy>": rows}, path)
    hub.hub.put(
        "sd-concepts-library/cat-toy",
        {
            "learned_embeds.bin": path.read_bytes(),
            "token_identifier.txt": b"<cat-toy>",
            "type_of_concept.txt": b"object",
            "concept_images/0.jpeg": b"not fetched",
        },
    )
    (pulled,) = pull("sd-concepts-library/cat-toy", home=home)
    record = pulled.version.record
    assert (pulled.version.name, record.token, record.kind) == ("cat-toy", "<cat-toy>", "object")
    assert vectors(home, "cat-toy")["clip_l"].reshape(-1).tolist() == rows.tolist()
    assert not [s for s in hub.seen if "concept_images" in s.path]


def test_a_repository_without_an_embedding(hub: HubServer, home: Path) -> None:
    hub.hub.put("bob/model", {"unet/model.safetensors": b"x", "README.md": b"hello"})
    with pytest.raises(FileRefusedError, match="holds no embedding"):
        pull("bob/model", home=home)
    with pytest.raises(InputError, match="there is no 'bob/nothing' on the Hub"):
        pull("bob/nothing", home=home)
    with pytest.raises(InputError, match="no name of a repository"):
        pull("../../etc", home=home)
    assert not home.exists()


@pytest.mark.parametrize("newer", ["versions.json", "tireg.json"])
def test_a_newer_record_gives_its_vectors(
    hub: HubServer, home: Path, there: Path, newer: str
) -> None:
    version = keep(home)
    publish(PublishRequest("my-cat", REPO), home=home)
    repo = hub.hub.repos[REPO]
    head = repo.resolve("main")
    data = json.loads(repo.read(head.tree["versions.json"]))
    if newer == "versions.json":
        data["format_version"] = 99
        hub.hub.put(REPO, {newer: json.dumps(data).encode()})
    else:
        import hashlib

        record = json.loads(repo.read(head.tree["tireg.json"])) | {"format_version": 99}
        raw = json.dumps(record).encode()
        sha = hashlib.sha256(raw).hexdigest()
        data["current"] = data["versions"][0]["record"] = sha
        hub.hub.put(
            REPO,
            {
                "versions.json": json.dumps(data).encode(),
                f"versions/{sha[:16]}/tireg.json": raw,
            },
        )
    said: list[object] = []
    (pulled,) = pull(REPO, home=there, listen=said.append)
    assert pulled.version.record.tensor_hash == version.record.tensor_hash
    assert pulled.version.record.token == "<my-cat>"
    (notice,) = [n.text for n in said if isinstance(n, Notice)]
    assert "format version 99" in notice
    assert "only the vectors" in notice


def test_all_from_an_author_goes_on_where_it_stopped(
    hub: HubServer, home: Path, there: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        keep(home, f"word{number}", number)
        publish(PublishRequest(f"word{number}", f"alice/word{number}"), home=home)
    hub.hub.put("alice/broken", {"README.md": b"---\ntags: [textual_inversion]\n---\n"})
    pulled, failed = pull_all("alice", home=there)
    assert sorted(p.version.name for p in pulled) == [f"word{n}" for n in range(5)]
    assert [f.repo for f in failed] == ["alice/broken"]
    del hub.seen[:]
    pulled, _ = pull_all("alice", home=there)
    assert pulled == []
    assert not [s for s in hub.seen if s.path.endswith(".safetensors")]
    monkeypatch.setenv("TIREG_HOME", str(there))
    told = run_cli("pull", "--all-from", "alice", code=1)
    assert "alice/broken: 'alice/broken' holds no embedding" in told.stderr


def test_bits_survive_every_dialect(hub: HubServer, home: Path) -> None:
    from tireg.dialects import read_file

    record, _ = word()
    keep(home)
    publish(PublishRequest("my-cat", REPO), home=home)
    repo = hub.hub.repos[REPO]
    tree = repo.resolve("main").tree
    tools = [p for p in tree if p.endswith(".safetensors") and not p.startswith("versions/")]
    assert len(tools) == 4
    for path in tools:
        file = home / path.replace("/", "-")
        file.write_bytes(repo.read(tree[path]))
        (found,) = read_file(file).embeddings
        assert found.tensor_hash == record.tensor_hash, path


def test_what_was_asked_wrongly_says_what_to_type(
    hub: HubServer, home: Path, there: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("my-cat", "my-dog")):
        keep(home, name, number)
        publish(PublishRequest(name, "club/all", folder=name), home=home)
    monkeypatch.setenv("TIREG_HOME", str(there))
    for asked, sentence in (
        (("club/all", "--folder", "bird"), "next: tireg pull club/all --folder my-cat"),
        (("club/all", "--as", "x"), "next: tireg pull club/all --folder my-cat --as x"),
        (("--all-from", "nobody"), "'nobody' has no embedding on the Hub"),
        (("--all-from", "club", "--as", "x"), "go with one repository"),
        (("club/all@never",), "'club/all' has no such revision"),
    ):
        assert sentence in run_cli("pull", *asked, code=2).stderr
    assert "pulled" in run_cli("pull", "--all-from", "club", code=0).stdout
    assert "here already" in run_cli("pull", "--all-from", "club", code=0).stderr


def test_all_of_a_repository_is_held_only_within_bounds(
    hub: HubServer, home: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tireg.workflows import pull as workflow

    for number, name in enumerate(("my-cat", "my-dog")):
        keep(home, name, number)
        publish(PublishRequest(name, "club/all", folder=name), home=home)
    monkeypatch.setattr(workflow, "HELD_BYTES", 12_000)
    with pytest.raises(HubError, match="more than 12000 bytes together") as caught:
        pull("club/all", home=there)
    assert "--folder" in caught.value.hint
    assert not there.exists()
    assert pull("club/all", home=there, folder="my-dog")[0].added
