"""The commands that README.md shows, and what proves each of them.

Every line in a fenced block marked ``sh``, ``console``, ``bash`` or ``shell`` is a command, with
or without a leading ``$``; a line ending in a backslash goes on. In a ``console`` block only the
lines with ``$`` are commands, the others are what they print.
"""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

_FENCE = re.compile(r"^```(sh|bash|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Run:
    """Run it as it stands, after the commands above it, in a folder with ``photos/``.

    ``more`` is appended, to make a long command short; ``code`` is what it exits with.
    """

    more: tuple[str, ...] = ()
    code: int = 0


@dataclass(frozen=True)
class ProvenBy:
    """Another test runs it, since it needs more than a folder: ``tests/a/test_b.py::test_c``."""

    test: str

    def exists(self) -> bool:
        """Whether there is a test function of that name in that file."""
        file, _, name = self.test.partition("::")
        path = ROOT / file
        return path.is_file() and name in {
            node.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
        }


Proof = Run | ProvenBy

# Every command of README.md, as it is written there.
PROOFS: dict[str, Proof] = {
    "make demo": ProvenBy("tests/house/test_makefile.py::test_demo_runs_the_command"),
    "make test": ProvenBy("tests/house/test_makefile.py::test_every_target_is_real"),
    'tireg train photos/ --base shapes --name my-ball --token "<my-ball>" --init circle '
    "--kind object": Run(more=("--steps", "3", "--keep-anyway")),
    "tireg eval my-ball --suite shapes-quick": Run(more=("--steps", "2")),
    "tireg show my-ball": Run(),
    "tireg list": Run(),
    'tireg generate "a photo of a <my-ball> on a blue background" --with my-ball --count 4': Run(),
    "tireg export my-ball --to webui --out my-ball.safetensors": Run(),
    "tireg inspect my-ball.safetensors": Run(),
    "tireg train photos/ --base stable-diffusion-v1-5/stable-diffusion-v1-5 "
    '--name my-cat --token "<my-cat>" --init cat --kind subject': ProvenBy(
        "tests/workflows/test_hub_base.py::test_the_readme_example_trains_on_a_hub_id"
    ),
    "make soak": ProvenBy("tests/house/test_makefile.py::test_every_target_is_real"),
}


def commands(text: str) -> list[str]:
    """The commands of a Markdown text, in order, comments cut off."""
    found = []
    for language, body in _FENCE.findall(text):
        for line in re.sub(r"\\\n\s*", "", body).splitlines():
            shown = line.strip()
            if language == "console" and not shown.startswith("$ "):
                continue
            words = shlex.split(shown.removeprefix("$ "), comments=True)
            if words:
                found.append(shlex.join(words).replace("'", '"'))
    return found


def readme() -> Path:
    """Where README.md is."""
    return ROOT / "README.md"
