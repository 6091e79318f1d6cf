"""Where rows begin, and how long a row should be."""

from __future__ import annotations

import difflib
import re
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

SAMPLED = 2048


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
    """``vectors`` fp32 rows [vectors, width] that begin as ``words``, by :func:`fit_rows`.

    A word in several pieces gives all of them. RecipeError as in :func:`phrase_ids`.
    """
    ids = phrase_ids(tokenizer, words)
    chosen = table[torch.tensor(ids, device=table.device)]
    return fit_rows(chosen.detach().to("cpu", torch.float32), vectors, seed=seed)


def phrase_ids(tokenizer: Any, words: str) -> list[int]:
    """Token ids of every piece of a word or a phrase, in order.

    RecipeError where there is no word, and for a word that the vocabulary does not know: one
    that gives unknown tokens, or falls apart into pieces of less than two letters on average,
    as no word does that the encoder has learned.
    """
    for word in words.split():
        if not _is_known(tokenizer, word):
            raise RecipeError(
                f"the initial word '{word}' is not in this base's vocabulary",
                hint=suggest_words(tokenizer, word),
            )
    ids = _content(tokenizer, words)
    if not ids:
        raise RecipeError("there is no initial word", hint="--init WORDS, such as --init cat")
    return ids


def fit_rows(begin: torch.Tensor, vectors: int, *, seed: int) -> torch.Tensor:
    """``begin`` [m, width] made into fp32 rows [vectors, width].

    With m = ``vectors`` as it is; with fewer, rows repeat, moved apart by noise of a tenth of
    their length so that they can part; with more, neighbouring rows are averaged at their own
    mean length, so that none is left out.
    """
    count = len(begin)
    if count == vectors:
        return begin.clone()
    if count > vectors:
        groups = torch.tensor_split(begin, vectors)
        means = torch.stack([g.mean(dim=0) for g in groups])
        lengths = torch.stack([g.norm(dim=-1).mean() for g in groups])
        unit: torch.Tensor = means / means.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return unit * lengths[:, None]
    rows = begin[torch.arange(vectors) % count].clone()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows.shape, generator=generator)
    repeats = (torch.arange(vectors) >= count)[:, None]
    moved: torch.Tensor = (
        rows + repeats * 0.1 * rows.norm(dim=-1, keepdim=True) * noise / noise.shape[1] ** 0.5
    )
    return moved


def random_rows(
    tokenizer: Any, table: torch.Tensor, vectors: int, scale: float, *, seed: int
) -> torch.Tensor:
    """Random fp32 rows [vectors, width], each ``scale`` long, unlike any one word.

    Their directions have the mean and covariance of whole words of the vocabulary: coordinates
    of a table differ in strength, and a plain Gaussian is strong where no word is. Drawn as the
    mean plus a Gaussian mixture of the centred rows, so no matrix is decomposed.
    """
    ids = sorted({i[0] for i in (word_ids(tokenizer, w) for w in _sample(tokenizer)) if i})
    used = table[torch.tensor(ids, device=table.device)] if len(ids) > 1 else table
    words = used.detach().to("cpu", torch.float32)
    mean = words.mean(dim=0)
    weights = torch.randn((vectors, len(words)), generator=torch.Generator().manual_seed(seed)) / (
        len(words) ** 0.5
    )
    rows: torch.Tensor = mean + weights @ (words - mean)
    unit: torch.Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return unit * scale


def _sample(tokenizer: Any) -> list[str]:
    """At most ``SAMPLED`` known words, spread over the vocabulary."""
    words = known_words(tokenizer)
    return words[:: max(1, len(words) // SAMPLED)][:SAMPLED]


def _is_known(tokenizer: Any, word: str) -> bool:
    unknown = getattr(original_tokenizer(tokenizer), "unk_token_id", None)
    ends = {getattr(original_tokenizer(tokenizer), "eos_token_id", None)}
    if unknown not in ends and unknown in word_ids(tokenizer, word):
        return False
    for chunk in re.findall(r"[^\W\d_]+", word):
        pieces = len(_content(tokenizer, chunk))
        if pieces > 1 and 2 * pieces > len(chunk):
            return False
    return True


def _content(tokenizer: Any, words: str) -> list[int]:
    """Ids of ``words`` without a space that stands as a piece of its own ('▁' alone)."""
    space = original_tokenizer(tokenizer).get_vocab().get("▁")
    return [i for i in word_ids(tokenizer, words) if i != space]


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
