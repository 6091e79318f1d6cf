"""The common ground of everything tireg writes down: strict, frozen, canonical JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from tireg.errors import CorruptError, InputError, SchemaTooNewError, TiregError

T = TypeVar("T", bound="Document")


class Part(BaseModel):
    """A piece of a document: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


ADDED: dict[str, Any] = {"added": True}
"""Marks a field that older documents of the same format version do not have."""


class AsGiven(Part):
    """A part that gained fields after documents of it were written and hashed.

    Fields marked ``ADDED`` that were not given are left out when it is written, so that an older
    document, read and written again, keeps its bytes and its identity.
    """

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        absent = {
            name
            for name, field in fields.items()
            if (field.json_schema_extra or {}) == ADDED and name not in self.model_fields_set
        }
        return {name: value for name, value in handler(self).items() if name not in absent}


class Document(Part):
    """Something written to a file of its own, with a format version.

    Subclasses give ``format_version`` a default, the newest version they can read.
    """

    format_version: int

    def canonical(self) -> bytes:
        """UTF-8 JSON with sorted keys and no spaces: equal documents give equal bytes."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def sha256(self) -> str:
        """Hex sha256 of :meth:`canonical`: the identity of the document."""
        return hashlib.sha256(self.canonical()).hexdigest()


def canonical_json(data: Any) -> bytes:
    """``data`` as UTF-8 JSON with sorted keys, no spaces, no NaN."""
    text = json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def read_document(kind: type[T], raw: bytes | str, *, name: str) -> T:
    """Parse one document; ``name`` is what error messages call it.

    Raises SchemaTooNewError when the format version is newer than this code knows, and
    CorruptError when it is not such a document.
    """
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{name} is not valid JSON") from error
    return validate_document(kind, data, name=name, failure=CorruptError)


def validate_document(
    kind: type[T], data: Any, *, name: str, failure: type[TiregError] = InputError
) -> T:
    """Check parsed ``data`` against ``kind``; one sentence per failure, naming the field."""
    if not isinstance(data, dict):
        raise failure(f"{name} does not hold an object")
    known = kind.model_fields["format_version"].default
    version = data.get("format_version", known)
    if isinstance(version, int) and version > known:
        raise SchemaTooNewError(
            f"{name} has format version {version}; this tireg reads up to {known}",
            hint="pip install --upgrade tireg",
        )
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise failure(f"{name}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first validation failure as words: where, and what is wrong there."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the document"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{where}'"
    return f"'{where}': {message[:1].lower()}{message[1:]}"
