"""How many small files a second ``tireg import`` takes, and how long a second run needs.

    python benchmarks/import_files.py 10000

Printed beside it, from the same run: only reading the files (``tireg inspect``), and only
copying them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tireg.workflows.importing import counted, import_files
from tireg.workflows.inspecting import inspect_files


def main(count: int) -> None:
    """Make ``count`` files, then copy, read, import and import them again."""
    with tempfile.TemporaryDirectory() as place:
        folder, home = Path(place) / "files", Path(place) / "home"
        folder.mkdir()
        random = np.random.default_rng(0)
        for number in range(count):
            rows = random.standard_normal((2, 768)).astype(np.float32)
            save_file({"emb_params": rows}, folder / f"embedding-{number:05}.safetensors")
        import_files(Path(place) / "warm", [folder / "embedding-00000.safetensors"])
        begin = time.perf_counter()
        shutil.copytree(folder, Path(place) / "copy")
        tell("copy", count, begin)
        begin = time.perf_counter()
        inspect_files([folder])
        tell("inspect", count, begin)
        for run in ("import", "again"):
            begin = time.perf_counter()
            lines = import_files(home, [folder])
            tell(run, count, begin)
            print(f"{'':9}{counted(lines)}")


def tell(what: str, count: int, begin: float) -> None:
    """One line: files a second."""
    seconds = time.perf_counter() - begin
    print(f"{what:8} {seconds:7.2f} s {count / seconds:8.0f} files a second")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
