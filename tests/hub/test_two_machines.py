"""The whole way between two machines: learned, shared, found, fetched, scored again, in step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunCli
from tests.hubserver import HubServer
from tireg.shapes import scorer_path
from tireg.store.registry import Registry
from tireg.workflows.vectors import unpack_vectors

SUITE = """
format_version: 1
name: small
version: 1
kind: object
title: "Small"
source: "Written for this test."
seeds: [0, 1]
prompts:
  - {id: red, text: "a photo of a {concept} on a red background", role: background,
     context: "a red background", background: ["red"]}
  - {id: left, text: "a photo of a {concept} on the left", role: composition,
     context: "on the left"}
  - {id: free, text: "a photo of a blue square", role: neutral}
"""


def vectors(home: Path) -> dict[str, bytes]:
    with Registry.open(home) as registry:
        record = registry.resolve("ball").record
        file = record.file("embedding")
        assert file is not None
        rows = unpack_vectors(record, registry.objects.read(file.sha256))
    return {key: value.tobytes() for key, value in rows.items()}


def test_from_one_machine_to_another(
    hub: HubServer, home: Path, tmp_path: Path, tiny_sd1: Path, pictures: Path, run_cli: RunCli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    suite = tmp_path / "small.yaml"
    suite.write_text(SUITE)
    ask = ("--suite", suite, "--encoder", scorer_path(), "--steps", "2", "--size", "64", "--json")

    def scored(*more: str | Path) -> Any:
        return json.loads(run_cli("eval", "ball", *ask, *more, code=0).stdout)

    def show() -> Any:
        return json.loads(run_cli("show", "ball", "--json", code=0).stdout)

    run_cli(
        "train", pictures, "--base", tiny_sd1, "--name", "ball", "--token", "<ball>", "--init",
        "cat", "--kind", "object", "--steps", "3", "--batch", "2", "--resolution", "64",
        "--keep-anyway", code=0,
    )  # fmt: skip
    first = scored()
    run_cli("publish", "ball", "alice/ball", "--license", "openrail", code=0)
    mine, my_vectors = show(), vectors(home)
    run_cli("remote", "add", "hub", "alice", code=0)
    assert "everything is in step" in run_cli("sync", code=0).stderr

    there = tmp_path / "there"
    monkeypatch.setenv("TIREG_HOME", str(there))
    found = json.loads(run_cli("search", "--hub", "ball", "--json", code=0).stdout)
    assert [(row["repo"], row["token"]) for row in found] == [("alice/ball", "<ball>")]
    run_cli("pull", "alice/ball", code=0)
    theirs = show()
    assert theirs["record_sha256"] == mine["record_sha256"]
    assert theirs["scores"] == mine["scores"]
    assert vectors(there) == my_vectors
    verdict = json.loads(run_cli("compat", "ball", tiny_sd1, "--json", code=0).stdout)
    assert verdict["verdict"] == "exact"
    again = scored("--base", tiny_sd1)
    assert {s["metric"] for s in again["scores"]} == {s["metric"] for s in first["scores"]}
    assert any(s["value"] is not None for s in again["scores"])
    run_cli("remote", "add", "hub", "alice", code=0)
    run_cli("sync", code=0)
    assert "everything is in step" in run_cli("sync", code=0).stderr
    monkeypatch.setenv("TIREG_HOME", str(home))
    run_cli("sync", code=0)
    assert "everything is in step" in run_cli("sync", code=0).stderr
