"""Repositories with a git-like history, in memory: commits, trees, blobs, branches, tags."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

EMPTY_ATTRIBUTES = "".join(
    f"*.{end} filter=lfs diff=lfs merge=lfs -text\n"
    for end in ("bin", "ckpt", "pt", "pth", "safetensors", "zip", "npz")
)
LFS_ENDS = (".bin", ".ckpt", ".pt", ".pth", ".safetensors", ".zip", ".npz", ".png", ".jpg")
LFS_SIZE = 10_000_000


class Refused(Exception):
    """An answer other than success: status, code of the X-Error-Code header, words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def git_blob(data: bytes) -> str:
    """The id git gives a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True)
class Entry:
    """One file of a tree; ``oid`` is git's, ``lfs`` the sha256 where it is a large file."""

    path: str
    oid: str
    size: int
    lfs: str | None = None

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": "file",
            "oid": self.oid,
            "size": self.size,
            "path": self.path,
        }
        if self.lfs:
            pointer = len(lfs_pointer(self.lfs, self.size))
            found["lfs"] = {"oid": self.lfs, "size": self.size, "pointerSize": pointer}
        return found


def lfs_pointer(sha: str, size: int) -> bytes:
    """What git itself holds for a large file."""
    return (f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {size}\n").encode()


@dataclass(frozen=True)
class Commit:
    """One commit and the whole tree it stands for."""

    oid: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    tree: dict[str, Entry]


@dataclass
class Repo:
    """One model repository."""

    id: str
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    likes: int = 0
    downloads: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def owner(self) -> str:
        return self.id.partition("/")[0]

    def resolve(self, revision: str) -> Commit:
        """The commit a branch, tag or id means."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.branches.get(name) or self.tags.get(name) or name
        if oid in self.commits:
            return self.commits[oid]
        if len(name) >= 7:
            near = [c for c in self.commits if c.startswith(name)]
            if len(near) == 1:
                return self.commits[near[0]]
        raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def history(self, revision: str) -> list[Commit]:
        """Newest first."""
        found, oid = [], self.resolve(revision).oid
        while oid:
            commit = self.commits[oid]
            found.append(commit)
            oid = commit.parent or ""
        return found

    def read(self, entry: Entry) -> bytes:
        return self.blobs[entry.lfs or entry.oid]

    def commit(
        self,
        branch: str,
        *,
        author: str,
        title: str,
        message: str = "",
        parent: str | None = None,
        operations: list[dict[str, Any]],
    ) -> Commit:
        """Apply operations on a branch, all or nothing; 412 when ``parent`` is not its head."""
        with self.lock:
            head = self.branches.get(branch)
            if head is None and self.commits:
                raise Refused(404, "RevisionNotFound", f"Invalid rev id: {branch}")
            if parent is not None and parent != head:
                raise Refused(412, "", "A commit has happened since. Please refresh and try again.")
            tree = dict(self.commits[head].tree) if head else {}
            for operation in operations:
                self._apply(tree, operation["key"], operation["value"])
            return self._add(branch, tree, author, title, message)

    def _apply(self, tree: dict[str, Entry], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if path.startswith("/") or ".." in path.split("/") or "\\" in path:
            raise Refused(400, "", f"invalid path '{path}'")
        if key == "file":
            import base64

            data = base64.b64decode(value["content"])
            oid = git_blob(data)
            self.blobs[oid] = data
            tree[path] = Entry(path, oid, len(data))
        elif key == "lfsFile":
            sha = value["oid"]
            if sha not in self.blobs:
                raise Refused(400, "", f"LFS pointer pointed to a file that does not exist: {path}")
            size = len(self.blobs[sha])
            tree[path] = Entry(path, git_blob(lfs_pointer(sha, size)), size, sha)
        elif key == "deletedFile":
            if tree.pop(path, None) is None:
                raise Refused(404, "EntryNotFound", "A file with this name doesn't exist")
        elif key == "deletedFolder":
            folder = path.rstrip("/") + "/"
            doomed = [name for name in tree if name.startswith(folder)]
            if not doomed:
                raise Refused(404, "EntryNotFound", "A folder with this name doesn't exist")
            for name in doomed:
                del tree[name]
        else:
            raise Refused(400, "", f"unknown operation {key}")

    def _add(
        self, branch: str, tree: dict[str, Entry], author: str, title: str, message: str
    ) -> Commit:
        parent = self.branches.get(branch)
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        listing = "".join(f"{e.path}\0{e.oid}\n" for e in sorted(tree.values(), key=str))
        text = f"{parent}\n{title}\n{message}\n{author}\n{time.time_ns()}\n{listing}"
        oid = hashlib.sha1(text.encode()).hexdigest()
        made = Commit(oid, parent, title, message, author, date, tree)
        self.commits[oid] = made
        self.branches[branch] = oid
        return made

    def card_data(self, commit: Commit) -> dict[str, Any]:
        """The metadata of README.md at a commit; empty where there is none."""
        entry = commit.tree.get("README.md")
        if entry is None:
            return {}
        return front_matter(self.read(entry).decode("utf-8", "replace")) or {}


@dataclass
class Hub:
    """All repositories and the people who may write to them; orgs map to their members."""

    users: dict[str, str] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)
    orgs: dict[str, set[str]] = field(default_factory=dict)
    repos: dict[str, Repo] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def may_write(self, user: str | None, namespace: str) -> bool:
        return user is not None and (namespace == user or user in self.orgs.get(namespace, set()))

    def create(self, repo_id: str, *, private: bool = False, gated: bool = False) -> Repo:
        with self.lock:
            repo = Repo(repo_id, private=private, gated=gated)
            self.repos[repo_id] = repo
        data = EMPTY_ATTRIBUTES.encode()
        oid = git_blob(data)
        repo.blobs[oid] = data
        tree = {".gitattributes": Entry(".gitattributes", oid, len(data))}
        repo._add("main", tree, "system", "initial commit", "")
        return repo

    def put(self, repo_id: str, files: dict[str, bytes], *, title: str = "put") -> Repo:
        """Commit files as if someone had uploaded them; makes the repository if need be."""
        import base64

        repo = self.repos.get(repo_id) or self.create(repo_id)
        operations = []
        for path, data in files.items():
            if upload_mode(path, len(data)) == "lfs":
                sha = hashlib.sha256(data).hexdigest()
                repo.blobs[sha] = data
                value = {"path": path, "oid": sha, "size": len(data)}
                operations.append({"key": "lfsFile", "value": value})
            else:
                value = {"path": path, "content": base64.b64encode(data).decode()}
                operations.append({"key": "file", "value": value})
        repo.commit("main", author="someone", title=title, operations=operations)
        return repo


def upload_mode(path: str, size: int) -> str:
    """``lfs`` or ``regular``, as the Hub decides by name and size."""
    return "lfs" if size and (path.endswith(LFS_ENDS) or size > LFS_SIZE) else "regular"


def front_matter(text: str) -> dict[str, Any] | None:
    """The YAML head of a card; None where there is none. Raises yaml.YAMLError."""
    if not text.startswith("---\n"):
        return None
    head, found, _ = text[4:].partition("\n---")
    data = yaml.safe_load(head) if found else None
    return data if isinstance(data, dict) else None


def card_tags(data: dict[str, Any]) -> list[str]:
    """The tags the Hub makes of a card: its own, and those of single fields."""
    tags = [str(t) for t in data.get("tags") or []]
    for key in ("license", "base_model"):
        values = data.get(key)
        for value in values if isinstance(values, list) else [values] if values else []:
            tags.append(f"{key}:{value}")
    if data.get("library_name"):
        tags.append(str(data["library_name"]))
    return list(dict.fromkeys(tags))
