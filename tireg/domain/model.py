"""The common ground of everything tireg writes down: strict, frozen, canonical JSON."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from typing import Any, TypeVar, get_args

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


SURROGATE = re.compile(rb"\\ud|\xed", re.IGNORECASE)
"""What can be half of a character, which could neither be hashed nor written."""


def read_document(kind: type[T], raw: bytes | str, *, name: str) -> T:
    """Parse one document; ``name`` is what error messages call it.

    Raises SchemaTooNewError when the format version is newer than this code knows, and
    CorruptError when it is not such a document.
    """
    try:
        data = json.loads(raw)
        if SURROGATE.search(
            raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
        ):
            json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise CorruptError(f"{name} holds half of a character") from error
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
        hint = advice(error, kind)
        raise failure(f"{name}: {first_problem(error)}", hint=hint) from error


def first_problem(error: ValidationError) -> str:
    """The first validation failure as words: where, and what is wrong there."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the document"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{where}'"
    return f"'{where}': {message[:1].lower()}{message[1:]}"


def advice(error: ValidationError, kind: type[BaseModel]) -> str:
    """What to do about the first problem: the key that may be meant, or the keys there are.

    A value that is out of range gets what the field is for; an empty text where it says nothing.
    """
    problem = error.errors(include_url=False)[0]
    *path, last = problem["loc"] or ("",)
    if problem["type"] == "extra_forbidden":
        known = sorted(_keys_at(kind, path) - {"format_version"})
        near = difflib.get_close_matches(str(last), known, n=1, cutoff=0.6)
        return f"did you mean '{near[0]}'?" if near else f"keys there: {', '.join(known)}"
    field = kind.model_fields.get(str(problem["loc"][0])) if problem["loc"] else None
    if field is None or not field.description:
        return ""
    told = field.description.removesuffix(".")
    return f"{problem['loc'][0]}: {told[:1].lower()}{told[1:]}"


def _keys_at(kind: type[BaseModel], path: list[int | str]) -> set[str]:
    """The keys of the model at ``path`` inside ``kind``; those of every model that may stand there.

    pydantic puts list positions and, for unions, the names of the members into the path.
    """
    at: list[Any] = [kind]
    for part in path:
        models = [one for one in at if isinstance(one, type) and issubclass(one, BaseModel)]
        held = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        at = [leaf for one in held for leaf in _leaves(one)] or at
    models = [one for one in at if isinstance(one, type) and issubclass(one, BaseModel)]
    return {key for model in models for key in model.model_fields}


def _leaves(annotation: Any) -> list[Any]:
    """The types that an annotation such as ``tuple[A | B, ...]`` is made of."""
    parts = get_args(annotation)
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [annotation]
