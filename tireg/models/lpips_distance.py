"""How far apart two pictures look to people: LPIPS (Zhang et al. 2018), version 0.1.

The weights are not ours to carry: the linear heads come with the packages ``lpips`` and
``torchmetrics``, the network below them is torchvision's, in torch's own folder for such files.
Nothing is fetched; where one is missing, the error names the command that gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tireg.errors import EvaluationError, InputError, MissingPackageError
from tireg.models.encoders import weights_hash
from tireg.models.folders import first_line


@dataclass(frozen=True)
class Backbone:
    """A network of torchvision, and after which of its layers LPIPS looks."""

    name: str
    weights: str
    stops: tuple[int, ...]


BACKBONES = {
    "alex": Backbone("alexnet", "AlexNet_Weights", (2, 5, 8, 10, 12)),
    "vgg": Backbone("vgg16", "VGG16_Weights", (4, 9, 16, 23, 30)),
    "squeeze": Backbone("squeezenet1_1", "SqueezeNet1_1_Weights", (2, 5, 8, 10, 11, 12, 13)),
}
HEADS = {
    "lpips": "weights/v0.1",
    "torchmetrics": "functional/image/lpips_models",
}
"""Package: where in it the linear heads lie. Both carry the same numbers."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class LpipsNetwork(nn.Module):
    """The features that LPIPS compares, and what each of their channels counts for."""

    def __init__(self, layers: nn.Module, stops: Sequence[int], heads: Sequence[torch.Tensor]):
        super().__init__()
        parts = list(layers)[: stops[-1]]  # type: ignore[call-overload]
        starts = (0, *stops[:-1])
        self.parts = nn.ModuleList(
            nn.Sequential(*parts[a:b]) for a, b in zip(starts, stops, strict=True)
        )
        self.heads = nn.ParameterList([nn.Parameter(head) for head in heads])

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """``[n, 3, h, w]`` in -1 … 1 to one ``[n, c, h', w']`` per layer, unit over channels."""
        shift, scale = (pictures.new_tensor(x)[None, :, None, None] for x in (_SHIFT, _SCALE))
        states, found = (pictures - shift) / scale, []
        for part in self.parts:
            states = part(states)
            norms = states.square().sum(dim=1, keepdim=True).sqrt()
            found.append(states / (norms + 1e-10))
        return found

    def apart(self, one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
        """The distance of two pictures from what ``forward`` made of them, 0 for the same."""
        layers = zip(one, other, self.heads, strict=True)
        return float(
            sum(
                ((a - b).square() * head[None, :, None, None]).sum(dim=1).mean()
                for a, b, head in layers
            )
        )


@dataclass
class LpipsDistance:
    """LPIPS between pictures of one size, as they are: nothing is resized or cut off."""

    name: str
    sha256: str
    """Of the heads and the network below them."""
    model: LpipsNetwork
    device: torch.device

    @torch.inference_mode()
    def distances(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Distances ``[n, n]`` float64 of uint8 pictures ``[h, w, 3]``; 0 on the diagonal.

        Each picture is looked at alone, so that no distance depends on the others that are there.
        Raises EvaluationError for pictures of different or too small a size.
        """
        if len({picture.shape for picture in pictures}) > 1:
            raise EvaluationError(
                f"'{self.name}' compares pictures of one size, and these have "
                + " and ".join(sorted({f"{p.shape[1]}x{p.shape[0]}" for p in pictures})),
                hint="give pictures of one size, or leave this encoder out",
            )
        seen = [self._features(picture) for picture in pictures]
        found = np.zeros((len(seen), len(seen)))
        for i in range(len(seen)):
            for j in range(i):
                found[i, j] = found[j, i] = self.model.apart(seen[i], seen[j])
        if not np.isfinite(found).all():
            raise EvaluationError(f"the encoder '{self.name}' gave distances that are not finite")
        return found

    def _features(self, picture: np.ndarray) -> list[torch.Tensor]:
        tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        try:
            features: list[torch.Tensor] = self.model(tensor.to(self.device) / 127.5 - 1.0)
        except RuntimeError as error:
            size = f"{picture.shape[1]}x{picture.shape[0]}"
            raise EvaluationError(
                f"'{self.name}' cannot look at pictures of {size}: {first_line(error)}",
                hint="larger pictures, or leave this encoder out",
            ) from error
        return features


def open_lpips(net: str, *, device: torch.device) -> LpipsDistance:
    """LPIPS on the network ``net``: ``alex``, ``vgg`` or ``squeeze``.

    Raises InputError for another network, MissingPackageError where no package with its heads is
    installed and EvaluationError where the weights below them are not on this machine or broken.
    """
    if net not in BACKBONES:
        raise InputError(
            f"LPIPS has no network '{net}'; there are {', '.join(BACKBONES)}",
            hint="--encoder lpips:alex",
        )
    heads_file, weights_file = _heads_file(net), _weights_file(BACKBONES[net])
    try:
        heads = _read(heads_file)
        rows = [heads[f"lin{n}.model.1.weight"] for n in range(len(BACKBONES[net].stops))]
        layers = _layers(BACKBONES[net], _read(weights_file))
        model = LpipsNetwork(layers, BACKBONES[net].stops, [row.flatten() for row in rows])
    except (RuntimeError, ValueError, OSError, KeyError, AttributeError, TypeError) as error:
        raise EvaluationError(
            f"the scoring encoder 'lpips:{net}' cannot be opened: {first_line(error)}",
            hint=f"fetch the weights again: rm {weights_file} && {_fetch(BACKBONES[net])}",
        ) from error
    model.to(device).requires_grad_(False).eval()
    return LpipsDistance(f"lpips:{net}", weights_hash(model), model, device)


def _heads_file(net: str) -> Path:
    for package, folder in HEADS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / folder / f"{net}.pth"
            if path.is_file():
                return path
    raise MissingPackageError(
        "LPIPS needs its linear heads, which come with the package 'lpips' or 'torchmetrics'",
        hint="pip install lpips",
    )


def _weights_file(backbone: Backbone) -> Path:
    import torchvision

    url = str(getattr(torchvision.models, backbone.weights).DEFAULT.url)
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        raise EvaluationError(
            f"LPIPS looks with torchvision's {backbone.name}, whose weights are not on this "
            f"machine: there is no '{path}'",
            hint=f"fetch them: {_fetch(backbone)}",
        )
    return path


def _fetch(backbone: Backbone) -> str:
    return (
        f"python -c \"import torchvision; torchvision.models.{backbone.name}(weights='DEFAULT')\""
    )


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Weights and nothing else. ValueError for a file that holds more."""
    import pickle

    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"'{path.name}' holds more than weights") from error
    if not isinstance(found, dict):
        raise TypeError(f"'{path.name}' holds no table of weights")
    return found


def _layers(backbone: Backbone, weights: dict[str, torch.Tensor]) -> nn.Module:
    import torchvision

    model = getattr(torchvision.models, backbone.name)(weights=None)
    layers: nn.Module = model.features
    prefix = "features."
    own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    layers.load_state_dict(own)
    return layers
