"""Pictures in a terminal: two pixels to a character, the upper half block in two colours."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tireg.cli.console import out

if TYPE_CHECKING:
    from rich.text import Text

WIDEST = 32
GAP = 2


def show_pictures(paths: Iterable[Path]) -> None:
    """Draw pictures side by side; where colours are not to be had, say where they lie.

    A file that is missing or is no picture is said and left out.
    """
    found = [path for path in paths if _there(path)]
    if not found:
        out.note("there is no picture to show")
        return
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        out.note("pictures are shown on a terminal with colours; they are:")
        for path in found:
            out.text(str(path))
        return
    columns = shutil.get_terminal_size().columns
    width = min(WIDEST, max(8, columns))
    across = max(1, (columns + GAP) // (width + GAP))
    for start in range(0, len(found), across):
        for line in picture_lines(found[start : start + across], width):
            out.styled(line)


def _there(path: Path) -> bool:
    if path.is_file():
        return True
    out.warn(f"the picture '{path}' is missing: tireg verify")
    return False


def picture_lines(paths: Sequence[Path], width: int) -> list[Text]:
    """The pictures in one row, each ``width`` characters wide, as lines of coloured text."""
    from PIL import Image, UnidentifiedImageError
    from rich.style import Style
    from rich.text import Text

    pictures = []
    for path in paths:
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
            out.warn(f"'{path}' is not a picture that can be shown")
            continue
        height = max(2, round(picture.height / picture.width * width / 2) * 2)
        enlarged = picture.width < width
        how = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
        pictures.append(picture.resize((width, height), how))
    tallest = max((picture.height for picture in pictures), default=0)
    lines = []
    for y in range(0, tallest, 2):
        line = Text(no_wrap=True)
        for number, picture in enumerate(pictures):
            if number:
                line.append(" " * GAP)
            for x in range(width):
                if y >= picture.height:
                    line.append(" ")
                    continue
                upper, lower = picture.getpixel((x, y)), picture.getpixel((x, y + 1))
                line.append("▀", Style(color=_color(upper), bgcolor=_color(lower)))
        lines.append(line)
    return lines


def _color(pixel: object) -> str:
    red, green, blue = pixel if isinstance(pixel, tuple) else (0, 0, 0)
    return f"#{red:02x}{green:02x}{blue:02x}"
