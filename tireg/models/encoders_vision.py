"""What looks at pictures without reading: DINOv2 for likeness, SSCD for copies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from tireg.errors import EvaluationError, InputError
from tireg.models.encoders import PictureEncoder, weights_hash

SSCD_SIDE = 320
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass
class DinoEncoder(PictureEncoder):
    """DINOv2: the class token of the last layer, after its norm (Oquab et al. 2023)."""

    def _picture_features(self, batch: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.model(pixel_values=batch).last_hidden_state
        return states[:, 0]


@dataclass
class CopyEncoder(PictureEncoder):
    """SSCD, a copy detector (Pizzi et al. 2022): cosines above 0.5 are copies."""

    def _picture_features(self, batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model(batch)
        return features


class GemPool(torch.nn.Module):
    """Generalised mean of each channel, power 3 (Radenović et al. 2018): [n, c, h, w] to [n, c]."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Mean of the cubes, and its cube root."""
        return maps.clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3)


def open_dino(name: str, *, device: torch.device) -> DinoEncoder:
    """DINOv2 from a folder in the layout of transformers, or by its id on the Hub.

    Pictures are prepared as the model's own ``preprocessor_config.json`` says. Raises InputError
    for a model that is no DINOv2, EvaluationError when it cannot be had.
    """
    from transformers import AutoConfig, AutoImageProcessor, Dinov2Model

    folder = Path(name).expanduser()
    where = str(folder) if folder.is_dir() else name
    try:
        kind = AutoConfig.from_pretrained(where).model_type
        if kind != "dinov2":
            raise InputError(
                f"'{name}' is a {kind} model, not DINOv2",
                hint="--encoder dinov2:facebook/dinov2-base, or a folder",
            )
        processor = AutoImageProcessor.from_pretrained(where, backend="pil")
        model = Dinov2Model.from_pretrained(where, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unopened(f"dinov2:{name}", error, "dinov2:FOLDER") from error
    model.to(device).requires_grad_(False).eval()

    def prepare(picture: Image.Image) -> torch.Tensor:
        prepared: Any = processor(picture.convert("RGB"), return_tensors="pt")
        tensor: torch.Tensor = prepared["pixel_values"][0]
        return tensor

    label = folder.name if folder.is_dir() else name
    return DinoEncoder(f"dinov2:{label}", weights_hash(model), model, prepare, device)


def open_sscd(name: str, *, device: torch.device) -> CopyEncoder:
    """SSCD from its published ``.torchvision.pt`` weights: a ResNet-50 with GeM pooling.

    Pictures are made squares of 320 pixels, as its authors advise where a batch has one shape.
    The file is read as weights alone; the TorchScript form is a program and refused. Raises
    InputError where there is no such file and EvaluationError where it is no such model.
    """
    import pickle

    from torchvision.models import resnet50
    from torchvision.transforms import functional

    path = Path(name).expanduser()
    if not path.is_file():
        raise InputError(
            f"there is no file '{name}' with a copy detector",
            hint="--encoder sscd:FILE, such as sscd_disc_mixup.torchvision.pt",
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        named = {key.removeprefix("backbone."): value for key, value in weights.items()}
        model = resnet50(num_classes=len(named["fc.bias"]))
        model.avgpool = GemPool()
        model.load_state_dict(named)
    except (RuntimeError, ValueError, OSError, KeyError, AttributeError, TypeError) as error:
        raise _unopened(f"sscd:{name}", error, "sscd:FILE, its .torchvision.pt") from error
    except pickle.UnpicklingError as error:
        refused = EvaluationError("it holds more than weights")
        raise _unopened(f"sscd:{name}", refused, "sscd:FILE, its .torchvision.pt") from error
    model.to(device).requires_grad_(False).eval()

    def prepare(picture: Image.Image) -> torch.Tensor:
        square = functional.resize(picture.convert("RGB"), [SSCD_SIDE, SSCD_SIDE])
        tensor: torch.Tensor = functional.normalize(functional.to_tensor(square), _MEAN, _STD)
        return tensor

    return CopyEncoder(f"sscd:{path.stem}", weights_hash(model), model, prepare, device)


def _unopened(name: str, error: Exception, hint: str) -> EvaluationError:
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
    return EvaluationError(
        f"the scoring encoder '{name}' cannot be opened: {reason}",
        hint=f"give one that is on this machine: --encoder {hint}",
    )
