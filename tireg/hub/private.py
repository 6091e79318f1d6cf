"""What of a record stays on this machine: the words that were written about its pictures.

A record that is published without its captions has another sha256 than the one kept here. Here
both stand for the same version.
"""

from __future__ import annotations

from tireg.domain.records import Record
from tireg.domain.scores import Run


def public_record(record: Record) -> Record:
    """The record as others may read it: without the captions of its training pictures.

    They describe pictures that are not published. A record without captions is itself.
    """
    concept = record.concept
    if concept is None or all(picture.caption is None for picture in concept.pictures):
        return record
    pictures = tuple(picture.model_copy(update={"caption": None}) for picture in concept.pictures)
    bare = concept.model_copy(update={"pictures": pictures})
    return record.model_copy(update={"concept": bare})


def known_as(record: Record) -> tuple[str, ...]:
    """The sha256 of the record, and that of its public form where it is another."""
    return tuple(dict.fromkeys((record.sha256, public_record(record).sha256)))


def about(run: Run, record: str) -> Run:
    """The run as one about the record ``record``, which is a form of its own."""
    return run if run.record == record else run.model_copy(update={"record": record})


def public_run(run: Run, record: str) -> Run:
    """The run as it is published: without its contact sheet, which shows training pictures."""
    return about(run, record).model_copy(update={"files": ()})
