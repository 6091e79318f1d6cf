"""Pictures drawn once: kept by everything that made them, drawn only where missing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tireg.domain.model import canonical_json
from tireg.domain.scores import Sampling
from tireg.errors import ConfigError, EvaluationError
from tireg.workflows.progress import Event, Listener

if TYPE_CHECKING:
    import numpy as np

    from tireg.models.bases import Base


@dataclass(frozen=True)
class Wish:
    """One picture that is wanted."""

    prompt: str
    seed: int
    negative: str = ""


@dataclass(frozen=True)
class Shot:
    """A picture that is there: what to call it, and how to read it as uint8 [h, w, 3]."""

    name: str
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Loaded:
    """A word that is loaded while drawing: its token, tensor hash and rows."""

    token: str
    tensor_hash: str
    rows: Mapping[str, np.ndarray]


class PictureCache:
    """PNG files under ``folder``, named by the hash of what made them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the picture of ``key`` is or would be."""
        return self.folder / key[:2] / f"{key[2:]}.png"

    def get(self, key: str) -> np.ndarray | None:
        """The picture [h, w, 3], or None; a damaged file counts as missing."""
        import numpy as np
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.path(key).read_bytes())) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError):
            return None

    def shot(self, key: str, name: str) -> Shot:
        """The picture of ``key``, read when it is needed; EvaluationError if it is gone then."""

        def read() -> np.ndarray:
            picture = self.get(key)
            if picture is None:
                raise EvaluationError(
                    f"the picture of {name} was there and is gone from '{self.folder}'",
                    hint="run the same command again; only what is missing is drawn",
                )
            return picture

        return Shot(name, read)

    def put(self, key: str, picture: np.ndarray) -> None:
        """Keep a picture; a reader sees all of it or nothing."""
        from PIL import Image

        target = self.path(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    Image.fromarray(picture).save(file, format="PNG", compress_level=1)
                Path(name).replace(target)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise ConfigError(
                f"pictures cannot be kept in '{self.folder}': {error.strerror}",
                hint="free some space, or set TIREG_HOME to another folder",
            ) from error


def picture_key(
    wish: Wish, sampling: Sampling, fingerprint: str, loaded: Sequence[Loaded] = ()
) -> str:
    """sha256 of all that a picture depends on; other pictures are not in it.

    The batch size is: pictures of another batch shape may differ in the last bit.
    """
    made_by = {
        "prompt": wish.prompt,
        "negative": wish.negative,
        "seed": wish.seed,
        "sampling": sampling.model_dump(mode="json"),
        "base": fingerprint,
        "words": sorted((word.token, word.tensor_hash) for word in loaded),
    }
    return hashlib.sha256(canonical_json(made_by)).hexdigest()


def draw_wishes(
    base: Base,
    wishes: Iterable[Wish],
    sampling: Sampling,
    fingerprint: str,
    *,
    loaded: Sequence[Loaded] = (),
    cache: PictureCache,
    listen: Listener,
    task: str,
) -> dict[Wish, np.ndarray]:
    """Every wished picture, uint8 [h, w, 3]; only those not in the cache are drawn."""
    keys = keep_drawn(
        base,
        wishes,
        sampling,
        fingerprint,
        loaded=loaded,
        cache=cache,
        listen=listen,
        task=task,
    )
    return {wish: cache.shot(key, f"'{wish.prompt}'").read() for wish, key in keys.items()}


def keep_drawn(
    base: Base,
    wishes: Iterable[Wish],
    sampling: Sampling,
    fingerprint: str,
    *,
    loaded: Sequence[Loaded] = (),
    cache: PictureCache,
    listen: Listener,
    task: str,
) -> dict[Wish, str]:
    """Draw what the cache has not; the key of every wished picture in it.

    The words in ``loaded`` are in the pipeline while drawing and taken out afterwards.
    """
    from tireg.models import bases
    from tireg.models.sampler import Draw, DrawSettings, draw

    wanted = list(dict.fromkeys(wishes))
    keys = {wish: picture_key(wish, sampling, fingerprint, loaded) for wish in wanted}
    missing = [wish for wish in wanted if cache.get(keys[wish]) is None]
    done = len(wanted) - len(missing)
    listen(Event(task, done, len(wanted), f"{done} kept from before" if done else ""))
    if not missing:
        return keys
    settings = DrawSettings(
        sampling.sampler,
        sampling.steps,
        sampling.guidance,
        sampling.width,
        sampling.height,
        sampling.batch,
    )
    draws = [Draw(wish.prompt, wish.seed, wish.negative) for wish in missing]
    if loaded:
        words = {word.token: word.rows for word in loaded}
        bases.load(base.pipe, words, family=base.family)
    try:
        for index, picture in draw(base.pipe, draws, settings):
            cache.put(keys[missing[index]], picture)
            listen(Event(task, done + index + 1, len(wanted)))
    finally:
        bases.unload(base.pipe)
    return keys
