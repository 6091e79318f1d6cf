"""PNG cards: a picture with an embedding in a text chunk or in strips beside it.

A1111 writes both (``modules/textual_inversion/image_embedding.py`` of stable-diffusion-webui).
Chunks are parsed here, bounded; only the pixels are left to Pillow, and it sees nothing but
the chunks that pixels need.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

from tireg.dialects import limits
from tireg.dialects.content import RawTensor, Tree
from tireg.dialects.files import Source
from tireg.errors import FileRefusedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD = b"sd-ti-embedding"
TENSOR_MARK = "TORCHTENSOR"
PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def read_card(source: Source) -> Tree:
    """The table in a card, in A1111's layout. Raises FileRefusedError where there is none."""
    pixels = bytearray(SIGNATURE)
    text: bytes | None = None
    size = (0, 0)
    for kind, data in _chunks(source):
        if kind == b"IHDR" and len(data) == 13:
            size = struct.unpack(">II", data[:8])
        if kind in PIXEL_CHUNKS:
            pixels += chunk(kind, data)
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and data.startswith(KEYWORD + b"\0"):
            if text is not None:
                raise FileRefusedError("it is a PNG with two embeddings in its text; one is meant")
            text = _text(kind, data[len(KEYWORD) + 1 :])
    if text is not None:
        return _table(_decoded(text))
    if size[0] * size[1] > limits.PNG_PIXELS:
        raise FileRefusedError("it is a PNG picture that is too large to look for an embedding in")
    strips = read_strips(bytes(pixels))
    if strips is None:
        raise FileRefusedError("it is a PNG picture with no embedding in it")
    return _table(strips)


def _chunks(source: Source) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    position = len(SIGNATURE)
    while position < source.size:
        length, kind = struct.unpack(">I4s", source.read(position, 8))
        if length > source.size - position - 12:
            raise FileRefusedError("it is a PNG that is cut short")
        data = source.read(position + 8, length)
        checksum = int.from_bytes(source.read(position + 8 + length, 4), "big")
        if zlib.crc32(kind + data) != checksum:
            raise FileRefusedError("it is a PNG with a damaged part: a checksum does not match")
        found.append((kind, data))
        if kind == b"IEND":
            return found
        if len(found) > limits.PNG_CHUNKS:
            raise FileRefusedError("it is a PNG in too many parts")
        position += 12 + length
    raise FileRefusedError("it is a PNG that is cut short: its end is missing")


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _text(kind: bytes, data: bytes) -> bytes:
    """The value of a text chunk, unpacked within limits."""
    if kind == b"tEXt":
        text, packed = data, False
    elif kind == b"zTXt":
        text, packed = data[1:], True
    else:
        # iTXt: compression flag and method, then language and translated keyword.
        packed = data[:1] == b"\x01"
        text = data[2:].split(b"\0", 2)[-1]
    if packed:
        text = inflate(text, "its text")
    if len(text) > limits.PNG_TEXT:
        raise FileRefusedError(f"it is a PNG with {len(text)} bytes of text, which is too much")
    return text


def inflate(data: bytes, what: str) -> bytes:
    """Unpack zlib data, at most the cap on card text. Raises FileRefusedError."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, limits.PNG_TEXT + 1)
    except zlib.error as error:
        raise FileRefusedError(f"{what} is damaged: it cannot be unpacked") from error
    if len(text) > limits.PNG_TEXT:
        raise FileRefusedError(f"{what} unpacks to far more than an embedding: a zip bomb")
    if not unpacker.eof:
        raise FileRefusedError(f"{what} is cut short")
    return text


def _decoded(text: bytes) -> Any:
    try:
        return parse_json(base64.b64decode(text.strip(), validate=True))
    except binascii.Error as error:
        raise FileRefusedError("it is a PNG card whose text is not base64") from error


def parse_json(raw: bytes) -> Any:
    """JSON out of a card. Raises FileRefusedError where it is none, or far too much."""
    # Millions of empty lists cost far more than their text; a card has one for each vector.
    if raw.count(b"[") + raw.count(b"{") > limits.PNG_LISTS or raw.count(b",") > limits.PNG_NUMBERS:
        raise FileRefusedError("it is a PNG card that holds far more than an embedding")
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileRefusedError("it is a PNG card whose text is not JSON") from error


def _table(value: Any) -> Tree:
    """The card's table with ``{"TORCHTENSOR": lists}`` turned into tensors."""
    if not isinstance(value, dict):
        raise FileRefusedError("it is a PNG card whose text is not a table")
    dtype = _told_dtype(value)
    table = dict(value)
    params = value.get("string_to_param")
    if isinstance(params, dict):
        table["string_to_param"] = {key: _tensor(item, dtype) for key, item in params.items()}
    for key, item in value.items():
        if isinstance(item, dict) and TENSOR_MARK in item:
            table[key] = _tensor(item, dtype)
    return table


def _told_dtype(value: dict[str, Any]) -> str:
    try:
        note = json.loads(value["tireg"])
        return str(note["tireg.dtype"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ""


def _tensor(item: Any, told: str) -> Any:
    if not isinstance(item, dict) or TENSOR_MARK not in item:
        return item
    import numpy as np

    try:
        wide = np.array(item[TENSOR_MARK], dtype="<f8")
    except (ValueError, TypeError, OverflowError) as error:
        raise FileRefusedError("it is a PNG card whose vectors are not numbers") from error
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = wide.astype("<f4")
        exact = bool((narrow.astype("<f8") == wide).all())
    if told == "fp64" or not exact:
        return RawTensor("fp64", wide.shape, wide.tobytes)
    if wide.ndim == 2 and wide.size and told in ("fp16", "bf16"):
        from tireg.domain.tensors import from_fp32

        half = from_fp32(narrow, "fp16" if told == "fp16" else "bf16")
        if bool((half.to_fp32() == narrow).all()):
            return RawTensor(half.dtype, half.shape, lambda: half.data)
    return RawTensor("fp32", narrow.shape, narrow.tobytes)


def read_strips(png: bytes) -> Any | None:
    """The JSON in the strips left and right of a card's picture; None where there are none.

    The data are zlib, split into the lower and upper four bits of each byte, XORed with a
    linear congruential generator, and set off by black columns.
    """
    block = _strip_blocks(png)
    if block is None:
        return None
    return parse_json(inflate(block, "the data in its pixels"))


def _strip_blocks(png: bytes) -> bytes | None:
    import numpy as np

    picture = _pixels(png)
    bright = np.all(picture > 0, axis=2)
    columns, rows = np.flatnonzero(np.any(bright, axis=0)), np.flatnonzero(np.any(bright, axis=1))
    if not len(columns):
        return None
    cropped = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] & 0x0F
    black = np.flatnonzero(np.max(cropped, axis=(0, 2)) == 0)
    if len(black) < 2:
        return None
    low, high = cropped[:, : black[0]], cropped[:, black[-1] + 1 :]
    if low.shape != high.shape or low.size < 16:
        return None
    noise = noise_block(low.size).reshape(low.shape)
    data = ((high ^ noise) << 4) | (low ^ noise)
    packed = data.tobytes()
    # Pictures with two dark columns exist; zlib data begin with 0x78.
    return packed if packed[0] == 0x78 and int.from_bytes(packed[:2], "big") % 31 == 0 else None


def _pixels(png: bytes) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (
        OSError,
        ValueError,
        SyntaxError,
        TypeError,
        OverflowError,
        EOFError,
        struct.error,
        zlib.error,
        UnidentifiedImageError,
        Image.DecompressionBombError,
    ) as error:
        raise FileRefusedError("it is a PNG whose picture is damaged") from error


def noise_block(count: int) -> NDArray[np.uint8]:
    """``count`` values of A1111's generator (a=1664525, c=1013904223, m=2^32), ``% 255 & 15``."""
    import numpy as np

    values = np.zeros(1, dtype=np.uint32)
    factor, offset = 1664525, 1013904223
    values[0] = offset
    # s[k + m] = factor_m * s[k] + offset_m: each round doubles the sequence.
    while len(values) < count:
        following = values * np.uint32(factor) + np.uint32(offset)
        values = np.concatenate([values, following])
        factor, offset = factor * factor % 2**32, (factor * offset + offset) % 2**32
    return ((values[:count] % 255) & 0x0F).astype(np.uint8)
