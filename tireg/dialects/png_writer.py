"""Write a PNG card: a picture whose text chunk holds the embedding, as A1111 reads it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.dialects.png_card import KEYWORD, SIGNATURE, TENSOR_MARK, chunk
from tireg.domain.tensors import Tensor
from tireg.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDE = 512
LARGEST = 1024


def card(
    tensor: Tensor,
    name: str,
    step: int | None,
    checkpoint: str | None,
    told: Mapping[str, str],
    picture: Path | None,
) -> bytes:
    """The card as PNG bytes, at most 1024 pixels a side, with no metadata but the embedding.

    Without a ``picture`` one is drawn from the vectors. Raises InputError for a picture that
    cannot be opened.
    """
    image = _opened(picture) if picture is not None else _drawn(tensor, name)
    buffer = io.BytesIO()
    # A new image without info: EXIF, GPS and thumbnails of the picture stay behind.
    image.save(buffer, format="PNG")
    table = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": {TENSOR_MARK: _numbers(tensor)}},
        "name": name,
        "step": step,
        "sd_checkpoint": None,
        "sd_checkpoint_name": checkpoint,
        "tireg": json.dumps({**told, "tireg.dtype": tensor.dtype}, sort_keys=True),
    }
    text = base64.b64encode(json.dumps(table).encode("ascii"))
    png = buffer.getvalue()
    after_header = len(SIGNATURE) + 25
    return png[:after_header] + chunk(b"tEXt", KEYWORD + b"\0" + text) + png[after_header:]


def _numbers(tensor: Tensor) -> Any:
    """Rows as Python floats, which JSON writes so that every bit comes back."""
    import numpy as np

    if tensor.dtype == "fp64":
        return np.frombuffer(tensor.data, dtype="<f8").reshape(tensor.shape).tolist()
    return tensor.to_fp32().astype(np.float64).tolist()


def _opened(path: Path) -> Picture:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"the picture {path} cannot be opened") from error
    upright.thumbnail((LARGEST, LARGEST))
    plain = Image.new("RGB", upright.size)
    plain.paste(upright)
    return plain


def _drawn(tensor: Tensor, name: str) -> Picture:
    """The vectors as a grid of greys under the name: the same card for the same embedding."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    values = np.abs(tensor.to_fp32()[0]).astype(np.float64)
    side = max(1, int(len(values) ** 0.5))
    grid = values[: side * side].reshape(side, side)
    greys = 64 + 160 * (grid / max(float(grid.max()), 1e-12))
    image = Image.fromarray(greys.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    picture = image.convert("RGB")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, SIDE - 56, SIDE, SIDE), fill=(24, 24, 24))
    font = ImageFont.load_default(24)
    draw.text((16, SIDE - 42), name[:36], font=font, fill=(240, 240, 240))
    return picture
