"""What mkdocs asks while it builds the site: pages that lie outside docs/ become part of it.

In the repository a page links to ``../evals/studies/quality.md``; the site has these files too,
one floor up. Links to code are left as the path.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
# What pages of docs/ link to outside it, as patterns from the root.
BESIDE = ("evals/studies/*.md", "schemas/*.schema.json", "CONTRIBUTING.md", "LICENSE")


def on_files(files: Files, *, config: Any) -> Files:
    """Add what lies beside docs/."""
    for pattern in BESIDE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turn links that leave docs/ into links within the site."""
    depth = page.file.src_uri.count("/")
    if depth == 0:
        return re.sub(r"\]\(\.\./", "](", markdown)
    return markdown
