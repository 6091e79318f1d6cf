"""The words by which an embedding is found: gathered from its rows, one row of text each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlite_utils import Database

# Scripts written without spaces: the tokenizer would take a whole sentence for one word, so
# each of their characters is made a word of its own, here and in what is searched for.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff])"
)


def split_unspaced(text: str) -> str:
    """``text`` with spaces around each character of a script that is written without them."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    return _UNSPACED.sub(r" \1 ", text) if _UNSPACED.search(text) else text


@dataclass(frozen=True)
class Words:
    """What an embedding is found by. Empty and repeated entries are dropped."""

    name: str
    token: str
    notes: str
    tags: Sequence[str | None]
    about: Sequence[str | None]
    captions: Sequence[str | None]
    prompts: Sequence[str | None]


def insert_text(db: Database, embedding_id: int, words: Words) -> None:
    """The row of words of an embedding that has none."""
    values = [words.name, words.token, _lines(words.tags), words.notes]
    values += [_lines(words.about), _lines(words.captions), _lines(words.prompts)]
    db.execute(
        "INSERT INTO words (rowid, name, token, tags, notes, about, captions, prompts)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [embedding_id, *(split_unspaced(v) for v in values)],
    )


def refresh_text(db: Database, embedding_id: int) -> None:
    """Bring the words of one embedding up to date; those of trashed ones are not searched."""
    db.execute("DELETE FROM words WHERE rowid = ?", [embedding_id])
    row = db.execute(
        "SELECT e.name, e.token, e.notes, e.version_id, v.kind, v.class_noun, v.author, v.base,"
        " v.family, v.init, v.source, v.concept_sha FROM embeddings e JOIN versions v"
        " ON v.id = e.version_id WHERE e.id = ?",
        [embedding_id],
    ).fetchone()
    if row is None:
        return
    name, token, notes, version_id, *about, concept = row

    def column(sql: str, value: object) -> list[str | None]:
        return [text for (text,) in db.execute(sql, [value])]

    words = Words(
        name=name,
        token=token,
        notes=notes,
        tags=column("SELECT tag FROM tags WHERE embedding_id = ? ORDER BY tag", embedding_id),
        about=about,
        captions=column(
            "SELECT caption FROM pictures WHERE concept_sha = ? ORDER BY position", concept
        ),
        prompts=column("SELECT text FROM files WHERE version_id = ? ORDER BY position", version_id),
    )
    insert_text(db, embedding_id, words)


def _lines(texts: Sequence[str | None]) -> str:
    return "\n".join(dict.fromkeys(t for t in texts if t))
