"""Bring a base from the Hub to a local folder: only the files that are needed, at one commit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tireg.errors import BaseError, HubError
from tireg.hub.faults import translated
from tireg.hub.session import check_there, guarded, token_for
from tireg.hub.tree import COMMIT_ID

REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SKIPPED_FOLDERS = ("safety_checker", "image_encoder", "vae_encoder", "vae_decoder")
PLAIN_WEIGHTS = re.compile(r"/(model|diffusion_pytorch_model)(-\d+-of-\d+)?\.safetensors$")
# What turns pictures into latents and back says nothing about which base a base is.
AUTOENCODERS = ("vae", "vqvae", "vqgan", "movq")
ANSWER_SECONDS = 15.0
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


def fetch_base(repo: str, revision: str | None = None, *, to_measure: bool = False) -> FetchedBase:
    """Download what a diffusers base needs; files already in the cache are not fetched again.

    With ``to_measure`` only what its fingerprint is read from: the weights of its text encoders
    and denoiser, and none of its autoencoder.
    The token goes to the endpoint it belongs to and nowhere else, and an endpoint that names
    impossible commits or etags, by which the cache would write elsewhere, is refused. Raises
    BaseError when there is no such repository or it holds no safetensors weights, and HubError
    when the Hub cannot be reached or refuses.
    """
    import huggingface_hub as hub
    from huggingface_hub import constants

    endpoint = constants.ENDPOINT
    token = token_for(endpoint)
    cached = _cached(repo, revision)
    with guarded(endpoint):
        try:
            if not constants.is_offline_mode():
                check_there(endpoint)
            info = hub.HfApi(token=token or False).model_info(
                repo, revision=revision, timeout=ANSWER_SECONDS
            )
        except Exception as error:
            _explain(repo, revision, error, endpoint, token is not None)
            if cached is None:
                raise BaseError(
                    f"'{repo}' is not on this machine and the Hub cannot be reached",
                    hint="go online once, or give a local folder: --base FOLDER",
                ) from error
            return cached
        commit = str(info.sha)
        if COMMIT_ID.fullmatch(commit) is None:
            raise HubError(
                f"'{endpoint}' names an impossible commit of '{repo}'",
                hint="this server cannot be trusted",
            )
        named: list[Any] = [s.rfilename for s in info.siblings or []]
        wanted = needed_files(name for name in named if isinstance(name, str))
        if to_measure:
            wanted = [n for n in wanted if n.partition("/")[0] not in AUTOENCODERS]
        if not any(n.endswith(".safetensors") for n in wanted):
            raise BaseError(
                f"'{repo}' holds no safetensors weights in diffusers folders, "
                "so tireg cannot open it",
                hint="look for a diffusers version of the model",
            )
        try:
            folder = hub.snapshot_download(
                repo, revision=commit, allow_patterns=wanted, token=token or False
            )
        except Exception as error:
            raise translated(error, repo, endpoint, token is not None) or error from error
    terms = getattr(info.card_data, "license", None)
    return FetchedBase(Path(folder), commit, terms if isinstance(terms, str) else None)


def _explain(
    repo: str, revision: str | None, error: Exception, endpoint: str, logged_in: bool
) -> None:
    """Raise what a base that cannot be had means in words; return where the Hub is just away."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        raise BaseError(
            f"'{repo}' is no name of a base on the Hub", hint="write it like owner/model"
        ) from error
    odd = (TypeError, AttributeError, LookupError, ValueError, RecursionError)
    if isinstance(error, odd) and not isinstance(error, errors.HfHubHTTPError):
        # What the client stumbles over when an answer is not of the form it expects.
        raise HubError(
            f"'{endpoint}' does not answer like a Hub", hint="check HF_ENDPOINT"
        ) from error
    if isinstance(error, errors.GatedRepoError):
        raise HubError(
            f"'{repo}' is gated: its owner must let you in",
            hint=f"open {endpoint}/{repo}, accept the terms, then: hf auth login",
        ) from error
    if isinstance(error, errors.RevisionNotFoundError):
        raise BaseError(
            f"'{repo}' has no revision '{revision}'", hint="--base without @…"
        ) from error
    if isinstance(error, errors.RepositoryNotFoundError):
        raise BaseError(
            f"there is no base '{repo}' on the Hub, or it is private",
            hint="check the name; for a private one: hf auth login",
        ) from error
    if translated(error, repo, endpoint, logged_in) is None and not isinstance(error, OSError):
        raise error


def _cached(repo: str, revision: str | None) -> FetchedBase | None:
    """The base as it lies in the cache at that revision; without one, the newest that is there."""
    import huggingface_hub as hub
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    try:
        folder = Path(hub.snapshot_download(repo, revision=revision, local_files_only=True))
        return FetchedBase(folder, folder.name, None)
    except (OSError, ValueError):
        if revision is not None:
            return None
    # A download by commit leaves no note of the branch it was on.
    name = repo_folder_name(repo_id=repo, repo_type="model")
    found = Path(constants.HF_HUB_CACHE).joinpath(name, "snapshots").glob("*/model_index.json")
    newest = max(found, key=lambda path: path.lstat().st_mtime, default=None)
    return FetchedBase(newest.parent, newest.parent.name, None) if newest else None


def needed_files(names: Iterable[str]) -> list[str]:
    """Of a repository's files, those a diffusers pipeline is opened from.

    Configs and tokenizers; per component its plain safetensors weights, or the fp16 variant
    where there are no plain ones.
    """
    present = [n for n in names if n.partition("/")[0] not in SKIPPED_FOLDERS]
    small = [n for n in present if n.endswith(SMALL) and n.count("/") <= 1]
    weights = [n for n in present if n.endswith(".safetensors") and n.count("/") == 1]
    plain = [n for n in weights if PLAIN_WEIGHTS.search(n)]
    served = {n.partition("/")[0] for n in plain}
    half = [n for n in weights if ".fp16." in n and n.partition("/")[0] not in served]
    kept = {n for n in small if n == "model_index.json" or "/" in n}
    return sorted(kept | set(plain) | set(half))
