"""The endpoints: what each request means, and what the real Hub answers to it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

import yaml

from tests.hubserver.faults import Faults
from tests.hubserver.repos import (
    Commit,
    Entry,
    Hub,
    Refused,
    Repo,
    card_tags,
    front_matter,
    upload_mode,
)
from tests.hubserver.transfer import (
    as_json,
    lfs_batch,
    lfs_object,
    resolve,
    stored_bytes,
    visible,
    writable,
)

if TYPE_CHECKING:
    from tests.hubserver.server import Reply, Request

LICENSES = set(
    "apache-2.0 mit openrail openrail++ creativeml-openrail-m bigscience-openrail-m cc0-1.0 "
    "cc-by-4.0 cc-by-sa-4.0 cc-by-nc-4.0 gpl-3.0 bsd-3-clause unknown other".split()
)
Route = Callable[[Hub, Faults, "Request"], "Reply"]


def answer(hub: Hub, faults: Faults, request: Request) -> Reply:
    """The reply to any request; Refused for everything that is not to be had."""
    parts = request.parts
    if parts[0] == "_lfs":
        return lfs_object(hub, request)
    if parts[0] == "_cdn":
        return stored_bytes(hub, faults, request)
    if parts[0] != "api":
        if len(parts) > 3 and parts[2] in ("resolve", "raw"):
            return resolve(hub, faults, request)
        if request.path.endswith(".git/info/lfs/objects/batch"):
            return lfs_batch(hub, faults, request)
        raise Refused(404, "", "not found")
    if parts[1:] == ["whoami-v2"]:
        return whoami(hub, request)
    if parts[1:] == ["repos", "create"]:
        return create(hub, request)
    if parts[1:] == ["repos", "delete"]:
        return delete(hub, request)
    if parts[1:] == ["validate-yaml"]:
        return validate_yaml(request)
    if parts[1:] == ["models"]:
        return models(hub, faults, request)
    if parts[1] == "models" and len(parts) >= 4:
        repo = visible(hub, request, f"{parts[2]}/{parts[3]}")
        verb = parts[4] if len(parts) > 4 else "revision"
        if verb in REPO_ROUTES:
            return REPO_ROUTES[verb](hub, faults, request, repo)
    raise Refused(404, "", "not found")


def whoami(hub: Hub, request: Request) -> Reply:
    if request.user is None:
        raise Refused(401, "", "Invalid username or password.")
    orgs = [{"name": o, "type": "org"} for o, who in hub.orgs.items() if request.user in who]
    return as_json({"type": "user", "name": request.user, "orgs": orgs})


def create(hub: Hub, request: Request) -> Reply:
    data = request.json()
    name, namespace = data["name"], data.get("organization")
    if "/" in name:
        namespace, _, name = name.partition("/")
    namespace = namespace or request.user or ""
    writable(hub, request, namespace)
    repo_id = f"{namespace}/{name}"
    url = f"{request.origin}/{repo_id}"
    with hub.lock:
        if repo_id in hub.repos:
            return as_json({"error": "You already created this model repo", "url": url}, 409)
        private = data.get("private") or data.get("visibility") == "private"
        hub.create(repo_id, private=bool(private))
    return as_json({"url": url, "name": repo_id, "id": repo_id})


def delete(hub: Hub, request: Request) -> Reply:
    data = request.json()
    namespace = data.get("organization") or request.user or ""
    writable(hub, request, namespace)
    if hub.repos.pop(f"{namespace}/{data['name']}", None) is None:
        raise Refused(404, "RepoNotFound", "Repository not found")
    return as_json({})


def validate_yaml(request: Request) -> Reply:
    """The card's head: valid YAML, a known licence, base models that could be repositories."""
    errors: list[str] = []
    warnings: list[str] = []
    try:
        data = front_matter(request.json()["content"])
    except yaml.YAMLError as error:
        data, errors = {}, [f"YAML metadata error: {error}"]
    if data is None:
        warnings.append("empty or missing yaml metadata in repo card")
    for name in _list((data or {}).get("license")):
        if name not in LICENSES:
            errors.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]')
    for name in _list((data or {}).get("base_model")):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)):
            errors.append(f'"base_model[0]" with value "{name}" is not valid')
    for entry in (data or {}).get("model-index") or []:
        if "name" not in entry or not all("metrics" in r for r in entry.get("results") or [{}]):
            errors.append('"model-index" is malformed')
    for entry in (data or {}).get("widget") or []:
        if not isinstance(entry.get("text"), str) or "url" not in entry.get("output", {}):
            errors.append('"widget" is malformed')
    body = {
        "errors": [{"message": text} for text in errors],
        "warnings": [{"message": text} for text in warnings],
    }
    return as_json(body, 400 if errors else 200)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def models(hub: Hub, faults: Faults, request: Request) -> Reply:
    """Search: every filter must hold; pages by a Link header."""
    wanted = {w for value in request.query.get("filter", []) for w in value.split(",") if w}
    author, words = request.one("author"), request.one("search").lower()
    found = []
    for repo in sorted(hub.repos.values(), key=lambda r: (-r.downloads, r.id)):
        if repo.private and not hub.may_write(request.user, repo.owner):
            continue
        info = describe(repo, repo.resolve("main"))
        if author and repo.owner != author:
            continue
        if words not in repo.id.lower():
            continue
        if wanted <= set(info["tags"]):
            found.append(info)
    return page(found, faults, request, int(request.one("limit", "1000")))


def page(rows: list[Any], faults: Faults, request: Request, limit: int) -> Reply:
    limit = faults.page_size or limit
    start = int(request.one("cursor", "0"))
    headers = {}
    if start + limit < len(rows) or faults.loop_pages or faults.next_host:
        query = {**request.query, "cursor": [str(0 if faults.loop_pages else start + limit)]}
        where = f"{faults.next_host or request.origin}{request.path}"
        headers["Link"] = f'<{where}?{urlencode(query, doseq=True)}>; rel="next"'
    return as_json(rows[start : start + limit], headers=headers)


def describe(repo: Repo, commit: Commit) -> dict[str, Any]:
    data = repo.card_data(commit)
    return {
        "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.owner,
        "sha": commit.oid,
        "lastModified": commit.date,
        "createdAt": repo.history("main")[-1].date,
        "private": repo.private,
        "gated": "manual" if repo.gated else False,
        "disabled": False,
        "likes": repo.likes,
        "downloads": repo.downloads,
        "tags": card_tags(data),
        "pipeline_tag": data.get("pipeline_tag"),
        "library_name": data.get("library_name"),
        "cardData": data,
        "siblings": [{"rfilename": path} for path in sorted(commit.tree)],
    }


def _rev(request: Request, at: int = 5) -> str:
    return request.parts[at] if len(request.parts) > at else "main"


def revision(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    info = describe(repo, repo.resolve(_rev(request)))
    return as_json({**info, "sha": faults.commit_id or info["sha"]})


def tree(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    entries = repo.resolve(_rev(request)).tree
    folder = "/".join(request.parts[6:])
    prefix = f"{folder}/" if folder else ""
    inside = [e for path, e in sorted(entries.items()) if path.startswith(prefix)]
    if folder and not inside:
        raise Refused(404, "EntryNotFound", f"{folder} does not exist")
    rows: list[dict[str, Any]] = []
    folders: set[str] = set()
    deep = request.one("recursive").lower() in ("true", "1")
    for entry in inside:
        steps = entry.path.removeprefix(prefix).split("/")
        for depth in range(1, len(steps)):
            name = prefix + "/".join(steps[:depth])
            if name not in folders and (deep or depth == 1):
                folders.add(name)
                oid = hashlib.sha1(name.encode()).hexdigest()
                rows.append({"type": "directory", "oid": oid, "size": 0, "path": name})
        if deep or len(steps) == 1:
            rows.append(told(entry, faults))
    rows += [{"type": "file", "oid": "0" * 40, "size": 1, "path": n} for n in faults.names]
    return page(rows, faults, request, int(request.one("limit", "1000")))


def told(entry: Entry, faults: Faults) -> dict[str, Any]:
    """An entry as the tree shows it, lies included."""
    row = entry.as_json()
    if faults.wrong_hash and entry.path.endswith(faults.wrong_hash):
        row["oid"] = "1" * 40
        if "lfs" in row:
            row["lfs"]["oid"] = "2" * 64
    return row


def paths_info(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    entries = repo.resolve(_rev(request)).tree
    if "json" in request.headers.get("content-type", ""):
        paths = request.json()["paths"]
    else:
        paths = parse_qs(request.body.decode())["paths"]
    return as_json([told(entries[p], faults) for p in paths if p in entries])


def refs(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    def rows(kind: str, found: dict[str, str]) -> list[dict[str, str]]:
        return [
            {"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": oid} for n, oid in found.items()
        ]

    both = {"branches": rows("heads", repo.branches), "tags": rows("tags", repo.tags)}
    return as_json({**both, "converts": []})


def commits(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    rows = [
        {
            "id": c.oid,
            "title": c.title,
            "message": c.message,
            "date": c.date,
            "authors": [{"user": c.author}],
        }
        for c in repo.history(_rev(request))
    ]
    return page(rows, faults, request, int(request.one("limit", "50")))


def tag(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    writable(hub, request, repo.owner)
    with repo.lock:
        if request.method == "DELETE":
            if repo.tags.pop(_rev(request), None) is None:
                raise Refused(404, "RevisionNotFound", "no such tag")
            return as_json({})
        name = request.json()["tag"]
        if name in repo.tags:
            raise Refused(409, "", f"Tag reference exists already: {name}")
        repo.tags[name] = repo.resolve(_rev(request)).oid
    return as_json({})


def branch(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    writable(hub, request, repo.owner)
    with repo.lock:
        if _rev(request) in repo.branches:
            raise Refused(409, "", "Reference already exists")
        start = request.json().get("startingPoint", "main")
        repo.branches[_rev(request)] = repo.resolve(start).oid
    return as_json({})


def preupload(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    writable(hub, request, repo.owner)
    head = repo.resolve(_rev(request)).tree
    found = []
    for file in request.json()["files"]:
        row = {
            "path": file["path"],
            "uploadMode": upload_mode(file["path"], file["size"]),
            "shouldIgnore": False,
        }
        if file["path"] in head:
            row["oid"] = head[file["path"]].lfs or head[file["path"]].oid
        found.append(row)
    return as_json({"files": found})


def xet_token(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    raise Refused(404, "", "this server has no xet storage")


def commit(hub: Hub, faults: Faults, request: Request, repo: Repo) -> Reply:
    writable(hub, request, repo.owner)
    lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    made = repo.commit(
        _rev(request),
        author=request.user or "",
        title=header["summary"],
        message=header.get("description") or "",
        parent=header.get("parentCommit"),
        operations=[line for line in lines if line["key"] != "header"],
    )
    url = f"{request.origin}/{repo.id}/commit/{made.oid}"
    return as_json({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


REPO_ROUTES: dict[str, Callable[[Hub, Faults, Request, Repo], Reply]] = {
    "revision": revision,
    "tree": tree,
    "paths-info": paths_info,
    "refs": refs,
    "commits": commits,
    "tag": tag,
    "branch": branch,
    "preupload": preupload,
    "xet-write-token": xet_token,
    "xet-read-token": xet_token,
    "commit": commit,
}
