"""Pickles that run code in a careless reader, or lie about their tensors."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

CANARY = "tireg-canary"
"""The file that every payload would make in the working folder if it ran."""

COMMAND = f"touch {CANARY}"
ROW = 768


def torch_zip(
    data: bytes, storages: dict[str, bytes] | None = None, root: str = "archive"
) -> bytes:
    """A torch archive around one pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(f"{root}/data.pkl", data)
        for name, raw in (storages or {}).items():
            file.writestr(f"{root}/data/{name}", raw)
        file.writestr(f"{root}/version", "3\n")
    return buffer.getvalue()


class _Runs:
    """An object whose pickle calls ``function`` when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def text(value: str) -> bytes:
    """BINUNICODE."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def tensor(
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    *,
    storage: str = "0",
    numel: int = ROW,
    kind: str = "FloatStorage",
    offset: int = 0,
) -> bytes:
    """The opcodes of one tensor."""

    def sizes(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", v) for v in values) + b"t"

    identity = (
        b"("
        + text("storage")
        + f"ctorch\n{kind}\n".encode()
        + text(storage)
        + text("cpu")
        + b"\x8a\x08"
        + struct.pack("<q", numel)
        + b"tQ"
    )
    place = b"\x8a\x08" + struct.pack("<q", offset)
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + identity
        + place
        + sizes(shape)
        + sizes(stride)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def table(value: bytes, key: str = "<cat>") -> bytes:
    """A pickle of ``{key: value}``."""
    return b"\x80\x02}" + text(key) + value + b"s."


def lying(**changes: Any) -> bytes:
    """A torch archive of one token whose tensor is described as ``changes`` say."""
    stored = changes.pop("stored", ROW * 4)
    shape, stride = changes.pop("shape", (1, ROW)), changes.pop("stride", (ROW, 1))
    return torch_zip(table(tensor(shape, stride, **changes)), {"0": b"\0" * stored})


def calls() -> dict[str, bytes]:
    """Pickles that call something, by every route that pickle has."""
    command = text(COMMAND)
    nested = pickle.dumps(_Runs(os.system, COMMAND))
    plain = {
        "reduce": pickle.dumps({"<cat>": _Runs(os.system, COMMAND)}, protocol=2),
        "reduce-protocol-0": pickle.dumps(_Runs(os.system, COMMAND), protocol=0),
        "reduce-protocol-4": pickle.dumps(_Runs(os.system, COMMAND), protocol=4),
        "eval": pickle.dumps(_Runs(eval, f"open({CANARY!r}, 'w')"), protocol=2),
        "exec": pickle.dumps(_Runs(exec, f"open({CANARY!r}, 'w')"), protocol=4),
        "getattr": pickle.dumps(_Runs(getattr, "x", "join"), protocol=2),
        "import": pickle.dumps(_Runs(__import__, "antigravity"), protocol=2),
        "stack-global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + command + b"\x85R.",
        "stack-global-memo": b"\x80\x04\x8c\x06system\x94\x8c\x05posix\x94h\x01h\x00\x93"
        + command
        + b"\x85R.",
        "inst": b"(S'" + COMMAND.encode() + b"'\nios\nsystem\n.",
        "obj": b"\x80\x02(cos\nsystem\n" + command + b"o.",
        "newobj": b"\x80\x02csubprocess\nPopen\n" + command + b"\x85\x81.",
        "newobj-ex": b"\x80\x04csubprocess\nPopen\n" + command + b"\x85}\x92.",
        "obj-allowed": b"\x80\x02(ccollections\nOrderedDict\no.",
        "newobj-ex-allowed": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
        "extension-1": b"\x80\x02\x82\x01)R.",
        "extension-2": b"\x80\x02\x83\x01\x00)R.",
        "extension-4": b"\x80\x02\x84\x01\x00\x00\x00)R.",
        "build-setstate": b"\x80\x02ctorch.nn.modules.container\nParameterDict\n)\x81"
        b"cos\nsystem\nb.",
        "nested-load": b"\x80\x02cpickle\nloads\nB"
        + struct.pack("<I", len(nested))
        + nested
        + b"\x85R.",
        "nested-torch": b"\x80\x02ctorch.storage\n_load_from_bytes\nB"
        + struct.pack("<I", len(nested))
        + nested
        + b"\x85R.",
        "code-before-error": b"\x80\x02cos\nsystem\n" + command + b"\x85R\xff\xff",
        "allowed-module-other-name": b"\x80\x02ctorch\nload\n" + command + b"\x85R.",
        "allowed-name-as-prefix": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n)R.",
        "rebuild-from-type": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN"
        + command
        + b"\x85NtR.",
        "bypass-pip-main": b"\x80\x02cpip\nmain\n]" + text("--version") + b"a\x85R.",
        "bypass-asyncio": b"\x80\x02casyncio.unix_events\n_UnixSubprocessTransport._start\n)R.",
        "bypass-bdb": b"\x80\x02cbdb\nBdb\n)R.",
        "bypass-runpy": b"\x80\x02crunpy\n_run_code\n)R.",
        "bypass-pydoc": b"\x80\x02cpydoc\npipepager\n" + text("") + command + b"\x86R.",
        "bypass-timeit": b"\x80\x02ctimeit\ntimeit\n" + text("1") + b"\x85R.",
        "bypass-numpy-exec": b"\x80\x02cnumpy.testing._private.utils\nrunstring\n)R.",
        "bypass-codecs": b"\x80\x02c_codecs\nencode\n" + text("x") + text("rot13") + b"\x86R.",
    }
    return {f"pickle-{name}.pt": torch_zip(data) for name, data in plain.items()}


def raw_calls() -> dict[str, bytes]:
    """The same without an archive, as scanners that look for zips miss them."""
    data = pickle.dumps(_Runs(os.system, COMMAND), protocol=2)
    return {
        "raw-pickle.pt": data,
        "raw-pickle.safetensors": data,
        "raw-pickle-protocol-0.pt": pickle.dumps(_Runs(os.system, COMMAND), protocol=0),
        "raw-after-magic.bin": pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + data,
        "raw-wrong-magic.bin": pickle.dumps(1, protocol=2) + data,
        "two-pickles.pt": pickle.dumps({}, protocol=2) + data,
    }


def lies() -> dict[str, bytes]:
    """Tensors that claim more than there is, and machines that never end."""
    many = struct.pack("<I", 400_000_000)
    floats = text("<cat>")
    views = {
        "zero-stride": lying(shape=(100_000, ROW), stride=(0, 1)),
        "zero-stride-small": lying(shape=(4, ROW), stride=(0, 1)),
        "overlapping-rows": lying(shape=(3, 256), stride=(128, 1)),
        "past-the-end": lying(offset=1),
        "huge-offset": lying(offset=2**39),
        "negative-size": lying(shape=(-1, ROW)),
        "huge-numel": lying(numel=2**40),
        "numel-lies": lying(numel=ROW * 2),
        "storage-missing": lying(storage="7"),
        "storage-traversal": lying(storage="../../../etc/passwd"),
        "storage-kind": lying(kind="device"),
        "integers": lying(kind="IntStorage"),
        "whole-table": lying(
            shape=(49_408, 8), stride=(8, 1), numel=49_408 * 8, stored=49_408 * 32
        ),
    }
    machines = {
        "persistent-id-text": b"\x80\x02" + text("x") + b"Q.",
        "persistent-id-protocol-0": b"Pstorage\n.",
        "persistent-id-short": b"\x80\x02" + text("storage") + b"\x85Q.",
        "endless-stack": b"\x80\x02" + b"]" * 500_000 + b".",
        "endless-marks": b"\x80\x02" + b"(" * 500_000 + b".",
        "memo-flood": b"\x80\x04}" + b"\x94" * 300_000 + b".",
        "endless-opcodes": b"\x80\x02N" + b"20" * 400_000 + b".",
        "long-string": b"\x80\x02X" + many + b"x.",
        "long-number": b"\x80\x02\x8b" + struct.pack("<i", 200_000) + b"\x11" * 200_000 + b".",
        "copies": b"\x80\x02]("
        + b"\x88" * 10_000
        + b"eq\x00"
        + b"c__builtin__\nset\nh\x00\x85R0" * 20_000
        + b".",
        "colliding-keys": b"\x80\x02}(" + b"\x8a\x08" + struct.pack("<q", 2**61 - 1) + b"Nu.",
        "self-reference": b"\x80\x02]q\x00(" + b"h\x00" * 100 + b"e.",
        "unhashable-key": b"\x80\x02}(]Nu.",
        "recall-nothing": b"\x80\x02h\x07.",
        "stop-at-once": b"\x80\x02.",
        "left-over": b"\x80\x02NN.",
        "unknown-opcode": b"\x80\x02\xfe.",
        "protocol-9": b"\x80\x09N.",
        "not-utf8": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
        "wrong-arguments": b"\x80\x02}" + floats + b"ctorch._utils\n_rebuild_tensor_v2\nN\x85Rs.",
        "out-of-band": b"\x80\x05\x97.",
    }
    packed = {f"machine-{name}.pt": torch_zip(data) for name, data in machines.items()}
    cut = table(tensor((1, ROW), (ROW, 1)))[:-30]
    packed["machine-cut-short.pt"] = torch_zip(cut, {"0": b"\0" * ROW * 4})
    return {f"view-{name}.pt": data for name, data in views.items()} | packed
