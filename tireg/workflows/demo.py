"""The whole job once, on the built-in base: pictures, training, scores, a contact sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tireg.domain.recipes import Recipe
from tireg.domain.scores import Run
from tireg.errors import RefError
from tireg.store.home import check_writable
from tireg.store.registry import Registry
from tireg.store.rows import Version
from tireg.workflows.evaluate import EvalRequest, evaluate
from tireg.workflows.making import png_bytes
from tireg.workflows.progress import Listener, silent
from tireg.workflows.train import TrainRequest, train

NAME, TOKEN = "demo-star", "<demo-star>"
CONCEPT = "lime-star"
SUITE = "shapes-quick"
PICTURES = 5
RECIPE = Recipe(init="star")


@dataclass(frozen=True)
class Demo:
    """What the demonstration made, and where it put it."""

    version: Version
    run: Run
    pictures: Path
    sheet: Path
    trained: bool


def demo(home: Path, listen: Listener = silent) -> Demo:
    """Train, evaluate and record one concept; what is there already is not made again."""
    check_writable(home)
    folder = home / "demo" / "pictures"
    write_pictures(folder)
    version = _existing(home)
    trained = version is None
    if version is None:
        request = TrainRequest([folder], "shapes", NAME, TOKEN, "object", RECIPE)
        version = train(request, home=home, listen=listen)
    ref = f"{version.name}@{version.version}"
    done = evaluate(EvalRequest(ref=ref, suite=SUITE), home=home, listen=listen)
    sheet = home / "demo" / "contact-sheet.png"
    if done.sheet is not None:
        sheet.write_bytes(done.sheet.read_bytes())
    return Demo(version, done.run, folder, sheet, trained)


def write_pictures(folder: Path) -> None:
    """The five training pictures as PNG files: a hue that no word of the base names."""
    from tireg.shapes.concepts import CONCEPTS

    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(CONCEPTS[CONCEPT].pictures(PICTURES), 1):
        (folder / f"{number}.png").write_bytes(png_bytes(picture))


def _existing(home: Path) -> Version | None:
    """The version an earlier demonstration made with this very recipe, if it is there."""
    with Registry.open(home) as registry:
        try:
            version = registry.resolve(NAME)
        except RefError:
            return None
    made_by = version.record.recipe
    same = made_by is not None and made_by.model_copy(update={"resolution": 0}) == RECIPE
    return version if same else None
