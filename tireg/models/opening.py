"""A diffusers pipeline out of a folder, or out of a checkpoint in one file."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tireg.domain.families import Family, family
from tireg.errors import BaseError
from tireg.models.folders import first_line, read_index
from tireg.models.weight_files import tensors_of

if TYPE_CHECKING:
    from tireg.models.weight_files import StoredTensor

LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")

# What diffusers calls the architectures that it finds in single files, and the family of each.
KINDS = {
    "v1": "sd1",
    "v2": "sd2",
    "xl_base": "sdxl",
    "sd3": "sd3",
    "sd35_medium": "sd3",
    "sd35_large": "sd3",
    "flux-dev": "flux1",
    "flux-schnell": "flux1",
    "chroma": "chroma",
    "auraflow": "auraflow",
    "lumina2": "lumina2",
    "sana": "sana",
}


def load_folder(folder: Path, row: Family, dtype: torch.dtype) -> Any:
    """The pipeline of a diffusers folder of the family ``row``. Raises BaseError."""
    kind, extra = _pipeline_class(row)
    index = read_index(folder)
    part = folder / row.denoiser
    if any(part.glob("*.fp16.safetensors")) and not any(
        (part / f"diffusion_pytorch_model.safetensors{end}").is_file()
        for end in ("", ".index.json")
    ):
        extra["variant"] = "fp16"
    # A text encoder that the folder says is not there (SD3 without its T5) has to be named.
    for encoder in row.encoders:
        for name in (encoder.component, encoder.tokenizer):
            entry = index.get(name, [None])
            if isinstance(entry, list) and not all(entry[:2]):
                extra[name] = None
    return _quietly(
        lambda: kind.from_pretrained(
            folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, **extra
        ),
        f"the base '{folder}' cannot be opened",
        "download it again",
    )


def load_file(path: Path, dtype: torch.dtype, config: Path | None) -> tuple[Family, Any]:
    """The family and pipeline of a checkpoint in one safetensors file.

    The file holds weights alone. diffusers carries no configs for any family: they come from
    the diffusers folder ``config``, else from the Hub or its cache on this machine. Raises
    BaseError where neither has them, and for pickles.
    """
    row = family_of_file(path)
    with _named_safetensors(path) as named:
        pipe = _pipeline_of_file(path, named, row, dtype, config)
    _check_whole(path, pipe)
    _mark_prediction(path, pipe)
    return row, pipe


@contextmanager
def _named_safetensors(path: Path) -> Iterator[str]:
    """The file by a name that ends in ``.safetensors``: one of any other diffusers unpickles."""
    if path.name.endswith(".safetensors"):
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="tireg-base-") as folder:
        link = Path(folder) / f"{path.stem}.safetensors"
        link.symlink_to(path.resolve())
        yield str(link)


def _pipeline_of_file(
    path: Path, named: str, row: Family, dtype: torch.dtype, config: Path | None
) -> Any:
    kind, extra = _pipeline_class(row)
    if config is None:
        pipe = _quietly(
            lambda: kind.from_single_file(named, torch_dtype=dtype, **extra),
            f"the configs that go with '{path.name}' are not on this machine and could not be had "
            "from the Hub",
            f"give a diffusers folder of a {row.title} base as --base-config",
        )
    else:
        if read_index(config)["_class_name"] != row.pipeline:
            raise BaseError(
                f"'{config}' is a {read_index(config)['_class_name']}, and '{path.name}' holds a "
                f"{row.title} model",
                hint=f"give a diffusers folder of a {row.title} base as --base-config",
            )
        with _without_pickles(config, row) as staged:
            pipe = _quietly(
                lambda: kind.from_single_file(
                    named, config=str(staged), torch_dtype=dtype, local_files_only=True, **extra
                ),
                f"'{path.name}' cannot be opened with the configs of '{config}'",
                "give the folder of a base of the same architecture as --base-config",
            )
    return pipe


def family_of_file(path: Path) -> Family:
    """The family of a single-file checkpoint, by the names and shapes of its tensors.

    Raises BaseError for pickles, which are never opened, for inpainting and other models that
    take more than a picture, and for what is no checkpoint of a known family.
    """
    from tireg.models.single_file import check_safetensors, places_in

    check_safetensors(path)
    tensors = {tensor.name: tensor for tensor in tensors_of(path)}
    ident = places_in(set(tensors)) or _kind_by_diffusers(tensors)
    row = family(ident) if ident else None
    if row is None or not row.trainable:
        raise BaseError(
            f"'{path.name}' is no whole checkpoint of a family that tireg knows",
            hint="give the diffusers folder or Hub id of the model",
        )
    entry = tensors.get("model.diffusion_model.input_blocks.0.0.weight")
    if row.denoiser == "unet" and entry is not None and entry.shape[1:2] != (4,):
        raise BaseError(
            f"'{path.name}' is an inpainting or editing model, which draws from more than a prompt",
            hint="use the base that it was made from",
        )
    return row


def _kind_by_diffusers(tensors: dict[str, StoredTensor]) -> str | None:
    """The family by diffusers' own rules, which look at names and shapes; None if unknown."""
    from diffusers.loaders.single_file_utils import CHECKPOINT_KEY_NAMES, infer_diffusers_model_type

    shapes = {name: torch.empty(t.shape, device="meta") for name, t in tensors.items()}
    found = str(infer_diffusers_model_type(shapes))
    # SD1 is what diffusers says when it knows nothing.
    if found == "v1" and CHECKPOINT_KEY_NAMES["v1"] not in tensors:
        return None
    return KINDS.get(found)


def _pipeline_class(row: Family) -> tuple[Any, dict[str, Any]]:
    """The pipeline class of a family, and arguments that leave out what tireg never uses."""
    import diffusers

    kind = getattr(diffusers, row.pipeline)
    extra: dict[str, Any] = {k: None for k in LEFT_OUT if k in kind._optional_components}
    if "safety_checker" in extra:
        extra["requires_safety_checker"] = False
    return kind, extra


def _quietly(load: Callable[[], Any], problem: str, hint: str) -> Any:
    """Load without progress bars and warnings; whatever goes wrong becomes one sentence."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load()
    except Exception as error:  # third-party loaders raise anything; it becomes one sentence
        raise BaseError(f"{problem}: {first_line(error)}", hint=hint) from error


@contextmanager
def _without_pickles(config: Path, row: Family) -> Iterator[Path]:
    """A copy of a folder's configs and tokenizers, with links to its text encoders' safetensors.

    diffusers takes a text encoder that is not in the checkpoint from this folder, as FLUX files
    without theirs need; from the folder itself it would also take a pickle.
    """
    encoders = {encoder.component for encoder in row.encoders}
    with tempfile.TemporaryDirectory(prefix="tireg-config-") as made:
        for source in config.rglob("*"):
            target = Path(made) / source.relative_to(config)
            if source.is_dir():
                continue
            weights = source.suffix == ".safetensors"
            if weights and source.parent.name not in encoders:
                continue
            if not weights and source.suffix not in (".json", ".txt", ".model"):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if weights:
                target.symlink_to(source.resolve())
            else:
                shutil.copyfile(source, target)
        yield Path(made)


def _check_whole(path: Path, pipe: Any) -> None:
    """BaseError naming the first weight that neither the file nor the configs gave."""
    for name, part in pipe.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        for key, weight in part.named_parameters():
            if weight.is_meta:
                raise BaseError(
                    f"'{path.name}' lacks {key} of the {name}",
                    hint="use a file of the whole checkpoint",
                )


def _mark_prediction(path: Path, pipe: Any) -> None:
    """Give an SDXL pipeline v-prediction where its file says so, by an empty tensor ``v_pred``.

    NoobAI and its kin mark their files so, and ``ztsnr`` for a schedule that ends in pure noise;
    ComfyUI and Forge read the same marks. The config of the SDXL base cannot know.
    """
    names = {tensor.name for tensor in tensors_of(path)}
    if "v_pred" in names:
        marks = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": "ztsnr" in names}
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, **marks)
