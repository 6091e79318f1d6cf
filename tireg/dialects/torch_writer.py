"""Torch files without torch: the pickle and zip that ``torch.save`` would write.

Only what embeddings need. The archive holds ``data.pkl``, the storages and ``version``, because
A1111 refuses archives with the further entries of newer torch versions.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

from tireg.domain.tensors import DType, Tensor

STORAGE_NAMES: dict[DType, str] = {
    "fp64": "DoubleStorage",
    "fp32": "FloatStorage",
    "fp16": "HalfStorage",
    "bf16": "BFloat16Storage",
}
# CLIP's id of "*", the placeholder of the original paper and of every A1111 file.
STAR_ID = 265
EARLIEST = (1980, 1, 1, 0, 0, 0)


class _Pickle:
    """Writes protocol 2, as torch does, and collects the storages."""

    def __init__(self) -> None:
        self.out = bytearray(b"\x80\x02")
        self.storages: list[bytes] = []

    def text(self, value: str) -> None:
        raw = value.encode("utf-8")
        self.out += b"X" + struct.pack("<I", len(raw)) + raw

    def whole(self, value: int) -> None:
        if -(2**31) <= value < 2**31:
            self.out += b"J" + struct.pack("<i", value)
        else:
            self.out += b"\x8a\x08" + struct.pack("<q", value)

    def value(self, value: Any) -> None:
        """None, a bool, a whole number, text, a tensor, or a dict of these."""
        if value is None:
            self.out += b"N"
        elif isinstance(value, bool):
            self.out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            self.whole(value)
        elif isinstance(value, str):
            self.text(value)
        elif isinstance(value, Tensor):
            self.tensor(STORAGE_NAMES[value.dtype], value.shape, value.data)
        else:
            self.table(value)

    def table(self, items: Mapping[str, Any]) -> None:
        self.out += b"}("
        for key, item in items.items():
            self.text(key)
            self.value(item)
        self.out += b"u"

    def name(self, module: str, name: str) -> None:
        self.out += f"c{module}\n{name}\n".encode()

    def empty_ordered_dict(self) -> None:
        self.name("collections", "OrderedDict")
        self.out += b")R"

    def tensor(self, storage: str, shape: tuple[int, ...], data: bytes) -> None:
        """A contiguous tensor on the CPU, with a storage of its own."""
        numel = 1
        strides: list[int] = []
        for size in reversed(shape):
            strides.insert(0, numel)
            numel *= size
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.out += b"(("
        self.text("storage")
        self.name("torch", storage)
        self.text(str(len(self.storages)))
        self.text("cpu")
        self.whole(numel)
        self.out += b"tQ"
        self.whole(0)
        for sizes in (shape, tuple(strides)):
            self.out += b"("
            for size in sizes:
                self.whole(size)
            self.out += b"t"
        self.out += b"\x89"
        self.empty_ordered_dict()
        self.out += b"tR"
        self.storages.append(data)

    def parameter_dict(self, items: Mapping[str, Tensor]) -> None:
        """``torch.nn.ParameterDict``, as a module object with its state."""
        self.name("torch.nn.modules.container", "ParameterDict")
        self.out += b")\x81}("
        self.text("training")
        self.out += b"\x88"
        self.text("_parameters")
        self.empty_ordered_dict()
        self.out += b"("
        for key, tensor in items.items():
            self.text(key)
            self.name("torch._utils", "_rebuild_parameter")
            self.out += b"("
            self.value(tensor)
            self.out += b"\x88"
            self.empty_ordered_dict()
            self.out += b"tR"
        self.out += b"u"
        for empty in ("_buffers", "_modules"):
            self.text(empty)
            self.empty_ordered_dict()
        self.text("_keys")
        self.table(dict.fromkeys(items))
        self.out += b"ub"

    def archive(self, stem: str) -> bytes:
        """The zip archive, the same bytes for the same content."""
        self.out += b"."
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
            members = [("data.pkl", bytes(self.out))]
            members += [(f"data/{n}", data) for n, data in enumerate(self.storages)]
            members.append(("version", b"3\n"))
            for name, data in members:
                file.writestr(zipfile.ZipInfo(f"{stem}/{name}", EARLIEST), data)
        return buffer.getvalue()


def webui_file(
    stem: str,
    tensor: Tensor,
    name: str,
    step: int | None,
    checkpoint: str | None,
    told: Mapping[str, str],
) -> bytes:
    """A1111's own ``.pt``; ``told`` travels as JSON under the key ``tireg``, which it ignores."""
    pickle = _Pickle()
    pickle.out += b"}("
    pickle.text("string_to_token")
    pickle.table({"*": STAR_ID})
    pickle.text("string_to_param")
    pickle.table({"*": tensor})
    rest = {
        "name": name,
        "step": step,
        "sd_checkpoint": None,
        "sd_checkpoint_name": checkpoint,
        "tireg": json.dumps(dict(told), ensure_ascii=False, sort_keys=True),
    }
    for key, value in rest.items():
        pickle.text(key)
        pickle.value(value)
    pickle.out += b"u"
    return pickle.archive(stem)


def original_file(stem: str, tensor: Tensor, told: Mapping[str, str]) -> bytes:
    """The original paper's ``.pt``: a ParameterDict and a token tensor, both under ``*``."""
    pickle = _Pickle()
    pickle.out += b"}("
    pickle.text("string_to_token")
    pickle.out += b"}("
    pickle.text("*")
    pickle.tensor("LongStorage", (), struct.pack("<q", STAR_ID))
    pickle.out += b"u"
    pickle.text("string_to_param")
    pickle.parameter_dict({"*": tensor})
    pickle.text("tireg")
    pickle.text(json.dumps(dict(told), ensure_ascii=False, sort_keys=True))
    pickle.out += b"u"
    return pickle.archive(stem)
