"""DINOv2, SSCD and CLIP: opened from files, fed as their makers feed them, refused in a sentence.

What an encoder is fed decides its score: one set of pictures has been published with 0.884 and
0.903 of DINO. Each preparation is compared with its maker's own and with its steps written plainly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tireg.errors import EvaluationError, InputError
from tireg.models.encoders import open_encoder
from tireg.models.encoders_vision import SSCD_SIDE, GemPool, open_dino, open_sscd

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


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIZES = [(40, 56), (200, 90), (33, 33), (28, 28), (17, 60)]
"""Height and width: both ways round, odd, already right, smaller than what is asked for."""


def smooth(height: int, width: int) -> Image.Image:
    """A picture with edges, slopes and a little noise, as photos have."""
    rng = np.random.default_rng(height * width)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 7), np.cos(y / 5), np.sin((x + y) / 11)], axis=-1)
    blocks = ((x // 9 + y // 13) % 2)[..., None] * 60
    noisy = 110 + 60 * waves + blocks + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def plainly(
    picture: Image.Image,
    side: int,
    crop: int,
    norm: tuple[tuple[float, ...], tuple[float, ...]],
    whole: Callable[[float], int],
) -> np.ndarray:
    """Shortest side to ``side`` (bicubic), the middle ``crop`` cut out, mean and spread.

    ``whole`` says where the middle begins when half a pixel is left over. Gives [3, h, w].
    """
    short = min(picture.size)
    width, height = (int(side * length / short) for length in picture.size)
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = whole((width - crop) / 2), whole((height - crop) / 2)
    pixels = np.asarray(resized.crop((left, top, left + crop, top + crop)), dtype=np.float64) / 255
    mean, spread = (np.array(values) for values in norm)
    scaled: np.ndarray = (pixels - mean) / spread
    return scaled.transpose(2, 0, 1)


@pytest.mark.parametrize("size", SIZES)
def test_dino_is_fed_as_its_own_processor_feeds_it(dino: Path, size: tuple[int, int]) -> None:
    from transformers import BitImageProcessor, BitImageProcessorPil

    picture = smooth(*size)
    ours = open_dino(str(dino), device=CPU).preprocess(picture).numpy()
    assert ours.shape == (3, 28, 28)
    theirs = BitImageProcessorPil.from_pretrained(dino)(picture, return_tensors="np")
    assert np.array_equal(ours, theirs["pixel_values"][0]), "bit for bit"
    # Its form on torch resizes with other rounding: at most two of 255 steps, in few pixels.
    fast = BitImageProcessor.from_pretrained(dino)(picture, return_tensors="np")["pixel_values"][0]
    step = 1 / 255 / np.array(IMAGENET[1])[:, None, None]
    assert (np.abs(ours - fast) <= 2.01 * step).all()
    assert (np.abs(ours - fast) <= 1.01 * step).mean() > 0.99


@pytest.mark.parametrize("size", SIZES)
def test_dino_s_steps_written_plainly(dino: Path, size: tuple[int, int]) -> None:
    ours = open_dino(str(dino), device=CPU).preprocess(smooth(*size)).numpy()
    assert np.allclose(ours, plainly(smooth(*size), 32, 28, IMAGENET, math.floor), atol=1e-6)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP of open_clip whose pictures are prepared as those of OpenAI's."""
    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    vision = {"image_size": 28, "layers": 1, "width": 32, "head_width": 16, "patch_size": 14}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    prepared = {
        "mean": list(OPENAI[0]),
        "std": list(OPENAI[1]),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    config = {
        "model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": prepared,
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


@pytest.mark.parametrize("size", SIZES)
def test_clip_is_fed_as_open_clip_and_transformers_feed_it(
    clip: Path, size: tuple[int, int]
) -> None:
    import open_clip
    from transformers import CLIPImageProcessorPil

    picture = smooth(*size)
    ours = open_encoder(str(clip), device=CPU).preprocess(picture).numpy()
    _, theirs = open_clip.create_model_from_pretrained(f"local-dir:{clip}")
    assert np.array_equal(ours, theirs(picture).numpy()), "bit for bit"
    assert np.allclose(ours, plainly(picture, 28, 28, OPENAI, round), atol=1e-6)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    hugging = processor(picture, return_tensors="np")["pixel_values"][0]
    # transformers differs in one thing: an odd margin's middle begins a pixel earlier.
    assert np.allclose(hugging, plainly(picture, 28, 28, OPENAI, math.floor), atol=1e-6)


def test_a_picture_with_alpha_or_palette_is_fed_as_its_colours(clip: Path, dino: Path) -> None:
    plain = smooth(40, 56)
    grey = plain.convert("L")
    for prepare in (
        open_encoder(str(clip), device=CPU).preprocess,
        open_dino(str(dino), device=CPU).preprocess,
    ):
        clear = plain.copy()
        clear.putalpha(255)
        assert torch.equal(prepare(clear), prepare(plain))
        assert torch.equal(prepare(grey), prepare(grey.convert("RGB")))


@pytest.mark.parametrize("size", SIZES[:2])
def test_sscd_is_fed_squares_of_its_side(tmp_path: Path, size: tuple[int, int]) -> None:
    from torchvision.models import resnet50

    path = tmp_path / "small.torchvision.pt"
    torch.manual_seed(0)
    torch.save({f"backbone.{k}": v for k, v in resnet50(num_classes=8).state_dict().items()}, path)
    ours = open_sscd(str(path), device=CPU).preprocess(smooth(*size)).numpy()
    square = smooth(*size).resize((SSCD_SIDE, SSCD_SIDE), Image.Resampling.BILINEAR)
    mean, spread = (np.array(values) for values in IMAGENET)
    plain = (np.asarray(square, dtype=np.float64) / 255 - mean) / spread
    assert np.allclose(ours, plain.transpose(2, 0, 1), atol=1e-6)
