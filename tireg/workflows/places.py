"""Where a base is: a built-in name, a folder, or a Hub id, made into a folder on this machine."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tireg.errors import BaseError


@dataclass(frozen=True)
class BuiltIn:
    """A base that comes with tireg."""

    folder: Callable[[], Path]
    scorer: Callable[[], Path]
    license: str
    title: str


def _shapes_folder() -> Path:
    from tireg.shapes import base_path

    return base_path()


def _shapes_scorer() -> Path:
    from tireg.shapes import scorer_path

    return scorer_path()


BUILT_IN = {
    "shapes": BuiltIn(
        _shapes_folder, _shapes_scorer, "apache-2.0", "A miniature world of shapes, 32 pixels"
    )
}


@dataclass(frozen=True)
class Place:
    """A base found: what to call it in records, and its folder here."""

    id: str
    folder: Path
    revision: str | None = None
    license: str | None = None
    scorer: Path | None = None


def find_base(name: str, known: dict[str, str] | None = None) -> Place:
    """The base called ``name``: built-in, folder, Hub id (``owner/repo`` or ``owner/repo@rev``).

    ``known`` maps ids of bases used before to their folders. Raises BaseError when there is
    none, HubError when it is on the Hub and the Hub cannot be reached.
    """
    if name in BUILT_IN:
        entry = BUILT_IN[name]
        return Place(name, entry.folder(), None, entry.license, entry.scorer())
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Place(folder.resolve().name, folder.resolve())
    if folder.is_file():
        raise BaseError(
            f"'{name}' is a single file; a base is a diffusers folder",
            hint="convert it with diffusers' from_single_file(...).save_pretrained(FOLDER)",
        )
    remembered = (known or {}).get(name)
    if remembered and Path(remembered).is_dir():
        return Place(name, Path(remembered))
    from tireg.hub.fetch import fetch_base, is_repo_id

    repo, _, revision = name.partition("@")
    if is_repo_id(repo) and not name.startswith((".", "/", "~")):
        fetched = fetch_base(repo, revision or None)
        return Place(repo, fetched.folder, fetched.revision, fetched.license)
    near = difflib.get_close_matches(name, [*BUILT_IN, *(known or {})], n=1)
    raise BaseError(
        f"there is no base '{name}'",
        hint=f"did you mean '{near[0]}'?" if near else "give a folder, owner/repo, or: tireg bases",
    )
