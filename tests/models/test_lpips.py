"""LPIPS: the published distance, from weights that are here, refused in a sentence without them."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.lpips_files import write_heads, write_network
from tireg.errors import EvaluationError, InputError, MissingPackageError
from tireg.models.lpips_distance import BACKBONES, open_lpips

CPU = torch.device("cpu")


def picture(seed: int, side: int = 48) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (side, side, 3), dtype=np.uint8)


PICTURES = [picture(n) for n in range(3)]


@pytest.fixture
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_heads(tmp_path, monkeypatch)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return write_network(tmp_path / "torch", "squeeze")


def test_distances_are_symmetric_zero_to_itself_and_do_not_hang_on_neighbours(
    heads: Path, weights: Path
) -> None:
    encoder = open_lpips("squeeze", device=CPU)
    assert encoder.name == "lpips:squeeze"
    assert len(encoder.sha256) == 64
    found = encoder.distances([*PICTURES, PICTURES[0]])
    assert np.array_equal(found, found.T)
    assert np.array_equal(found.diagonal(), np.zeros(4))
    assert found[0, 3] == 0.0, "the same picture"
    assert (found[np.triu_indices(3, 1)] > 0).all()
    assert np.array_equal(encoder.distances(PICTURES[1:])[0, 1], found[1, 2])
    nearer = (PICTURES[0] * 0.9).astype(np.uint8)
    assert encoder.distances([PICTURES[0], nearer])[0, 1] < found[0, 1]


def test_the_formula_written_plainly(heads: Path, weights: Path) -> None:
    import torchvision

    layers = torchvision.models.squeezenet1_1(weights=None).features
    kept = torch.load(weights, weights_only=True)
    layers.load_state_dict({k.removeprefix("features."): v for k, v in kept.items() if "feat" in k})
    layers.eval()
    rows = torch.load(heads / "weights" / "v0.1" / "squeeze.pth", weights_only=True)
    stops = BACKBONES["squeeze"].stops

    def features(pixels: np.ndarray) -> list[np.ndarray]:
        shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
        scaled = (pixels / 127.5 - 1.0 - shift) / scale
        state = torch.from_numpy(scaled).permute(2, 0, 1)[None].float()
        found = []
        with torch.inference_mode():
            for number, layer in enumerate(layers, 1):
                state = layer(state)
                if number in stops:
                    found.append(state[0].double().numpy().copy())
        return found

    total = 0.0
    pairs = zip(features(PICTURES[0]), features(PICTURES[1]), strict=True)
    for n, (one, other) in enumerate(pairs):
        head = rows[f"lin{n}.model.1.weight"].numpy().ravel()
        for y in range(one.shape[1]):
            for x in range(one.shape[2]):
                a = one[:, y, x] / (np.linalg.norm(one[:, y, x]) + 1e-10)
                b = other[:, y, x] / (np.linalg.norm(other[:, y, x]) + 1e-10)
                total += float(head @ (a - b) ** 2) / (one.shape[1] * one.shape[2])
    found = open_lpips("squeeze", device=CPU).distances(PICTURES[:2])[0, 1]
    assert found == pytest.approx(total, rel=1e-5)


def test_without_a_package_or_weights_it_names_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no network 'resnet'; there are alex, vgg, squeeze"):
        open_lpips("resnet", device=CPU)
    looked = importlib.util.find_spec

    def nothing(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in ("lpips", "torchmetrics") else looked(name, package)

    monkeypatch.setattr("tireg.models.lpips_distance.find_spec", nothing)
    with pytest.raises(MissingPackageError, match="linear heads") as missing:
        open_lpips("alex", device=CPU)
    assert missing.value.hint == "pip install lpips"


@pytest.mark.parametrize("net", sorted(BACKBONES))
def test_nothing_is_fetched(
    net: str, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))

    def fetch(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr("torch.hub.download_url_to_file", fetch)
    with pytest.raises(EvaluationError, match="weights are not on this machine") as error:
        open_lpips(net, device=CPU)
    assert BACKBONES[net].name in error.value.message
    assert error.value.hint.startswith("fetch them: python -c ")
    assert not (tmp_path / "empty").exists()


def test_broken_weights_and_pictures_it_cannot_take(heads: Path, weights: Path) -> None:
    encoder = open_lpips("squeeze", device=CPU)
    with pytest.raises(EvaluationError, match="32x32 and 48x48"):
        encoder.distances([PICTURES[0], picture(5, side=32)])
    with pytest.raises(EvaluationError, match="cannot look at pictures of 4x4"):
        encoder.distances([picture(1, side=4), picture(2, side=4)])
    torch.save({"features.0.weight": torch.zeros(1)}, weights)
    with pytest.raises(EvaluationError, match="cannot be opened") as error:
        open_lpips("squeeze", device=CPU)
    assert str(weights) in error.value.hint
    torch.save({"model": torch.nn.Linear(2, 2)}, weights)
    with pytest.raises(EvaluationError, match="more than weights"):
        open_lpips("squeeze", device=CPU)
