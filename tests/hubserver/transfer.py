"""Bytes up and down: the LFS protocol, and files by revision and path."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.hubserver.faults import Faults
from tests.hubserver.repos import Hub, Refused, Repo

if TYPE_CHECKING:
    from tests.hubserver.server import Reply, Request


def visible(hub: Hub, request: Request, repo_id: str) -> Repo:
    """The repository, if the caller may know of it."""
    repo = hub.repos.get(repo_id)
    if repo is None or (repo.private and not hub.may_write(request.user, repo.owner)):
        if request.user is None:
            raise Refused(401, "RepoNotFound", "Repository not found")
        raise Refused(404, "RepoNotFound", "Repository not found")
    return repo


def writable(hub: Hub, request: Request, namespace: str) -> None:
    """Refused unless the caller may write there."""
    if request.user is None:
        raise Refused(401, "", "Invalid username or password.")
    if request.user in hub.readers or not hub.may_write(request.user, namespace):
        raise Refused(403, "", "You don't have the rights to write to this namespace")


def as_json(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    from tests.hubserver.server import Reply

    told = {"Content-Type": "application/json", **(headers or {})}
    return Reply(status, json.dumps(data).encode(), told)


def lfs_batch(hub: Hub, faults: Faults, request: Request) -> Reply:
    repo = visible(hub, request, "/".join(request.parts[:2]).removesuffix(".git"))
    writable(hub, request, repo.owner)
    objects = []
    for wanted in request.json()["objects"]:
        row: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in repo.blobs:
            href = f"{faults.upload_host or request.origin}/_lfs/{repo.id}/{wanted['oid']}"
            row["actions"] = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
        objects.append(row)
    return as_json({"transfer": "basic", "objects": objects})


def lfs_object(hub: Hub, request: Request) -> Reply:
    from tests.hubserver.server import Reply

    repo = hub.repos.get("/".join(request.parts[1:3]))
    sha = request.parts[3]
    if repo is None:
        return Reply()
    if request.method == "PUT":
        if hashlib.sha256(request.body).hexdigest() != sha:
            raise Refused(400, "", "the bytes have another sha256")
        repo.blobs[sha] = request.body
    elif sha not in repo.blobs:
        raise Refused(404, "", "not uploaded")
    return Reply()


def resolve(hub: Hub, faults: Faults, request: Request) -> Reply:
    """One file: large ones redirect to a storage address, as on the real Hub."""
    from tests.hubserver.server import Reply

    repo = visible(hub, request, "/".join(request.parts[:2]))
    if repo.gated and not hub.may_write(request.user, repo.owner):
        status = 401 if request.user is None else 403
        raise Refused(status, "GatedRepo", f"Access to model {repo.id} is restricted.")
    at, path = repo.resolve(request.parts[3]), "/".join(request.parts[4:])
    entry = at.tree.get(path)
    if entry is None:
        raise Refused(404, "EntryNotFound", f"{path} does not exist")
    headers = {
        "X-Repo-Commit": faults.commit_id or at.oid,
        "ETag": f'"{faults.etag or entry.oid}"',
        "Accept-Ranges": "bytes",
        "X-Linked-Size": str(entry.size),
    }
    if entry.lfs:
        headers["X-Linked-Etag"] = f'"{faults.etag or entry.lfs}"'
    if faults.redirect:
        return Reply(302, headers={**headers, "Location": faults.redirect + request.path})
    if entry.lfs:
        # Another host than the Hub itself, as storage is.
        storage = request.origin.replace("127.0.0.1", "localhost")
        where = f"{storage}/_cdn/{repo.id}/{entry.lfs}/{quote(path, safe='')}"
        return Reply(302, headers={**headers, "Location": where})
    if request.method == "GET":
        repo.downloads += 1
    return ranged(repo.read(entry), path, faults, request, headers)


def stored_bytes(hub: Hub, faults: Faults, request: Request) -> Reply:
    repo = hub.repos["/".join(request.parts[1:3])]
    sha, path = request.parts[3], request.parts[4]
    headers = {"ETag": f'"{faults.etag or sha}"', "Accept-Ranges": "bytes"}
    return ranged(repo.blobs[sha], path, faults, request, headers)


def ranged(
    data: bytes, path: str, faults: Faults, request: Request, headers: dict[str, str]
) -> Reply:
    """The bytes, or the part of them that a Range header asks for."""
    from tests.hubserver.server import Reply

    if faults.corrupt and path.endswith(faults.corrupt) and data:
        middle = len(data) // 2
        data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    if faults.longer and path.endswith(faults.longer):
        data += b"more"
    headers = {**headers, "Content-Type": "application/octet-stream"}
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if found is None:
        if request.method == "HEAD":
            headers["X-Length"] = str(len(data))
            data = b""
        return Reply(200, data, headers, file=path)
    start = int(found[1])
    end = min(int(found[2]) if found[2] else len(data) - 1, len(data) - 1)
    if start >= len(data):
        return Reply(416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Reply(206, data[start : end + 1], headers, file=path)
