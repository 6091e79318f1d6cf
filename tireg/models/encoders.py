"""What looks at pictures: CLIP models through open_clip, opened from a folder or by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tireg.domain.accuracy import Accuracy, known_accuracy
from tireg.errors import EvaluationError, InputError

# For real bases: a CLIP that shares no weights with any Stable Diffusion text tower, because a
# generator scored by its own text encoder marks its own work.
DEFAULT_ENCODER = "ViT-B-16-SigLIP:webli"


@dataclass
class PictureEncoder:
    """Unit-norm features of pictures: a model, how it is called and what it is fed."""

    name: str
    sha256: str
    """Of its weights."""
    model: Any
    preprocess: Any
    """A PIL picture to a tensor [3, h, w]."""
    device: torch.device
    batch: int = 32

    def pictures(self, pictures: Sequence[np.ndarray | Image.Image]) -> np.ndarray:
        """Features [n, d], fp32, unit norm, of uint8 arrays [h, w, 3] or PIL pictures.

        One fixed batch shape, the last batch padded, so that features do not depend on n.
        """
        tensors = (
            self.preprocess(p if isinstance(p, Image.Image) else Image.fromarray(p))
            for p in pictures
        )
        return self._encode(tensors, self._picture_features)

    def _picture_features(self, batch: torch.Tensor) -> torch.Tensor:
        """Features [batch, d] of prepared pictures [batch, 3, h, w], of any length."""
        raise EvaluationError(f"the encoder '{self.name}' does not look at pictures")

    @torch.inference_mode()
    def _encode(
        self, items: Iterator[torch.Tensor], encode: Callable[[torch.Tensor], torch.Tensor]
    ) -> np.ndarray:
        rows: list[np.ndarray] = []
        chunk: list[torch.Tensor] = []

        def flush() -> None:
            padded = torch.stack(chunk + [chunk[-1]] * (self.batch - len(chunk)))
            features = encode(padded.to(self.device)).float()
            unit = torch.nn.functional.normalize(features, dim=-1).cpu().numpy()
            rows.append(unit[: len(chunk)])
            chunk.clear()

        for item in items:
            chunk.append(item)
            if len(chunk) == self.batch:
                flush()
        if chunk:
            flush()
        if not rows:
            raise InputError("there is nothing to encode")
        features = np.concatenate(rows)
        if not np.isfinite(features).all():
            raise EvaluationError(f"the encoder '{self.name}' gave features that are not finite")
        return features


@dataclass
class ClipEncoder(PictureEncoder):
    """An open CLIP: it reads texts, too."""

    tokenizer: Any = None
    accuracy: Accuracy | None = None
    """What it is known to tell apart; None: nobody measured it."""

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Features [n, d], fp32, unit norm, of texts."""
        return self._encode((self.tokenizer([t])[0] for t in texts), self._text_features)

    def _picture_features(self, batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model.encode_image(batch)
        return features

    def _text_features(self, batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model.encode_text(batch)
        return features


def open_encoder(name: str, *, device: torch.device, label: str | None = None) -> ClipEncoder:
    """Open a CLIP: a folder with open_clip config and weights, or ``MODEL:TAG`` of open_clip.

    ``label`` is the name to record (a folder's own name otherwise). An ``accuracy.json`` in the
    folder says what the encoder is known to tell apart. Raises InputError for an
    unknown model or tag and EvaluationError when its weights cannot be had.
    """
    import open_clip

    folder = Path(name).expanduser()
    if folder.is_dir():
        model_name, tag = f"local-dir:{folder}", None
    else:
        model_name, _, tag = name.partition(":")
        _check_known(open_clip, model_name, tag)
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            model_name, pretrained=tag, device=device, weights_only=True
        )
        tokenizer = open_clip.get_tokenizer(model_name)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        raise EvaluationError(
            f"the scoring encoder '{name}' cannot be opened: {reason}",
            hint="give one that is on this machine: --encoder FOLDER or MODEL:TAG",
        ) from error
    model.requires_grad_(False).eval()
    local, sha256 = folder.is_dir(), weights_hash(model)
    return ClipEncoder(
        label or (folder.name if local else name),
        sha256,
        model,
        preprocess,
        device,
        tokenizer=tokenizer,
        accuracy=known_accuracy(folder, sha256) if local else None,
    )


def _check_known(open_clip: Any, model: str, tag: str) -> None:
    if model not in open_clip.list_models():
        raise InputError(
            f"open_clip has no model '{model}', and there is no such folder",
            hint="--encoder ViT-B-16-SigLIP:webli, or a folder",
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    if tag not in tags:
        raise InputError(
            f"open_clip has no weights '{tag}' for {model}", hint=f"tags: {', '.join(tags)}"
        )


def weights_hash(model: torch.nn.Module) -> str:
    """sha256 over the names and fp32 bytes of every weight and buffer."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
