"""Contact sheets: pictures with the word beside pictures without it, at the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

CELL = 96
GAP = 4
MARGIN = 16
LABEL = 300
INK, FAINT, PAPER = (30, 30, 34), (110, 110, 118), (255, 255, 255)


@dataclass(frozen=True)
class SheetRow:
    """One prompt: its text, and a group of pictures [h, w, 3] per condition."""

    text: str
    groups: tuple[Sequence[np.ndarray], ...]


def contact_sheet(
    title: str, heads: Sequence[str], rows: Sequence[SheetRow], references: Sequence[Any] = ()
) -> np.ndarray:
    """A sheet as uint8 [h, w, 3]: training pictures on top, then one row per prompt.

    ``heads`` name the groups. Pictures are scaled to 96 pixels; small ones without smoothing,
    so that what the model drew is what is seen.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    widths = [max((len(row.groups[i]) for row in rows), default=0) for i in range(len(heads))]
    across = max(sum(widths), min(len(references), 10))
    width = 2 * MARGIN + LABEL + across * (CELL + GAP) + (len(heads) - 1) * 2 * GAP
    top = MARGIN + 34
    body = top + (CELL + 26 if references else 0)
    height = body + 26 + len(rows) * (CELL + GAP) + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), _shown(title), fill=INK, font=_font(18))
    if references:
        draw.text((MARGIN, top + CELL // 2 - 8), "learned from", fill=FAINT, font=_font(13))
        for i, picture in enumerate(references[:10]):
            sheet.paste(_cell(picture), (MARGIN + LABEL + i * (CELL + GAP), top))
    starts = []
    left = MARGIN + LABEL
    for i, head in enumerate(heads):
        starts.append(left)
        draw.text((left, body + 4), _shown(head), fill=FAINT, font=_font(13))
        left += widths[i] * (CELL + GAP) + 2 * GAP
    for number, row in enumerate(rows):
        y = body + 26 + number * (CELL + GAP)
        for line_number, line in enumerate(_wrap(draw, _shown(row.text))):
            draw.text((MARGIN, y + 6 + line_number * 18), line, fill=INK, font=_font(13))
        for start, group in zip(starts, row.groups, strict=True):
            for i, picture in enumerate(group):
                sheet.paste(_cell(picture), (start + i * (CELL + GAP), y))
    return np.asarray(sheet)


def _cell(picture: Any) -> Any:
    from PIL import Image, ImageOps

    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    small = max(image.size) < CELL
    method = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return ImageOps.fit(image, (CELL, CELL), method=method)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _wrap(draw: Any, text: str) -> list[str]:
    """Lines of ``text`` that fit the label column; at most five."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and draw.textlength(longer, font=_font(13)) > LABEL - 12:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line][:5]
