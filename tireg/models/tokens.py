"""New words for a text encoder, without touching its weights or its tokenizer.

The encoder's embedding module is wrapped, not resized: the base table stays the very same
object, so taking the word away restores the model bit for bit, and a table padded beyond the
tokenizer's size (T5) is never shrunk. The tokenizer is a copy that replaces the typed token by
n private added tokens before encoding; an ordinary word such as 'cat' cannot be rewritten
inside 'cathedral', because a token with a letter at its edge only matches at a word boundary.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn


class TokenRows(nn.Module):
    """An embedding table with extra rows behind its end.

    ``rows`` has shape [n, width]. Token ids from ``first`` on read ``rows``; all others read
    the wrapped ``table``, which is used as it is.
    """

    def __init__(self, table: nn.Module, rows: torch.Tensor, first: int) -> None:
        super().__init__()
        self.table = table
        self.rows = rows if isinstance(rows, nn.Parameter) else nn.Parameter(rows, False)
        self.first = first
        self.last_of_table = min(first, table_weight(table).shape[0]) - 1

    @property
    def weight(self) -> torch.Tensor:
        """The untouched base table, [vocabulary, width]."""
        return table_weight(self.table)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids of any shape to embeddings of shape [*ids.shape, width]."""
        base: torch.Tensor = self.table(ids.clamp(max=self.last_of_table))
        extra = nn.functional.embedding((ids - self.first).clamp(min=0), self.rows)
        # Gemma 3 and its kin scale inside the table; rows are kept as the table keeps its own.
        extra = extra * getattr(self.table, "embed_scale", 1.0)
        return torch.where((ids >= self.first).unsqueeze(-1), extra.to(base.dtype), base)


def table_weight(table: nn.Module) -> torch.Tensor:
    """The weight matrix of an embedding module."""
    weight = table.weight
    if not isinstance(weight, torch.Tensor):
        raise TypeError(f"{type(table).__name__} has no weight matrix")
    return weight


def attach_rows(encoder: Any, rows: torch.Tensor, first: int, eos_id: int | None) -> TokenRows:
    """Give ``encoder`` the extra ``rows`` [n, width] at token ids ``first``…; return the wrapper.

    Rows attached earlier are replaced. ``eos_id`` is the tokenizer's end token: encoders whose
    config says 2 pool at the highest token id, which would be a new row instead of the end
    token, so while rows are attached they pool at the true end token. Prompts without the new
    rows are encoded to the same bits either way.
    """
    detach_rows(encoder)
    wrapper = TokenRows(encoder.get_input_embeddings(), rows, first)
    for module in encoder.modules():
        if getattr(module, "eos_token_id", None) == 2 and eos_id is not None:
            module.tireg_eos = 2
            module.eos_token_id = eos_id
    encoder.set_input_embeddings(wrapper)
    return wrapper


def detach_rows(encoder: Any) -> None:
    """Put the encoder's own embedding module back; nothing to do if it is there already."""
    wrapper = encoder.get_input_embeddings()
    if not isinstance(wrapper, TokenRows):
        return
    encoder.set_input_embeddings(wrapper.table)
    for module in encoder.modules():
        if hasattr(module, "tireg_eos"):
            module.eos_token_id = module.tireg_eos
            del module.tireg_eos


class _ExpandsTokens:
    """Mixed into a copied tokenizer: typed tokens become private added tokens."""

    tireg_original: Any
    tireg_words: dict[str, str]
    tireg_pattern: re.Pattern[str]

    def tireg_expand(self, text: Any) -> Any:
        """Replace typed tokens in a string, or in every string of a (nested) list."""
        if isinstance(text, str):
            return self.tireg_pattern.sub(lambda m: self.tireg_words[m[0]], text)
        if isinstance(text, list | tuple):
            return type(text)(self.tireg_expand(item) for item in text)
        return text

    def __call__(self, text: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(self.tireg_expand(text), *args, **kwargs)  # type: ignore[misc]


def extend_tokenizer(tokenizer: Any, words: Mapping[str, int], *, lowered: bool = False) -> Any:
    """A copy of ``tokenizer`` in which each typed token of ``words`` stands for n new ids.

    ``words`` maps a token to its number of rows; the rows of the first token come first. The
    original is kept as ``copy.tireg_original`` and is not changed. With ``lowered`` a token is
    also known in lower case, for pipelines that lower their prompts before encoding them.
    """
    from transformers import AddedToken

    original = original_tokenizer(tokenizer)
    clone = copy.deepcopy(original)
    private: dict[str, str] = {}
    added: list[str] = []
    for number, (word, count) in enumerate(words.items()):
        names = [f"<|tireg-{number}-{i}|>" for i in range(count)]
        private[word] = "".join(names)
        added += names
    if lowered:
        private = {word.lower(): names for word, names in private.items()} | private
    # The space before a row goes with it; that behind it is part of the next word for
    # tokenizers of T5's and GPT's kind.
    clone.add_tokens([AddedToken(n, lstrip=True, rstrip=False, normalized=False) for n in added])
    kind = type(original)
    members = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    clone.__class__ = type(kind.__name__, (_ExpandsTokens, kind), members)
    clone.tireg_original = original
    clone.tireg_words = private
    clone.tireg_pattern = word_pattern(private)
    return clone


def original_tokenizer(tokenizer: Any) -> Any:
    """The tokenizer that an extended one was copied from, or itself."""
    return tokenizer.tireg_original if isinstance(tokenizer, _ExpandsTokens) else tokenizer


def word_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Matches any of ``words`` as a whole: longest first, letters only at word boundaries."""
    parts = []
    for word in sorted(words, key=len, reverse=True):
        head = r"(?<!\w)" if re.match(r"\w", word) else ""
        tail = r"(?!\w)" if re.search(r"\w\Z", word) else ""
        parts.append(head + re.escape(word) + tail)
    return re.compile("|".join(parts) if parts else r"(?!)")


def is_ordinary_word(tokenizer: Any, token: str) -> bool:
    """Whether the vocabulary already has ``token`` as one whole entry."""
    vocabulary = original_tokenizer(tokenizer).get_vocab()
    forms = {token, token.lower()}
    return any(f in vocabulary or f"{f}</w>" in vocabulary or f"▁{f}" in vocabulary for f in forms)


def word_ids(tokenizer: Any, words: str) -> list[int]:
    """Token ids of ``words`` without begin, end and padding."""
    encoded = original_tokenizer(tokenizer)(words, add_special_tokens=False)
    return [int(i) for i in encoded["input_ids"]]
