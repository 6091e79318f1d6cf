"""Embedding files of every tool: read safely, without torch, and written back.

``read_file`` and ``read_path`` say what a file or folder holds or why it is refused;
``read_strict`` raises instead. ``write`` makes the file another tool accepts, ``losses`` says
what that tool's file cannot hold.
"""

from __future__ import annotations

from tireg.dialects.content import FileReading, ReadEmbedding
from tireg.dialects.folders import Group, groups, read_group, read_path
from tireg.dialects.identity import Hashes, file_hashes, webui_checksum
from tireg.dialects.managers import Notes, notes_beside, previews_beside
from tireg.dialects.metadata import Extra
from tireg.dialects.reading import read_file, read_strict, refusal
from tireg.dialects.writing import DIALECTS, losses, make_embedding, render, write

__all__ = [
    "DIALECTS",
    "Extra",
    "FileReading",
    "Group",
    "Hashes",
    "Notes",
    "ReadEmbedding",
    "file_hashes",
    "groups",
    "losses",
    "make_embedding",
    "notes_beside",
    "previews_beside",
    "read_file",
    "read_group",
    "read_path",
    "read_strict",
    "refusal",
    "render",
    "webui_checksum",
    "write",
]
