"""Starts that need more than a table: an encoder's own output, words that fit the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tireg.errors import RecipeError
from tireg.models.bases import TextEncoder
from tireg.models.tokens import TokenRows, original_tokenizer, word_ids
from tireg.training.data import Data
from tireg.training.objective import Objective
from tireg.training.rows import COMMON_WORDS, fit_rows, known_words, phrase_ids
from tireg.training.validation import fixed_batches, fixed_losses

Rank = Callable[[Sequence[str]], list[float]]
Losses = Callable[[Mapping[str, np.ndarray]], list[float]]

NEUTRAL = "a photo of a"
MOST_WORDS = 2000
BEST_WORDS = 10
PROBED = 5
MOST_PHRASES = 3
# Where a vocabulary is this small, entries such as 'quare' are pieces of one longer word.
SMALL_VOCABULARY = 4000
PIECE_OF = 3
EMPTY_WORDS = frozenset(
    "a an the of on in with and to at for from by as is are was be this that it its or not no "
    "my your our his her their photo picture image painting drawing rendering rendition style "
    "you all who what how has have had will can just more one two".split()
)


@torch.no_grad()
def cross_rows(
    encoder: TextEncoder, words: str, vectors: int, scale: float, *, seed: int
) -> torch.Tensor | None:
    """fp32 rows [vectors, width] that begin as the encoder's output for ``words``.

    Cross initialisation (Pang et al., CVPR 2024): the last states at the words' positions in a
    neutral prompt. The paper keeps the output's length; here each row is ``scale`` long, the
    mean row norm of words in use, because rates, limits and anchors are measured by it and a
    final layer norm makes outputs many times longer than any row. None where outputs are of
    another width than rows. RecipeError for words the vocabulary does not know.
    """
    phrase_ids(encoder.tokenizer, words)
    tokenizer = original_tokenizer(encoder.tokenizer)
    before, plain = word_ids(tokenizer, NEUTRAL), word_ids(tokenizer, f"{NEUTRAL} {words}")
    whole = [int(i) for i in tokenizer(f"{NEUTRAL} {words}")["input_ids"]]
    first = whole.index(plain[0]) + len(before)
    device = encoder.model.get_input_embeddings().weight.device
    out = encoder.model(torch.tensor([whole], device=device)).last_hidden_state[0]
    if out.shape[-1] != encoder.model.get_input_embeddings().weight.shape[1]:
        return None
    chosen = out[first : first + len(plain) - len(before)].to("cpu", torch.float32)
    rows = fit_rows(chosen, vectors, seed=seed)
    unit: torch.Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    return unit * scale


@dataclass(frozen=True)
class Choice:
    """The words that fit the pictures best, and why, in one sentence."""

    words: str
    why: str


def _is_known(words: str, rows_of: Callable[[str], Mapping[str, np.ndarray]]) -> bool:
    """Whether rows can begin as ``words``; a class noun need not be in the vocabulary."""
    try:
        rows_of(words)
    except RecipeError:
        return False
    return True


def choose_words(
    candidates: Sequence[str],
    class_noun: str,
    rank: Rank,
    rows_of: Callable[[str], Mapping[str, np.ndarray]],
    loss: Losses | None,
) -> Choice:
    """The start that the pictures ask for, among ``candidates`` and phrases made of the best.

    ``rank`` says how much more texts are like the pictures than like nothing. The best few and
    the class noun are then compared by their mean ``loss`` on the same samples with the rows
    ``rows_of`` gives; without ``loss`` likeness decides. The same for the same input. RecipeError
    where there is no candidate.
    """
    if not candidates:
        raise RecipeError(
            "no word of this base's vocabulary can be tried as a start", hint="--init WORDS"
        )
    liked = _ranked(candidates, rank)
    best = [word for word, _ in liked[:BEST_WORDS]]
    nouns = list(dict.fromkeys([*best, *([class_noun] if class_noun else [])]))
    phrases = [f"{a} {n}" for a in best for n in nouns if a not in n.split()]
    everything = dict(liked) | dict(_ranked(phrases, rank) if phrases else [])
    order = sorted(everything, key=lambda text: (-everything[text], text))
    place = {text: number for number, text in enumerate(order, 1)}
    tried = _shortlist(order)
    if loss is None:
        return Choice(
            tried[0], f"started from '{tried[0]}' (similarity rank 1 of {len(order)}, not probed)"
        )
    if class_noun and class_noun not in tried and _is_known(class_noun, rows_of):
        tried.append(class_noun)
    losses = {text: float(np.mean(loss(rows_of(text)))) for text in tried}
    winner = min(tried, key=lambda text: losses[text])
    near = sorted((text for text in tried if text != winner), key=lambda text: losses[text])
    rival = class_noun if class_noun and class_noun != winner else (near[0] if near else "")
    against = f" against {losses[rival]:.3f} for '{rival}'" if rival else ""
    rank_of = (
        f"similarity rank {place[winner]} of {len(order)}"
        if winner in place
        else f"the class noun, before {len(order)} others"
    )
    return Choice(
        winner, f"started from '{winner}' (loss {losses[winner]:.3f}{against}, {rank_of})"
    )


def _ranked(texts: Sequence[str], rank: Rank) -> list[tuple[str, float]]:
    """Texts with their likeness, best first; those alike in the order of the alphabet."""
    return sorted(zip(texts, rank(texts), strict=True), key=lambda pair: (-pair[1], pair[0]))


def _shortlist(order: Sequence[str]) -> list[str]:
    """The first few texts, not all of them phrases, no phrase twice in another order."""
    chosen: list[str] = []
    seen: set[frozenset[str]] = set()
    for text in order:
        parts = frozenset(text.split())
        phrases = sum(1 for other in chosen if " " in other)
        if parts in seen or (len(parts) > 1 and phrases == MOST_PHRASES):
            continue
        seen.add(parts)
        chosen.append(text)
        if len(chosen) == PROBED:
            break
    return chosen


def candidate_words(tokenizers: Sequence[Any]) -> list[str]:
    """At most ``MOST_WORDS`` words that are whole in the first vocabulary and known to all.

    The commonest first: a vocabulary lists its pieces in the order it learned them.
    """
    words = known_words(tokenizers[0])
    numbered = []
    for word in words:
        ids = word_ids(tokenizers[0], word)
        if len(ids) == 1 and word.islower() and word not in EMPTY_WORDS:
            numbered.append((ids[0], word))
    if len(numbered) < SMALL_VOCABULARY:
        pieces = {w[i:] for w in words for i in range(1, PIECE_OF + 1)}
        numbered = [(i, w) for i, w in numbered if w not in pieces or w in COMMON_WORDS]
    found = [word for _, word in sorted(numbered)[:MOST_WORDS]]
    return [word for word in found if all(_knows(t, word) for t in tokenizers[1:])]


def _knows(tokenizer: Any, word: str) -> bool:
    try:
        phrase_ids(tokenizer, word)
    except RecipeError:
        return False
    return True


def loss_probe(
    objective: Objective, wrappers: Mapping[str, TokenRows], data: Data, size: int
) -> Losses:
    """A function from rows to the losses of the run's fixed samples, ``size`` at a time.

    Same samples, timesteps and noise for every call, so losses are paired. The rows that were
    there are put back. Raises RecipeError for rows of another shape.
    """
    batches = fixed_batches(data, objective)

    def losses(rows: Mapping[str, np.ndarray]) -> list[float]:
        kept = {key: wrapper.rows.detach().clone() for key, wrapper in wrappers.items()}
        try:
            _put(wrappers, {key: torch.from_numpy(value) for key, value in rows.items()})
            found: list[float] = fixed_losses(objective, batches, size).tolist()
        finally:
            _put(wrappers, kept)
        return found

    return losses


@torch.no_grad()
def _put(wrappers: Mapping[str, TokenRows], rows: Mapping[str, torch.Tensor]) -> None:
    for key, wrapper in wrappers.items():
        value = rows.get(key)
        if value is None or value.shape != wrapper.rows.shape:
            shape = None if value is None else list(value.shape)
            raise RecipeError(f"the rows to try for {key} are {shape}, not {[*wrapper.rows.shape]}")
        wrapper.rows.copy_(value)
