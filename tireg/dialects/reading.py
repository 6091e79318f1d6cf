"""Read one embedding file of any dialect: told apart by content, never by its name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tireg.dialects import layouts, limits, sidecars
from tireg.dialects.content import FileReading, Tree, plain, printable, quoted
from tireg.dialects.drafts import Hints, finish
from tireg.dialects.files import Source, open_source
from tireg.dialects.png_card import SIGNATURE, read_card
from tireg.dialects.safetensors_file import (
    SafetensorsFile,
    looks_like_safetensors,
    read_safetensors,
)
from tireg.dialects.torch_file import looks_like_pickle, looks_like_zip, read_legacy, read_zip
from tireg.domain import catalogue
from tireg.errors import FileRefusedError

LFS_POINTER = b"version https://git-lfs.github.com/spec/"

# What else a file can be, by its first bytes.
OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "it is a JPEG picture, which cannot hold an embedding"),
    (b"GIF8", "it is a GIF picture, which cannot hold an embedding"),
    (b"RIFF", "it is a WebP or other RIFF file; only PNG cards are read"),
    (b"GGUF", "it is a GGUF model, not an embedding"),
    (b"\x93NUMPY", "it is a numpy array file; no tool keeps embeddings so"),
    (b"\x1f\x8b", "it is a gzip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive; unpack it first"),
    (b"Rar!", "it is a RAR archive; unpack it first"),
    (b"\xfd7zXZ", "it is an xz archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "it is a zstd archive; unpack it first"),
    (b"BZh", "it is a bzip2 archive; unpack it first"),
    (b"\x89HDF", "it is an HDF5 file; no tool keeps embeddings so"),
    (b"SQLite format 3", "it is an SQLite database, not an embedding"),
    (b"%PDF", "it is a PDF document, not an embedding"),
    (b"MZ", "it is a program, not an embedding"),
    (b"\x7fELF", "it is a program, not an embedding"),
)


@dataclass(frozen=True)
class Content:
    """A container opened: what it holds, its string metadata, and what kind it is."""

    container: str
    tree: Tree
    told: Mapping[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """The user's own words for a file, and whether a link is followed."""

    family: catalogue.FamilyRow | None = None
    token: str | None = None
    follow_links: bool = True


def read_file(
    path: Path | str, *, family: str | None = None, token: str | None = None
) -> FileReading:
    """Read one file and say what it holds, or why it is refused.

    ``family`` and ``token`` are the user's own words for what the file does not say; a bare
    tensor needs both. Nothing in the file is executed. Never raises for a file, whatever is in
    it; raises BaseError for a family that the catalogue does not have.
    """
    row = catalogue.row_called(family) if family is not None else None
    return read_with(Path(path), Options(row, token))


def read_with(path: Path, options: Options) -> FileReading:
    """:func:`read_file` with its options resolved."""
    sha256: str | None = None
    container = "unknown"
    try:
        with open_source(path, follow_links=options.follow_links) as source:
            # A checkpoint of gigabytes that is refused is not read through for its hash.
            if source.size <= limits.WHOLE_FILE:
                sha256 = source.sha256()
            content = open_content(source)
            container = content.container
            hints = _hints(path, content, options)
            found = layouts.find(content.tree, hints)
            dialect = "png" if container == "png" else found.dialect
            found.warnings += [*content.warnings, *_misnamed(path, container)]
            embeddings, warnings = finish(found, hints)
            sha256 = sha256 or source.sha256()
    except FileRefusedError as error:
        return FileReading(path, container, sha256, refused=error.message, files=(path,))
    metadata = {**plain(dict(content.told)), **found.metadata}
    return FileReading(
        path, dialect, sha256, tuple(embeddings), metadata, tuple(warnings), files=(path,)
    )


def _hints(path: Path, content: Content, options: Options) -> Hints:
    beside = sidecars.beside(path)
    return Hints(
        stem=printable(path.stem, 255),
        told=content.told,
        params=beside.params,
        identifier=beside.identifier,
        kind=beside.kind,
        family=options.family,
        token=options.token,
        card=content.container == "png",
    )


def read_strict(
    path: Path | str, *, family: str | None = None, token: str | None = None
) -> FileReading:
    """Like :func:`read_file`, but raises FileRefusedError, naming the file, where it is refused."""
    reading = read_file(path, family=family, token=token)
    if reading.refused is not None:
        raise refusal(reading)
    return reading


def refusal(reading: FileReading) -> FileRefusedError:
    """The refusal of ``reading`` as an error that names the file."""
    return FileRefusedError(
        f"{quoted(reading.path.name, 255)} was refused: {reading.refused}",
        hint=f"tireg inspect {quoted(reading.path, 255)} says what is known of it",
    )


def open_content(source: Source) -> Content:
    """Open the container. Raises FileRefusedError for what is none that tireg reads."""
    if source.size == 0:
        raise FileRefusedError("it is empty: zero bytes")
    head = source.read(0, min(source.size, 256))
    if head.startswith(LFS_POINTER):
        raise FileRefusedError(_pointer(head))
    if looks_like_safetensors(head):
        parsed = read_safetensors(source)
        warnings = _forged(source, parsed)
        return Content("safetensors", dict(parsed.tensors), parsed.metadata, warnings)
    if looks_like_zip(head) or looks_like_pickle(head):
        tree = read_zip(source)[0] if looks_like_zip(head) else read_legacy(source)
        return Content("torch", tree, _told(tree))
    if head.startswith(SIGNATURE):
        tree = read_card(source)
        return Content("png", tree, _told(tree))
    raise FileRefusedError(_other(head, source))


def _forged(source: Source, parsed: SafetensorsFile) -> tuple[str, ...]:
    """A warning where the metadata claim another hash than the data have."""
    claimed = parsed.metadata.get("modelspec.hash_sha256", "").lower().removeprefix("0x")
    if not claimed or source.size > limits.WHOLE_FILE:
        return ()
    data = source.read(parsed.data_start, source.size - parsed.data_start)
    if hashlib.sha256(data).hexdigest() == claimed:
        return ()
    return ("Its metadata claim a hash (modelspec.hash_sha256) that its data do not have.",)


def _told(tree: Tree) -> dict[str, str]:
    """The metadata that tireg keeps under a key of its own in torch files and cards."""
    note = tree.get("tireg") if isinstance(tree, dict) else None
    if not isinstance(note, str):
        return {}
    try:
        table = json.loads(note)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(table, dict):
        return {}
    return {key: value for key, value in table.items() if isinstance(value, str)}


def _pointer(head: bytes) -> str:
    size = re.search(rb"\nsize (\d{1,18})", head)
    wanted = f" of {int(size[1])} bytes" if size else ""
    return (
        f"it is a Git LFS pointer: a note that stands for a file{wanted} which was not "
        "downloaded; fetch the file itself, for example with git lfs pull"
    )


def _other(head: bytes, source: Source) -> str:
    for start, sentence in OTHERS:
        if head.startswith(start):
            return sentence
    if not head.strip(b"\0"):
        return "it begins with nothing but zero bytes, as a download that was broken off does"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] in (b"{", b"["):
        return "it is JSON text, not tensors"
    if re.match(rb"(c[\w.]{1,80}\n[\w.]{1,80}\n|\(?[dl]p\d*\n|\([SVcIdl])", text):
        return "it is a pickle in text form, which torch never writes: it may be an attack"
    if source.size > 262 and source.read(257, 5) == b"ustar":
        return "it is a tar archive; torch has not written embeddings so since 2017"
    if text[:1] == b"<":
        return "it is a web page or other markup, perhaps saved in place of a download"
    try:
        source.read(0, min(source.size, 4096)).decode("utf-8", errors="strict")
    except UnicodeDecodeError:
        return "it is of no kind that embedding tools write"
    return "it is plain text, not tensors"


NAMES: dict[str, tuple[str, ...]] = {
    "safetensors": (".safetensors", ".pti", ".sft"),
    "torch": (".pt", ".bin", ".pth", ".ckpt"),
    "png": (".png",),
}


def _misnamed(path: Path, container: str) -> list[str]:
    """A warning where the extension promises another container."""
    suffix = path.suffix.lower()
    kind = container.split(" ", 1)[0]
    promised = next((name for name, known in NAMES.items() if suffix in known), None)
    if promised in (None, kind):
        return []
    return [f"it is called {suffix} and is a {container} file"]
