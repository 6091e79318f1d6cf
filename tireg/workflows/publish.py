"""Publish a recorded version to the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.dialects import ReadEmbedding, make_embedding
from tireg.domain.records import Record
from tireg.domain.tensors import from_fp32
from tireg.errors import CorruptError, InputError
from tireg.store.registry import Registry
from tireg.store.rows import Remote, Version
from tireg.workflows.progress import Event, Listener, Notice, silent
from tireg.workflows.score_export import benchmark_scores
from tireg.workflows.vectors import unpack_vectors

if TYPE_CHECKING:
    from tireg.hub.publish import Published
    from tireg.hub.rendering import Offer
    from tireg.hub.session import Hub


@dataclass(frozen=True)
class PublishRequest:
    """Which version goes where, and how. ``license`` None: the base's, as its card states it.

    ``suites`` are suite files that say which registered benchmark they are; the scores on them
    go to the Hub's leaderboards.
    """

    ref: str
    repo: str
    folder: str = ""
    private: bool = False
    license: str | None = None
    tag: str | None = None
    with_pictures: bool = False
    suites: tuple[str, ...] = ()


def publish(request: PublishRequest, *, home: Path, listen: Listener = silent) -> Published:
    """Publish one version as one commit, and remember where it is kept.

    Raises RefError for an unknown reference, InputError where the licence is not known or the
    repository holds something else, HubError for all that goes wrong on the way.
    """
    from tireg.hub.session import connect

    hub = connect()
    with Registry.open(home, create=False) as registry:
        version, offer = make_offer(registry, request)
        return send(hub, registry, version, offer, request, listen)


def send(
    hub: Hub,
    registry: Registry,
    version: Version,
    offer: Offer,
    request: PublishRequest,
    listen: Listener,
) -> Published:
    """Publish an offer and remember it in the registry."""
    from tireg.hub.publish import publish as commit

    done = commit(
        hub,
        request.repo,
        offer,
        private=request.private,
        say=lambda task, at, total: listen(Event(task, at, total, request.repo)),
    )
    for what in done.plan.kept:
        listen(Notice(f"the {what} of the card was edited by hand and is left as it is"))
    place = request.repo + (f"/{offer.folder}" if offer.folder else "")
    remote = Remote(place, done.commit, version.record_sha)
    known = [(r.repo, r.record_sha) for r in registry.remotes(version.name)]
    if done.committed or (remote.repo, remote.record_sha) not in known:
        registry.set_remote(version.name, remote)
    return done


def plan_publish(request: PublishRequest, *, home: Path) -> dict[str, Any]:
    """What :func:`publish` would do, as plain data; nothing is changed anywhere."""
    from tireg.hub.publish import preview_plan
    from tireg.hub.session import connect

    hub = connect()
    with Registry.open(home, create=False) as registry:
        _, offer = make_offer(registry, request)
    return preview_plan(hub, request.repo, offer).as_json()


def make_offer(registry: Registry, request: PublishRequest) -> tuple[Version, Offer]:
    """The version and all of it that may leave this machine."""
    from tireg.hub.layout import check_folder
    from tireg.hub.private import public_record
    from tireg.hub.rendering import Offer

    version = registry.resolve(request.ref)
    record = version.record if request.with_pictures else public_record(version.record)
    roles = {"embedding", "preview"} | ({"picture"} if request.with_pictures else set())
    objects = {
        file.sha256: registry.objects.read(file.sha256)
        for file in record.files
        if file.role in roles and registry.objects.has(file.sha256)
    }
    runs = tuple(registry.runs(version.record_sha))
    return version, Offer(
        name=version.name,
        record=record,
        embedding=as_embedding(record, version.name, objects),
        objects=objects,
        license=_license(record, version.name, request),
        runs=runs,
        folder=check_folder(request.folder),
        tag=request.tag,
        with_pictures=request.with_pictures,
        eval_results=benchmark_scores(runs, request.suites, version.ref),
    )


def _license(record: Record, name: str, request: PublishRequest) -> str:
    """The licence asked for, else the record's, else the base's."""
    found = request.license or record.license or (record.base.license if record.base else None)
    if not found:
        base = f"the base '{record.base.id}'" if record.base else "its base, which is not known,"
        raise InputError(
            f"the licence of '{name}' is not known: {base} states none",
            hint=f"tireg publish {request.ref} {request.repo} --license creativeml-openrail-m",
        )
    return found


def as_embedding(record: Record, name: str, objects: dict[str, bytes]) -> ReadEmbedding:
    """The vectors of a record as the dialects write them."""
    stored = record.file("embedding")
    if stored is None or stored.sha256 not in objects:
        raise CorruptError(f"the vectors of '{name}' are missing", hint="tireg verify")
    rows = unpack_vectors(record, objects[stored.sha256])
    family = record.base.family if record.base else next(iter(record.families), None)
    return make_embedding(
        record.token,
        {key: from_fp32(value) for key, value in rows.items()},
        family=family,
        name=name,
        kind=record.kind,
        negative=record.negative,
    )
