"""Safetensors, pictures and other files that are hostile, broken or something else."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from typing import Any

ROW = 768
DATA = struct.pack("<f", 0.5) * ROW
TENSOR = {"dtype": "F32", "shape": [1, ROW], "data_offsets": [0, ROW * 4]}


def safetensors(header: dict[str, Any] | str, data: bytes = DATA) -> bytes:
    """A file with any header at all."""
    raw = (header if isinstance(header, str) else json.dumps(header)).encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw + data


def _one(**changes: Any) -> bytes:
    return safetensors({"<cat>": {**TENSOR, **changes}})


def _two(first: list[int], second: list[int], data: bytes = DATA * 2) -> bytes:
    return safetensors(
        {
            "<a>": {**TENSOR, "data_offsets": first},
            "<b>": {**TENSOR, "data_offsets": second},
        },
        data,
    )


def _many(keys: list[str], shape: list[int] | None = None) -> bytes:
    """A file of equal tensors, for look-alikes: only their names and shapes tell them."""
    sizes = shape or [1, ROW]
    length = 4
    for size in sizes:
        length *= size
    header = {
        key: {"dtype": "F32", "shape": sizes, "data_offsets": [n * length, (n + 1) * length]}
        for n, key in enumerate(keys)
    }
    return safetensors(header, struct.pack("<f", 0.5) * (length // 4 * len(keys)))


def headers() -> dict[str, bytes]:
    """Safetensors files with wrong or hostile headers, and hostile names."""
    twice = f'{{"<cat>":{json.dumps(TENSOR)},"<cat>":{json.dumps(TENSOR)}}}'
    size = ROW * 4
    names = {
        "escape": "\x1b[2J\x1b[31mcat",
        "bell": "cat\x07",
        "newline": "cat\n\nERROR: delete everything",
        "bidi": "<\u202etac\u202c>",
        "zero-width": "<ca\u200bt>",
        "nul": "<cat\x00>",
        "surrogate": "<cat\ud800>",
        "empty": "",
        "very-long": "<" + "a" * 600 + ">",
    }
    hidden = {f"name-{key}.safetensors": safetensors({name: TENSOR}) for key, name in names.items()}
    return hidden | {
        "duplicate-key.safetensors": safetensors(twice),
        "duplicate-field.safetensors": safetensors(
            '{"<cat>":{"dtype":"F32","dtype":"F16","shape":[1,768],"data_offsets":[0,3072]}}'
        ),
        "header-too-long.safetensors": struct.pack("<Q", 2**20) + b"{}",
        "header-endless.safetensors": struct.pack("<Q", 2**39) + b'{"a":1}',
        "header-not-json.safetensors": safetensors('{"<cat>": '),
        "header-a-list.safetensors": safetensors("{}" + "[" * 50),
        "header-deep.safetensors": safetensors('{"a":' * 50_000 + "1" + "}" * 50_000),
        "header-not-utf8.safetensors": struct.pack("<Q", 8) + b'{"\xff\xfe":1}',
        "overlap.safetensors": _two([0, size], [size // 2, size // 2 + size]),
        "hole.safetensors": _two([0, size], [size + 4, 2 * size + 4], DATA * 2 + b"\0" * 4),
        "trailing.safetensors": safetensors({"<cat>": TENSOR}, DATA + b"hidden"),
        "cut-short.safetensors": safetensors({"<cat>": TENSOR}, DATA[:-1]),
        "backwards.safetensors": _one(data_offsets=[size, 0]),
        "negative.safetensors": _one(shape=[-1, -ROW]),
        "overflow.safetensors": _one(shape=[2**47, 2**47]),
        "shape-lies.safetensors": _one(shape=[2, ROW]),
        "boolean-shape.safetensors": _one(shape=[True, ROW]),
        "unknown-type.safetensors": _one(dtype="F33"),
        "extra-field.safetensors": _one(pickle="gANj"),
        "metadata-numbers.safetensors": safetensors({"__metadata__": {"a": 1}, "<cat>": TENSOR}),
        "integers.safetensors": _one(dtype="I32"),
        "nothing.safetensors": safetensors({}, b""),
        "nan.safetensors": safetensors({"<cat>": TENSOR}, struct.pack("<f", float("nan")) * ROW),
        "infinite.safetensors": safetensors(
            {"<cat>": TENSOR}, struct.pack("<f", float("-inf")) * ROW
        ),
        "no-rows.safetensors": safetensors(
            {"<cat>": {"dtype": "F32", "shape": [0, ROW], "data_offsets": [0, 0]}}, b""
        ),
    }


def lookalikes() -> dict[str, bytes]:
    """Sound files that are something else; the value of each is what the refusal must say."""
    return {
        "lora|LoRA.safetensors": _many(
            ["lora_unet_down_blocks_0.lora_up.weight", "lora_unet_down_blocks_0.lora_down.weight"]
        ),
        "vae|VAE.safetensors": _many(["encoder.conv_in.weight", "decoder.conv_out.weight"]),
        "checkpoint|checkpoint.safetensors": _many(["model.diffusion_model.out.2.weight"]),
        "ip-adapter|IP-Adapter.safetensors": _many(["image_proj.proj.weight"]),
        "controlnet|ControlNet.safetensors": _many(["control_model.input_blocks.0.0.weight"]),
        "text-encoder|text encoder.safetensors": _many(
            ["text_model.embeddings.token_embedding.weight"]
        ),
        "prompt-states|prompt states.safetensors": _many(["prompt_embeds"], [1, 77, ROW]),
        "cached-prompt|cached prompt.safetensors": _many(["a photo of a cat"], [77, ROW]),
        "pooled|prompt states.safetensors": _many(["pooled_prompt_embeds"]),
        "ip-negative|whole prompts or pictures.safetensors": _many(["data"], [1, 16, 2048]),
        "odd-width|width 513.safetensors": _many(["cat"], [1, 513]),
        "network|network.safetensors": _many([f"thing{n}" for n in range(400)]),
        "linear|weight of a network.safetensors": _many(["fc.weight"]),
    }


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A tiny picture with further chunks before its end."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    for kind, data in chunks:
        out += chunk(kind, data)
    return out + chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 24) * 8)) + chunk(b"IEND", b"")


def _card(value: object) -> bytes:
    return png([(b"tEXt", b"sd-ti-embedding\0" + base64.b64encode(json.dumps(value).encode()))])


def pictures() -> dict[str, bytes]:
    """Cards with hostile or broken text, and pictures that are no cards."""
    vectors = {"string_to_param": {"*": {"TORCHTENSOR": [[0.5] * ROW]}}, "name": "cat"}
    keyword = b"sd-ti-embedding\0"
    sound = _card(vectors)
    bomb = zlib.compress(b"A" * 100_000_000, 9)
    huge = bytearray(png([]))
    huge[16:24] = struct.pack(">II", 60_000, 60_000)
    huge[29:33] = struct.pack(">I", zlib.crc32(bytes(huge[12:29])))
    return {
        "text-bomb.png": png([(b"zTXt", keyword + b"\0" + bomb)]),
        "itxt-bomb.png": png([(b"iTXt", keyword + b"\1\0\0\0" + bomb)]),
        "text-not-base64.png": png([(b"tEXt", keyword + b"!!!!")]),
        "text-not-json.png": png([(b"tEXt", keyword + base64.b64encode(b"\x80\x02N."))]),
        "text-deep.png": png([(b"tEXt", keyword + base64.b64encode(b"[" * 90_000))]),
        "text-a-list.png": _card([1, 2]),
        "text-damaged.png": png([(b"zTXt", keyword + b"\0" + zlib.compress(b"x" * 99)[:-5])]),
        "text-twice.png": png([(b"tEXt", keyword + b"e30="), (b"tEXt", keyword + b"e30=")]),
        "ragged-vectors.png": _card(
            {"string_to_param": {"*": {"TORCHTENSOR": [[1.0], [1.0, 2.0]]}}}
        ),
        "words-as-vectors.png": _card({"string_to_param": {"*": {"TORCHTENSOR": ["a", "b"]}}}),
        "nan-vectors.png": _card(
            {"string_to_param": {"*": {"TORCHTENSOR": [[float("nan")] * ROW]}}}
        ),
        "no-vectors.png": _card({"string_to_param": {"*": [1, 2]}, "name": "cat"}),
        "hidden-name.png": _card({**vectors, "name": "cat\x1b[2J"}),
        "surrogate-name.png": _card({**vectors, "name": "cat\ud83d"}),
        "cut-short.png": sound[: len(sound) // 2],
        "bad-checksum.png": sound.replace(b"IDAT", b"IDAX"),
        "plain-picture.png": png([]),
        "huge-picture.png": bytes(huge),
        "pixels-missing.png": png([]).replace(zlib.compress((b"\0" + b"\x80" * 24) * 8), b""),
    }


def others() -> dict[str, bytes]:
    """Files of other kinds under the names of embeddings."""
    tar = io.BytesIO(b"\0" * 257 + b"ustar\0" + b"\0" * 600)
    return {
        "empty.pt": b"",
        "pointer.safetensors": b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:" + b"0" * 64 + b"\nsize 24655\n",
        "pointer-with-escape.pt": b"version https://git-lfs.github.com/spec/v1\nsize \x1b[2J\n",
        "page.safetensors": b"<!DOCTYPE html><html><body>404</body></html>",
        "notes.pt": b"the password is cat\n",
        "table.safetensors": b'{"fakeTensor": true}',
        "photo.png": b"\xff\xd8\xff\xe0 not a png",
        "webp.png": b"RIFF\0\0\0\0WEBP",
        "model.gguf": b"GGUF\3\0\0\0",
        "vectors.npy": b"\x93NUMPY\1\0v\0",
        "packed.pt.gz": b"\x1f\x8b\x08\0",
        "old.tar.pt": tar.getvalue(),
        "noise.pt": bytes(range(128, 256)) * 8,
        "one-byte.pt": b"\x80",
        "program.pt": b"\x7fELF\2\1\1",
    }
