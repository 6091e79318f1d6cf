"""What ``torch.save`` writes: zip archives since torch 1.6, plain pickles before.

Layout of both: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import Counter
from typing import Any

from tireg.dialects import limits
from tireg.dialects.content import Tree, quoted
from tireg.dialects.files import Source
from tireg.dialects.pickle_builders import STORAGES, Global
from tireg.dialects.pickle_machine import PickleMachine, Resolve
from tireg.dialects.views import ITEM_BYTES, Storage
from tireg.errors import FileRefusedError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

# Everything the zipfile and zlib modules raise for a damaged or hostile archive.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    OverflowError,
    ValueError,
    struct.error,
)


def looks_like_zip(head: bytes) -> bool:
    """True for the first bytes of a zip archive."""
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def looks_like_pickle(head: bytes) -> bool:
    """True for the first bytes of a binary pickle."""
    return len(head) > 2 and head[0] == 0x80 and 1 <= head[1] <= 5


class Archive:
    """A zip archive whose members are read within limits."""

    def __init__(self, source: Source) -> None:
        try:
            self.zip = zipfile.ZipFile(source.handle)
        except ZIP_ERRORS as error:
            raise FileRefusedError(
                "it is a zip archive that is cut short or damaged: its directory is wrong"
            ) from error
        members = self.zip.infolist()
        if len(members) > limits.ZIP_MEMBERS:
            raise FileRefusedError(
                f"it is a zip archive of {len(members)} files, which is too many"
            )
        counts = Counter(member.filename for member in members)
        name, times = counts.most_common(1)[0] if counts else ("", 0)
        if times > 1:
            raise FileRefusedError(
                f"its zip archive has the member {quoted(name)} {times} times; readers would "
                "disagree on what it holds"
            )
        self.members = {member.filename: member for member in members}
        self.inflated = 0

    def read(self, name: str, cap: int, offset: int = 0, size: int | None = None) -> bytes:
        """A member, or ``size`` bytes of it from ``offset``, with its checksum where whole."""
        member = self.members.get(name)
        if member is None:
            raise FileRefusedError(f"its zip archive lacks the member {quoted(name)}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileRefusedError(f"its zip member {quoted(name)} is packed in an odd way")
        wanted = member.file_size if size is None else size
        if member.flag_bits & 1:
            raise FileRefusedError("it is an encrypted zip archive")
        if offset + wanted > member.file_size:
            raise FileRefusedError(f"its zip member {quoted(name)} is cut short")
        if wanted > cap:
            raise FileRefusedError(
                f"its zip member {quoted(name)} unpacks to {member.file_size} bytes, which "
                "is far more than an embedding: it may be a zip bomb"
            )
        whole = member.file_size <= limits.PICKLE_BYTES
        # Deflated members are unpacked up to what is wanted; stored ones are read in place.
        if member.compress_type == zipfile.ZIP_DEFLATED:
            self.inflated += member.file_size if whole else offset + wanted
        if self.inflated > limits.INFLATED_BYTES:
            raise FileRefusedError("it unpacks to far more than an embedding: it may be a zip bomb")
        try:
            with self.zip.open(member) as file:
                if whole:
                    data = file.read(member.file_size + 1)
                    data = data[offset : offset + wanted]
                else:
                    file.seek(offset)
                    data = file.read(wanted)
        except ZIP_ERRORS as error:
            raise FileRefusedError(
                f"its zip member {quoted(name)} is damaged: size or checksum do not match; "
                "it was cut short or edited by hand"
            ) from error
        if len(data) != wanted:
            raise FileRefusedError(f"its zip member {quoted(name)} is cut short")
        return data


def read_zip(source: Source) -> tuple[Tree, str | None]:
    """The object in a torch zip archive, and the archive's root folder name.

    Raises FileRefusedError for other archives, and for pickles that are not plain data.
    """
    archive = Archive(source)
    pickles = [name for name in archive.members if name.split("/")[-1] == "data.pkl"]
    if not pickles:
        raise FileRefusedError(_other_archive(archive))
    if len(pickles) > 1:
        raise FileRefusedError("its zip archive has several data.pkl; readers would disagree")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in archive.members:
        raise FileRefusedError("it is a TorchScript program, not an embedding")
    order = f"{root}byteorder"
    if order in archive.members and archive.read(order, 64).strip() != b"little":
        raise FileRefusedError("its numbers are big-endian, which no tool of today reads")
    machine = PickleMachine(
        archive.read(pickles[0], limits.PICKLE_BYTES),
        lambda identity: _zip_storage(archive, root, identity),
    )
    return machine.run(), root.strip("/") or None


def _other_archive(archive: Archive) -> str:
    names = list(archive.members)
    if any(name.endswith(".npy") for name in names):
        return "it is a numpy archive; no tool keeps embeddings so"
    if not names:
        return "it is an empty zip archive"
    return (
        f"it is a zip archive without a torch pickle (it holds {quoted(names[0])}"
        f"{' and more' if len(names) > 1 else ''}); unpack it and give the file inside"
    )


def _identity(identity: tuple[Any, ...]) -> tuple[str, str, int]:
    """(dtype, key, numel) of a storage's persistent id, every part checked."""
    if len(identity) not in (5, 6) or identity[0] != "storage":
        raise FileRefusedError("its pickle names a storage in a way that torch never does")
    _, kind, key, _, numel = identity[:5]
    name = kind.name.rsplit(".", 1)[-1] if isinstance(kind, Global) else ""
    if name not in STORAGES or type(numel) is not int or numel < 0:
        raise FileRefusedError("its pickle names a storage of an unknown type or size")
    if not isinstance(key, str) or not key.isalnum():
        raise FileRefusedError(f"its pickle names a storage {quoted(key)}, as torch never does")
    if numel * ITEM_BYTES[STORAGES[name]] > limits.STORAGE_BYTES:
        raise FileRefusedError(f"its pickle claims a storage of {numel} numbers, which is too many")
    return STORAGES[name], key, numel


def _zip_storage(archive: Archive, root: str, identity: tuple[Any, ...]) -> Storage:
    dtype, key, numel = _identity(identity)
    name = f"{root}data/{key}"
    member = archive.members.get(name)
    if member is None:
        raise FileRefusedError(f"its pickle names the storage {key!r}, which is not in the archive")
    if member.file_size < numel * ITEM_BYTES[dtype]:
        raise FileRefusedError(
            f"its pickle claims {numel} numbers in storage {key!r}, which has "
            f"{member.file_size} bytes"
        )
    return Storage(dtype, numel, lambda at, size: archive.read(name, limits.TENSOR_BYTES, at, size))


class Legacy:
    """The plain-pickle layout: five pickles, then the storages one after the other."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.data = source.read(0, min(source.size, limits.PICKLE_BYTES))
        self.position = 0
        self.claimed: dict[str, tuple[str, int]] = {}
        self.places: dict[str, int] = {}

    def read(self) -> Tree:
        """The object. Raises FileRefusedError for pickles that torch did not write."""
        if self._next() != LEGACY_MAGIC:
            raise FileRefusedError("it is a pickle that torch did not write, not an embedding")
        if self._next() != LEGACY_PROTOCOL:
            raise FileRefusedError("it is a torch file of an unknown protocol")
        system = self._next()
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise FileRefusedError("its numbers are big-endian, or its header is malformed")
        tree = self._next(self._storage)
        keys = self._next()
        if not isinstance(keys, list) or len(keys) > limits.ZIP_MEMBERS:
            raise FileRefusedError("its list of storages is malformed")
        self._place(keys)
        return tree

    def _next(self, resolve: Resolve | None = None) -> Any:
        machine = PickleMachine(self.data, resolve or _no_storage, position=self.position)
        value = machine.run()
        self.position = machine.position
        return value

    def _storage(self, identity: tuple[Any, ...]) -> Storage | Global:
        # Old torch names a module's class so, with its source text, which is of no use here.
        if len(identity) == 4 and identity[0] == "module" and isinstance(identity[1], Global):
            return identity[1]
        dtype, key, numel = _identity(identity)
        if self.claimed.setdefault(key, (dtype, numel)) != (dtype, numel):
            raise FileRefusedError(f"its pickle gives the storage {key!r} two types or sizes")
        if len(identity) == 6 and identity[5] is not None:
            raise FileRefusedError("its storages are views of each other, as no embedding has")
        return Storage(dtype, numel, lambda at, size: self._slice(key, at, size))

    def _slice(self, key: str, offset: int, size: int) -> bytes:
        if size > limits.TENSOR_BYTES:
            raise FileRefusedError("its vectors are too large for embeddings")
        return self.source.read(self.places[key] + offset, size)

    def _place(self, keys: list[Any]) -> None:
        position = self.position
        for key in keys:
            if key not in self.claimed or key in self.places:
                raise FileRefusedError("its list of storages does not match its pickle")
            dtype, numel = self.claimed[key]
            if int.from_bytes(self.source.read(position, 8), "little", signed=True) != numel:
                raise FileRefusedError(f"its storage {key!r} has another size than its pickle says")
            self.places[key] = position + 8
            position += 8 + numel * ITEM_BYTES[dtype]
        if set(self.places) != set(self.claimed) or position > self.source.size:
            raise FileRefusedError("it is cut short: storages are missing at its end")


def _no_storage(_: tuple[Any, ...]) -> Storage:
    raise FileRefusedError("its header names a storage, as torch never does")


def read_legacy(source: Source) -> Tree:
    """The object in a plain-pickle torch file. Raises FileRefusedError."""
    return Legacy(source).read()
