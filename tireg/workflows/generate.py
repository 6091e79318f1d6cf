"""Draw pictures with learned words and write them as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tireg.domain.fingerprints import BaseRef
from tireg.domain.scores import Sampling
from tireg.errors import ConfigError, InputError
from tireg.store.registry import Registry
from tireg.workflows.bases import fingerprint_if_any
from tireg.workflows.drawing import Loaded, PictureCache, Wish, draw_wishes
from tireg.workflows.measuring import fingerprint_hash
from tireg.workflows.places import find_base
from tireg.workflows.progress import Event, Listener, Notice, silent
from tireg.workflows.vectors import unpack_vectors

if TYPE_CHECKING:
    from tireg.models.bases import Base


@dataclass(frozen=True)
class GenerateRequest:
    """Which prompts, with which words, drawn how. ``None`` means the base family's default."""

    prompts: Sequence[str]
    refs: Sequence[str]
    out: Path
    negative: str = ""
    base: str | None = None
    base_config: str | None = None
    seed: int = 0
    count: int = 1
    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None
    size: tuple[int, int] | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch: int = 8


def generate(request: GenerateRequest, *, home: Path, listen: Listener = silent) -> list[Path]:
    """Draw ``count`` pictures per prompt, seeds counting up, and write PNG files to ``out``.

    Files are named by prompt number and seed; files already there under such a name are
    overwritten. Raises RefError, BaseError or ConfigError for what was asked wrongly.
    """
    if not request.prompts or any(not p.strip() for p in request.prompts):
        raise InputError("there is no prompt", hint='tireg generate "a photo of a <token>" …')
    words, bases_of, known = _words(request.refs, home)
    name = request.base or next((b for b in bases_of if b), None)
    if name is None:
        raise InputError("no base is named", hint="give one: --base BASE")
    for word in words:
        if not any(word.token in p for p in (*request.prompts, request.negative)):
            listen(Notice(f"no prompt holds {word.token}, so it changes nothing"))
    _prepare(request.out)
    place = find_base(name, known, config=request.base_config)

    from tireg.models.bases import dtype_name, open_base

    listen(Event("opening the base", 0, 1, place.id))
    base = open_base(place.folder, device=request.device, dtype=request.dtype, config=place.config)
    ref = BaseRef(
        id=place.id,
        family=base.family.id,
        fingerprint=fingerprint_if_any(home, base.folder, base.family),
    )
    listen(Event("opening the base", 1, 1, place.id))
    sampling = _sampling(request, base, dtype_name(base.dtype))
    seeds = range(request.seed, request.seed + request.count)
    wishes = [Wish(p, s, request.negative) for p in request.prompts for s in seeds]
    pictures = draw_wishes(
        base,
        wishes,
        sampling,
        fingerprint_hash(ref),
        loaded=words,
        cache=PictureCache(home / "cache" / "pictures"),
        listen=listen,
        task="drawing",
    )
    written = []
    for number, prompt in enumerate(request.prompts, 1):
        for seed in seeds:
            wish = Wish(prompt, seed, request.negative)
            path = request.out / f"{number:02}-{seed}.png"
            _write(path, pictures[wish], wish, sampling, place.id)
            written.append(path)
    return written


def _words(
    refs: Sequence[str], home: Path
) -> tuple[list[Loaded], list[str | None], dict[str, str]]:
    """The words to load, the base each was made on, and where known bases are."""
    words, bases_of = [], []
    with Registry.open(home, create=False) as registry:
        for ref in refs:
            record = registry.resolve(ref).record
            stored = record.file("embedding")
            if stored is None:
                raise InputError(f"'{ref}' has no vectors", hint="tireg verify")
            rows = unpack_vectors(record, registry.objects.read(stored.sha256))
            words.append(Loaded(record.token, record.tensor_hash, rows))
            bases_of.append(record.base.id if record.base else None)
        known = {row.id: row.path for row in registry.bases() if row.path}
    tokens = [word.token for word in words]
    for token in tokens:
        if tokens.count(token) > 1:
            raise InputError(f"two of these embeddings use the token {token}", hint="give one")
    return words, bases_of, known


def _sampling(request: GenerateRequest, base: Base, dtype: str) -> Sampling:
    family = base.family
    width, height = request.size or (family.resolution, family.resolution)
    guidance = family.guidance if request.guidance is None else request.guidance
    return Sampling(
        sampler=request.sampler or family.sampler,
        steps=request.steps or family.steps,
        guidance=guidance,
        width=width,
        height=height,
        dtype=dtype,
        device=base.device.type,
        batch=request.batch,
    )


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"'{out}' cannot be a folder for pictures: {error.strerror}", hint="--out FOLDER"
        ) from error


def _write(path: Path, picture: Any, wish: Wish, sampling: Sampling, base: str) -> None:
    """One PNG with prompt and settings in its text chunk, as Stable Diffusion UIs write it."""
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    lines = [wish.prompt]
    if wish.negative:
        lines.append(f"Negative prompt: {wish.negative}")
    lines.append(
        f"Steps: {sampling.steps}, Sampler: {sampling.sampler}, CFG scale: {sampling.guidance}, "
        f"Seed: {wish.seed}, Size: {sampling.width}x{sampling.height}, Model: {base}"
    )
    info.add_text("parameters", "\n".join(lines))
    try:
        Image.fromarray(picture).save(path, format="PNG", pnginfo=info)
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be written: {error.strerror}", hint="--out") from error
