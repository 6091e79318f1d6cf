"""Pictures without what cameras and programs hide in them: EXIF, GPS, thumbnails, comments."""

from __future__ import annotations

import io

from tireg.errors import FileRefusedError

PNG = b"\x89PNG\r\n\x1a\n"
# Chunks without which a picture looks different; all others may tell of its maker.
PNG_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB"})


def is_bare_png(data: bytes) -> bool:
    """Whether ``data`` is a PNG of picture chunks only, with nothing behind its end."""
    if not data.startswith(PNG):
        return False
    at = len(PNG)
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + size
        if kind not in PNG_CHUNKS:
            return False
        if kind == b"IEND":
            return at == len(data)
    return False


def stripped(data: bytes, *, name: str) -> tuple[bytes, str]:
    """The picture without metadata, and its suffix (``.png`` or ``.jpg``).

    A bare PNG stays as it is, byte for byte; any other picture is turned upright and encoded
    again. Raises FileRefusedError when it is no picture.
    """
    if is_bare_png(data):
        return data, ".png"
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as image:
            lossy = image.format in ("JPEG", "MPO", "WEBP")
            upright = ImageOps.exif_transpose(image)
            has_alpha = "A" in upright.getbands() or "transparency" in upright.info
            mode = "RGBA" if has_alpha and not lossy else "RGB"
            plain = Image.new(mode, upright.size)
            plain.paste(upright.convert(mode))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FileRefusedError(f"'{name}' is no picture that can be published") from error
    buffer = io.BytesIO()
    if lossy:
        plain.save(buffer, format="JPEG", quality=92, optimize=True)
        return buffer.getvalue(), ".jpg"
    plain.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue(), ".png"
