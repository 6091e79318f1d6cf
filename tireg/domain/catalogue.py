"""Looking families up while files are read: the rows of the catalogue, without pydantic.

Importing pydantic's models costs more than all the rest of reading a file. ``families`` has
the same rows validated; a test holds the two together. Nothing here trusts a row to be complete
beyond the fields it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tireg.domain.resources import resource
from tireg.domain.tensors import ENCODER_WIDTHS, encoder_of, keys_of_width
from tireg.errors import BaseError, CorruptError


@dataclass(frozen=True)
class EncoderRow:
    """One text encoder: its key, its attribute of the diffusers pipeline, its width."""

    key: str
    component: str
    width: int


@dataclass(frozen=True)
class FamilyRow:
    """What reading and writing files needs of a family; the fields are those of ``Family``."""

    id: str
    title: str
    rank: int
    aliases: tuple[str, ...]
    modelspec: str
    resolution: int
    encoders: tuple[EncoderRow, ...]
    file_sets: tuple[frozenset[str], ...]

    @property
    def keys(self) -> frozenset[str]:
        """The encoder keys of the family."""
        return frozenset(encoder.key for encoder in self.encoders)

    def encoder(self, key: str) -> EncoderRow | None:
        """The encoder called ``key``, or None."""
        return next((e for e in self.encoders if e.key == key), None)


@cache
def rows() -> tuple[FamilyRow, ...]:
    """Every family, most used first. Raises CorruptError for a row that lacks a field."""
    found = []
    for path in sorted(resource("registry", "families").glob("*.json")):
        try:
            found.append(_row(json.loads(path.read_bytes())))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(f"families/{path.name} is not a row of the catalogue") from error
    return tuple(sorted(found, key=lambda row: (row.rank, row.id)))


def _row(data: Mapping[str, object]) -> FamilyRow:
    encoders: list[dict[str, object]] = data["encoders"]  # type: ignore[assignment]
    sets: list[list[str]] = data.get("file_sets", [])  # type: ignore[assignment]
    aliases: list[str] = data.get("aliases", [])  # type: ignore[assignment]
    return FamilyRow(
        id=str(data["id"]),
        title=str(data["title"]),
        rank=int(str(data["rank"])),
        aliases=tuple(aliases),
        modelspec=str(data["modelspec"]),
        resolution=int(str(data["resolution"])),
        encoders=tuple(
            EncoderRow(str(e["key"]), str(e["component"]), int(str(e["width"]))) for e in encoders
        ),
        file_sets=tuple(frozenset(keys) for keys in sets),
    )


@cache
def _names() -> dict[str, FamilyRow]:
    names: dict[str, FamilyRow] = {}
    for row in rows():
        for name in (row.id, row.title, row.modelspec, *row.aliases):
            names.setdefault(normal(name), row)
    return names


def normal(name: str) -> str:
    """``name`` in the form family names are compared in: lower case, letters and digits."""
    return re.sub(r"[^a-z0-9.]+", "", name.lower())


def find_row(name: str) -> FamilyRow | None:
    """The row called ``name``: its id, title or an alias, case and punctuation ignored."""
    return _names().get(normal(name))


def row_called(name: str) -> FamilyRow:
    """Like :func:`find_row`. Raises BaseError where there is none."""
    found = find_row(name)
    if found is None:
        raise BaseError(
            f"There is no model family called {name!r}.",
            hint="tireg bases list shows the families",
        )
    return found


def row_of_architecture(architecture: str) -> FamilyRow | None:
    """The family a ModelSpec architecture speaks of, whatever tool wrote it.

    ``stable-diffusion-xl-v1-base/textual-inversion`` and OneTrainer's
    ``Flux.1-dev/embedding`` are both understood. None where it is unknown.
    """
    return find_row(architecture.split("/", 1)[0])


def candidates(keys: Iterable[str]) -> list[FamilyRow]:
    """Families that an embedding with tensors for ``keys`` may have been made for.

    First those whose encoders, or one of whose ``file_sets``, are exactly these; only where no
    family has exactly these, those that have them among others. Most used first.
    """
    wanted = frozenset(encoder_of(key) for key in keys)
    exact = [row for row in rows() if row.keys == wanted or wanted in row.file_sets]
    return exact or [row for row in rows() if wanted <= row.keys]


def candidates_by_width(widths: Iterable[int]) -> list[FamilyRow]:
    """Families whose encoders could have these widths, where no encoder is named.

    One width gives the families of every encoder that wide; several are tried together.
    """
    options = [keys_of_width(width) for width in widths]
    if len(options) == 1:
        found = {row.id for key in options[0] for row in candidates([key])}
    else:
        found = {
            row.id
            for row in rows()
            if all(any(key in row.keys for key in option) for option in options)
        }
    return [row for row in rows() if row.id in found]


def known_width(width: int) -> bool:
    """True where a catalogued text encoder has token vectors this wide."""
    return width in ENCODER_WIDTHS.values()


def widths_fit(row: FamilyRow, widths: Mapping[str, int]) -> bool:
    """True where ``row`` has every encoder in ``widths`` with exactly that width."""
    for key, width in widths.items():
        encoder = row.encoder(encoder_of(key))
        if encoder is None or encoder.width != width:
            return False
    return True
