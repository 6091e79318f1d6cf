"""Search the registry by looks (a picture or a text) and by vectors (near another word)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.errors import ConceptError, CorruptError, InputError
from tireg.store.registry import Registry
from tireg.store.search import Query
from tireg.workflows.progress import Event, Listener, Notice, silent

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from tireg.models.encoders import ClipEncoder
    from tireg.store.looks import Near

# Previews looked at before their features are kept: a search that is cut off goes on from there.
TOGETHER = 256
VECTORS_TOGETHER = 1000


def search_like(
    home: Path,
    query: Query,
    *,
    picture: Path | None = None,
    text: str | None = None,
    encoder: str | None = None,
    listen: Listener = silent,
) -> list[dict[str, Any]]:
    """Embeddings whose preview looks most like ``picture``, or most like what ``text`` says.

    Plain rows, best first, at most ``query.limit``; ``likeness`` is the cosine (-1..1) of the
    best preview and ``preview`` its sha256. The filters of ``query`` hold, its words do not.
    ``encoder`` is a CLIP of open_clip (``MODEL:TAG`` or a folder). Features of previews are kept:
    each is looked at once. Raises ConceptError for a file that is no picture, EvaluationError
    where the encoder cannot be opened, InputError where nothing here has a preview.
    """
    with Registry.open(home, create=False) as registry:
        bases = registry.preview_bases()
        if not bases:
            raise InputError("no embedding here has a preview", hint="tireg search WORDS")
        wanted = _read_picture(picture.read_bytes(), picture) if picture else None
        clip = _open(bases, encoder)
        space = f"{clip.name}/{clip.sha256[:16]}"
        _index_previews(registry, clip, space, listen)
        asked = clip.pictures([wanted]) if wanted else clip.texts([text or ""])
        found = registry.like(space, asked[0], limit=query.limit or 20, filters=query)
    return [_row(near) | {"preview": near.key} for near in found]


def search_near(
    home: Path, query: Query, ref: str, *, listen: Listener = silent
) -> list[dict[str, Any]]:
    """Embeddings whose vectors point most nearly the way those of ``ref`` do, encoder by encoder.

    Plain rows, best first; ``likeness`` is the mean cosine (-1..1) over the encoders both have.
    Only embeddings for the same text encoder are compared. Raises RefError for an unknown
    ``ref``.
    """
    with Registry.open(home, create=False) as registry:
        registry.find(ref)
        _index_vectors(registry, ref, listen)
        return [_row(near) for near in registry.near(ref, limit=query.limit or 20, filters=query)]


def _row(near: Near) -> dict[str, Any]:
    return {**asdict(near.row), "likeness": round(near.cosine, 4)}


def _open(bases: Sequence[str | None], encoder: str | None) -> ClipEncoder:
    """The encoder asked for; the one that belongs to the only base of all previews; the default."""
    from tireg.models.bases import pick_device
    from tireg.models.encoders import DEFAULT_ENCODER, open_encoder
    from tireg.workflows.places import BUILT_IN

    only = BUILT_IN.get(bases[0] or "") if len(bases) == 1 else None
    default = str(only.scorer()) if only else DEFAULT_ENCODER
    return open_encoder(encoder or default, device=pick_device("auto"))


def _index_previews(registry: Registry, clip: ClipEncoder, space: str, listen: Listener) -> None:
    """Look at every preview that this encoder has not seen."""
    missing = registry.features.missing(space)
    unread = 0
    for start in range(0, len(missing), TOGETHER):
        listen(Event("looking at previews", start, len(missing)))
        part = dict(_previews(registry, missing[start : start + TOGETHER]))
        unread += len(missing[start : start + TOGETHER]) - len(part)
        if part:
            registry.features.put(space, list(part), clip.pictures(list(part.values())))
    if missing:
        listen(Event("looking at previews", len(missing), len(missing)))
    if unread:
        listen(Notice(f"{unread} previews cannot be read and were left out: tireg verify"))


def _previews(registry: Registry, shas: Sequence[str]) -> Iterator[tuple[str, Image.Image]]:
    for sha in shas:
        try:
            yield sha, _read_picture(registry.objects.read(sha), Path(f"{sha[:12]}"))
        except (ConceptError, CorruptError):
            continue


def _read_picture(data: bytes, path: Path) -> Image.Image:
    """The picture as RGB, upright; bounded and in known formats, as previews come from anywhere."""
    from tireg.training.images import decode

    return decode(path, data)[0].convert("RGB")


def _index_vectors(registry: Registry, ref: str, listen: Listener) -> None:
    """Keep the mean rows of every embedding that has an encoder of ``ref``'s."""
    missing = registry.missing_vectors(ref)
    unread = 0
    for start in range(0, len(missing), VECTORS_TOGETHER):
        listen(Event("reading vectors", start, len(missing)))
        part: dict[str, dict[str, np.ndarray]] = {}
        for version in missing[start : start + VECTORS_TOGETHER]:
            try:
                part[version.tensor_hash] = _vectors(registry, version.ref)
            except CorruptError:
                unread += 1
        registry.put_vectors(part)
    if missing:
        listen(Event("reading vectors", len(missing), len(missing)))
    if unread:
        listen(Notice(f"the vectors of {unread} embeddings cannot be read: tireg verify"))


def _vectors(registry: Registry, ref: str) -> dict[str, np.ndarray]:
    from tireg.workflows.vectors import unpack_vectors

    record = registry.resolve(ref).record
    stored = record.file("embedding")
    if stored is None:
        raise CorruptError(f"'{ref}' has no vectors", hint="tireg verify")
    return unpack_vectors(record, registry.objects.read(stored.sha256))
