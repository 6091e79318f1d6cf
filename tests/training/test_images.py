"""Pictures of every mode, size and orientation; those that cannot be read are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tireg.errors import ConceptError
from tireg.training.folders import find_pictures, look_for_pictures
from tireg.training.images import load_photo, load_photos, to_tensor


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


def swapped_profile() -> bytes:
    """An RGB profile whose red and green light are exchanged, made from the built-in sRGB."""
    from PIL import ImageCms

    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for one, two in [(b"rXYZ", b"gXYZ")]:
        data = data.replace(one, b"????").replace(two, one).replace(b"????", two)
    return data.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_colours_are_read_as_their_profile_means(tmp_path: Path) -> None:
    from PIL import ImageCms

    patch = Image.new("RGB", (32, 32), (200, 60, 40))
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for number, profile in enumerate([own, b"not a profile", own[:300]]):
        path = tmp_path / f"{number}.png"
        patch.save(path, icc_profile=profile)
        assert np.asarray(load_photo(path).image)[0, 0].tolist() == [200, 60, 40]
    patch.save(tmp_path / "swapped.png", icc_profile=swapped_profile())
    red, green, _ = np.asarray(load_photo(tmp_path / "swapped.png").image)[0, 0].astype(int)
    assert green > red + 100


def test_printers_colours_come_back_the_right_way_round(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (200, 60, 40)).convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    assert b"Adobe" in (tmp_path / "c.jpg").read_bytes(), "stored inverted, as Photoshop does"
    pixel = np.asarray(load_photo(tmp_path / "c.jpg").image)[5, 5].astype(int)
    assert np.abs(pixel - [200, 60, 40]).max() < 12


@pytest.mark.parametrize("kind", ["I;16", "I;16B", "I"])
def test_deep_greys_keep_their_whites(tmp_path: Path, kind: str) -> None:
    values = np.linspace(0, 65535, 32 * 32).reshape(32, 32)
    types = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}
    deep = Image.frombytes(kind, (32, 32), values.astype(types[kind]).tobytes())
    deep.save(tmp_path / "deep.tif")
    pixels = np.asarray(load_photo(tmp_path / "deep.tif").image)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_floats_and_counts_beyond_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    for top in (1.0, 255.0, 4000.0):
        Image.fromarray(ramp * np.float32(top)).save(tmp_path / "f.tif")
        assert np.asarray(load_photo(tmp_path / "f.tif").image).max() >= 15
    Image.fromarray((ramp * 1_000_000).astype(np.int32)).save(tmp_path / "i.tif")
    pixels = np.asarray(load_photo(tmp_path / "i.tif").image)
    assert abs(float(pixels.mean()) - 127.5) < 2


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "IMG_1.cr2", "shot.dng", "art.psd"])
def test_files_to_convert_first_are_told_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"II*\x00 something")
    with pytest.raises(ConceptError) as error:
        load_photos(find_pictures([tmp_path]))
    assert name in error.value.message
    assert error.value.hint == "convert it to JPEG or PNG"


def test_heic_under_another_name_is_known_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
    with pytest.raises(ConceptError, match="HEIC"):
        load_photo(tmp_path / "a.jpg")


def test_the_raw_twin_of_a_picture_is_left_out_with_a_note(tmp_path: Path) -> None:
    gradient().save(tmp_path / "IMG_1.JPG")
    (tmp_path / "IMG_1.CR2").write_bytes(b"raw")
    (tmp_path / "clip.mov").write_bytes(b"film")
    (tmp_path / "IMG_1.txt").write_text("a caption")
    (tmp_path / "more").mkdir()
    gradient().save(tmp_path / "more" / "b.png")
    found = look_for_pictures([tmp_path])
    assert [p.name for p in found.pictures] == ["IMG_1.JPG"]
    assert found.notes == (
        "'IMG_1.CR2' is left out: the same shot is there as a picture",
        "'clip.mov' is not looked at: no picture by its name",
        "'more' is not looked at: folders are read one level deep",
    )


def test_a_folder_of_folders_is_answered_with_the_one_to_name(tmp_path: Path) -> None:
    (tmp_path / "10_cat").mkdir()
    gradient().save(tmp_path / "10_cat" / "a.png")
    with pytest.raises(ConceptError) as error:
        find_pictures([tmp_path])
    assert "10_cat" in error.value.hint


@pytest.mark.timeout(20)
def test_pipes_and_broken_links_are_named_not_skipped(tmp_path: Path) -> None:
    import os

    gradient().save(tmp_path / "good.png")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "linked.png").symlink_to(tmp_path / "good.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ConceptError) as error:
        load_photos(find_pictures([tmp_path]))
    assert "lost.png' cannot be read: no such file" in error.value.message
    assert not hasattr(os, "mkfifo") or "pipe.png' is not a regular file" in error.value.message
    assert "good.png" not in error.value.message
    assert "linked.png" not in error.value.message


def test_a_program_in_postscript_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ConceptError, match="is not a picture"):
        load_photo(tmp_path / "a.png")


def test_damaged_exif_does_not_lose_the_picture(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    photo = load_photo(tmp_path / "a.jpg")
    assert photo.image.size == (40, 30)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tiff", "webp", "bmp"])
def test_flipped_and_missing_bytes_give_a_picture_or_a_sentence(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    gradient(size=(24, 18)).save(path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    said: list[str] = []
    for _ in range(60):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 4):
            data[place] = int(rng.integers(256))
        path.write_bytes(data[: int(rng.integers(1, len(data) + 1))])
        try:
            assert load_photo(path).image.mode == "RGB"
        except ConceptError as error:
            said.append(error.message)
    assert len(said) > 20
    assert all(path.name in message for message in said)


def test_large_pictures_are_kept_small_in_memory(tmp_path: Path) -> None:
    gradient(size=(900, 500)).save(tmp_path / "a.png")
    photo = load_photo(tmp_path / "a.png", keep_side=100)
    assert photo.image.size == (180, 100)
    assert (photo.picture.width, photo.picture.height) == (900, 500)
    assert load_photo(tmp_path / "a.png").image.size == (900, 500)


def test_only_ten_bad_pictures_are_listed(tmp_path: Path) -> None:
    for number in range(14):
        (tmp_path / f"{number:02}.png").write_bytes(b"x")
    with pytest.raises(ConceptError, match="and 4 more") as error:
        load_photos(find_pictures([tmp_path]))
    assert error.value.message.count("is not a picture") == 10
