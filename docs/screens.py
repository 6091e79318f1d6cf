"""Pages and terminal as they look, in Chromium: what ``python -m docs.pictures`` asks for them.

A registry is made for it: seven words of `shapes` are learned as a fleet and three are scored, some
minutes on two cores. Needs playwright and a Chromium on the path.
"""

from __future__ import annotations

import atexit
import fcntl
import io
import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import Image

WORDS = (
    "lime-star", "teal-circle", "orange-square", "magenta-triangle", "yellow-purple-square",
    "orange-teal-circle", "orange-tint",
)  # fmt: skip
SCORED = ("lime-star", "teal-circle", "orange-square")
WIDTH = 1000
COLUMNS = 110


@cache
def registry() -> Path:
    """A registry of trained words, the first of them scored; made once in a run."""
    from tireg.domain.recipes import Recipe
    from tireg.shapes.concepts import concept
    from tireg.shapes.world import render_many
    from tireg.workflows.evaluate import EvalRequest, evaluate
    from tireg.workflows.fleet import train_fleet
    from tireg.workflows.train import TrainRequest, train

    top = Path(tempfile.mkdtemp(prefix="tireg-screens-"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    home, requests = top / "home", []
    for name in WORDS:
        known, folder = concept(name), top / name
        folder.mkdir()
        for number, pixels in enumerate(render_many(known.scenes(5))):
            Image.fromarray(pixels).save(folder / f"{number}.png")
        requests.append(
            TrainRequest([folder], "shapes", name, f"<{name}>", known.kind,
                         Recipe(init=known.noun), class_noun=known.noun, license="cc0-1.0")
        )  # fmt: skip
    train_fleet(requests, home=home)
    short = TrainRequest([top / "lime-star"], "shapes", "lime-star", "<lime-star>", "object",
                         Recipe(init="star", steps=20), class_noun="star", license="cc0-1.0",
                         keep_anyway=True)  # fmt: skip
    train(short, home=home)
    for ref in (*(f"{name}@1" for name in SCORED), "lime-star@2"):
        evaluate(EvalRequest(ref), home=home)
    return home


@contextmanager
def browser() -> Iterator[object]:
    """A Chromium page maker; RuntimeError where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        raise RuntimeError("there is no Chromium on the path")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


def photograph(
    path: Path,
    height: int,
    *,
    width: int = WIDTH,
    dark: bool = False,
    keys: str = "",
    clicks: Sequence[str] = (),
) -> Image.Image:
    """The top ``height`` pixels of a page, after ``keys`` were typed or things clicked."""
    with browser() as opened:
        page = opened.new_page(  # type: ignore[attr-defined]
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        if keys:
            page.keyboard.press("/")
            page.keyboard.type(keys)
            page.wait_for_timeout(400)
        for place in clicks:
            page.click(place)
            page.wait_for_timeout(200)
        data = page.screenshot()
    return Image.open(io.BytesIO(data)).convert("RGB").quantize(256, dither=Image.Dither.NONE)


def report() -> Image.Image:
    """The top of a report."""
    return _reported(("lime-star@1",), 1150)


def comparison() -> Image.Image:
    """The top of a comparison, in the dark."""
    return _reported(("lime-star@1", "lime-star@2"), 1150, dark=True)


def _reported(refs: tuple[str, ...], height: int, *, dark: bool = False) -> Image.Image:
    from tireg.workflows.report import ReportRequest
    from tireg.workflows.report import report as write

    target = registry().parent / f"{'-'.join(refs)}.html"
    write(ReportRequest(refs, target=target), home=registry())
    return photograph(target, height, dark=dark)


def gallery() -> Image.Image:
    """Cards of the gallery while somebody searches."""
    return photograph(_pages(), 1000, keys="orange")


def side_by_side() -> Image.Image:
    """Two words of the gallery, compared."""
    words = [f"[aria-label='Compare {name}']" for name in SCORED[1:]]
    return photograph(_pages(), 900, clicks=[*words, "#compare-them"])


@cache
def _pages() -> Path:
    from tireg.workflows.gallery import GalleryRequest, build_gallery

    folder = registry().parent / "gallery"
    return build_gallery(GalleryRequest(folder), home=registry()).index


def terminal() -> Image.Image:
    """Some commands and what they print, in colour."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    for line in ("list", "compare lime-star@1 lime-star@2", "show lime-star@1 --preview"):
        console.print(Text(f"$ tireg {line}", style="bold"))
        console.print(Text.from_ansi(_in_a_terminal(line)))
    page = registry().parent / "terminal.html"
    page.write_text(console.export_html(inline_styles=True), encoding="utf-8")
    return photograph(page, 980, width=1080)


def _in_a_terminal(line: str) -> str:
    """What a command writes to a terminal of that width."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    env = {**os.environ, "TIREG_HOME": str(registry()), "TERM": "xterm-256color",
           "COLORTERM": "truecolor", "COLUMNS": str(COLUMNS)}  # fmt: skip
    done = subprocess.Popen(
        [sys.executable, "-m", "tireg", *line.split()], stdin=its, stdout=its, stderr=its, env=env
    )
    os.close(its)
    parts = []
    while True:
        try:
            part = os.read(mine, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    done.wait()
    os.close(mine)
    return b"".join(parts).decode().replace("\r\n", "\n")
