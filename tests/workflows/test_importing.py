"""``tireg import``: thousands of files of any tool, none twice, none that stops the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.conftest import RunCli
from tireg.store.registry import Registry


def embedding(path: Path, seed: int = 0, *, told: dict[str, str] | None = None) -> Path:
    rows = np.random.default_rng(seed).standard_normal((2, 768)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"emb_params": rows}, path, told)
    return path


def imported(run_cli: RunCli, *args: str | Path, code: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run_cli("import", *args, "--json", code=code).stdout)
    return found


def everything(home: Path) -> dict[str, bytes]:
    """Every file of the registry but the database's own write-ahead files."""
    return {
        str(p.relative_to(home)): p.read_bytes()
        for p in home.rglob("*")
        if p.is_file() and "registry.db-" not in p.name
    }


def test_a_file_becomes_a_record_with_its_original(
    run_cli: RunCli, tmp_path: Path, home: Path
) -> None:
    file = embedding(tmp_path / "my cat.safetensors", told={"modelspec.author": "me"})
    (line,) = imported(run_cli, file)
    assert (line["result"], line["name"]) == ("taken", "my-cat")
    with Registry.open(home) as registry:
        record = registry.resolve("my-cat").record
        original = record.file("original")
        assert original is not None
        assert registry.objects.read(original.sha256) == file.read_bytes()
        assert original.name == "my cat.safetensors"
        hits = {m.form for m in registry.lookup(original.sha256[:10])}
        assert hits
    assert (record.source.how, record.source.sha256) == ("imported", original.sha256)
    assert record.author == "me"
    assert [(t.encoder, t.vectors, t.width) for t in record.tensors] == [("clip_l", 2, 768)]
    assert record.families[0] == "sd1"


def test_imported_vectors_go_out_again_bit_for_bit(run_cli: RunCli, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    file = embedding(tmp_path / "cat.safetensors")
    imported(run_cli, file)
    target = tmp_path / "out.safetensors"
    run_cli("export", "cat", "--to", "diffusers", "--out", target, code=0)
    (rows,) = load_file(target).values()
    assert np.array_equal(rows, load_file(file)["emb_params"])


def test_a_second_run_changes_nothing(run_cli: RunCli, tmp_path: Path, home: Path) -> None:
    for number in range(5):
        embedding(tmp_path / "many" / f"e{number}.safetensors", number)
    assert {line["result"] for line in imported(run_cli, tmp_path / "many")} == {"taken"}
    before = everything(home)
    again = imported(run_cli, tmp_path / "many")
    assert {line["result"] for line in again} == {"duplicate"}
    assert all("it is here as" in line["reason"] for line in again)
    after = everything(home)
    assert before.keys() == after.keys()
    assert [n for n in before if before[n] != after[n]] == []


def test_bad_files_stop_nothing(run_cli: RunCli, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    embedding(folder / "a.safetensors", 1)
    (folder / "b.safetensors").write_bytes(b"garbage")
    (folder / "c.pt").write_bytes(b"\x80\x02cos\nsystem\nq\x00.")
    (folder / "d.txt").write_text("not looked at")
    embedding(folder / "e.safetensors", 2)
    lines = imported(run_cli, folder, tmp_path / "missing.pt")
    assert [line["result"] for line in lines] == ["taken", "refused", "refused", "taken", "refused"]
    assert all(line["reason"] for line in lines if line["result"] == "refused")
    shown = run_cli("import", folder, code=0)
    assert "0 taken, 2 here already, 2 refused" in shown.stdout


def test_all_refused_is_exit_code_2(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "b.safetensors").write_bytes(b"garbage")
    assert imported(run_cli, tmp_path / "b.safetensors", code=2)[0]["result"] == "refused"


def test_copies_in_another_dialect_are_one(run_cli: RunCli, tmp_path: Path) -> None:
    file = embedding(tmp_path / "one.safetensors")
    imported(run_cli, file)
    for dialect in ("webui", "original"):
        target = tmp_path / f"{dialect}.pt"
        run_cli("export", "one", "--to", dialect, "--out", target, "--lossy", code=0)
        (line,) = imported(run_cli, target)
        assert (line["result"], line["name"]) == ("duplicate", "one"), dialect


def test_the_same_name_twice_gets_a_suffix(run_cli: RunCli, tmp_path: Path) -> None:
    embedding(tmp_path / "a" / "cat.safetensors", 1)
    embedding(tmp_path / "b" / "cat.safetensors", 2)
    lines = imported(run_cli, tmp_path, "--recursive")
    assert [line["result"] for line in lines] == ["taken", "taken"]
    assert lines[0]["name"] == "cat"
    assert lines[1]["name"].startswith("cat-")


def test_patterns_and_recursion(run_cli: RunCli, tmp_path: Path) -> None:
    embedding(tmp_path / "x1.safetensors", 1)
    embedding(tmp_path / "sub" / "x2.safetensors", 2)
    assert len(imported(run_cli, tmp_path / "*.safetensors")) == 1
    assert len(imported(run_cli, tmp_path / "**" / "*.safetensors")) == 2
    assert len(imported(run_cli, tmp_path)) == 1
    (line,) = imported(run_cli, tmp_path / "no*.pt", code=2)
    assert line["result"] == "refused"


def test_a_name_is_for_one(run_cli: RunCli, tmp_path: Path) -> None:
    embedding(tmp_path / "a.safetensors", 1)
    embedding(tmp_path / "b.safetensors", 2)
    assert imported(run_cli, tmp_path / "a.safetensors", "--name", "mine")[0]["name"] == "mine"
    assert "leave --name out" in run_cli("import", tmp_path, "--name", "x", code=2).stderr
    assert run_cli("import", tmp_path / "b.safetensors", "--name", "a/b", code=2).stderr


def test_notes_and_previews_of_other_managers(run_cli: RunCli, tmp_path: Path, home: Path) -> None:
    from PIL import Image

    embedding(tmp_path / "cat.safetensors")
    note = {"baseModel": "SD 1.5", "trainedWords": ["my cat"], "name": "v2",
            "model": {"name": "Cat", "tags": ["animal"]}}  # fmt: skip
    (tmp_path / "cat.civitai.info").write_text(json.dumps(note))
    Image.new("RGB", (8, 8), "red").save(tmp_path / "cat.preview.png")
    imported(run_cli, tmp_path)
    with Registry.open(home) as registry:
        version = registry.resolve("cat")
    record = version.record
    assert record.metadata["sidecar.words"] == "my cat"
    assert record.metadata["sidecar.base"] == "SD 1.5"
    assert record.tags == ("animal",)
    assert record.file("preview") is not None


def test_a_note_about_another_file_is_left_out(run_cli: RunCli, tmp_path: Path, home: Path) -> None:
    embedding(tmp_path / "cat.safetensors")
    note = {"trainedWords": ["x"], "files": [{"hashes": {"SHA256": "AB" * 32}}]}
    (tmp_path / "cat.civitai.info").write_text(json.dumps(note))
    (line,) = imported(run_cli, tmp_path)
    assert any("another file" in warning for warning in line["warnings"])
    with Registry.open(home) as registry:
        assert "sidecar.words" not in registry.resolve("cat").record.metadata


def test_several_tokens_in_a_file_are_several_embeddings(run_cli: RunCli, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((2, 768)).astype(np.float32)
    save_file({"<a>": rows[:1], "<b>": rows[1:]}, tmp_path / "two.safetensors")
    lines = imported(run_cli, tmp_path / "two.safetensors")
    assert [line["token"] for line in lines] == ["<a>", "<b>"]
    assert len({line["name"] for line in lines}) == 2


def test_our_own_file_brings_its_record_back(
    run_cli: RunCli, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.store import make
    from tireg.domain.tensors import tensor_hash
    from tireg.workflows.vectors import describe, pack_vectors

    rows = {"clip_l": np.ones((2, 768), np.float32)}
    data = pack_vectors("<own>", rows)
    file = (
        make.record()[0].files[0].model_copy(update={"sha256": make.sha(data), "bytes": len(data)})
    )
    record, _ = make.record("own", token="<own>", tensors=describe(rows), files=(file,),
                            tensor_hash=tensor_hash(rows))  # fmt: skip
    with Registry.open(home) as registry:
        registry.add(record, {file.sha256: data})
    out = tmp_path / "own.safetensors"
    run_cli("export", "own", "--to", "diffusers", "--out", out, code=0)
    monkeypatch.setenv("TIREG_HOME", str(tmp_path / "elsewhere"))
    imported(run_cli, out)
    with Registry.open(tmp_path / "elsewhere") as registry:
        back = registry.resolve("own").record
    assert back.base == record.base
    assert (back.kind, back.class_noun) == (record.kind, record.class_noun)
    assert back.source.how == "imported"


def test_importing_needs_no_torch(tmp_path: Path, home: Path) -> None:
    import os
    import subprocess
    import sys

    from tests.conftest import ROOT

    embedding(tmp_path / "a.safetensors")
    code = (
        "import sys; from pathlib import Path; from tireg.workflows.importing import import_files;"
        f"import_files(Path({str(home)!r}), [{str(tmp_path / 'a.safetensors')!r}]);"
        "assert 'torch' not in sys.modules"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)


def test_one_token_under_two_names_is_told(run_cli: RunCli, tmp_path: Path) -> None:
    told = {"tireg.token": "<cat>"}
    first = embedding(tmp_path / "first.safetensors", 1, told={**told, "tireg.name": "first"})
    second = embedding(tmp_path / "second.safetensors", 2, told={**told, "tireg.name": "second"})
    third = embedding(tmp_path / "third.safetensors", 3, told={"tireg.token": "<cats>"})
    (line,) = imported(run_cli, first)
    assert line["warnings"] == []
    (line,) = imported(run_cli, second)
    assert line["warnings"] == ["its token <cat> is also that of first: load one at a time"]
    (line,) = imported(run_cli, third)
    assert line["warnings"] == []
    stars = [embedding(tmp_path / f"{n}.safetensors", n, told={"tireg.token": "*"}) for n in (4, 5)]
    assert [line["warnings"] for line in imported(run_cli, *stars)] == [[], []]


def test_a_folder_without_embeddings_is_wrong_input(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for command in ("inspect", "import"):
        done = run_cli(command, tmp_path / "empty", code=2)
        assert "there is no embedding file in" in done.stderr
        assert "next: --recursive" in done.stderr
        assert done.stdout == ""
    assert json.loads(run_cli("inspect", tmp_path / "empty", "--json", code=2).stdout) == []


def test_a_refused_file_says_what_to_do_next(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "notes.pt").write_text("hello")
    for command in ("inspect", "import"):
        done = run_cli(command, tmp_path / "notes.pt", code=2)
        assert "plain text" in done.stdout
        assert "next: tireg" in done.stderr


def test_numbers_beyond_every_checksum_are_taken(run_cli: RunCli, tmp_path: Path) -> None:
    """A1111's checksum multiplies by 100, which such numbers do not survive."""
    rows = np.full((1, 768), 3e38, np.float32)
    save_file({"emb_params": rows}, tmp_path / "huge.safetensors")
    (line,) = imported(run_cli, tmp_path / "huge.safetensors")
    assert line["result"] == "taken"
