"""Write every hostile file to a folder: ``python -m tests.rejects FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.rejects.everything import everything

if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for file_name, content in everything().items():
        (target / file_name).write_bytes(content)
    print(f"{len(everything())} files in {target}")
