"""Every command in README.md is run by a test."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tests.house.readme import PROOFS, ProvenBy, Run, commands, readme

SAMPLE = """
```sh
make demo            # installs first
tireg train photos/ \\
    --token "<my-cat>"
```

```console
$ tireg list
name  version
$ # nothing
```

```python
import tireg
```
"""


def test_commands_are_found() -> None:
    assert commands(SAMPLE) == ["make demo", 'tireg train photos/ --token "<my-cat>"', "tireg list"]


def test_every_command_has_a_proof_and_every_proof_a_command() -> None:
    shown = commands(readme().read_text(encoding="utf-8"))
    assert shown, "README.md shows no command"
    assert not [line for line in shown if line not in PROOFS], "add these to tests/house/readme.py"
    assert not [line for line in PROOFS if line not in shown], "README.md does not show these"


@pytest.mark.parametrize(
    "proof", [proof for proof in PROOFS.values() if isinstance(proof, ProvenBy)],
    ids=lambda proof: proof.test,
)  # fmt: skip
def test_proofs_elsewhere_exist(proof: ProvenBy) -> None:
    assert proof.exists(), f"there is no test {proof.test}"


def test_the_tireg_commands_run_in_order(
    run_cli: RunCli, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    shutil.copytree(pictures, folder / "photos")
    monkeypatch.chdir(folder)
    for line in commands(readme().read_text(encoding="utf-8")):
        proof = PROOFS.get(line)
        if isinstance(proof, Run):
            program, *args = shlex.split(line)
            assert program == "tireg", f"only tireg can be run here, not {line}"
            run_cli(*args, *proof.more, code=proof.code)
