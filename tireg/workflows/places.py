"""Where a base is: a built-in name, a folder, a single file, or a Hub id, found on this machine."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tireg.errors import BaseError

COMMIT = re.compile(r"[0-9a-f]{40}")


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
    """A base found: what to call it in records, and its folder here.

    ``folder`` is the file itself where the base is a checkpoint in one safetensors file;
    ``config`` is then the diffusers folder that its configs and tokenizers come from, if given.
    """

    id: str
    folder: Path
    revision: str | None = None
    license: str | None = None
    scorer: Path | None = None
    config: Path | None = None


def find_base(
    name: str, known: dict[str, str] | None = None, *, config: str | None = None
) -> Place:
    """The base called ``name``: built-in, folder, file, or Hub id, ``owner/repo[@rev]``.

    ``known`` maps ids of bases used before to their folders or files. ``config`` names the base
    whose configs go with a single file. Raises BaseError when there is none or a file is no
    safetensors file, HubError when it is on the Hub and the Hub cannot be reached.
    """
    place = _find(name, known)
    if config is None:
        return place
    if not place.folder.is_file():
        raise BaseError(
            f"'{name}' has its own configs", hint="--base-config goes with a single file alone"
        )
    return replace(place, config=_find(config, known).folder)


def _find(name: str, known: dict[str, str] | None) -> Place:
    if name in BUILT_IN:
        entry = BUILT_IN[name]
        return Place(name, entry.folder(), None, entry.license, entry.scorer())
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Place(folder.resolve().name, folder.resolve())
    if folder.is_file():
        if folder.suffix.lower() not in (".safetensors", ".sft"):
            raise BaseError(
                f"'{folder.name}' is no safetensors file, and tireg opens no pickled checkpoints",
                hint="look for the .safetensors file of the model",
            )
        return Place(folder.stem, folder.resolve())
    remembered = (known or {}).get(name)
    if remembered and Path(remembered).exists():
        return Place(name, Path(remembered), commit_of(Path(remembered)))
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


def commit_of(folder: Path) -> str | None:
    """The commit of a base in the Hub's cache, whose folder is called ``snapshots/COMMIT``.

    A base that is remembered by its folder is thus at the same revision as when it was fetched.
    """
    kept = folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name)
    return folder.name if kept else None
