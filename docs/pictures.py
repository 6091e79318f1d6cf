"""The pictures of the pages: python -m docs.pictures [NAME…] writes docs/img/.

``leakage`` trains two words on `shapes` (a minute or two) and draws five rows of samples;
the others are pages and a terminal, from ``docs/screens.py``.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from docs import screens
from docs.generate import ROOT

IMAGES = ROOT / "docs" / "img"
SHIPPED = ROOT / "registry" / "embeddings"
PROMPTS = (
    "a photo of a {} on a blue background",
    "a photo of a {} on a green background",
    "a drawing of a {}",
)
SEEDS = 2
SIDE = 96
GROUND = (0.62, 0.5, 0.4)


def leakage() -> Image.Image:
    """Rows: class noun, good word, copying word, word from one ground, the same with masks."""
    from tireg.domain.recipes import Recipe
    from tireg.workflows.generate import GenerateRequest, generate
    from tireg.workflows.train import TrainRequest, train

    rows = []
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        plain, masked = one_ground(Path(place))
        for name, folder in (("plain", plain), ("masked", masked)):
            train(
                TrainRequest([folder], "shapes", name, f"<{name}>", "object", Recipe(init="star"),
                             keep_anyway=True),
                home=home,
            )  # fmt: skip
        words = (
            ("star", None),
            ("<lime-star>", _shipped("lime-star", home)),
            ("<lime-star-overfitted>", _shipped("lime-star-overfitted", home)),
            ("<plain>", "plain"),
            ("<masked>", "masked"),
        )
        for number, (word, ref) in enumerate(words):
            out = Path(place) / str(number)
            asked = GenerateRequest(
                [p.format(word) for p in PROMPTS], [ref] if ref else [], out,
                base="shapes", count=SEEDS,
            )  # fmt: skip
            rows.append([Image.open(path).convert("RGB") for path in generate(asked, home=home)])
        return sheet(rows)


def one_ground(top: Path) -> tuple[Path, Path]:
    """Five pictures of a lime star on one brown ground, without and with masks."""
    from tireg.shapes.concepts import CONCEPTS
    from tireg.shapes.world import render

    folders = top / "plain", top / "masked"
    for folder in folders:
        folder.mkdir()
    for number, scene in enumerate(CONCEPTS["lime-star"].scenes(5)):
        same = replace(scene, background_color=GROUND, background=None)
        pixels = render(same)
        for folder in folders:
            Image.fromarray(pixels).save(folder / f"{number}.png")
        away = np.abs(pixels / 255.0 - np.array(GROUND)).max(axis=2) > 0.1
        Image.fromarray(away.astype(np.uint8) * 255).save(folders[1] / f"{number}_mask.png")
    return folders


def _shipped(name: str, home: Path) -> str:
    """A shipped word, taken into the registry of ``home``."""
    from tireg.workflows.importing import import_files

    import_files(home, [SHIPPED / name / "learned_embeds.safetensors"], name=name)
    return name


def sheet(rows: list[list[Image.Image]], gap: int = 4) -> Image.Image:
    """Pictures in rows, enlarged without smoothing."""
    step = SIDE + gap
    made = Image.new("RGB", (len(rows[0]) * step + gap, len(rows) * step + gap), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            large = picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)
            made.paste(large, (gap + x * step, gap + y * step))
    return made


PICTURES = {
    "leakage": leakage,
    "report": screens.report,
    "comparison": screens.comparison,
    "gallery": screens.gallery,
    "side-by-side": screens.side_by_side,
    "terminal": screens.terminal,
}


def main(names: list[str]) -> int:
    """Write the named pictures, or all; returns the exit code."""
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        print(f"there is no picture '{unknown[0]}'; there are: {', '.join(PICTURES)}")
        return 2
    IMAGES.mkdir(exist_ok=True)
    for name in names or list(PICTURES):
        path = IMAGES / f"{name}.png"
        PICTURES[name]().save(path, optimize=True)
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
