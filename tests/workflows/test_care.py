"""Care of the registry from the command line: labels, trash, checks, repair, looking over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunCli
from tests.store import make
from tests.store.compare import assert_rebuilds
from tireg.store.registry import Registry
from tireg.workflows import care

Json = Callable[..., Any]


@pytest.fixture
def run_json(run_cli: RunCli) -> Json:
    """What a command prints with --json; it must succeed."""

    def run(*args: str, code: int = 0) -> Any:
        return json.loads(run_cli(*args, "--json", code=code).stdout)

    return run


@pytest.fixture
def words(home: Path) -> Path:
    """A home with my-cat (two versions, the first scored) and a dog."""
    with Registry.open(home) as registry:
        registry.add(*make.record())
        registry.add(*make.record(seed="two"))
        registry.add(*make.record("dog", license="mit"), tags=["pet"])
        registry.add_run(*make.run(make.record()[0]))
    return home


def names(run_json: Json) -> set[str]:
    return {row["name"] for row in run_json("list")}


def test_tags_are_added_searched_and_taken_away(
    run_cli: RunCli, run_json: Json, words: Path
) -> None:
    assert run_cli("tag", "my-cat", "red", "Fluffy one", code=0).stdout == (
        "my-cat: Fluffy one, red\n"
    )
    assert [r["name"] for r in run_json("search", "--tag", "red")["rows"]] == ["my-cat"]
    assert run_cli("tag", "my-cat", "red", "--remove", code=0).stdout == "my-cat: Fluffy one\n"
    assert run_cli("tag", "my-cat", "Fluffy one", "--remove").stdout == "my-cat: no tags\n"
    assert "the tag 'a,b' cannot be used" in run_cli("tag", "my-cat", "a,b", code=2).stderr
    run_cli("tag", "my-cat", code=2)


def test_an_alias_names_a_version_until_forgotten(
    run_cli: RunCli, run_json: Json, words: Path
) -> None:
    assert run_cli("alias", "my-cat@1", "best", code=0).stdout == "my-cat@best is my-cat@1\n"
    assert run_json("show", "my-cat@best")["version"] == 1
    run_cli("alias", "my-cat@2", "best", code=0)
    assert run_json("show", "my-cat@best")["version"] == 2
    assert "cannot be an alias" in run_cli("alias", "my-cat", "3", code=2).stderr
    run_cli("alias", "my-cat", "best", "--remove", code=0)
    run_cli("show", "my-cat@best", code=2)
    again = run_cli("alias", "my-cat", "best", "--remove", code=2)
    assert again.stderr == "error: 'my-cat' has no alias 'best'\nnext: tireg show my-cat\n"


def test_a_note_is_kept_found_and_removed(run_cli: RunCli, run_json: Json, words: Path) -> None:
    assert run_cli("note", "dog", "barks at zeppelins", code=0).stdout == "dog: noted\n"
    assert run_json("show", "dog")["notes"] == "barks at zeppelins"
    assert [r["name"] for r in run_json("search", "zeppelin")["rows"]] == ["dog"]
    assert run_cli("note", "dog", "", code=0).stdout == "dog: no notes\n"
    assert run_json("show", "dog")["notes"] == ""


def test_rename_takes_everything_along(run_cli: RunCli, run_json: Json, words: Path) -> None:
    run_cli("alias", "my-cat@1", "best", code=0)
    assert run_cli("rename", "my-cat@1", "tom", code=0).stdout == "my-cat is now tom\n"
    assert run_json("show", "tom@best")["version"] == 1
    taken = run_cli("rename", "tom", "dog", code=2)
    assert taken.stderr.startswith("error: 'dog' is already the embedding with the token '<dog>'")
    assert names(run_json) == {"tom", "dog"}


def test_rm_is_undoable_until_gc(run_cli: RunCli, run_json: Json, words: Path) -> None:
    gone = run_cli("rm", "my-cat", "my-cat@1", "dog@1", code=0)
    assert sorted(gone.stdout.splitlines()) == [
        "dog@1 removed",
        "my-cat@1 removed",
        "my-cat@2 removed",
    ]
    assert names(run_json) == set()
    assert {(r["name"], r["version"]) for r in run_json("list", "--trash")} == {
        ("my-cat", 1), ("my-cat", 2), ("dog", 1),
    }  # fmt: skip
    command = gone.stderr.rpartition("next: tireg ")[2].split()
    back = run_cli(*command, code=0)
    assert back.stdout == "dog@1 restored\nmy-cat@1 restored\nmy-cat@2 restored\n"
    assert names(run_json) == {"my-cat", "dog"}
    assert run_json("list", "--trash") == []
    unmoved = run_cli("restore", "dog", code=2)
    assert unmoved.stderr == "error: 'dog' is not in the trash\nnext: tireg list --trash\n"
    run_cli("rm", "my-cat", code=0)
    run_cli("restore", "my-cat@1", "ghost", code=2)
    assert names(run_json) == {"dog"}, "nothing comes back if one is unknown"
    run_cli("restore", "my-cat@1", code=0)
    assert run_json("show", "my-cat")["version"] == 1
    assert run_json("gc")["versions"] == ["my-cat@2"]
    assert "no version '2'" in run_cli("restore", "my-cat@2", code=2).stderr
    run_cli("verify", code=0)


def test_gc_says_what_would_go_and_spares_what_is_young(
    run_cli: RunCli, run_json: Json, words: Path
) -> None:
    run_cli("rm", "dog", code=0)
    would = run_json("gc", "--dry-run")
    assert (would["versions"], would["files"], would["dry_run"]) == (["dog@1"], 3, True)
    assert "dog@1 would go" in run_cli("gc", "--dry-run", code=0).stdout
    assert run_json("gc", "--older-than", "1")["versions"] == []
    assert len(run_json("list", "--trash")) == 1
    before = {f for f in words.rglob("*.*") if f.suffix == ".json"}
    text = run_cli("gc", "--older-than", "0", code=0).stdout
    assert text.startswith("dog@1 gone\n3 files removed, "), "as many as the dry run said"
    gone = before - {*words.rglob("*.json")}
    assert {f.parent.name for f in gone} == {"records", "state"}
    run_cli("gc", "--older-than", "-1", code=2)


def test_a_damaged_word_can_be_removed(run_cli: RunCli, run_json: Json, words: Path) -> None:
    (words / "records" / f"{make.record('dog')[0].sha256}.json").unlink(missing_ok=True)
    for path in (words / "records").iterdir():
        path.write_text("{}")
    assert {p["trouble"] for p in run_json("verify", code=1)["problems"]} == {"changed"}
    run_cli("rm", "dog", "my-cat@1", code=0)
    run_cli("restore", "dog", code=0)


@pytest.mark.parametrize("make_home", [False, True], ids=["not there", "empty"])
def test_a_home_without_a_registry_is_in_order(
    run_cli: RunCli, run_json: Json, home: Path, make_home: bool
) -> None:
    if make_home:
        home.mkdir()
    assert run_json("verify")["ok"] is True
    assert "nothing is wrong" in run_cli("verify", code=0).stderr
    for flags in ([], ["--repair"], ["--rebuild"]):
        assert run_json("doctor", *flags)["done"] == []
    assert run_json("gc")["files"] == 0
    assert run_json("dedupe") == run_json("history") == run_json("list", "--trash") == []
    assert run_json("stats")["embeddings"] == 0
    for args in (
        ["tag", "ghost", "x"], ["alias", "ghost", "x"], ["note", "ghost", "x"], ["rm", "ghost"],
        ["rename", "ghost", "x"], ["restore", "ghost"], ["diff", "ghost", "x"],
        ["history", "ghost"], ["alias", "ghost", "x", "--remove"],
    ):  # fmt: skip
        said = run_cli(*args, code=2).stderr
        assert said.startswith("error: no embedding is called 'ghost'\nnext: "), args
    assert list(home.iterdir()) == [] if make_home else not home.exists()


def test_verify_and_doctor_name_damage(run_cli: RunCli, run_json: Json, words: Path) -> None:
    assert "problems: 0" in run_cli("verify", code=0).stdout
    with Registry.open(words) as registry:
        vectors = registry.objects.path(make.record("dog", license="mit")[0].files[0].sha256)
    vectors.write_bytes(b"other")
    found = run_json("verify", code=1)
    assert found["ok"] is False
    assert found["versions"] == 3
    assert [p["trouble"] for p in found["problems"]] == ["changed"]
    said = run_cli("verify", code=1)
    assert "'dog.safetensors' of 'dog@1' has changed" in said.stdout
    assert "next: import or pull it again, or tireg rm it" in said.stderr
    explained = run_cli("doctor", "--repair", code=1)
    assert "changed: a file holds other bytes" in explained.stdout
    assert vectors.read_bytes() == b"other", "what cannot be repaired is left"


def test_doctor_repairs_a_lost_state_file(run_cli: RunCli, run_json: Json, words: Path) -> None:
    state = words / "state" / "1.json"
    before = state.read_bytes()
    state.unlink()
    said = run_cli("doctor", code=1)
    assert "next: tireg doctor --repair" in said.stderr
    assert not state.exists(), "doctor alone changes nothing"
    assert run_json("doctor", "--repair")["done"] == ["wrote 1 state files again"]
    assert state.read_bytes() == before
    run_cli("verify", code=0)


@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_doctor_rebuilds_a_database(
    run_cli: RunCli, run_json: Json, words: Path, tmp_path: Path, damage: str
) -> None:
    run_cli("tag", "dog", "brown", code=0)
    run_cli("alias", "my-cat@1", "best", code=0)
    run_cli("rm", "my-cat@2", code=0)
    database = words / "registry.db"
    if damage == "lost":
        database.unlink()
    else:
        database.write_bytes(b"not a database at all" * 500)
    for end in ("-wal", "-shm"):
        database.with_name(database.name + end).unlink(missing_ok=True)
    for command in ("verify", "doctor"):
        said = run_cli(command, code=1)
        assert "next: tireg doctor --rebuild" in said.stderr
    run_cli("list", code=1)
    text = run_cli("doctor", "--rebuild", code=0).stdout
    assert "2 embeddings, 3 versions and 1 runs" in text
    assert ("kept the old database" in text) == (damage == "cut")
    assert set(run_json("show", "dog")["tags"]) == {"brown", "pet"}
    assert run_json("show", "my-cat@best")["version"] == 1
    assert [r["version"] for r in run_json("list", "--trash")] == [2]
    assert_rebuilds(words, tmp_path)


def test_a_rebuild_says_what_it_could_not_use(run_cli: RunCli, run_json: Json, words: Path) -> None:
    record = make.record("dog", license="mit")[0].sha256
    (words / "records" / f"{record}.json").unlink()
    found = run_json("doctor", "--rebuild", code=1)
    assert found["lost"] == [f"'dog@1': the record {record[:12]} is missing"]
    assert names(run_json) == {"my-cat"}


def test_stats_count(run_cli: RunCli, run_json: Json, words: Path) -> None:
    counts = run_json("stats")
    assert (counts["embeddings"], counts["versions"], counts["runs"]) == (2, 3, 1)
    assert counts["kinds"] == [{"name": "object", "embeddings": 2}]
    assert {row["name"] for row in counts["licenses"]} == {"apache-2.0", "mit"}
    with Registry.open(words) as registry:
        assert counts["bytes"] == sum(p.stat().st_size for _, p in registry.objects.all())
    assert len(run_json("stats", "--top", "1")["licenses"]) == 1
    text = run_cli("stats", code=0).stdout
    assert "licenses\nname" in text
    assert "pet" in text


def test_history_tells_who_changed_what(run_cli: RunCli, run_json: Json, words: Path) -> None:
    run_cli("tag", "dog", "brown", code=0)
    run_cli("rename", "dog", "rex", code=0)
    run_cli("rm", "my-cat@1", code=0)
    every = run_json("history")
    assert [e["verb"] for e in every[:3]] == ["rm", "rename", "tag"]
    assert [e["at"] for e in every] == sorted((e["at"] for e in every), reverse=True)
    assert all(e["who"] for e in every)
    rex = run_json("history", "rex", "--limit", "2")
    assert [(e["verb"], e["detail"]) for e in rex] == [("rename", "from dog"), ("tag", "brown")]
    assert "from dog" in run_cli("history", "rex", code=0).stdout


def test_diff_names_the_fields(run_cli: RunCli, run_json: Json, words: Path) -> None:
    rows = {row["field"]: row for row in run_json("diff", "my-cat@1", "dog")}
    assert (rows["license"]["left"], rows["license"]["right"]) == ("apache-2.0", "mit")
    assert (rows["token"]["left"], rows["token"]["right"]) == ("<my-cat>", "<dog>")
    assert "kind" not in rows
    text = run_cli("diff", "my-cat@1", "dog", code=0).stdout.splitlines()
    assert text[0].split() == ["field", "my-cat@1", "dog"]
    assert ["license", "apache-2.0", "mit"] in [line.split() for line in text]
    assert run_json("diff", "dog", "dog@1") == []
    assert "do not differ" in run_cli("diff", "dog", "dog@1", code=0).stderr
    run_cli("diff", "dog", code=2)


def test_dedupe_keeps_the_oldest_and_what_is_named(
    run_cli: RunCli, run_json: Json, words: Path
) -> None:
    assert run_json("dedupe") == []
    assert "nothing is here twice" in run_cli("dedupe", code=0).stderr
    with Registry.open(words) as registry:
        record, objects = make.record("dog", license="mit")
        registry.add(record, objects, name="twin")
        registry.add(record, {}, name="named")
        registry.alias("named", "best")
    would = run_json("dedupe", "--dry-run")
    assert [(r["name"], r["version"], r["same_as"]) for r in would] == [("twin", 1, "dog@1")]
    assert "twin" in names(run_json)
    said = run_cli("dedupe", code=0)
    assert ["twin", "1", "dog@1"] in [line.split() for line in said.stdout.splitlines()]
    assert said.stderr == "next: tireg restore twin@1\n"
    assert names(run_json) == {"my-cat", "dog", "named"}
    run_cli("restore", "twin@1", code=0)


def test_lookup_answers_for_forms_of_hashes(run_cli: RunCli, run_json: Json, words: Path) -> None:
    with Registry.open(words) as registry:
        record, objects = make.record("owl", seed="owl")
        registry.add(record, objects, hashes={"crc32": "0badcafe", "autov3": "ab" * 6})
    file = record.files[0].sha256
    asked = {
        record.sha256: "record",
        record.tensor_hash[:10]: "tensors",
        file[:10].upper(): "autov2",
        file: "sha256",
        "0x0BADCAFE": "crc32",
        "ab" * 6: "autov3",
    }
    for text, form in asked.items():
        rows = run_json("lookup", text)
        assert (text, "owl", form) in [(text, r["name"], r["form"]) for r in rows]
    run_cli("rm", "owl", code=0)
    assert run_json("lookup", record.sha256)[0]["trashed"]
    assert "owl" in run_cli("lookup", record.sha256, code=0).stdout
    unknown = run_cli("lookup", "1234567890", code=2).stderr
    assert unknown.startswith("error: no version here has the hash '1234567890'\nnext: ")
    assert "'owl' is not a hash" in run_cli("lookup", "owl", code=2).stderr


def test_list_shows_a_page_and_takes_all(run_cli: RunCli, run_json: Json, home: Path) -> None:
    from tireg.store.adding import Item

    with Registry.open(home) as registry:
        registry.add_many(Item(*make.record(f"n{n:03}")) for n in range(53))
    assert len(run_json("list")) == 50
    said = run_cli("list", code=0)
    assert len(said.stdout.splitlines()) == 51
    assert said.stderr == "these are the newest 50 of 53\nnext: tireg list --all\n"
    assert len(run_json("list", "--all")) == 53
    assert run_cli("list", "--all", code=0).stderr == ""
    run_cli("rm", "n000", "n001", "n002", code=0)
    assert run_cli("list", code=0).stderr == "", "a full page is not the first of several"
    many = run_cli("rm", "n003", "n004", "n005", "n006", code=0)
    assert many.stderr == "next: tireg list --trash\n"
    assert len(run_json("list", "--trash")) == 7


def test_care_loads_nothing_heavy(words: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from tireg.cli.main import cli\n"
        "for args in (['verify'], ['stats'], ['lookup', '1234567890'], ['list', '--trash']):\n"
        "    try: cli.main(args)\n"
        "    except SystemExit: pass\n"
        "print(sorted({'torch', 'scipy', 'huggingface_hub', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_verbs_answer_programs_too(words: Path) -> None:
    assert care.rename(words, "dog", "rex") == ("dog", "rex")
    assert care.alias(words, "my-cat", "newest") == "my-cat@2"
    assert care.remove(words, ["my-cat@newest", "my-cat@2"]) == [("my-cat", 2)]
    assert care.restore(words, ["my-cat@2", "my-cat"]) == [("my-cat", 2)]
