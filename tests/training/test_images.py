"""Pictures of every mode, size and orientation; those that cannot be read are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tireg.errors import ConceptError
from tireg.training.images import find_pictures, load_photo, load_photos, to_tensor


def gradient(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).reshape(size[1], size[0], 3)
    return Image.fromarray(ramp.astype(np.uint8)).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    try:
        gradient(mode).save(path)
    except (OSError, ValueError) as error:
        pytest.skip(f"Pillow writes no {mode} {suffix}: {error}")
    photo = load_photo(path)
    assert photo.image.mode == "RGB"
    assert photo.image.size == (40, 30)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    pixels = np.asarray(load_photo(tmp_path / "deep.png").image)
    assert pixels.min() == 0
    assert pixels.max() >= 254
    assert abs(float(pixels.mean()) - 127.5) < 2


def test_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient(size=(40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    photo = load_photo(tmp_path / "turned.jpg")
    assert (photo.picture.width, photo.picture.height) == (30, 40)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert np.asarray(load_photo(tmp_path / "clear.png").image).min() == 255


def test_several_frames_give_the_first_and_a_note(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    photo = load_photo(tmp_path / "moving.gif")
    red, _, blue = np.asarray(photo.image)[3, 3]
    assert red > 200 > 50 > blue
    assert "animated" in photo.notes[0]


def test_an_apple_mpo_is_a_picture(tmp_path: Path) -> None:
    gradient().save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[gradient()])
    photo = load_photo(tmp_path / "phone.jpg")
    assert photo.picture.format == "MPO"
    assert photo.notes == ()


def test_all_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("not a picture at all")
    (tmp_path / "empty.jpg").write_bytes(b"")
    gradient().save(tmp_path / "good.png")
    cut = tmp_path / "cut.png"
    good = (tmp_path / "good.png").read_bytes()
    cut.write_bytes(good[: len(good) // 2])
    with pytest.raises(ConceptError) as error:
        load_photos(find_pictures([tmp_path]))
    for name in ("words.png", "empty.jpg", "cut.png"):
        assert name in str(error.value)
    assert "good.png" not in str(error.value)


def test_a_huge_declared_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(ConceptError, match="too many pixels"):
        load_photo(tmp_path / "bomb.png")


def test_folders_give_pictures_only_and_say_when_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a caption")
    with pytest.raises(ConceptError, match="no picture"):
        find_pictures([tmp_path])
    gradient().save(tmp_path / "b.png")
    gradient().save(tmp_path / "A.JPG")
    assert [p.name for p in find_pictures([tmp_path])] == ["A.JPG", "b.png"]
    with pytest.raises(ConceptError, match="does not exist"):
        find_pictures([tmp_path / "nowhere"])


def test_tensors_are_square_and_between_minus_one_and_one(tmp_path: Path) -> None:
    for number, size in enumerate([(300, 20), (20, 300), (9, 9)]):
        gradient(size=size).save(tmp_path / f"{number}.png")
    photos = load_photos(find_pictures([tmp_path]))
    tensor = to_tensor(photos, 24, flip=True)
    assert tensor.shape == (6, 3, 24, 24)
    assert -1 <= float(tensor.min()) < float(tensor.max()) <= 1
    assert np.allclose(tensor[3].numpy(), tensor[0].flip(-1).numpy())


def test_real_photographs_are_read(shared_dir: Path) -> None:
    files = sorted((shared_dir / "realworld" / "images").glob("*/*.jpg"))
    photos = load_photos(files)
    assert len(photos) == len(files) > 5
    assert to_tensor(photos, 32).shape == (len(files), 3, 32, 32)
