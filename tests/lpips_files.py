"""LPIPS's files with random weights: heads as its package has them, a network as torch keeps it."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

CHANNELS = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 128, 256, 512, 512),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}


def write_heads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the package ``lpips`` with random heads, found instead of an installed one."""
    import torch

    package = folder / "lpips"
    (package / "weights" / "v0.1").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for net, channels in CHANNELS.items():
        rows = {
            f"lin{n}.model.1.weight": torch.rand(1, c, 1, 1, generator=generator)
            for n, c in enumerate(channels)
        }
        torch.save(rows, package / "weights" / "v0.1" / f"{net}.pth")
    looked = importlib.util.find_spec

    def found(name: str, within: str | None = None) -> ModuleSpec | None:
        if name != "lpips":
            return looked(name, within)
        return ModuleSpec("lpips", None, origin=str(package / "__init__.py"))

    monkeypatch.setattr("tireg.models.lpips_distance.find_spec", found)
    return package


def write_network(torch_home: Path, net: str, *, seed: int = 0) -> Path:
    """The network below the heads, where torch would have put it after fetching it."""
    import torch
    import torchvision

    from tireg.models.lpips_distance import BACKBONES

    backbone = BACKBONES[net]
    torch.manual_seed(seed)
    model = getattr(torchvision.models, backbone.name)(weights=None)
    url = str(getattr(torchvision.models, backbone.weights).DEFAULT.url)
    path = torch_home / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return path
