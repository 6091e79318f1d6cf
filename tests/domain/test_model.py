"""Documents that are none, in a sentence."""

from __future__ import annotations

import json

import pytest

from tireg.domain.accuracy import Accuracy
from tireg.domain.model import read_document
from tireg.errors import CorruptError

GOOD = {"weights": "0" * 64, "measured_on": "renders", "accuracy": {"shape": 0.5}}


def document(text: str) -> str:
    return json.dumps({**GOOD, "measured_on": text})


@pytest.mark.parametrize("text", ["renders", "\N{GRINNING FACE}", "\ud55c\uad6d", "a \\ud800"])
def test_whole_characters_are_read_however_they_are_written(text: str) -> None:
    whole = read_document(Accuracy, document(text), name="it")
    plain = json.dumps({**GOOD, "measured_on": text}, ensure_ascii=False)
    assert whole.measured_on == text
    assert read_document(Accuracy, plain.encode(), name="it") == whole


@pytest.mark.parametrize(
    "raw",
    [
        document("\ud800"),
        document("\ud800").encode(),
        document("\ud800").replace("\\ud800", "\\uDFFF"),
        document("X").encode().replace(b"X", b"\xed\xa0\x80"),
    ],
)
def test_half_a_character_is_no_text(raw: str | bytes) -> None:
    with pytest.raises(CorruptError, match="it holds half of a character"):
        read_document(Accuracy, raw, name="it")


def test_no_json_and_no_object() -> None:
    with pytest.raises(CorruptError, match="it is not valid JSON"):
        read_document(Accuracy, b"{", name="it")
    with pytest.raises(CorruptError, match="it does not hold an object"):
        read_document(Accuracy, "[]", name="it")
