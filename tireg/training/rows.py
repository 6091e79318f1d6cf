"""Where rows begin, and how long a row should be."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import torch

from tireg.errors import RecipeError
from tireg.models.tokens import original_tokenizer, word_ids

# Plain words that captions are full of. Their rows were trained; the median row of a
# vocabulary was often not, and is a wrong measure of how long a row should be.
COMMON_WORDS = (
    "a an the of on in with and to at for photo picture painting drawing portrait close up red "
    "blue green yellow white black purple gray orange brown pink small large big round man woman "
    "dog cat bird horse car house tree flower sky water street beach forest table chair hand face "
    "light dark night day old new wooden metal glass art style background left right top bottom"
).split()


def words_norm(tokenizer: Any, table: torch.Tensor, extra: Sequence[str] = ()) -> float:
    """Mean length of the rows of ordinary words in use, from ``table`` [rows, width].

    ``extra`` are words of the run's own prompts. Words that fall into several pieces are left
    out; where no word is whole, the mean over the table.
    """
    words = sorted({*COMMON_WORDS, *extra})
    ids = sorted({i[0] for i in (word_ids(tokenizer, w) for w in words) if len(i) == 1})
    rows = table[torch.tensor(ids, device=table.device)] if ids else table
    return float(rows.float().norm(dim=-1).mean())


def start_rows(
    tokenizer: Any, table: torch.Tensor, words: str, vectors: int, *, seed: int
) -> torch.Tensor:
    """``vectors`` fp32 rows [vectors, width] that begin as ``words``.

    With as many words as vectors, one each; with fewer, words repeat, moved apart by noise of a
    tenth of their length so that they can part; with more, neighbouring words are averaged at
    their own mean length. RecipeError for a word the vocabulary does not have whole.
    """
    ids: list[int] = []
    for word in words.split():
        pieces = word_ids(tokenizer, word)
        if len(pieces) != 1:
            raise RecipeError(
                f"the initial word '{word}' is not in this base's vocabulary",
                hint=suggest_words(tokenizer, word),
            )
        ids += pieces
    if not ids:
        raise RecipeError("there is no initial word", hint="--init WORDS, such as --init cat")
    chosen = table[torch.tensor(ids, device=table.device)]
    begin: torch.Tensor = chosen.detach().to("cpu", torch.float32)
    if len(ids) == vectors:
        return begin.clone()
    if len(ids) > vectors:
        groups = torch.tensor_split(begin, vectors)
        means = torch.stack([g.mean(dim=0) for g in groups])
        lengths = torch.stack([g.norm(dim=-1).mean() for g in groups])
        unit: torch.Tensor = means / means.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return unit * lengths[:, None]
    rows = begin[torch.arange(vectors) % len(ids)].clone()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows.shape, generator=generator)
    repeats = (torch.arange(vectors) >= len(ids))[:, None]
    moved: torch.Tensor = (
        rows + repeats * 0.1 * rows.norm(dim=-1, keepdim=True) * noise / noise.shape[1] ** 0.5
    )
    return moved


def known_words(tokenizer: Any) -> list[str]:
    """Whole alphabetic words of a vocabulary, as a person would type them."""
    vocabulary = original_tokenizer(tokenizer).get_vocab()
    ended = {w.removesuffix("</w>") for w in vocabulary if w.endswith("</w>")}
    ended |= {w.removeprefix("▁") for w in vocabulary if w.startswith("▁")}
    return sorted(w for w in ended if w.isalpha() and w.isascii() and len(w) > 2)


def suggest_words(tokenizer: Any, word: str) -> str:
    """A hint: known words that look like ``word``, else a few words of the vocabulary."""
    words = known_words(tokenizer)
    close = difflib.get_close_matches(word.lower(), words, n=5, cutoff=0.6)
    if close:
        return f"near it: {', '.join(close)}"
    # The ends of longer words are in a vocabulary too: 'hoto' beside 'photo'.
    ends = {longer[i:] for longer in words for i in range(1, len(longer))}
    whole = [w for w in words if w not in ends]
    if not whole:
        return "choose an ordinary English word"
    return "it knows words such as " + ", ".join(whole[:: max(1, len(whole) // 16)][:16])
