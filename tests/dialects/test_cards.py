"""PNG cards: text chunks of every kind, the pixel strips, and what is written."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.dialects.layouts import L2
from tests.rejects.texts import png
from tireg.dialects import Extra, make_embedding, read_strict, write
from tireg.dialects.png_card import noise_block
from tireg.domain.tensors import from_fp32

TABLE = {
    "string_to_token": {"*": 265},
    "string_to_param": {"*": {"TORCHTENSOR": L2.astype(float).tolist()}},
    "name": "my cat",
    "step": 200,
    "sd_checkpoint": None,
    "sd_checkpoint_name": None,
}


def check(path: Path) -> None:
    reading = read_strict(path)
    (embedding,) = reading.embeddings
    assert (reading.dialect, embedding.token, embedding.trigger) == ("png", "my cat", "my cat")
    assert embedding.tensors["clip_l"] == from_fp32(L2)


def test_text_chunks_of_every_kind(tmp_path: Path) -> None:
    """tEXt as A1111 writes it with Pillow, and the two compressed kinds."""
    text = base64.b64encode(json.dumps(TABLE).encode()).decode()
    for number in range(3):
        info = PngInfo()
        if number == 2:
            info.add_itxt("sd-ti-embedding", text, zip=True)
        else:
            info.add_text("sd-ti-embedding", text, zip=number == 1)
        Image.new("RGB", (64, 64), "teal").save(tmp_path / f"{number}.png", pnginfo=info)
        check(tmp_path / f"{number}.png")


def strips(table: dict[str, Any], height: int = 256) -> Image.Image:
    """A card as A1111 paints it: low and high halves of zlib data beside the picture."""
    packed = np.frombuffer(zlib.compress(json.dumps(table).encode(), 9), np.uint8)
    size = -(-len(packed) // (height * 3)) * height * 3
    blocks = []
    for half in (packed & 0x0F, packed >> 4):
        block = np.resize(half, size).reshape(height, -1, 3) ^ noise_block(size).reshape(
            height, -1, 3
        )
        # A1111 draws grey dots in the upper bits, so that no column of the strips is black.
        blocks.append((block | 0x40).astype(np.uint8))
    black = np.zeros((height, 1, 3), np.uint8)
    photo = np.full((height, 64, 3), 0x55, np.uint8)
    return Image.fromarray(np.concatenate([blocks[0], black, photo, black, blocks[1]], axis=1))


def test_pixel_strips(tmp_path: Path) -> None:
    strips(TABLE).save(tmp_path / "card.png")
    check(tmp_path / "card.png")


def test_generator_is_the_published_one() -> None:
    """The first values in A1111's own test, and its sum over the next hundred thousand."""
    seed, values = 0, []
    for _ in range(100_100):
        seed = (1664525 * seed + 1013904223) % 2**32
        values.append(seed % 255)
    assert values[:8] == [253, 242, 127, 44, 157, 27, 239, 133]
    assert sum(values[100:]) == 12731374
    np.testing.assert_array_equal(noise_block(100_100), np.array(values) & 0x0F)


def test_written_card_has_the_picture_and_nothing_private(tmp_path: Path) -> None:
    photo = Image.new("RGB", (1600, 800), "orange")
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    photo.save(tmp_path / "photo.jpg", exif=exif)
    item = make_embedding("my cat", {"clip_l": from_fp32(L2)})
    extra = Extra(picture=tmp_path / "photo.jpg", step=200, checkpoint="model")
    (path,) = write("png", tmp_path / "card.png", item, extra=extra)
    check(path)
    data = path.read_bytes()
    assert b"secret" not in data
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (1024, 512)
        r, g, b = image.convert("RGB").getpixel((500, 250))  # type: ignore[misc]
        assert r > g > b
        table = json.loads(base64.b64decode(image.text["sd-ti-embedding"]))  # type: ignore[attr-defined]
    assert table["step"] == 200
    assert table["sd_checkpoint_name"] == "model"


def test_card_without_a_picture_is_drawn(tmp_path: Path) -> None:
    (path,) = write(
        "png", tmp_path / "card.png", make_embedding("my cat", {"clip_l": from_fp32(L2)})
    )
    with Image.open(path) as image:
        assert image.size == (512, 512)
        assert len(image.convert("L").getcolors(1000) or []) > 10
    check(path)


def test_unusual_numbers_keep_their_bits(tmp_path: Path) -> None:
    odd = np.array([[1e-45, -0.0, 3.4028235e38, 1 / 3] * 192], dtype="f4")
    item = make_embedding("my cat", {"clip_l": from_fp32(odd)})
    (path,) = write("png", tmp_path / "card.png", item)
    assert read_strict(path).embeddings[0].tensors["clip_l"].data == odd.tobytes()


def test_other_text_is_not_mistaken(tmp_path: Path) -> None:
    from tireg.dialects import read_file

    path = tmp_path / "picture.png"
    path.write_bytes(png([(b"tEXt", b"parameters\0a cat, sd-ti-embedding")]))
    assert read_file(path).refused == "it is a PNG picture with no embedding in it"
