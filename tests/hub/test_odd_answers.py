"""Answers that are no Hub's: wrong types, addresses that are none, half characters, too much."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import RunCli
from tests.hub.words import keep, word
from tireg.errors import HubError, TiregError
from tireg.hub import pulling
from tireg.hub.fetch import fetch_base
from tireg.hub.searching import Wanted
from tireg.hub.session import connect as open_hub
from tireg.hub.tree import git_blob, tags
from tireg.store.registry import Registry
from tireg.workflows.hub_search import search_hub
from tireg.workflows.pull import pull
from tireg.workflows.vectors import pack_vectors

REPO = "eve/odd"
COMMIT = "a" * 40
VECTORS = pack_vectors("<cat>", {"clip_l": np.full((1, 768), 0.01, np.float32)})
FILES = {"learned_embeds.safetensors": VECTORS}

Answer = tuple[int, dict[str, str], bytes]


class Liar:
    """A server that answers as a Hub with ``files`` would, but for what is set in ``instead``."""

    def __init__(self) -> None:
        self.files: Mapping[str, bytes] = FILES
        self.info: Any = {}
        self.rows: list[Any] | None = None
        self.instead: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.url = ""

    def answer(self, path: str) -> Answer:
        for part, answer in self.instead.items():
            if part in path:
                return answer
        if path.startswith("/api/models/") and "/tree/" in path:
            rows = self.rows if self.rows is not None else self.honest_rows()
            return as_json(rows)
        if "/resolve/" in path:
            return 200, {}, self.files[path.partition(f"/resolve/{COMMIT}/")[2]]
        if "/refs" in path:
            return as_json({"tags": 5})
        if path == "/api/models":
            return as_json(self.rows or [])
        return as_json({"id": REPO, "sha": COMMIT, **self.info})

    def honest_rows(self) -> list[Any]:
        return [row(path, len(data), git_blob(data)) for path, data in self.files.items()]


def as_json(data: Any) -> Answer:
    return 200, {}, json.dumps(data).encode()


def row(path: str = "learned_embeds.safetensors", size: Any = 1, oid: str = "b" * 40) -> Any:
    return {"type": "file", "path": path, "size": size, "oid": oid}


@pytest.fixture
def liar(connect: Callable[[str], None]) -> Iterator[Liar]:
    found = Liar()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found.asked.append(path)
            status, headers, body = found.answer(path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        connect(found.url)
        yield found
        server.shutdown()
        thread.join()


def refused(home: Path, sentence: str) -> None:
    with pytest.raises(TiregError, match=sentence):
        pull(REPO, home=home)
    with Registry.open(home, create=False) as registry:
        assert registry.list() == []


def test_an_honest_answer_is_taken(liar: Liar, home: Path) -> None:
    (pulled,) = pull(REPO, home=home)
    assert pulled.version.record.token == "<cat>"


NO_ADDRESS = [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "http://[bad/", "http://x:abc/", "http://x:99999/",
    "http://" + "a" * 300 + ".example/",
]  # fmt: skip


@pytest.mark.parametrize("target", NO_ADDRESS)
@pytest.mark.parametrize("where", ["/revision/", "/resolve/", "next"])
def test_redirects_to_no_address(liar: Liar, home: Path, where: str, target: str) -> None:
    if where == "next":
        liar.instead["/tree/"] = (200, {"link": f'<{target}>; rel="next"'}, b"[]")
    else:
        liar.instead[where] = (302, {"location": target}, b"")
    refused(home, "sends on to what is no address")


@pytest.mark.parametrize("size", [True, 1.5, -1, "7", None, 10**300, [1]])
def test_sizes_that_are_none(liar: Liar, home: Path, size: Any) -> None:
    liar.rows = [row(size=size)]
    refused(home, "a file in .* that cannot be")


@pytest.mark.parametrize("body", [b"[" * 300_000, b'{"a":' * 300_000, b"1" * 9000, b"\xff\xfe"])
def test_answers_that_cannot_be_parsed(liar: Liar, home: Path, body: bytes) -> None:
    for where in ("/revision/", "/tree/"):
        liar.instead = {where: (200, {}, body)}
        refused(home, "does not answer like a Hub")


def test_a_tree_without_end_is_not_kept(
    liar: Liar, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tireg.hub.tree.FILES", 50)
    liar.rows = [row(f"{number}.pt") for number in range(60)]
    refused(home, "has more than 50 files")


def test_what_is_held_at_once_is_bounded(
    liar: Liar, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file may be in bounds, and all of them together more than there is memory."""
    liar.rows = [row(f"{number}.pt", pulling.FOREIGN_BYTES) for number in range(20)]
    refused(home, "the embedding files of 'eve/odd' have 400000000 bytes together")
    liar.rows = [row(f"{number}/versions.json", 3_000_000) for number in range(40)]
    refused(home, "the lists of versions of 'eve/odd' have 120000000 bytes together")
    record, objects = word()
    liar.files = published(record.canonical(), record.sha256, objects)
    monkeypatch.setattr(pulling, "PACKAGE_TOTAL", 2000)
    liar.rows = None
    refused(home, "the files of one version of 'eve/odd' have")
    assert not any("/files/" in path for path in liar.asked)


def published(raw: bytes, sha: str, objects: Mapping[str, bytes]) -> dict[str, bytes]:
    """A repository of tireg's with one version, whose record has the bytes ``raw``."""
    index = {
        "format_version": 1, "name": "my-cat", "token": "<my-cat>", "current": sha, "files": {},
        "versions": [{"record": sha, "tensor_hash": "0" * 64, "tag": "v1", "created": "now"}],
    }  # fmt: skip
    top = f"versions/{sha[:16]}"
    names = ("01-embedding.safetensors", "02-preview.png")
    files = dict(zip((f"{top}/files/{name}" for name in names), objects.values(), strict=True))
    return {"versions.json": json.dumps(index).encode(), f"{top}/tireg.json": raw, **files}


def test_half_characters_are_no_text(liar: Liar, home: Path) -> None:
    """An escape for half a character is valid JSON, and nothing could write it down again."""
    import hashlib

    record, objects = word()
    raw = record.canonical().replace(b'"creativeml-openrail-m"', b'"\\ud800"')
    assert raw != record.canonical()
    liar.files = published(raw, hashlib.sha256(raw).hexdigest(), objects)
    refused(home, "holds half a character")
    index = liar.files["versions.json"].replace(b'"my-cat"', b'"\\uDFFF"')
    liar.files = {**liar.files, "versions.json": index}
    refused(home, r"versions\.json of 'eve/odd' holds half a character")


def test_a_card_that_hides_characters_is_not_quoted(liar: Liar, home: Path) -> None:
    card = {"base_model": "some/base\u202e", "license": "mit\n\u001b[31m\ud800"}
    liar.info = {"cardData": card}
    (pulled,) = pull(REPO, home=home)
    assert (pulled.version.record.base, pulled.version.record.license) == (None, None)


ODD_ROWS: list[dict[str, Any]] = [
    {"tags": 5}, {"tags": True}, {"likes": 10**400, "downloads": 10**400}, {"likes": True},
    {"cardData": {"model-index": [{"results": [{"metrics": [{"type": "x", "value": 10**400}]}]}]}},
    {"cardData": {"model-index": [{"results": [{"metrics": [{"type": "x", "value": 1e999}]}]}]}},
    {"cardData": {"base_model": [[1]], "license": {}, "instance_prompt": []}},
]  # fmt: skip


def test_listings_with_odd_values(liar: Liar, home: Path, run_cli: RunCli) -> None:
    plain = {"id": "eve/cat", "sha": COMMIT, "tags": ["textual_inversion"], "cardData": {}}
    liar.rows = [{**plain, "id": f"eve/cat-{n}", **odd} for n, odd in enumerate(ODD_ROWS)]
    rows = search_hub(Wanted("cat"), home=home)
    assert len(rows) == len(ODD_ROWS)
    assert {r["likes"] for r in rows} == {r["downloads"] for r in rows} == {0}
    assert [r["scores"] for r in rows] == [{}] * len(rows)
    assert run_cli("search", "--hub", "cat", code=0).stdout.count("eve/cat-") == len(rows)
    assert tags(open_hub(), REPO) == {}


ODD_BASES: list[Answer] = [
    (200, {}, b"<html>"),
    (200, {}, b"[" * 100_000),
    as_json([1]),
    as_json({"id": REPO, "sha": COMMIT, "siblings": 5}),
    as_json({"id": REPO, "sha": COMMIT, "siblings": [5]}),
    as_json({"id": REPO, "sha": COMMIT, "siblings": [], "lastModified": "soon"}),
]


@pytest.mark.parametrize("number", range(len(ODD_BASES)))
def test_bases_from_what_is_no_hub(liar: Liar, number: int) -> None:
    liar.instead["/api/models/"] = ODD_BASES[number]
    with pytest.raises(HubError, match="does not answer like a Hub") as caught:
        fetch_base(REPO)
    assert caught.value.hint == "check HF_ENDPOINT"


def test_scores_others_left_that_cannot_be_written_down(
    liar: Liar, home: Path, run_cli: RunCli
) -> None:
    """A publish reads the scores beside its version, for the card."""
    version = keep(home)
    path = f"versions/{version.record_sha[:16]}/scores/{'c' * 16}.json"
    for raw in (b'{"suite": "\\ud800"}', b"[" * 100_000, b"\xff", b'{"format_version": 99}'):
        liar.files = {path: raw}
        told = run_cli("publish", "my-cat", REPO, "--dry-run", code=0)
        assert "tireg.json" in told.stdout
