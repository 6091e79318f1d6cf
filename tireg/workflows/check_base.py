"""The base that ``tireg check`` reads: found on this machine, and compared with its fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tireg.domain.families import Family
from tireg.domain.fingerprints import Fingerprint
from tireg.errors import BaseError
from tireg.workflows.bases import fingerprint_if_any
from tireg.workflows.check import Finding
from tireg.workflows.places import BUILT_IN, Place, find_base

if TYPE_CHECKING:
    from tireg.models.text_probe import TextProbe

OF_FILES = (".safetensors", ".sft")
PARTS = {
    "table_sha256": "its words",
    "layers_sha256": "its layers",
    "config_sha256": "its config",
    "tokenizer_sha256": "its tokenizer",
}


def place_here(name: str | None, known: Mapping[str, str], config: str | None) -> Place | None:
    """The base ``name`` if it is on this machine, folder or single file; nothing is fetched.

    ``config`` names the base whose configs go with a single file. BaseError where that is not here
    or does not belong, or where the file is a pickle.
    """
    found = None if name is None else _here(name, known)
    if found is None:
        return None
    where = name if name in BUILT_IN else str(found)
    if config is None:
        return find_base(str(where))
    configs = _here(config, known)
    if configs is None:
        raise BaseError(
            f"the base '{config}' is not on this machine", hint=f"tireg bases add {config}"
        )
    return find_base(str(where), config=str(configs))


def _here(name: str, known: Mapping[str, str]) -> Path | None:
    if name in BUILT_IN:
        return BUILT_IN[name].folder()
    places = [Path(name).expanduser(), *([Path(known[name])] if name in known else [])]
    return next((p.resolve() for p in places if p.is_file() or _is_base(p)), None)


def _is_base(folder: Path) -> bool:
    return (folder / "model_index.json").is_file()


def family_at(place: Place) -> Family:
    """The family of the base. BaseError where it is none that is known."""
    from tireg.models.folders import identify
    from tireg.models.opening import family_of_file

    return family_of_file(place.folder) if place.folder.is_file() else identify(place.folder)


def opener(place: Place, family: Family) -> Callable[[str], TextProbe]:
    """What opens one text encoder of the base, by its key."""
    from tireg.models.text_probe import open_file_probe, open_probe

    if place.folder.is_file():
        return lambda key: open_file_probe(place.folder, family, key, place.config)
    return lambda key: open_probe(place.folder, family, key)


def base_findings(
    home: Path, place: Place, family: Family, made_on: Fingerprint | None, *, own: bool
) -> list[Finding]:
    """Whether the base is the one that the vectors were learned on, bit by bit.

    ``own``: it is looked at because the record names it. Nothing where the record holds no
    fingerprint of it.
    """
    if made_on is None:
        return []
    try:
        found = fingerprint_if_any(home, place.folder, family)
    except BaseError as error:
        return [Finding("base", None, "not checked", None, error.message)]
    if found is None:
        words = f"'{place.folder.name}' cannot be measured, so nobody knows if it is still the same"
        return [Finding("base", None, "not checked", None, words)]
    if found.same_as(made_on):
        words = "it is the base that the vectors were learned on"
        return [Finding("base", None, "ok", None, words)]
    changed = "; ".join(differences(made_on, found))
    if own:
        words = (
            f"'{place.id}' is no longer the base that the vectors were learned on ({changed}): "
            f"tireg eval scores on it with --base {place.id} alone"
        )
        return [Finding("base", None, "doubt", None, words)]
    words = f"not the base that the vectors were learned on ({changed}): tireg compat tells more"
    return [Finding("base", None, "note", None, words)]


def differences(one: Fingerprint, other: Fingerprint) -> list[str]:
    """What differs between two bases, in words; empty for the same one."""
    if one.method != other.method:
        return ["measured in another way"]
    found = []
    for mine in one.encoders:
        theirs = other.encoder(mine.key)
        if theirs is None:
            found.append(f"it has no {mine.key}")
            continue
        parts = [
            name for part, name in PARTS.items() if getattr(mine, part) != getattr(theirs, part)
        ]
        if parts:
            found.append(f"{mine.key}: {', '.join(parts)}")
    if one.denoiser_sha256 != other.denoiser_sha256:
        found.append("what draws its pictures")
    return found or ["other encoders"]
