"""What every HTML page is made with: escaping templates, and pictures small enough to carry.

All text that comes from records, files or the Hub is untrusted. It reaches a page through the
filters ``shown`` (plain text, for attributes too) or ``bdi`` (an element that keeps letters
written from the right from moving their neighbours), in templates that escape everything.
"""

from __future__ import annotations

import base64
import io
import math
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import jinja2
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from PIL import Image

Form = Literal["avif", "webp", "jpeg"]

CSP = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content security policy of a page that is one file without a script."""

NOTHING = "–"
LONGEST_TEXT = 2_000
MOST_PIXELS = 64_000_000
# More marks than this on one letter are there to paint over the lines above and below.
MOST_MARKS = 4
JOINERS = "\u200c\u200d"


def shown(value: object, limit: int = LONGEST_TEXT, *, lines: bool = False) -> str:
    """``value`` as text on one line (or with its ``lines``), nothing in it invisible.

    Control, bidirectional, zero-width and unassigned characters become ``⟨U+202E⟩``; runs of
    blanks become one; what is longer than ``limit`` characters is cut, and the page says so. None
    and empty text become a dash. The result is not escaped: templates do that.
    """
    text = "" if value is None else str(value)
    cut = len(text) - limit
    parts = [_visible(text[:limit], i) for i in range(min(len(text), limit))]
    seen = "".join(parts)
    if lines:
        seen = "\n".join(" ".join(line.split()) for line in seen.split("\n")).strip()
    else:
        seen = " ".join(seen.split())
    if cut > 0:
        seen += f" … ({cut:,} more characters)"
    return seen or NOTHING


def _visible(text: str, at: int) -> str:
    sign = text[at]
    if sign.isascii():
        return sign if sign.isprintable() or sign in "\n\t" else _code(sign)
    kind = unicodedata.category(sign)
    if sign in JOINERS:
        # Scripts and emoji are joined with them; between Latin letters they only hide.
        return sign if at and not text[at - 1].isascii() else _code(sign)
    if kind in ("Mn", "Me") and _marks_before(text, at) >= MOST_MARKS:
        return ""
    return _code(sign) if kind[0] == "C" or kind in ("Zl", "Zp") else sign


def _marks_before(text: str, at: int) -> int:
    count = 0
    while (
        count < MOST_MARKS and at > count and unicodedata.category(text[at - count - 1])[0] == "M"
    ):
        count += 1
    return count


def _code(sign: str) -> str:
    return f"⟨U+{ord(sign):04X}⟩"


def bdi(value: object, limit: int = LONGEST_TEXT, *, lines: bool = False) -> Markup:
    """:func:`shown`, escaped, in an element whose direction ends with it."""
    return Markup("<bdi>{}</bdi>").format(shown(value, limit, lines=lines))


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A value for people: ``digits`` after the point, a real minus, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) >= 1e6:
        return f"{value:.2e}".replace("-", "\u2212")
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "\u2212")


def size(count: float) -> str:
    """Bytes for people: ``1.3 MB`` of 1,000 kB."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return (
                f"{count:,.0f} {unit}" if unit == "bytes" or count >= 10 else f"{count:.1f} {unit}"
            )
        count /= 1000
    return f"{count:,.1f} GB"


@cache
def environment() -> jinja2.Environment:
    """The templates of this room: everything escaped, a missing value is an error.

    Filters: ``shown``, ``bdi``, ``number``, ``size``.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("tireg.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = {"shown": shown, "bdi": bdi, "number": number, "size": size}
    made.filters.update(filters)
    made.globals["csp"] = CSP
    return made


def page(template: str, **values: Any) -> str:
    """The text of a page from ``template``; jinja2.UndefinedError where a value is missing."""
    return environment().get_template(template).render(**values)


@dataclass(frozen=True)
class Picture:
    """A picture as a page carries it: encoded bytes, media type, size in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The picture as a ``data:`` address."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"

    @property
    def suffix(self) -> str:
        """What the name of a file with these bytes ends in."""
        return {"image/avif": ".avif", "image/webp": ".webp", "image/png": ".png"}.get(
            self.media_type, ".jpg"
        )


@cache
def best_form() -> Form:
    """The smallest form that this Pillow can write: AVIF, else WebP, else JPEG."""
    from PIL import features

    if features.check("avif"):
        return "avif"
    return "webp" if features.check("webp") else "jpeg"


def encode(image: Image.Image, side: int, quality: int = 60, form: Form | None = None) -> Picture:
    """``image`` at most ``side`` pixels wide and high, never enlarged, without its metadata.

    ``quality`` is 1 to 100 as Pillow has it, ``form`` the smallest that can be written. What is
    transparent becomes white.
    """
    form = form or best_form()
    picture = _plain(image)
    picture.thumbnail((side, side))
    data = io.BytesIO()
    if form == "avif":
        # Half the colours of a picture of 64 pixels would be seen to be missing.
        fine = "4:4:4" if max(picture.size) <= 128 else "4:2:0"
        picture.save(data, "AVIF", quality=quality, subsampling=fine, speed=7, max_threads=1)
    elif form == "webp":
        picture.save(data, "WEBP", quality=quality, method=4)
    else:
        picture.save(data, "JPEG", quality=quality, optimize=True)
    return Picture(data.getvalue(), f"image/{form}", *picture.size)


def exact(image: Image.Image) -> Picture:
    """``image`` to the last pixel, without its metadata: for pictures too small to be squeezed."""
    from PIL import features

    picture, data = _plain(image), io.BytesIO()
    form = "webp" if features.check("webp") else "png"
    if form == "webp":
        picture.save(data, "WEBP", lossless=True, quality=60, method=4)
    else:
        picture.save(data, "PNG", optimize=True)
    return Picture(data.getvalue(), f"image/{form}", *picture.size)


def encode_bytes(
    data: bytes, side: int, quality: int = 60, form: Form | None = None
) -> Picture | None:
    """:func:`encode` of a picture file; None where it is broken, none at all, or enormous."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                return None
            opened.draft("RGB", (side, side))
            return encode(ImageOps.exif_transpose(opened), side, quality, form)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        # What Pillow says of files that are cut off, made up or bombs.
        return None


def _plain(image: Image.Image) -> Image.Image:
    """The pixels alone, as RGB: no EXIF, place, profile or comment goes on with them."""
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        picture = Image.new("RGB", image.size, "white")
        picture.paste(clear, mask=clear.getchannel("A"))
        return picture
    picture = image.convert("RGB") if image.mode != "RGB" else image.copy()
    picture.info.clear()
    return picture


__all__ = [
    "CSP",
    "Form",
    "Markup",
    "Picture",
    "bdi",
    "best_form",
    "encode",
    "encode_bytes",
    "environment",
    "escape",
    "exact",
    "number",
    "page",
    "shown",
    "size",
]
