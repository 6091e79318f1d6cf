"""A repository at one commit: which files it has, and their bytes, proven by their hashes."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tireg.errors import HubError, InputError
from tireg.hub.session import Hub

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
COMMIT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
FILES = 20_000
FILE_BYTES = 100_000_000


@dataclass(frozen=True)
class RemoteFile:
    """A file as the tree tells of it: ``sha256`` for large files, else git's id of the blob."""

    path: str
    size: int
    git: str
    sha256: str | None = None

    def holds(self, data: bytes) -> bool:
        """Whether the file's bytes are exactly ``data``."""
        if len(data) != self.size:
            return False
        if self.sha256 is not None:
            return hashlib.sha256(data).hexdigest() == self.sha256
        return git_blob(data) == self.git


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit, which never changes."""

    repo: str
    commit: str
    files: Mapping[str, RemoteFile]
    info: Mapping[str, Any]

    def folder(self, prefix: str) -> dict[str, RemoteFile]:
        """The files below ``prefix`` (``""`` or ending in ``/``), by their path inside it."""
        return {p[len(prefix) :]: f for p, f in self.files.items() if p.startswith(prefix)}


def git_blob(data: bytes) -> str:
    """The id git gives a blob with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def check_repo(repo: str) -> str:
    """``repo`` if it has the form owner/name, else InputError."""
    if REPO_ID.fullmatch(repo) is None or ".." in repo or "--" in repo:
        raise InputError(
            f"'{repo}' is no name of a repository on the Hub", hint="write it like me/my-cat"
        )
    return repo


def snapshot(hub: Hub, repo: str, revision: str | None = None) -> Snapshot:
    """The repository at a branch, tag or commit (None: its main branch).

    InputError when there is none, HubError when the server tells of impossible ids or files.
    """
    info = hub.json(
        "models", *check_repo(repo).split("/"), "revision", revision or "main", about=repo
    )
    commit = info.get("sha") if isinstance(info, dict) else None
    if not isinstance(commit, str) or COMMIT_ID.fullmatch(commit) is None:
        raise _liar(hub, f"names an impossible commit of '{repo}'")
    rows = hub.pages(
        "models", *repo.split("/"), "tree", commit,
        query={"recursive": "true", "expand": "false"}, about=repo, limit=FILES + 1,
    )  # fmt: skip
    files: dict[str, RemoteFile] = {}
    for row in rows:
        if isinstance(row, dict) and row.get("type") == "file":
            file = _file(hub, repo, row)
            files[file.path] = file
    if len(files) > FILES:
        raise HubError(f"'{repo}' has more than {FILES} files, which no embedding has")
    return Snapshot(repo, commit, files, info)


def _file(hub: Hub, repo: str, row: Mapping[str, Any]) -> RemoteFile:
    path, size, git = row.get("path"), row.get("size"), row.get("oid")
    large = row.get("lfs")
    sha = large.get("oid") or large.get("sha256") if isinstance(large, dict) else None
    sound = (
        isinstance(path, str)
        and type(size) is int
        and 0 <= size < 1 << 53
        and isinstance(git, str)
        and COMMIT_ID.fullmatch(git) is not None
        and (large is None or (isinstance(sha, str) and SHA256.fullmatch(sha) is not None))
    )
    if not sound or not _safe(str(path)):
        raise _liar(hub, f"tells of a file in '{repo}' that cannot be")
    return RemoteFile(str(path), int(str(size)), str(git), sha)


def _safe(path: str) -> bool:
    steps = path.split("/")
    return (
        0 < len(path) <= 1000
        and "\\" not in path
        and all(step not in ("", ".", "..") for step in steps)
        and not any(unicodedata.category(c) in ("Cc", "Cs") for c in path)
    )


def _liar(hub: Hub, what: str) -> HubError:
    return HubError(f"'{hub.endpoint}' {what}", hint="this server cannot be trusted")


def check_total(at: Snapshot, paths: Iterable[str], limit: int, what: str) -> None:
    """HubError when these files of a repository, all of which will be held, exceed ``limit``
    bytes together."""
    total = sum(at.files[path].size for path in paths if path in at.files)
    if total > limit:
        raise HubError(
            f"{what} of '{at.repo}' have {total} bytes together, more than such files ever have"
        )


def read(hub: Hub, at: Snapshot, path: str, *, limit: int = FILE_BYTES) -> bytes:
    """The bytes of one file, proven to be those the tree tells of; HubError otherwise."""
    file = at.files.get(path)
    if file is None:
        raise HubError(f"'{at.repo}' has no file '{path}'")
    if file.size > limit:
        raise HubError(
            f"'{path}' of '{at.repo}' has {file.size} bytes, more than such a file ever has"
        )
    if file.size == 0:
        return b""
    url = hub.url(*at.repo.split("/"), "resolve", at.commit, *path.split("/"))
    reply = hub.get(url, about=at.repo, limit=file.size, elsewhere=True)
    if not file.holds(reply.body):
        raise HubError(
            f"'{path}' of '{at.repo}' arrived with other bytes than the repository lists",
            hint="nothing was kept; try again, and if it stays so, do not trust that server",
        )
    return reply.body


def tags(hub: Hub, repo: str) -> dict[str, str]:
    """Tag names of a repository and their commits."""
    data = hub.json("models", *repo.split("/"), "refs", about=repo)
    rows = data.get("tags") if isinstance(data, dict) else None
    return {
        str(row["name"]): str(row["targetCommit"])
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and {"name", "targetCommit"} <= set(row)
    }
