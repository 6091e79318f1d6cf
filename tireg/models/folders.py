"""What a base on disk is, read from its files: family, configs, whether anything is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tireg.domain.families import Family, families
from tireg.errors import BaseError

WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


def read_index(folder: Path) -> dict[str, Any]:
    """The folder's model_index.json; BaseError if it is no diffusers folder."""
    index = folder / "model_index.json"
    try:
        data = json.loads(index.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BaseError(
            f"'{folder}' is not a base: it has no model_index.json",
            hint="give a diffusers folder, a Hub id, or a name from `tireg bases`",
        ) from error
    except (OSError, ValueError) as error:
        raise BaseError(f"{index} cannot be read: {first_line(error)}") from error
    if not isinstance(data, dict) or not isinstance(data.get("_class_name"), str):
        raise BaseError(f"{index} names no pipeline class")
    return data


def read_config(folder: Path, component: str) -> dict[str, Any]:
    """A component's config.json; BaseError if the folder is only half there."""
    path = folder / component / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaseError(
            f"the base '{folder}' is incomplete: {component}/config.json is missing or unreadable",
            hint="download it again",
        ) from error
    if not isinstance(data, dict):
        raise BaseError(f"{path} does not hold an object")
    return data


def identify(folder: Path) -> Family:
    """The family of a diffusers folder, by pipeline class, encoder width and activation.

    A folder whose class fits but whose width is in no row of the catalogue (a shrunken test
    model, say) belongs to the family whose first encoder has the same activation.
    """
    class_name = str(read_index(folder)["_class_name"])
    rows = [f for f in families() if f.pipeline == class_name and f.trainable]
    if not rows:
        known = ", ".join(sorted({f.pipeline for f in families() if f.trainable and f.pipeline}))
        raise BaseError(f"'{folder}' is a {class_name}, which tireg cannot use", hint=known)
    if len(rows) == 1:
        return rows[0]
    config = read_config(folder, rows[0].encoders[0].component)
    width, activation = config.get("hidden_size"), config.get("hidden_act", "quick_gelu")
    for key in (width, activation):
        for row in rows:
            if key in (row.encoders[0].width, row.encoders[0].activation):
                return row
    return rows[0]


def family_of_folder(folder: Path) -> Family:
    """The family of any diffusers folder, also of those tireg only measures and loads into.

    By pipeline class or its variants (inpainting, image-to-image, …), else by the classes of its
    text encoders; among rows alike, by width. BaseError where none has such encoders.
    """
    index = read_index(folder)
    name = str(index["_class_name"])
    present = {part: entry[1] for part, entry in index.items() if isinstance(entry, list) and entry}

    def has_encoders(row: Family) -> bool:
        return all(present.get(e.component) == e.model_class for e in row.encoders)

    stem = family_stem(name)
    rows = [row for row in families() if row.pipeline == f"{stem}Pipeline" and has_encoders(row)]
    rows = rows or [row for row in families() if has_encoders(row)]
    if not rows:
        raise BaseError(
            f"'{folder}' is a {name}, whose text encoders tireg does not know",
            hint="tireg bases lists the families",
        )

    def distance(row: Family) -> tuple[int, int, int]:
        configs = [read_config(folder, e.component) for e in row.encoders]
        pairs = list(zip(row.encoders, configs, strict=True))
        widths = sum(c.get("hidden_size", c.get("d_model", e.width)) != e.width for e, c in pairs)
        acts = sum(c.get("hidden_act", e.activation) != e.activation for e, c in pairs)
        return (-len(pairs), widths, acts)

    return min(rows, key=distance)


def check_complete(folder: Path) -> None:
    """BaseError naming the first component whose files are missing or only pickles."""
    for name, entry in read_index(folder).items():
        if name.startswith("_") or not isinstance(entry, list) or not all(entry[:2]):
            continue
        part = folder / name
        if name in ("safety_checker", "feature_extractor", "image_encoder"):
            continue
        if not part.is_dir() or not any(part.iterdir()):
            raise BaseError(
                f"the base '{folder}' is incomplete: {name}/ is missing", hint="download it again"
            )
        weightless = name.startswith(("tokenizer", "scheduler"))
        if weightless or any(True for pattern in WEIGHTS for _ in part.glob(pattern)):
            continue
        if any(part.glob("*.bin")):
            raise BaseError(
                f"the base '{folder}' has {name}/ only as a pickle (.bin), which tireg never opens",
                hint="use a revision with safetensors weights",
            )
        raise BaseError(
            f"the base '{folder}' is incomplete: {name}/ has no weights", hint="download it again"
        )


def family_stem(class_name: str) -> str:
    """The family's name in a pipeline class: ``Flux`` of ``FluxImg2ImgPipeline``."""
    stems = {row.pipeline.removesuffix("Pipeline") for row in families()}
    return max((stem for stem in stems if class_name.startswith(stem)), key=len, default="")


def first_line(error: BaseException) -> str:
    """The first line of a third-party error, at most 300 characters; its type where it is mute."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
