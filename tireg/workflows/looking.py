"""What looks at the pictures of an evaluation, and what it saw, kept by content."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tireg.domain.scores import EncoderAccuracy, EncoderRef
from tireg.errors import InputError
from tireg.workflows.drawing import Shot
from tireg.workflows.progress import Event, Listener

if TYPE_CHECKING:
    import numpy as np
    import torch

    from tireg.models.encoders import ClipEncoder, PictureEncoder
    from tireg.models.lpips_distance import LpipsDistance

LIKENESS, COPIES, APART = "dinov2:", "sscd:", "lpips:"
NOT_READ = {
    "copy": "no copy detector looked: give one with --encoder sscd:FILE",
    "perceptual": "nothing compared pictures in pairs: give LPIPS with --encoder lpips:alex",
    "background": "nothing here finds the concept in a picture, so it cannot be masked out",
    "crop": "nothing here finds the concept in a picture, so it cannot be cut out",
}
"""Kinds of features that need more than a scoring CLIP, and what is missing."""


@dataclass(frozen=True)
class Lookers:
    """The encoders of a run: a CLIP, what sees likeness and copies, what compares two pictures."""

    clip: ClipEncoder
    concept: PictureEncoder
    copy: PictureEncoder | None
    apart: LpipsDistance | None = None
    _read: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def kinds(self) -> dict[str, PictureEncoder]:
        """What sees each kind of features."""
        found: dict[str, PictureEncoder] = {"concept": self.concept, "clip": self.clip}
        return found | ({"copy": self.copy} if self.copy is not None else {})

    @property
    def names(self) -> dict[str, str]:
        """What sees each kind, by name."""
        found = {kind: encoder.name for kind, encoder in self.kinds.items()}
        return found | ({"perceptual": self.apart.name} if self.apart is not None else {})

    @property
    def refs(self) -> tuple[EncoderRef, ...]:
        """Each encoder once, the CLIP first."""
        every = (self.clip, self.concept, self.copy, self.apart)
        unique = {e.sha256: e for e in every if e is not None}
        return tuple(EncoderRef(name=e.name, sha256=sha) for sha, e in unique.items())

    @property
    def accuracy(self) -> tuple[EncoderAccuracy, ...]:
        """What the encoders are known to tell apart, where somebody measured it."""
        known = self.clip.accuracy
        if known is None:
            return ()
        told = EncoderAccuracy(
            encoder=self.clip.name, measured_on=known.measured_on, accuracy=known.accuracy
        )
        return (told,)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Features [n, d] of texts; each different text is read once in a run."""
        import numpy as np

        if unread := [text for text in dict.fromkeys(texts) if text not in self._read]:
            self._read.update(zip(unread, self.clip.texts(unread), strict=True))
        return np.stack([self._read[text] for text in texts])


def open_lookers(
    names: Sequence[str], default: str, *, device: torch.device, label: str | None = None
) -> Lookers:
    """Open the encoders called ``names``; without a CLIP among them, the one called ``default``.

    ``dinov2:NAME`` looks for likeness, ``sscd:FILE`` for copies, ``lpips:NET`` compares two
    pictures, anything else is a CLIP of open_clip. ``label`` is what the default is recorded as.
    Raises InputError for two of one kind, EvaluationError for one that cannot be opened and
    MissingPackageError for LPIPS without its package.
    """
    from tireg.models.encoders import DEFAULT_ENCODER, open_encoder
    from tireg.models.encoders_vision import open_dino, open_sscd
    from tireg.models.lpips_distance import open_lpips

    dinos = [n.removeprefix(LIKENESS) for n in names if n.startswith(LIKENESS)]
    sscds = [n.removeprefix(COPIES) for n in names if n.startswith(COPIES)]
    pairs = [n.removeprefix(APART) for n in names if n.startswith(APART)]
    clips = [n for n in names if not n.startswith((LIKENESS, COPIES, APART))]
    every = (("CLIP", clips), ("DINOv2", dinos), ("copy detector", sscds), ("LPIPS", pairs))
    for kind, found in every:
        if len(found) > 1:
            raise InputError(
                f"two encoders are the {kind} of one run: {' and '.join(found)}",
                hint="give one; a second run draws nothing again",
            )
    clip = open_encoder(
        clips[0] if clips else default or DEFAULT_ENCODER,
        device=device,
        label=None if clips else label,
    )
    concept = open_dino(dinos[0], device=device) if dinos else clip
    copy = open_sscd(sscds[0], device=device) if sscds else None
    apart = open_lpips(pairs[0], device=device) if pairs else None
    return Lookers(clip, concept, copy, apart)


class FeatureCache:
    """Features of pictures under ``folder``, by the encoder's weights and the picture's pixels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, encoder: str, picture: str) -> Path:
        """Where the features are or would be."""
        return self.folder / encoder[:16] / picture[:2] / f"{picture[2:]}.npy"

    def get(self, encoder: str, picture: str) -> np.ndarray | None:
        """The features [d] (or [n, d]), or None; a damaged file counts as missing."""
        import numpy as np

        try:
            data = io.BytesIO(self.path(encoder, picture).read_bytes())
            found: np.ndarray = np.load(data, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.ndim in (1, 2) and bool(np.isfinite(found).all()) else None

    def put(self, encoder: str, picture: str, features: np.ndarray) -> None:
        """Keep them whole or not at all; a home that cannot be written to only costs time."""
        import numpy as np

        target = self.path(encoder, picture)
        with contextlib.suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.save(file, features, allow_pickle=False)
                Path(name).replace(target)
            finally:
                Path(name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Seen:
    """N pictures as the encoders see them."""

    pixels: list[str]
    """sha256 of each picture's pixels."""
    features: Mapping[str, np.ndarray]
    """Kind of features: [N, d]."""


def pixel_hash(picture: np.ndarray) -> str:
    """sha256 of a picture's shape and pixels."""
    import numpy as np

    shape = f"{picture.shape}".encode()
    return hashlib.sha256(shape + np.ascontiguousarray(picture).tobytes()).hexdigest()


def look(
    shots: Sequence[Shot], lookers: Lookers, cache: FeatureCache, listen: Listener, task: str
) -> Seen:
    """Look at pictures; each is read once and only a batch of them is in memory at a time."""
    import numpy as np

    kinds = lookers.kinds
    unique = {encoder.sha256: encoder for encoder in kinds.values()}
    known: dict[tuple[str, str], np.ndarray] = {}
    waiting: dict[str, dict[str, np.ndarray]] = {sha: {} for sha in unique}
    pixels: list[str] = []

    def flush(sha: str) -> None:
        todo = waiting[sha]
        if not todo:
            return
        for picture, row in zip(todo, unique[sha].pictures(list(todo.values())), strict=True):
            known[sha, picture] = row
            cache.put(sha, picture, row)
        todo.clear()

    listen(Event(task, 0, len(shots)))
    for number, shot in enumerate(shots, 1):
        picture = shot.read()
        name = pixel_hash(picture)
        pixels.append(name)
        for sha, encoder in unique.items():
            if (sha, name) in known or name in waiting[sha]:
                continue
            if (row := cache.get(sha, name)) is not None:
                known[sha, name] = row
                continue
            waiting[sha][name] = picture
            if len(waiting[sha]) == encoder.batch:
                flush(sha)
        listen(Event(task, number, len(shots)))
    for sha in unique:
        flush(sha)
    return Seen(
        pixels,
        {k: np.stack([known[e.sha256, name] for name in pixels]) for k, e in kinds.items()},
    )
