"""Search by words and filters, a page at a time."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlite_utils import Database

from tireg.errors import InputError, RefError
from tireg.store.core import Store
from tireg.store.listing import COLUMNS, make_rows
from tireg.store.rows import Row
from tireg.store.texts import split_unspaced

# A filter that at most this many embeddings pass is looked up first and the rest sorted;
# with a wider one it is faster to walk along the sort order and test each.
NARROW = 3000
# Above this many matches a word tells little; reckoning the relevance of each would take
# longer than the reader gains, so the last added come first.
RANKED = 5000
# By column of the words table: name, token, tags, notes, about, captions, prompts.
WEIGHTS = "12.0, 8.0, 6.0, 2.0, 3.0, 2.0, 1.0"
# From the score that stands for a record to the embeddings whose newest version it is.
_SCORED = (
    "headlines h CROSS JOIN versions v ON v.record_sha = h.record_sha"
    " CROSS JOIN embeddings e ON e.id = v.embedding_id AND e.version_id = v.id"
)


@dataclass(frozen=True)
class Query:
    """What to look for; every condition must hold.

    ``words``: each is matched from its beginning, ``"quoted words"`` as a phrase, anywhere in
    name, token, tags, notes, kind, noun, author, base, captions and preview prompts. ``base``
    is an exact id; ``compatible_with`` the id of a known base whose encoders have the verdict
    exact or near. ``minimum`` holds (metric, value) pairs of headline scores. ``sort`` is
    ``relevance`` (without words: ``created``), ``created``, ``added``, ``name`` or a metric,
    best first. ``limit`` None gives all; ``cursor`` is :attr:`Page.cursor` of the page before.
    """

    words: str = ""
    base: str | None = None
    compatible_with: str | None = None
    family: str | None = None
    kind: str | None = None
    tags: tuple[str, ...] = ()
    license: str | None = None
    negative: bool | None = None
    minimum: tuple[tuple[str, float], ...] = ()
    sort: str = "relevance"
    limit: int | None = 50
    cursor: str | None = None


@dataclass(frozen=True)
class Page:
    """Some rows, and the cursor that asks for the next ones (null: there are none)."""

    rows: list[Row]
    cursor: str | None


@dataclass
class Conditions:
    """SQL over ``embeddings e`` with its values, and narrow ways in."""

    sql: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)
    ways_in: list[tuple[str, list[object]]] = field(default_factory=list)
    impossible: bool = False

    def add(self, sql: str, *values: object, way_in: str | None = None) -> None:
        """One more condition; ``way_in`` selects the ids that pass it, with the same values."""
        self.sql.append(sql)
        self.values.extend(values)
        if way_in is not None:
            self.ways_in.append((way_in, list(values)))


def search(store: Store, query: Query) -> Page:
    """One page of what matches. Raises InputError for an unknown sort or a foreign cursor."""
    if query.limit is not None and query.limit < 1:
        raise InputError("a page has at least 1 row", hint="give a --limit of 1 or more")
    with store.reading() as db:
        return _search(db, query)


def match_expression(words: str) -> tuple[str, list[str]]:
    """An FTS5 expression of what was typed, and the bits that hold no letter or digit.

    Everything is quoted, so no operator, column filter or stray quote has an effect.
    """
    terms, symbols = [], []
    for phrase, word in re.findall(r'"([^"]*)"|([^\s"]+)', words):
        text = _plain(phrase or word)
        if not any(_is_word(c) for c in text):
            if text:
                symbols.append(text)
            continue
        # One letter alone would match a large part of everything by its beginning.
        star = "" if phrase or len(text) < 2 else "*"
        terms.append(f'"{split_unspaced(text).strip()}"{star}')
    return " AND ".join(terms), symbols


def same_token(db: Database, token: str, name: str) -> list[str]:
    """Other embeddings outside the trash that are typed with the same ``token`` as ``name``.

    The index of words finds them, as no column is indexed by token. None for a token without
    letters: ``*`` stands for a file's name in some tools and is in very many.
    """
    expression, _ = match_expression(f'"{token}"')
    if not expression:
        return []
    rows = db.execute(
        "SELECT e.name FROM words CROSS JOIN embeddings e ON e.id = words.rowid"
        " WHERE words MATCH ? AND e.token = ? AND e.name <> ? ORDER BY e.id LIMIT 5",
        [f"token : {expression}", token, name],
    ).fetchall()
    return [other for (other,) in rows]


def conditions(db: Database, query: Query) -> Conditions:
    """The filters of a query, without its words."""
    found = Conditions()
    found.add("e.updated IS NOT NULL")
    for column, value in (
        ("base", query.base),
        ("family", query.family),
        ("kind", query.kind),
        ("license", query.license),
    ):
        if value is None:
            continue
        if column == "family":
            found.add(
                "EXISTS (SELECT 1 FROM families f WHERE f.family = ? AND"
                " f.version_id = e.version_id)",
                value,
                way_in="SELECT x.id FROM families f CROSS JOIN versions v ON v.id = f.version_id"
                " JOIN embeddings x ON x.version_id = v.id AND x.id = v.embedding_id"
                " WHERE f.family = ?",
            )
        else:
            # The plus keeps SQLite from gathering a third of all rows only to sort them: where a
            # filter is wide, walking along the sort order finds a page sooner.
            plus = "" if column == "base" else "+"
            found.add(
                f"{plus}e.{column} = ?",
                value,
                way_in=f"SELECT id FROM embeddings WHERE {column} = ?",
            )
    for tag in query.tags:
        found.add(
            "EXISTS (SELECT 1 FROM tags t WHERE t.tag = ? AND t.embedding_id = e.id)",
            tag,
            way_in="SELECT embedding_id AS id FROM tags WHERE tag = ?",
        )
    if query.negative is not None:
        few = "SELECT id FROM embeddings WHERE negative = 1" if query.negative else None
        found.add(f"e.negative = {int(query.negative)}", way_in=few)
    for metric, least in query.minimum:
        found.add(
            "EXISTS (SELECT 1 FROM headlines h WHERE h.record_sha = e.record_sha"
            " AND h.metric = ? AND h.value >= ?)",
            metric,
            least,
            way_in=f"SELECT e.id FROM {_SCORED} WHERE h.metric = ? AND h.value >= ?",
        )
    if query.compatible_with is not None:
        _add_compatible(db, found, query.compatible_with)
    return found


def _add_compatible(db: Database, found: Conditions, base: str) -> None:
    if not db.execute("SELECT 1 FROM bases WHERE id = ?", [base]).fetchone():
        known = [b for (b,) in db.execute("SELECT DISTINCT id FROM bases ORDER BY id LIMIT 5")]
        hint = f"known: {', '.join(known)}" if known else "none is known yet"
        raise RefError(f"no base is called '{base}' here", hint=hint)
    from tireg.store.bases import runs_on

    pairs = runs_on(db, base)
    if not pairs:
        found.impossible = True
        return
    marks = ", ".join("(?, ?)" for _ in pairs)
    found.add(
        f"(e.base_fingerprint, e.encoders) IN (VALUES {marks})",
        *(value for pair in pairs for value in pair),
        way_in=f"SELECT x.id FROM (VALUES {marks}) p CROSS JOIN embeddings x"
        " ON x.base_fingerprint = p.column1 AND x.encoders = p.column2",
    )


def _search(db: Database, query: Query) -> Page:
    found = conditions(db, query)
    expression, symbols = match_expression(query.words)
    for text in symbols:
        found.add("(instr(e.token, ?) OR instr(e.name, ?))", text, text)
    if found.impossible:
        return Page([], None)
    broad = bool(expression) and _is_broad(db, expression)
    sort = query.sort
    if sort == "relevance" and (broad or not expression):
        sort = "added" if broad else "created"
    source, values = _source(db, found, expression, broad=broad, sort=sort)
    key, direction = _order(db, sort)
    if key == "h.value":
        if source == "embeddings e":
            source = _SCORED
        else:
            source += " JOIN headlines h ON h.record_sha = e.record_sha"
        found.add("h.metric = ? AND h.value IS NOT NULL", sort)
    if key == "e.id" and source.startswith("words "):
        key = "words.rowid"
    sql = f"SELECT {COLUMNS}, {key} AS key FROM {source} WHERE {' AND '.join(found.sql)}"
    values = [*values, *found.values]
    after = _read_cursor(query, sort)
    if after is not None:
        compare = ">" if direction == "ASC" else "<"
        if sort == "relevance":
            sql = f"SELECT * FROM ({sql}) WHERE (key, id) {compare} (?, ?)"
        elif sort == "added":
            sql += f" AND {key} < ?"
            after = after[1:]
        else:
            sql += f" AND ({key}, e.id) {compare} (?, ?)"
        values += after
    if sort == "added":
        sql += f" ORDER BY {key} DESC LIMIT ?"
    else:
        tie = "id" if after and sort == "relevance" else "e.id"
        sql += f" ORDER BY key {direction}, {tie} {direction} LIMIT ?"
    limit = query.limit
    rows = db.execute(sql, [*values, -1 if limit is None else limit + 1]).fetchall()
    cursor = None
    if limit is not None and len(rows) > limit:
        rows = rows[:limit]
        cursor = _write_cursor(query, sort, rows[-1])
    return Page(make_rows(db, [row[:-1] for row in rows]), cursor)


def _source(
    db: Database, found: Conditions, expression: str, *, broad: bool, sort: str
) -> tuple[str, list[object]]:
    """Where the rows come from, chosen so that few are looked at; with its values."""
    narrow = None if expression and not broad else _narrowest(db, found)
    if expression:
        if narrow is None and (not broad or sort == "added"):
            found.add("words MATCH ?", expression)
            return "words CROSS JOIN embeddings e ON e.id = words.rowid", []
        found.add("e.id IN (SELECT rowid FROM words WHERE words MATCH ?)", expression)
    if narrow is not None:
        return f"({narrow[0]}) d CROSS JOIN embeddings e ON e.id = d.id", list(narrow[1])
    return "embeddings e", []


def _order(db: Database, sort: str) -> tuple[str, str]:
    """The column to sort by, and which way."""
    if sort == "relevance":
        return f"bm25(words, {WEIGHTS})", "ASC"
    if sort == "name":
        return "e.name", "ASC"
    if sort == "added":
        return "e.id", "DESC"
    if sort == "created":
        return "e.updated", "DESC"
    return "h.value", _metric_direction(db, sort)


def _is_broad(db: Database, expression: str) -> bool:
    count = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)",
        [expression, RANKED + 1],
    ).fetchone()[0]
    return bool(count > RANKED)


def _narrowest(db: Database, found: Conditions) -> tuple[str, list[object]] | None:
    best, fewest = None, NARROW + 1
    for sql, values in found.ways_in:
        count = db.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM ({sql}) LIMIT ?)", [*values, fewest]
        ).fetchone()[0]
        if count < fewest:
            best, fewest = (f"SELECT DISTINCT id FROM ({sql})", values), count
    return best


def _metric_direction(db: Database, metric: str) -> str:
    row = db.execute(
        "SELECT direction FROM headlines WHERE metric = ? LIMIT 1", [metric]
    ).fetchone()
    if row is None:
        known = db.execute("SELECT DISTINCT metric FROM headlines ORDER BY metric").fetchall()
        choice = ", ".join(["relevance", "created", "added", "name", *(m for (m,) in known)])
        raise InputError(f"nothing here has a score called '{metric}'", hint=f"sort by {choice}")
    return "ASC" if row[0] == "lower" else "DESC"


def _digest(query: Query, sort: str) -> str:
    text = repr((replace(query, cursor=None, limit=None), sort))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _write_cursor(query: Query, sort: str, row: Sequence[object]) -> str:
    data = json.dumps([_digest(query, sort), row[-1], row[0]]).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _read_cursor(query: Query, sort: str) -> list[Any] | None:
    if query.cursor is None:
        return None
    try:
        padded = query.cursor + "=" * (-len(query.cursor) % 4)
        digest, key, row_id = json.loads(base64.urlsafe_b64decode(padded))
        if digest == _digest(query, sort) and isinstance(row_id, int):
            return [key, row_id]
    except (ValueError, TypeError):
        pass
    raise InputError(
        "the cursor does not belong to this search", hint="start again without --cursor"
    )


def _plain(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c)[0] != "C" and c != '"').strip()


def _is_word(character: str) -> bool:
    # The categories that the tokenizer of the words table keeps.
    category = unicodedata.category(character)
    return category[0] in "LMN" or category == "So"
