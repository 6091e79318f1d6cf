"""Concept files: pictures, captions, masks and words of one concept, written down once."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tireg.domain.concepts import Kind
from tireg.domain.model import Document, Part, validate_document
from tireg.domain.plain_yaml import parse_yaml
from tireg.errors import ConceptError

CONCEPT_NAMES = ("concept.yaml", "concept.yml", "concept.json")
CONCEPT_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
MAX_FILE_BYTES = 256 * 2**10
MAX_PICTURES = 1000

# Two letters at least before the colon: "C:" is a drive.
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+://|(?:https?|ftp|file|data|hf):)", re.IGNORECASE)


def _local(path: str) -> str:
    if _URL.match(path):
        raise ValueError(f"'{path}' is a URL; pictures are files on this machine")
    if not path.strip() or any(ord(c) < 32 for c in path):
        raise ValueError(f"{path!r} is not a path")
    return path


LocalPath = Annotated[str, Field(max_length=1000), AfterValidator(_local)]


class PictureEntry(Part):
    """One picture of a concept file; a folder stands for every picture in it."""

    file: LocalPath = Field(description="Picture file or folder, from the concept file's folder.")
    caption: str | None = Field(
        default=None,
        max_length=2000,
        description="What the picture shows, with {token} or the token; beats a caption file.",
    )
    mask: LocalPath | None = Field(
        default=None, description="Grey picture of the same size: white where the concept is."
    )


def _one_entry(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


def _entries(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


Entry = Annotated[
    PictureEntry, BeforeValidator(_one_entry, json_schema_input_type=str | PictureEntry)
]
Entries = Annotated[
    tuple[Entry, ...],
    Field(min_length=1, max_length=MAX_PICTURES),
    BeforeValidator(_entries, json_schema_input_type=str | PictureEntry | tuple[Entry, ...]),
]


class ConceptFile(Document):
    """What to learn, as ``concept.yaml`` says it. What is typed on the command line wins."""

    format_version: Literal[1] = 1
    pictures: Entries = Field(
        description="Files and folders, or objects of file, caption and mask; from this file's "
        "folder."
    )
    name: str | None = Field(default=None, max_length=200, description="Name in the registry.")
    token: str | None = Field(default=None, description="The word to type, such as '<my-cat>'.")
    kind: Kind | None = Field(default=None, description="What is learned.")
    class_noun: str = Field(
        default="", max_length=100, description="The ordinary word for such a thing."
    )
    captions: LocalPath | None = Field(
        default=None, description="Folder of caption files; else they lie beside the pictures."
    )
    masks: LocalPath | None = Field(
        default=None, description="Folder of masks; else masks/ beside the pictures."
    )
    templates: tuple[str, ...] = Field(
        default=(), max_length=1000, description="Prompts with a {token} slot; else the kind's own."
    )
    license: str | None = Field(default=None, max_length=200, description="Of the pictures.")
    negative: bool = Field(
        default=False, description="Learned to be kept out: for the negative prompt."
    )
    notes: str = Field(default="", max_length=10_000, description="For people.")


def read_file(path: Path, limit: int) -> bytes:
    """All bytes of a regular file; ConceptError names one that is not, or is over ``limit``.

    A pipe or a device is refused before it is opened, so nothing here can wait or never end.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            what = "a folder" if stat.S_ISDIR(state.st_mode) else "not a regular file"
            raise ConceptError(f"'{path}' is {what}")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise ConceptError(
            f"'{path}' cannot be read: {_reason(error)}", hint=f"ls {path.parent}"
        ) from error
    except ValueError as error:
        raise ConceptError(f"{str(path)!r} is not a path") from error
    if len(data) > limit:
        raise ConceptError(f"'{path}' is larger than {_size(limit)}")
    return data


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def _size(count: int) -> str:
    return f"{count // 2**20} MB" if count >= 2**20 else f"{count // 2**10} kB"


def read_concept_file(path: Path) -> ConceptFile:
    """Read ``concept.yaml`` or ``.json``. Paths in it are as written, from its own folder.

    Raises ConceptError with one sentence that names the file and the key, SchemaTooNewError for
    a file written for a newer tireg.
    """
    try:
        text = read_file(path, MAX_FILE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConceptError(f"'{path}' is not text in UTF-8", hint="save it as UTF-8") from error
    name = f"'{path}'"
    parse = _parse_json if path.suffix.lower() == ".json" else _parse_yaml
    data = parse(text, name)
    if isinstance(data, dict) and "pictures" not in data:
        raise ConceptError(f"{name} names no pictures", hint="pictures: photos/")
    return validate_document(ConceptFile, data, name=name, failure=ConceptError)


def _parse_yaml(text: str, name: str) -> Any:
    return parse_yaml(text, name, failure=ConceptError)


def _parse_json(text: str, name: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ConceptError(f"{name} has the key '{key}' twice in one place")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise ConceptError(f"{name} is not valid JSON") from error
