"""Whatever the bytes, reading ends soon, in bounds, and with a sentence."""

from __future__ import annotations

import resource
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dialects.layouts import L2, as_torch, safetensors_file, torch_file, webui_table
from tests.rejects import archives, pickles, texts
from tireg.dialects import FileReading, read_file

LONGEST = 1024 * 1024
SECONDS = 2.0
GROWN_KB = 512 * 1024
OPCODES = b"(.0123NIJKMLFGSTUVXBC])}elatsudpqrghjcRbQio" + bytes(range(0x80, 0x99))


@cache
def seeds() -> tuple[bytes, ...]:
    """Sound files of every container, to be damaged."""
    small = L2[:, :64]
    return (
        safetensors_file({"<cat>": small, "clip_l": small}, {"modelspec.title": "cat"}),
        torch_file(webui_table(small)),
        torch_file(webui_table(small), _use_new_zipfile_serialization=False),
        torch_file({"<cat>": as_torch(small)}),
        archives.good(),
        texts.png([(b"tEXt", b"sd-ti-embedding\0e30=")]),
    )


def check(path: Path, data: bytes) -> FileReading:
    """Read ``data`` and hold it to the limits."""
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    reading = read_file(path)
    spent = time.process_time() - start
    assert spent < SECONDS, f"{spent:.1f} s for {len(data)} bytes"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWN_KB
    assert (reading.refused is None) == bool(reading.embeddings)
    reading.as_json()
    return reading


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound file with bytes changed, cut out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(seeds())))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(0, 16))
        kind = draw(st.sampled_from(["set", "cut", "insert", "double", "end"]))
        if kind == "set":
            data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "cut":
            del data[at : at + length]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        elif kind == "double":
            data[at:at] = data[at : at + 256]
        else:
            del data[at:]
    return bytes(data)


@st.composite
def machine(draw: st.DrawFn) -> bytes:
    """A pickle of plausible opcodes, in an archive or behind the legacy header."""
    names = sorted(
        ["collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch FloatStorage",
         "torch.nn.modules.container ParameterDict", "numpy.core.multiarray _reconstruct",
         "numpy dtype", "_codecs encode", "builtins set", "torch._tensor _rebuild_from_type_v2"]
    )  # fmt: skip
    parts = st.one_of(
        st.sampled_from([bytes([code]) for code in OPCODES]),
        st.sampled_from([b"c" + name.replace(" ", "\n").encode() + b"\n" for name in names]),
        st.text(max_size=8).map(
            lambda value: pickles.text(value.encode("utf-8", "ignore").decode())
        ),
        st.integers(0, 255).map(lambda value: b"K" + bytes([value])),
        st.just(pickles.tensor((1, pickles.ROW), (pickles.ROW, 1))),
    )
    body = b"".join(draw(st.lists(parts, max_size=60)))
    again = draw(st.sampled_from([1, 1, 1, 2, 2000]))
    data = b"\x80\x02" + body * again + b"."
    return pickles.torch_zip(data[:LONGEST], {"0": b"\0" * pickles.ROW * 4})


ANY = st.one_of(damaged(), machine(), st.binary(max_size=4096))
QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


@settings(max_examples=100, deadline=None, suppress_health_check=QUIET)
@given(data=ANY)
def test_any_bytes(data: bytes, tmp_path: Path) -> None:
    check(tmp_path / "file.pt", data)


@pytest.mark.soak
@settings(max_examples=50_000, deadline=None, suppress_health_check=QUIET)
@given(data=ANY)
def test_any_bytes_at_length(data: bytes, tmp_path: Path) -> None:
    check(tmp_path / "file.pt", data)


@cache
def largest() -> dict[str, bytes]:
    """Files of one megabyte made to be slow or large, one for each thing a reader does."""
    import base64
    import json
    import struct
    import zlib

    keyword = b"sd-ti-embedding\0"

    def zipped(text: bytes) -> bytes:
        return texts.png([(b"zTXt", keyword + b"\0" + zlib.compress(base64.b64encode(text)))])

    header = ",".join(
        f'"{n}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for n in range(17_000)
    )
    return {
        "json-empty-tables": zipped(b"[" + b"{}," * rows_fit(3) + b"{}]"),
        "json-empty-lists": zipped(b"[" + b"[]," * rows_fit(3) + b"[]]"),
        "json-numbers": zipped(
            b'{"string_to_param":{"*":{"TORCHTENSOR":[[' + b"1," * rows_fit(2) + b"1]]}}}"
        ),
        "json-escapes": zipped(json.dumps({"a": "\u202e" * 500_000}).encode()),
        "pixels": noisy_picture(),
        "header-of-many": texts.safetensors("{" + header + "}", b""),
        "metadata": texts.safetensors(
            {"__metadata__": {"a": "\x1b" * 150_000}, "<cat>": texts.TENSOR}
        ),
        "opcodes": pickles.torch_zip(b"\x80\x02" + b"N0" * 500_000 + b"N."),
        "lists": pickles.torch_zip(b"\x80\x02(" + b"](" * 250_000 + b"."),
        "chunks": texts.png([(b"tEXt", b"")] * 80_000),
        "members": many_members(),
        "nothing": b"\0" * LONGEST,
        "header-of-spaces": struct.pack("<Q", 1_000_001) + b"{" + b" " * 1_000_000,
    }


def rows_fit(length: int) -> int:
    """How many items of ``length`` bytes fill a card's text."""
    return 8_500_000 // length


def noisy_picture() -> bytes:
    """The largest picture that is still looked into, all one colour and so very small."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (4096, 2048), (7, 9, 11)).save(buffer, "PNG")
    return buffer.getvalue()


def many_members() -> bytes:
    """A zip archive of as many members as fit."""
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(9_000):
            file.writestr(f"a/{number}", b"")
        file.writestr("a/data.pkl", b"\x80\x02N.")
    return buffer.getvalue()


@pytest.mark.parametrize("name", sorted(largest()))
def test_worst_cases_of_a_megabyte(name: str, tmp_path: Path) -> None:
    data = largest()[name]
    assert len(data) <= LONGEST * 1.1, f"{name} has {len(data)} bytes"
    check(tmp_path / "file.pt", data)
