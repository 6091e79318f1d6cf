"""Keep in the registry what one base's encoders are to another's."""

from __future__ import annotations

from collections.abc import Iterable

from tireg.domain.compat import Compatibility, compare_encoders
from tireg.domain.fingerprints import Fingerprint
from tireg.store.bases import fingerprint_key
from tireg.store.registry import Registry
from tireg.store.rows import BaseRow, Verdict


def add_verdicts(registry: Registry, row: BaseRow) -> None:
    """Keep what ``row`` is to every other measured base of the registry, both ways round."""
    mine = row.fingerprint
    if mine is None:
        return
    others = [other.fingerprint for other in registry.bases() if other.fingerprint]
    found: list[Verdict] = []
    for other in others:
        if other.same_as(mine) or other.method != mine.method:
            continue
        found += _between(other, mine)
        found += _between(mine, other)
    if found:
        registry.add_verdicts(found)


def _between(made: Fingerprint, there: Fingerprint) -> Iterable[Verdict]:
    for here in made.encoders:
        other = there.encoder(here.key)
        if other is None or other.width != here.width:
            continue
        verdict = compare_encoders(here, other)
        if verdict.verdict != "unknown":
            cosine = verdict.table.value if verdict.table else None
            yield Verdict(
                fingerprint_key(there), fingerprint_key(made), here.key,
                verdict.verdict, cosine, verdict.reason,
            )  # fmt: skip


def keep(
    registry: Registry, made: Fingerprint | None, there: Fingerprint | None, found: Compatibility
) -> None:
    """Keep a verdict just reached, where it is new and the registry can be written to."""
    if made is None or there is None or made.same_as(there) or not registry.store.writable:
        return
    target, fingerprint = fingerprint_key(there), fingerprint_key(made)
    known = {
        (v.encoder, v.verdict)
        for v in registry.verdicts(target=target)
        if v.fingerprint == fingerprint
    }
    news = [
        Verdict(
            target, fingerprint, v.encoder, v.verdict,
            v.table.value if v.table else None, v.reason,
        )
        for v in found.encoders
        if v.verdict != "unknown" and (v.encoder, v.verdict) not in known
        and there.encoder(v.encoder) is not None
    ]  # fmt: skip
    if news:
        registry.add_verdicts(news)
