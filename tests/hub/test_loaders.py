"""What is published loads in diffusers by the repository's name, and nowhere but there is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.hub.words import keep
from tests.hubserver import HubServer
from tireg.domain.tensors import tensor_hash
from tireg.store.registry import Registry
from tireg.workflows.making import stored
from tireg.workflows.publish import PublishRequest, publish
from tireg.workflows.vectors import MEDIA_TYPE, describe, pack_vectors, unpack_vectors

LOAD = """
import sys
import numpy as np
from diffusers import StableDiffusionPipeline

folder, repo, subfolder, out = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(folder)
more = {"subfolder": subfolder} if subfolder else {}
pipe.load_textual_inversion(repo, use_safetensors=True, **more)
ids = pipe.tokenizer.convert_tokens_to_ids(["<my-cat>", "<my-cat>_1"])
rows = pipe.text_encoder.get_input_embeddings().weight[ids].detach().numpy()
np.save(out, rows)
"""


@pytest.mark.parametrize("folder", ["", "cats"])
def test_diffusers_loads_a_published_word_by_its_repository(
    hub: HubServer, home: Path, client_env: dict[str, str], tmp_path: Path, tiny_sd1: Path,
    folder: str,
) -> None:  # fmt: skip
    rows = np.random.default_rng(4).normal(size=(2, 32)).astype(np.float32)
    keep(home, **small(rows))
    publish(PublishRequest("my-cat", "alice/my-cat", folder=folder), home=home)
    out = tmp_path / "rows.npy"
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tiny_sd1), "alice/my-cat", folder, str(out)],
        env=client_env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert np.load(out).tobytes() == rows.tobytes()
    with Registry.open(home) as registry:
        record = registry.resolve("my-cat").record
        file = record.file("embedding")
        assert file is not None
        kept = unpack_vectors(record, registry.objects.read(file.sha256))
    assert kept["clip_l"].tobytes() == rows.tobytes()


def small(rows: np.ndarray) -> dict[str, Any]:
    """Changes that make a word one for the tiny base, whose rows are 32 wide."""
    tensors = {"clip_l": rows}
    data = pack_vectors("<my-cat>", tensors)
    objects: dict[str, bytes] = {}
    file = stored(objects, "embedding", "learned_embeds.safetensors", data, MEDIA_TYPE)
    return {
        "tensors": describe(tensors),
        "tensor_hash": tensor_hash(tensors),
        "files": (file,),
        "objects": objects,
    }
