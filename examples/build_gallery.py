"""Take embedding files in and write them as pages: python examples/build_gallery.py FILES… OUT

Open OUT/index.html in a browser.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tireg.store.home import registry_home
from tireg.workflows.gallery import GalleryRequest, build_gallery
from tireg.workflows.importing import import_files


def main() -> None:
    """Import, say what came of each file, write the gallery."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    home = registry_home()
    for line in import_files(home, given.paths, recursive=True):
        print(f"{line['result']:10} {line['path']}  {line['name'] or line['reason'] or ''}")
    built = build_gallery(GalleryRequest(given.out), home=home)
    print(f"open {built.index}")


if __name__ == "__main__":
    main()
