"""What a remote holds: one repository of several embeddings, or all those of an organisation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tireg.errors import InputError, TiregError
from tireg.hub.layout import Index, version_folder
from tireg.hub.pulling import holdings
from tireg.hub.session import Hub
from tireg.hub.tree import Snapshot, snapshot

PARALLEL = 8
MOST = 5000


@dataclass(frozen=True)
class Word:
    """One embedding of a remote. ``place`` is its repository, and its folder where it has one."""

    place: str
    repo: str
    folder: str
    at: Snapshot
    index: Index

    @property
    def prefix(self) -> str:
        """Of its paths in the repository."""
        return f"{self.folder}/" if self.folder else ""

    def scores(self, record: str) -> set[str]:
        """The first 16 digits of the runs that a version has there."""
        folder = f"{self.prefix}{version_folder(record)}/scores/"
        return {
            path.removeprefix(folder).removesuffix(".json")
            for path in self.at.files
            if path.startswith(folder)
        }


@dataclass(frozen=True)
class Unreadable:
    """A repository of the remote that cannot be read, and why."""

    repo: str
    error: TiregError


def remote_words(hub: Hub, target: str) -> tuple[list[Word], list[Unreadable]]:
    """Every embedding of ``target``: a repository (``owner/name``), or an organisation."""
    repos = [target] if "/" in target else sorted(_repos_of(hub, target))

    def look(repo: str) -> list[Word] | Unreadable:
        try:
            return list(_words(hub, repo))
        except TiregError as error:
            return Unreadable(repo, error)

    words: list[Word] = []
    unreadable: list[Unreadable] = []
    with ThreadPoolExecutor(PARALLEL) as pool:
        for found in pool.map(look, repos):
            if isinstance(found, Unreadable):
                unreadable.append(found)
            else:
                words += found
    return words, unreadable


def _repos_of(hub: Hub, author: str) -> Iterator[str]:
    query: dict[str, str | list[str]] = {"author": author, "filter": ["tireg"], "limit": "500"}
    for row in hub.pages("models", query=query, about=author, limit=MOST):
        repo = row.get("id") if isinstance(row, dict) else None
        if isinstance(repo, str) and repo.startswith(f"{author}/"):
            yield repo


def _words(hub: Hub, repo: str) -> Iterator[Word]:
    try:
        at = snapshot(hub, repo)
    except InputError:  # not made yet: publishing makes it
        return
    for held in holdings(hub, at):
        if held.index is not None:
            folder = held.prefix.rstrip("/")
            place = f"{repo}/{folder}" if folder else repo
            yield Word(place, repo, folder, at, held.index)
