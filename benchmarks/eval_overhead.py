"""How much of `tireg eval` is spent outside the models, and how often texts are read.

    python -m benchmarks.eval_overhead [--side 1024] [--pictures 8] [--seconds 2.0]

Keeping, reading back, hashing and the feature cache run as in `tireg eval`, on pictures of any
size, with a stand-in for the scoring model. What they cost per picture is set against ``--seconds``
of model time; 2 is fast for one megapixel on a GPU. Metrics and the contact sheet are left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from tireg.models.encoders import ClipEncoder
from tireg.workflows.drawing import PictureCache
from tireg.workflows.looking import FeatureCache, Lookers, look
from tireg.workflows.progress import silent

BAR = 0.10


class Scorer(ClipEncoder):
    """A scoring model of no weights that counts the texts it reads."""

    read = 0

    def _picture_features(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.flatten(1)[:, :512] + 1.0

    def _text_features(self, batch: torch.Tensor) -> torch.Tensor:
        type(self).read += len(batch)
        return batch.float()


def main() -> None:
    """Print the seconds of each part and the share that is not the models'."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0, help="of the model per picture")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    low = rng.integers(0, 255, (options.pictures, 32, 32, 3), dtype=np.uint8)
    scale = options.side // 32
    noise = rng.integers(0, 12, (options.side, options.side, 3), dtype=np.uint8)
    pictures = [p.repeat(scale, 0).repeat(scale, 1) // 2 + noise for p in low]

    def prepare(picture: object) -> torch.Tensor:
        small = np.asarray(picture.resize((32, 32)), dtype=np.float32)  # type: ignore[attr-defined]
        return torch.from_numpy(small.transpose(2, 0, 1).copy())

    scorer = Scorer(
        "stand-in", "0" * 64, None, prepare, torch.device("cpu"),
        tokenizer=lambda texts: torch.ones(len(texts), 8),
    )  # fmt: skip
    lookers = Lookers(scorer, scorer, None)
    with tempfile.TemporaryDirectory() as folder:
        cache = PictureCache(Path(folder) / "pictures")
        features = FeatureCache(Path(folder) / "features")
        keys = [f"{n:064x}" for n in range(options.pictures)]
        began = time.process_time()
        for key, picture in zip(keys, pictures, strict=True):
            cache.put(key, picture)
        kept = time.process_time()
        shots = [cache.shot(key, key[-4:]) for key in keys]
        look(shots, lookers, features, silent, "looking")
        seen = time.process_time()
        texts = [f"prompt {n % 20}" for n in range(200)]
        lookers.texts(texts)
        lookers.texts(texts[::-1])
    per = (seen - began) / options.pictures
    share = per / (per + options.seconds)
    print(f"pictures of {options.side} x {options.side}, CPU seconds each:")
    print(f"  kept as PNG       {(kept - began) / options.pictures:.3f}")
    print(f"  read and looked at {(seen - kept) / options.pictures:.3f}")
    print(f"outside the models: {share:.1%} at {options.seconds} s of model time per picture")
    print(f"(the bar is {BAR:.0%}, reached at {per * (1 / BAR - 1):.2f} s per picture)")
    unique = len(set(texts))
    print(f"texts asked for 400 times, {unique} different, batches of {scorer.batch} read once:",
          Scorer.read == scorer.batch * -(-unique // scorer.batch))  # fmt: skip


if __name__ == "__main__":
    main()
