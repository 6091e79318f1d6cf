"""What a scoring encoder is known to tell apart: a file beside its weights.

A metric cannot see what its encoder cannot. Where somebody has measured how often an encoder names
an attribute of a picture right, the figures lie in ``accuracy.json`` in its folder and stand beside
every score that it gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tireg.domain.fingerprints import HEX64
from tireg.domain.model import Document, read_document
from tireg.errors import EvaluationError

FILE = "accuracy.json"
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Accuracy(Document):
    """``accuracy.json`` in the folder of an encoder."""

    format_version: int = 1
    weights: str = Field(pattern=HEX64, description="Hash of the weights it was measured with.")
    measured_on: str = Field(min_length=1, description="Which pictures, and how they were asked.")
    accuracy: dict[str, Share] = Field(
        min_length=1, description="By attribute: share of pictures that it names right, 0 to 1."
    )


def accuracy_words(encoder: str, accuracy: Mapping[str, float], measured_on: str) -> str:
    """What an encoder tells apart, the worst first, as one line."""
    worst_first = sorted(accuracy.items(), key=lambda item: item[1])
    shares = ", ".join(f"{name} {share:.1%}" for name, share in worst_first)
    return f"{encoder} itself names right: {shares} (on {measured_on})"


def known_accuracy(folder: Path, weights: str) -> Accuracy | None:
    """What lies beside an encoder whose weights have the hash ``weights``.

    None where nothing does, or where it was measured with other weights: then it says nothing of
    these. Raises CorruptError or SchemaTooNewError for a file that is none, EvaluationError for
    one that cannot be read.
    """
    path = folder / FILE
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EvaluationError(
            f"'{path}' cannot be read: {error.strerror}", hint="mend or remove it"
        ) from error
    found = read_document(Accuracy, raw, name=f"'{path}'")
    return found if found.weights == weights else None
