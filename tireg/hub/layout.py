"""Where things lie in a published repository.

    README.md                      the card of the current version
    tireg.json                     its record
    learned_embeds.safetensors     for diffusers; a second encoder in learned_embeds_2
    webui/ comfyui/ invokeai/      the same vectors as those tools read them
    previews/                      pictures drawn with the word
    .eval_results/                 scores on benchmarks that the Hub knows, if there are any
    versions.json                  every version that is here, and which files tireg wrote
    versions/RECORD/               each of them whole: record, vectors, previews, scores

A repository of several embeddings has all of this once per folder, and a README.md on top
that lists the folders.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, ValidationError

from tireg.domain.fingerprints import HEX64
from tireg.domain.model import Part, canonical_json, first_problem
from tireg.domain.records import Record, StoredFile
from tireg.errors import HubError, InputError, SchemaTooNewError

CARD = "README.md"
RECORD = "tireg.json"
INDEX = "versions.json"
VERSIONS = "versions"
EVAL_RESULTS = ".eval_results"
FORMAT = 1

# What goes out of a record's files; training pictures only when asked for, and foreign
# originals never: they may be pickles, and the vectors are there in safe files.
PUBLISHED = ("embedding", "preview")

FOLDER = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
RESERVED = frozenset(
    {CARD, RECORD, INDEX, VERSIONS, "webui", "comfyui", "invokeai", "previews", "pictures"}
)


class WrittenFile(Part):
    """A file of ours: both hashes by which a tree may name it."""

    sha256: str = Field(pattern=HEX64)
    git: str = Field(pattern=r"^[0-9a-f]{40}$")


class VersionRow(Part):
    """One version that the repository holds."""

    record: str = Field(pattern=HEX64, description="Record sha256.")
    tensor_hash: str = Field(pattern=HEX64)
    tag: str
    created: str
    base: str | None = None


class Index(Part):
    """``versions.json``: what one embedding of a repository consists of."""

    format_version: Literal[1] = 1
    name: str
    token: str
    current: str = Field(pattern=HEX64)
    versions: tuple[VersionRow, ...]
    files: dict[str, WrittenFile] = Field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file as it is written: sorted and indented."""
        data = json.loads(canonical_json(self.model_dump(mode="json")))
        return (json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    def row(self, record: str) -> VersionRow | None:
        """The row of a record, or None."""
        return next((row for row in self.versions if row.record == record), None)


def read_index(raw: bytes, *, about: str) -> Index:
    """Parse ``versions.json``. SchemaTooNewError for a newer one, HubError for a broken one."""
    try:
        data = json.loads(check_text(raw, about=f"{INDEX} of {about}"))
    except (ValueError, RecursionError) as error:
        raise HubError(f"{INDEX} of {about} is not valid JSON") from error
    version = data.get("format_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise SchemaTooNewError(
            f"{INDEX} of {about} has format version {version}; this tireg reads up to {FORMAT}",
            hint="pip install --upgrade tireg",
        )
    try:
        return Index.model_validate(data)
    except ValidationError as error:
        raise HubError(f"{INDEX} of {about}: {first_problem(error)}") from error


def check_text(raw: bytes, *, about: str) -> bytes:
    """``raw`` if all that its JSON says can be written down again, else HubError.

    An escape for half a character is valid JSON and in no encoding.
    """
    if b"\\ud" in raw.lower():
        try:
            json.dumps(json.loads(raw), ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise HubError(f"{about} holds half a character") from error
        except (ValueError, RecursionError):
            pass  # its reader says what is wrong
    return raw


def check_folder(folder: str) -> str:
    """``folder`` if an embedding of a shared repository may lie there, else InputError."""
    if folder and (FOLDER.fullmatch(folder) is None or folder in RESERVED):
        raise InputError(
            f"'{folder}' cannot be a folder of a repository", hint="use letters, digits and '-'"
        )
    return folder


def check_tag(tag: str) -> str:
    """``tag`` if git takes it as a name, else InputError: found out before anything is sent."""
    if TAG.fullmatch(tag) is None or ".." in tag or tag.endswith((".", ".lock")):
        raise InputError(
            f"'{tag}' cannot be a tag", hint="use letters, digits, '.', '_' and '-', such as v2"
        )
    return tag


def folder_for(name: str) -> str:
    """A folder name out of an embedding's name."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:100] or "embedding"
    return f"{stem}-1" if stem in RESERVED else stem


def version_folder(record: str) -> str:
    """Where a version lies, below its embedding's prefix."""
    return f"{VERSIONS}/{record[:16]}"


def stored_name(record: Record, file: StoredFile) -> str:
    """Name of a record's file in its version folder; nothing of the name is the maker's own."""
    number = record.files.index(file) + 1
    suffix = PurePosixPath(file.name).suffix.lower()
    if re.fullmatch(r"\.[a-z0-9]{1,12}", suffix) is None:
        suffix = ""
    return f"files/{number:02}-{file.role}{suffix}"


def prefixes(paths: object) -> list[str]:
    """The prefixes (``""`` or ``folder/``) below which embeddings lie, by their versions.json."""
    assert isinstance(paths, (dict, set, list, tuple))
    found = []
    for path in paths:
        head, _, tail = str(path).rpartition("/")
        if tail == INDEX and "/" not in head:
            found.append(f"{head}/" if head else "")
    return sorted(found)
