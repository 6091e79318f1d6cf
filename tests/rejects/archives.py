"""Zip archives and torch files that are bombs, cut short, or something else."""

from __future__ import annotations

import io
import struct
import zipfile

from tests.rejects.pickles import ROW, table, tensor, torch_zip


def good() -> bytes:
    """A sound file of one token, the start of most of these."""
    return torch_zip(table(tensor((1, ROW), (ROW, 1))), {"0": b"\1" * ROW * 4})


def _packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def _twice(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", table(tensor((1, ROW), (ROW, 1))))
        file.writestr("archive/data/0", b"\1" * ROW * 4)
        # The zipfile module warns of what a reader must notice: two members of one name.
        file.filelist.append(file.filelist[[i.filename for i in file.filelist].index(name)])
    return buffer.getvalue()


def _edited(old: bytes, new: bytes) -> bytes:
    """The sound file after somebody changed a word of it in a text editor."""
    return good().replace(old, new)


def _flagged() -> bytes:
    """Marked as encrypted in the directory."""
    data = bytearray(good())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


def archives() -> dict[str, bytes]:
    """All of them by file name."""
    million = 1_000_000
    bomb = table(tensor((million, 60), (60, 1), numel=60 * million))
    row = table(tensor((1, ROW), (ROW, 1)))
    values = b"\1" * ROW * 4
    sound = good()
    return {
        "bomb-data.pt": _packed({"a/data.pkl": bomb, "a/data/0": b"\0" * 240 * million}),
        "bomb-pickle.pt": _packed({"a/data.pkl": b"\x80\x02" + b"N0" * 20 * million + b"N."}),
        "bomb-reach.pt": _packed(
            {
                "a/data.pkl": table(
                    tensor((1, ROW), (ROW, 1), numel=50 * million, offset=49 * million)
                ),
                "a/data/0": b"\0" * 200 * million,
            }
        ),
        "cut-in-the-middle.pt": sound[: len(sound) // 2],
        "cut-at-the-end.pt": sound[:-10],
        "without-directory.pt": sound[: sound.index(b"PK\x01\x02")],
        "edited-name.pt": _edited(b"<cat>", b"<a>"),
        "edited-data.pt": _edited(b"\1\1\1\1", b"\2\1\1\1"),
        "encrypted.pt": _flagged(),
        "member-twice.pt": _twice("archive/data.pkl"),
        "two-pickles-inside.pt": _packed(
            {"a/data.pkl": row, "b/data.pkl": row, "a/data/0": values}
        ),
        "no-pickle.pt": _packed({"a/readme.txt": b"hello"}),
        "empty-archive.pt": _packed({}),
        "numpy-archive.pt": _packed({"vectors.npy": b"\x93NUMPY"}),
        "torchscript.pt": _packed({"a/data.pkl": row, "a/constants.pkl": b"\x80\x02N."}),
        "big-endian.pt": _packed({"a/data.pkl": row, "a/data/0": values, "a/byteorder": b"big"}),
        "lzma-member.pt": _packed({"a/data.pkl": row, "a/data/0": values}, zipfile.ZIP_LZMA),
        "storage-missing.pt": _packed({"a/data.pkl": row}),
        "nan.pt": torch_zip(row, {"0": struct.pack("<f", float("nan")) * ROW}),
        "infinite.pt": torch_zip(row, {"0": struct.pack("<f", float("inf")) * ROW}),
    }
