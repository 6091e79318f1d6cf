"""Bring a base from the Hub to a local folder: only the files that are needed, at one commit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tireg.errors import BaseError, HubError

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SKIPPED_FOLDERS = ("safety_checker", "image_encoder", "vae_encoder", "vae_decoder")
PLAIN_WEIGHTS = re.compile(r"/(model|diffusion_pytorch_model)(-\d+-of-\d+)?\.safetensors$")
SMALL = (".json", ".txt", ".model")


@dataclass(frozen=True)
class FetchedBase:
    """A base on this machine: its folder, the commit it is at, the licence its card states."""

    folder: Path
    revision: str
    license: str | None


def is_repo_id(name: str) -> bool:
    """Whether ``name`` has the form owner/repository."""
    return REPO_ID.fullmatch(name) is not None


def fetch_base(repo: str, revision: str | None = None) -> FetchedBase:
    """Download what a diffusers base needs; files already in the cache are not fetched again.

    Raises BaseError when there is no such repository or it holds no safetensors weights, and
    HubError when the Hub cannot be reached or refuses.
    """
    import huggingface_hub as hub
    from huggingface_hub import errors

    cached = _cached(repo, revision)
    try:
        info = hub.HfApi().model_info(repo, revision=revision)
    except errors.GatedRepoError as error:
        raise HubError(
            f"'{repo}' is gated: its owner must let you in",
            hint=f"open https://huggingface.co/{repo}, accept the terms, then: hf auth login",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BaseError(
            f"'{repo}' has no revision '{revision}'", hint="--base without @…"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise BaseError(
            f"there is no base '{repo}' on the Hub, or it is private",
            hint="check the name; for a private one: hf auth login",
        ) from error
    except (errors.OfflineModeIsEnabled, errors.HfHubHTTPError, OSError) as error:
        return _offline(repo, cached, error)
    except Exception as error:  # the client's transport errors have no common public base
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore2"):
            raise
        return _offline(repo, cached, error)
    names = [s.rfilename for s in info.siblings or []]
    wanted = needed_files(names)
    if not any(n.endswith(".safetensors") for n in wanted):
        raise BaseError(
            f"'{repo}' holds no safetensors weights in diffusers folders, so tireg cannot open it",
            hint="look for a diffusers version of the model",
        )
    folder = hub.snapshot_download(repo, revision=info.sha, allow_patterns=wanted)
    card = info.card_data
    return FetchedBase(Path(folder), str(info.sha), getattr(card, "license", None))


def _cached(repo: str, revision: str | None) -> FetchedBase | None:
    import huggingface_hub as hub

    try:
        folder = Path(hub.snapshot_download(repo, revision=revision, local_files_only=True))
    except (OSError, ValueError):
        return None
    return FetchedBase(folder, folder.name, None)


def _offline(repo: str, cached: FetchedBase | None, error: Exception) -> FetchedBase:
    if cached is not None:
        return cached
    raise HubError(
        f"'{repo}' is not on this machine and the Hub cannot be reached",
        hint="go online once, or give a local folder: --base FOLDER",
    ) from error


def needed_files(names: Iterable[str]) -> list[str]:
    """Of a repository's files, those a diffusers pipeline is opened from.

    Configs and tokenizers; per component its plain safetensors weights, or the fp16 variant
    where there are no plain ones.
    """
    present = [n for n in names if n.partition("/")[0] not in SKIPPED_FOLDERS]
    small = [n for n in present if n.endswith(SMALL) and n.count("/") <= 1]
    weights = [n for n in present if n.endswith(".safetensors") and n.count("/") == 1]
    plain = [
        n for n in weights if re.search(r"/(model|diffusion_pytorch_model)(-\d+-of-\d+)?\.", n)
    ]
    served = {n.partition("/")[0] for n in plain}
    half = [n for n in weights if ".fp16." in n and n.partition("/")[0] not in served]
    kept = {n for n in small if n == "model_index.json" or "/" in n}
    return sorted(kept | set(plain) | set(half))
