"""DINOv2 and SSCD: opened from files, one row per picture, refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tireg.errors import EvaluationError, InputError
from tireg.models.encoders_vision import GemPool, open_dino, open_sscd

CPU = torch.device("cpu")
PICTURES = [
    np.random.default_rng(n).integers(0, 255, (40, 56, 3), dtype=np.uint8) for n in range(3)
]


@pytest.fixture
def dino(tmp_path: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(tmp_path / "dino")
    prepared = {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 32},
        "do_center_crop": True,
        "crop_size": {"height": 28, "width": 28},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 3,
    }
    (tmp_path / "dino" / "preprocessor_config.json").write_text(json.dumps(prepared))
    return tmp_path / "dino"


def test_dino_gives_one_unit_row_per_picture(dino: Path) -> None:
    encoder = open_dino(str(dino), device=CPU)
    assert encoder.name == "dinov2:dino"
    rows = encoder.pictures(PICTURES)
    assert rows.shape == (3, 16)
    assert np.allclose(encoder.pictures(PICTURES[::-1])[::-1], rows, atol=1e-6)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)


def test_what_is_no_dino_is_refused(dino: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot be opened"):
        open_dino(str(tmp_path / "nowhere"), device=CPU)
    config = dino / "config.json"
    config.write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(InputError, match="is a vit model"):
        open_dino(str(dino), device=CPU)


def test_sscd_is_read_as_weights_alone(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    model = resnet50(num_classes=8)
    path = tmp_path / "small.torchvision.pt"
    torch.save({f"backbone.{key}": value for key, value in model.state_dict().items()}, path)
    encoder = open_sscd(str(path), device=CPU)
    encoder.batch = 2
    rows = encoder.pictures(PICTURES[:2])
    assert rows.shape == (2, 8)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    maps = torch.rand(1, 3, 4, 4)
    by_hand = np.cbrt((maps.numpy().astype(np.float64) ** 3).mean(axis=(2, 3)))
    assert np.allclose(GemPool()(maps).numpy(), by_hand, atol=1e-6)

    torch.save({"model": model}, path)
    with pytest.raises(EvaluationError, match="more than weights"):
        open_sscd(str(path), device=CPU)
    torch.save({"fc.bias": torch.zeros(8)}, path)
    with pytest.raises(EvaluationError, match="cannot be opened"):
        open_sscd(str(path), device=CPU)
    with pytest.raises(InputError, match="no file"):
        open_sscd(str(tmp_path / "nowhere.pt"), device=CPU)
