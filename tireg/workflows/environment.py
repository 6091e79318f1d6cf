"""What is installed: the versions that numbers depend on, and what is missing for what."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tireg

SHOWN = ("torch", "diffusers", "transformers", "open_clip_torch", "safetensors", "numpy", "pillow")
REST = ("huggingface_hub", "sqlite-utils", "accelerate", "torchvision", "hf_xet")

# Package, what it is for, how to get it.
EXTRAS = (
    ("matplotlib", "curves as a PNG file: tireg show --curves --out", "tireg[plots]"),
    ("tensorboard", "events for TensorBoard: tireg train --tensorboard", "tireg[tensorboard]"),
    ("ray", "work on several machines: --ray", "tireg[ray]"),
    ("lpips", "the LPIPS distance: tireg eval --encoder lpips:alex", "lpips"),
)


def package_versions() -> dict[str, str]:
    """Version of each package that results depend on; those not installed are left out."""
    return {name: version for name in SHOWN if (version := _version(name)) is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def describe_environment(home: Path) -> dict[str, Any]:
    """What this machine has, as ``tireg env --json`` prints it.

    ``tireg``, ``python``, ``platform``, ``home`` (the registry's folder) and ``home_exists``,
    ``packages`` {name: version or None}, ``devices`` [what torch can compute on], ``threads``,
    ``optional`` [{package, version or None, for, install}], ``pictures`` {format: can be written},
    ``offline``.
    """
    return {
        "tireg": tireg.__version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "home": str(home),
        "home_exists": (home / "registry.db").is_file(),
        "offline": os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"},
        "packages": {name: _version(name) for name in (*SHOWN, *REST)},
        **_devices(),
        "pictures": _pictures(),
        "optional": [
            {
                "package": name,
                "version": _version(name) if find_spec(name) is not None else None,
                "for": what,
                "install": f"pip install '{install}'",
            }
            for name, what, install in EXTRAS
        ],
    }


def _devices() -> dict[str, Any]:
    """What torch can compute on; no devices where it is not installed."""
    try:
        import torch
    except ImportError:
        return {"devices": [], "threads": 0}
    found: list[dict[str, Any]] = [
        {"device": "cpu", "name": platform.processor() or platform.machine(), "memory": None}
    ]
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        found.append({"device": f"cuda:{number}", "name": about.name, "memory": about.total_memory})
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": "Apple", "memory": None})
    return {"devices": found, "threads": torch.get_num_threads()}


def _pictures() -> dict[str, bool]:
    from PIL import features

    return {
        "webp": bool(features.check("webp")),
        "avif": bool(features.check("avif")),
        "jpeg": bool(features.check("jpg")),
    }
