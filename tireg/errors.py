"""The exceptions of tireg, in one tree.

    TiregError                 anything tireg says in one sentence; exit code 1
    ├── InputError             what was given is wrong; exit code 2
    │   ├── ConceptError       pictures, captions or masks that cannot be used
    │   ├── TokenError         a placeholder token that cannot work
    │   ├── RecipeError        a training knob that is unknown or out of range
    │   ├── SuiteError         an evaluation suite that is unknown or malformed
    │   ├── RefError           an embedding reference that names nothing, or too much
    │   ├── NameInUseError     a registry name that belongs to another embedding
    │   ├── BaseError          a base model that is unknown, incomplete or unsupported
    │   ├── FileRefusedError   an embedding file that is hostile, broken or something else
    │   └── ConfigError        a setting or folder that cannot be used
    ├── TrainingFailedError    a run that learned nothing or became non-finite
    ├── EvaluationError        an evaluation that could not be completed
    ├── StoreError             the registry cannot be read or written
    │   ├── SchemaTooNewError  a database or file written by a newer tireg
    │   └── CorruptError       bytes that do not match their recorded hash
    ├── HubError               the Hub refused, is unreachable or sent wrong bytes
    └── MissingPackageError    an optional package is needed and not installed

Every message names the thing it is about; ``hint`` holds the next command to type.
"""

from __future__ import annotations


class TiregError(Exception):
    """Base of everything tireg raises on purpose.

    ``message`` is one sentence about a named thing. ``hint`` is what to do next, usually a
    command; it may be empty. ``exit_code`` is what the command line returns.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[TiregError], message: str, hint: str) -> TiregError:
    return kind(message, hint=hint)


class InputError(TiregError):
    """What the user gave cannot be used as it is."""

    exit_code = 2


class ConceptError(InputError):
    """Pictures, captions or masks that cannot be used."""


class TokenError(InputError):
    """A placeholder token that cannot work with this base."""


class RecipeError(InputError):
    """A training knob that is unknown or out of range."""


class SuiteError(InputError):
    """An evaluation suite that is unknown or malformed."""


class RefError(InputError):
    """An embedding reference that names nothing, or more than one thing."""


class NameInUseError(InputError):
    """A registry name that already belongs to another embedding."""


class BaseError(InputError):
    """A base model that is unknown, incomplete or of a family tireg cannot use."""


class FileRefusedError(InputError):
    """An embedding file that is hostile, broken, or not an embedding at all."""


class ConfigError(InputError):
    """A setting, environment variable or folder that cannot be used."""


class TrainingFailedError(TiregError):
    """A training run that became non-finite or learned nothing."""


class EvaluationError(TiregError):
    """An evaluation that could not be completed."""


class StoreError(TiregError):
    """The registry cannot be read or written."""


class SchemaTooNewError(StoreError):
    """A database or file written by a newer version of tireg."""


class CorruptError(StoreError):
    """Stored bytes that do not match their recorded hash."""


class HubError(TiregError):
    """The Hub refused, cannot be reached, or sent bytes that fail verification."""


class MissingPackageError(TiregError):
    """An optional package is needed for this and is not installed."""
