"""Search the Hub for embeddings: by their tag, and where the tag is missing, by their library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tireg.domain.model import read_document
from tireg.domain.records import Record
from tireg.errors import TiregError
from tireg.hub.layout import RECORD, check_text
from tireg.hub.session import Hub
from tireg.hub.tree import COMMIT_ID, REPO_ID

CONCEPTS = "sd-concepts-library"  # older than the tag, so its repositories lack it
EXPAND = ["cardData", "downloads", "lastModified", "likes", "gated", "private", "sha", "tags"]
KIND_TAGS = ("tireg-object", "tireg-style", "tireg-subject")
MOST = 1000
RECORD_BYTES = 4_000_000


@dataclass(frozen=True)
class Wanted:
    """What to look for. ``base`` is a base model as cards name it; every condition must hold."""

    words: str = ""
    author: str | None = None
    base: str | None = None
    kind: str | None = None
    limit: int = 20


@dataclass(frozen=True)
class Hit:
    """One repository, as the Hub's listing tells of it. ``scores`` are what its card claims."""

    repo: str
    commit: str | None
    token: str | None
    kind: str | None
    base: str | None
    license: str | None
    likes: int
    downloads: int
    modified: str
    gated: bool
    tags: tuple[str, ...]
    scores: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def search_models(hub: Hub, wanted: Wanted) -> list[Hit]:
    """The most downloaded repositories that match, at most ``limit``."""
    words = wanted.words.lower().split()
    found: dict[str, Hit] = {}
    for query in _queries(wanted, words):
        for row in hub.pages("models", query=query, about="embeddings", limit=MOST):
            hit = _hit(row)
            if hit is not None and _matches(hit, wanted, words):
                found[hit.repo] = hit
    best = sorted(found.values(), key=lambda h: (-h.downloads, -h.likes, h.repo))
    return best[: wanted.limit]


def _queries(wanted: Wanted, words: list[str]) -> Iterator[dict[str, str | list[str]]]:
    query: dict[str, str | list[str]] = {
        "expand": EXPAND,
        "limit": str(min(500, max(50, 5 * wanted.limit))),
        "sort": "downloads",
    }
    # The Hub looks for one text in names; the other words are matched here.
    if words:
        query["search"] = max(words, key=len)
    if wanted.author:
        query["author"] = wanted.author
    filters = ["textual_inversion"]
    if wanted.base:
        filters.append(f"base_model:{wanted.base}")
    if wanted.kind:
        filters.append(f"tireg-{wanted.kind}")
    yield {**query, "filter": filters}
    if wanted.author in (None, CONCEPTS) and not wanted.base and not wanted.kind:
        yield {**query, "author": CONCEPTS}


def _matches(hit: Hit, wanted: Wanted, words: list[str]) -> bool:
    about = " ".join([hit.repo, hit.token or "", *hit.tags]).lower()
    return (
        all(word in about for word in words)
        and wanted.author in (None, hit.repo.partition("/")[0])
        and wanted.base in (None, hit.base)
        and wanted.kind in (None, hit.kind)
    )


def _hit(row: Any) -> Hit | None:
    """A row of the listing; None where it is not one. Nothing in it is believed to have a type."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        return None
    if REPO_ID.fullmatch(row["id"]) is None:
        return None
    card = row.get("cardData") if isinstance(row.get("cardData"), dict) else {}
    assert isinstance(card, dict)
    listed = row.get("tags")
    tags = tuple(t for t in listed if isinstance(t, str)) if isinstance(listed, list) else ()
    base = card.get("base_model")
    base = base[0] if isinstance(base, list) and base else base
    kinds = [t.removeprefix("tireg-") for t in tags if t in KIND_TAGS]
    commit = row.get("sha")
    return Hit(
        repo=row["id"],
        commit=commit if isinstance(commit, str) and COMMIT_ID.fullmatch(commit) else None,
        token=_text(card.get("instance_prompt")),
        kind=kinds[0] if kinds else None,
        base=_text(base),
        license=_text(card.get("license")),
        likes=_count(row.get("likes")),
        downloads=_count(row.get("downloads")),
        modified=_text(row.get("lastModified")) or "",
        gated=bool(row.get("gated")),
        tags=tags[:100],
        scores=dict(_scores(card)),
    )


def _scores(card: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    index = card.get("model-index")
    for entry in index if isinstance(index, list) else ():
        results = entry.get("results") if isinstance(entry, dict) else None
        for result in results if isinstance(results, list) else ():
            metrics = result.get("metrics") if isinstance(result, dict) else None
            for metric in metrics if isinstance(metrics, list) else ():
                if not isinstance(metric, dict):
                    continue
                name, value = metric.get("type"), metric.get("value")
                if isinstance(name, str) and isinstance(value, int | float) and abs(value) < 1e300:
                    yield name[:60], float(value)


def _text(value: Any) -> str | None:
    return re.sub(r"\s+", " ", value)[:200] if isinstance(value, str) and value else None


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 53 else 0


def read_record(hub: Hub, hit: Hit) -> Record | None:
    """The record on top of a repository of tireg's; None where there is none that we can read."""
    if "tireg" not in hit.tags or hit.commit is None:
        return None
    url = hub.url(*hit.repo.split("/"), "resolve", hit.commit, RECORD)
    try:
        raw = hub.get(url, about=hit.repo, limit=RECORD_BYTES, elsewhere=True).body
        about = f"the record of '{hit.repo}'"
        return read_document(Record, check_text(raw, about=about), name=about)
    except TiregError:
        return None
