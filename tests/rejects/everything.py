"""All hostile and broken files by name."""

from __future__ import annotations

from functools import cache

from tests.rejects import archives, pickles, texts


@cache
def everything() -> dict[str, bytes]:
    """``{file name: content}``; a name may say after ``|`` what the refusal has to mention."""
    parts = (
        pickles.calls(),
        pickles.raw_calls(),
        pickles.lies(),
        archives.archives(),
        texts.headers(),
        texts.lookalikes(),
        texts.pictures(),
        texts.others(),
    )
    merged: dict[str, bytes] = {}
    for part in parts:
        merged |= part
    return merged
