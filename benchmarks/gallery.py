"""How fast a gallery is built and answers, at 1,000 and 10,000 synthetic embeddings.

python benchmarks/gallery.py                   # both sizes, some minutes
python benchmarks/gallery.py --sizes 1000

Each embedding has a preview of 512 pixels. The browser opens the gallery from disk: the time to
the first cards is from the start of the navigation to the frame after they were drawn, that of a
search from the key press to the frame after the list was narrowed; medians of several.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

# Run as a file, its own folder is on the path and not the project's.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.synthetic import item, sha
from tireg.report.pages import encode
from tireg.store.adding import Item
from tireg.store.registry import Registry
from tireg.workflows.gallery import GalleryRequest, build_gallery

ROUNDS = 7
FRAME = "new Promise(r => requestAnimationFrame(() => setTimeout(() => r(performance.now()))))"
FIRST = f"""async () => {{
  while (!document.querySelector('.card')) await {FRAME};
  return await {FRAME};
}}"""
SEARCH = f"""async (text) => {{
  const field = document.getElementById('q');
  const start = performance.now();
  field.value = text;
  field.dispatchEvent(new InputEvent('input', {{ bubbles: true }}));
  return (await {FRAME}) - start;
}}"""
COLUMNS = {
    "size": "embeddings", "build_s": "build s", "again_s": "again s", "mb": "MB",
    "data_mb": "data MB", "first_ms": "first cards ms", "all_ms": "all loaded ms",
    "search_ms": "first search ms", "next_ms": "next search ms",
}  # fmt: skip


def with_picture(number: int) -> Item:
    """A synthetic embedding whose preview is a picture."""
    from PIL import Image, ImageDraw

    made = item(number)
    rng = random.Random(number)
    image = Image.new("RGB", (512, 512), f"hsl({rng.randrange(360)}, 50%, 50%)")
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, r = rng.randrange(512), rng.randrange(512), rng.randrange(20, 140)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=f"hsl({rng.randrange(360)}, 60%, 50%)")
    data = encode(image, 512, 85, "jpeg").data
    vectors, preview = made.record.files
    shot = preview.model_copy(
        update={"sha256": sha(data), "bytes": len(data), "media_type": "image/jpeg"}
    )
    record = made.record.model_copy(update={"files": (vectors, shot)})
    objects = {vectors.sha256: made.objects[vectors.sha256], shot.sha256: data}
    return replace(made, record=record, objects=objects)


def browse(index: Path, chromium: str, size: int) -> dict[str, float]:
    """Milliseconds in the browser; medians."""
    from playwright.sync_api import sync_playwright

    first, loaded, searched, further = [], [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(ROUNDS):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(index.as_uri(), wait_until="commit")
            first.append(page.evaluate(FIRST))
            page.wait_for_function("n => tireg.rows.length === n", arg=size)
            loaded.append(page.evaluate("performance.now()"))
            searched.append(page.evaluate(SEARCH, "f"))
            further += [page.evaluate(SEARCH, text) for text in ("fo", "fox", "fox c", "")]
            page.close()
        browser.close()
    times = {"first_ms": first, "all_ms": loaded, "search_ms": searched, "next_ms": further}
    return {name: statistics.median(values) for name, values in times.items()}


def measure(size: int, folder: Path, chromium: str | None) -> dict[str, Any]:
    """One line of the table."""
    home, site = folder / f"home-{size}", folder / f"site-{size}"
    with Registry.open(home) as registry:
        registry.add_many(with_picture(number) for number in range(size))
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        built = build_gallery(GalleryRequest(site), home=home)
        seconds.append(time.perf_counter() - start)
    sizes = {p: p.stat().st_size for p in site.rglob("*") if p.is_file()}
    row: dict[str, Any] = {
        "size": size,
        "build_s": seconds[0],
        "again_s": seconds[1],
        "mb": sum(sizes.values()) / 1e6,
        "data_mb": sum(n for path, n in sizes.items() if path.parent.name == "data") / 1e6,
    }
    return row | (browse(built.index, chromium, size) if chromium else {})


def main() -> int:
    """Measure and print; 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--folder", type=Path, help="where to work [a temporary folder]")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        rows = [measure(size, Path(folder), chromium) for size in given.sizes]
    if given.json:
        print(json.dumps(rows))
        return 0
    if chromium is None:
        print("there is no Chromium here: nothing is opened", file=sys.stderr)
    print("| " + " | ".join(COLUMNS.values()) + " |")
    print("|" + " ---: |" * len(COLUMNS))
    for row in rows:
        cells = [
            f"{row[name]:,}" if name == "size" else f"{row[name]:,.{0 if 'ms' in name else 1}f}"
            if name in row else "–"
            for name in COLUMNS
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
