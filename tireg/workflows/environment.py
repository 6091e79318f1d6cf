"""What is installed: the versions that numbers depend on."""

from __future__ import annotations

from importlib import metadata

SHOWN = ("torch", "diffusers", "transformers", "open_clip_torch", "safetensors", "numpy", "pillow")


def package_versions() -> dict[str, str]:
    """Version of each package that results depend on; those not installed are left out."""
    found = {}
    for name in SHOWN:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
