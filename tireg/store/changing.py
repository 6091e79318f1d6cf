"""What may change about an embedding: labels, notes, its name, and the trash."""

from __future__ import annotations

from collections.abc import Iterable

from tireg.errors import NameInUseError, RefError
from tireg.store.core import Store
from tireg.store.finding import find, find_embedding, found_where
from tireg.store.insert import refresh_embedding
from tireg.store.names import check_alias, check_name, check_tag
from tireg.store.rows import Found, Remote
from tireg.store.texts import refresh_text


def remove(store: Store, ref: str) -> list[Found]:
    """Put ``name@3`` or every version of ``name`` in the trash; what was put there."""
    with store.writing() as change:
        found = find(change.db, ref)
        if _names_one(ref, found):
            doomed = [found]
        else:
            doomed = found_where(
                change.db, "v.embedding_id = ? AND v.trashed IS NULL", [found.embedding_id]
            )
        for version in doomed:
            change.db.execute(
                "UPDATE versions SET trashed = ? WHERE id = ?", [change.at, version.id]
            )
            change.event("rm", version.embedding_id, version.name, version.version)
        refresh_embedding(change.db, found.embedding_id)
        change.touch(found.embedding_id)
    return doomed


def restore(store: Store, ref: str) -> list[Found]:
    """Take ``name@3`` or every version of ``name`` out of the trash again."""
    with store.writing() as change:
        found = find(change.db, ref, trashed=True)
        sql = "v.embedding_id = ? AND v.trashed IS NOT NULL"
        back = found_where(change.db, sql, [found.embedding_id])
        if _names_one(ref, found):
            back = [v for v in back if v.version == found.version]
        if not back:
            raise RefError(f"'{ref}' is not in the trash", hint="tireg list --trash")
        for version in back:
            change.db.execute("UPDATE versions SET trashed = NULL WHERE id = ?", [version.id])
            change.event("restore", version.embedding_id, version.name, version.version)
        refresh_embedding(change.db, found.embedding_id)
        change.touch(found.embedding_id)
    return back


def rename(store: Store, ref: str, name: str) -> None:
    """Give an embedding another name; its versions, labels and history go along."""
    name = check_name(name)
    with store.writing() as change:
        embedding_id, old = find_embedding(change.db, ref)
        taken = change.db.execute(
            "SELECT id, token, version FROM embeddings WHERE name = ?", [name]
        ).fetchone()
        if taken is not None and taken[0] != embedding_id:
            where = "" if taken[2] is not None else " in the trash"
            raise NameInUseError(
                f"'{name}' is already the embedding with the token '{taken[1]}'{where}",
                hint="choose another name" if taken[2] is not None else "tireg gc empties it",
            )
        if name == old:
            return
        change.db.execute("UPDATE embeddings SET name = ? WHERE id = ?", [name, embedding_id])
        refresh_text(change.db, embedding_id)
        change.touch(embedding_id)
        change.event("rename", embedding_id, name, None, f"from {old}")


def tag(store: Store, ref: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Add tags to an embedding; all of its tags afterwards."""
    wanted = [check_tag(t) for t in tags]
    return _retag(store, ref, wanted, "INSERT OR IGNORE INTO tags VALUES (?, ?)", "tag")


def untag(store: Store, ref: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Take tags away from an embedding; the ones that remain."""
    wanted = [check_tag(t) for t in tags]
    sql = "DELETE FROM tags WHERE tag = ? AND embedding_id = ?"
    return _retag(store, ref, wanted, sql, "untag")


def alias(store: Store, ref: str, name: str) -> Found:
    """Let ``name`` (such as ``best``) mean the version ``ref``; it may have meant another."""
    name = check_alias(name)
    with store.writing() as change:
        found = find(change.db, ref)
        change.db.execute(
            "INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)",
            [found.embedding_id, name, found.version],
        )
        change.touch(found.embedding_id)
        change.event("alias", found.embedding_id, found.name, found.version, name)
    return found


def unalias(store: Store, ref: str, name: str) -> None:
    """Forget an alias of the embedding; RefError if it has none of that name."""
    with store.writing() as change:
        embedding_id, known = find_embedding(change.db, ref)
        gone = change.db.execute(
            "DELETE FROM aliases WHERE embedding_id = ? AND alias = ?", [embedding_id, name]
        )
        if not gone.rowcount:
            raise RefError(f"'{known}' has no alias '{name}'", hint=f"tireg show {known}")
        change.touch(embedding_id)
        change.event("unalias", embedding_id, known, None, name)


def note(store: Store, ref: str, text: str) -> None:
    """Replace the notes of an embedding; an empty text removes them."""
    with store.writing() as change:
        embedding_id, name = find_embedding(change.db, ref)
        change.db.execute("UPDATE embeddings SET notes = ? WHERE id = ?", [text, embedding_id])
        refresh_text(change.db, embedding_id)
        change.touch(embedding_id)
        change.event("note", embedding_id, name, None, text[:200])


def set_remote(store: Store, ref: str, remote: Remote) -> None:
    """Remember that ``remote.repo`` holds a record of this embedding at that revision."""
    with store.writing() as change:
        embedding_id, name = find_embedding(change.db, ref)
        change.db.execute(
            "INSERT OR REPLACE INTO remotes VALUES (?, ?, ?, ?, ?)",
            [
                embedding_id,
                remote.repo,
                remote.revision,
                remote.record_sha,
                remote.synced or change.at,
            ],
        )
        change.touch(embedding_id)
        change.event("sync", embedding_id, name, None, f"{remote.repo} at {remote.revision}")


def remotes(store: Store, ref: str) -> list[Remote]:
    """Where the embedding is also kept."""
    with store.reading() as db:
        embedding_id, _ = find_embedding(db, ref)
        rows = db.execute(
            "SELECT repo, revision, record_sha, synced FROM remotes WHERE embedding_id = ?"
            " ORDER BY repo",
            [embedding_id],
        ).fetchall()
    return [Remote(*row) for row in rows]


def _retag(store: Store, ref: str, tags: list[str], sql: str, verb: str) -> tuple[str, ...]:
    with store.writing() as change:
        embedding_id, name = find_embedding(change.db, ref)
        for word in tags:
            if change.db.execute(sql, [word, embedding_id]).rowcount:
                change.event(verb, embedding_id, name, None, word)
        refresh_text(change.db, embedding_id)
        change.touch(embedding_id)
        rows = change.db.execute(
            "SELECT tag FROM tags WHERE embedding_id = ? ORDER BY tag", [embedding_id]
        ).fetchall()
    return tuple(t for (t,) in rows)


def _names_one(ref: str, found: Found) -> bool:
    """Whether ``ref`` was one version (by number, alias or hash), not a whole embedding."""
    return "@" in ref or ref.strip() != found.name
