"""What is to be learned, from pictures, folders or a concept file, into what training needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tireg.domain.concept_files import (
    CONCEPT_NAMES,
    CONCEPT_SUFFIXES,
    MAX_PICTURES,
    ConceptFile,
    read_concept_file,
    read_file,
)
from tireg.domain.concepts import (
    KINDS,
    TEMPLATES,
    Kind,
    caption_prompt,
    check_templates,
    check_token,
    holds_token,
    parse_captions,
    parse_templates,
)
from tireg.errors import ConceptError, TokenError

if TYPE_CHECKING:
    from PIL import Image

    from tireg.training.images import Photo

MAX_TEXT_BYTES = 2**20
CAPTION_SUFFIXES = (".txt", ".caption")
MAX_NAMED = 3


@dataclass(frozen=True)
class Typed:
    """What was typed on the command line, and wins over a concept file; empty is not typed.

    ``templates`` is a file with one prompt a line.
    """

    token: str | None = None
    kind: str | None = None
    name: str | None = None
    class_noun: str | None = None
    license: str | None = None
    negative: bool | None = None
    templates: Path | tuple[str, ...] | None = None


@dataclass(frozen=True)
class Source:
    """One picture file, with the caption and the mask that a concept file gives it."""

    path: Path
    caption: str | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class ConceptPlan:
    """What was asked for, checked as far as it can be without opening a picture.

    ``name`` is empty where none was given. ``notes`` are the user's own, from the concept file.
    """

    sources: tuple[Source, ...]
    token: str
    kind: Kind
    class_noun: str
    templates: tuple[str, ...]
    name: str = ""
    license: str | None = None
    negative: bool = False
    notes: str = ""
    captions: Path | None = None
    masks: Path | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConceptInput:
    """What training needs to know of a concept.

    ``captions[i]`` are the captions of photo i, as written, empty where it has none; ``masks[i]``
    its mask (mode L, as large as its image), or None. ``warnings`` are sentences for the user.
    """

    plan: ConceptPlan
    photos: tuple[Photo, ...]
    captions: tuple[tuple[str, ...], ...]
    masks: tuple[Image.Image | None, ...]
    warnings: tuple[str, ...] = field(default=())


def read_concept(
    paths: Sequence[Path],
    typed: Typed | None = None,
    *,
    captions: bool = True,
    masks: bool = True,
    resolution: int = 0,
) -> ConceptInput:
    """Read files, folders or one concept file; see :func:`plan_concept`, :func:`load_concept`."""
    plan = plan_concept(paths, typed or Typed())
    return load_concept(plan, captions=captions, masks=masks, resolution=resolution)


def plan_concept(paths: Sequence[Path], typed: Typed) -> ConceptPlan:
    """Find the pictures and settle the words; opens no picture, so it is quick to refuse.

    ``paths`` are pictures and folders, or one concept file, or one folder with a
    ``concept.yaml``. Raises ConceptError for what is missing or wrong there, TokenError for a
    token that cannot serve, SchemaTooNewError for a concept file of a newer tireg.
    """
    path = _concept_file(paths)
    if path is None:
        sources, warnings = _sources([Source(p) for p in paths])
        return _plan(sources, typed, None, Path(), warnings)
    written, folder = read_concept_file(path), path.parent
    named = [
        Source(
            folder / entry.file,
            entry.caption,
            folder / entry.mask if entry.mask is not None else None,
        )
        for entry in written.pictures
    ]
    sources, warnings = _sources(named)
    if path not in paths:
        warnings = (f"'{path}' says what to learn", *warnings)
    plan = _plan(sources, typed, written, folder, warnings)
    for what, place in (("captions", plan.captions), ("masks", plan.masks)):
        if place is not None and not place.is_dir():
            raise ConceptError(f"'{path}': the folder of {what} '{place}' does not exist")
    return plan


def _concept_file(paths: Sequence[Path]) -> Path | None:
    """The one concept file that ``paths`` name, if any; ConceptError where it is not alone."""
    files = [p for p in paths if p.suffix.lower() in CONCEPT_SUFFIXES and not p.is_dir()]
    if not files:
        inside = [paths[0] / n for n in CONCEPT_NAMES] if len(paths) == 1 else []
        files = [p for p in inside if p.exists()]
        if len(files) > 1:
            raise ConceptError(
                f"'{files[0]}' and '{files[1].name}' are both concept files", hint="name one"
            )
    elif len(paths) > 1:
        raise ConceptError(
            f"the concept file '{files[0]}' is not alone",
            hint=f"name the pictures in it, and only it here: tireg train {files[0]}",
        )
    return files[0] if files else None


def _sources(named: Sequence[Source]) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Every picture, folders opened; a picture named with words beats the same in a folder."""
    from tireg.training.folders import look_for_pictures

    masks = {s.mask for s in named if s.mask is not None}
    found: dict[Path, Source] = {}
    notes: list[str] = []
    for source in named:
        if source.path.is_dir() and (source.caption is not None or source.mask is not None):
            raise ConceptError(f"'{source.path}' is a folder: captions and masks are for one file")
        inside = look_for_pictures([source.path])
        notes += inside.notes
        for path in inside.pictures:
            if path in masks and path != source.path:
                continue
            old = found.get(path)
            if old is not None and source.caption is None and source.mask is None:
                notes.append(f"'{path.name}' is named twice and counts once")
                continue
            found[path] = replace(source, path=path)
    if not found:
        look_for_pictures([])
    if len(found) > MAX_PICTURES:
        raise ConceptError(
            f"there are {len(found)} pictures, more than {MAX_PICTURES}",
            hint="three to ten pictures of one thing or style are enough",
        )
    return tuple(found.values()), tuple(dict.fromkeys(notes))


def _plan(
    sources: tuple[Source, ...],
    typed: Typed,
    written: ConceptFile | None,
    folder: Path,
    warnings: tuple[str, ...],
) -> ConceptPlan:
    def settle(key: str) -> Any:
        return getattr(typed, key) or getattr(written, key, None)

    token, kind = settle("token"), settle("kind")
    if not token:
        raise TokenError("there is no token to learn", hint="--token '<my-cat>'")
    if kind not in KINDS:
        what = f"'{kind}' is no kind of concept" if kind else "the kind of concept is not given"
        raise ConceptError(what, hint=f"--kind {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    captions = written.captions if written else None
    masks = written.masks if written else None
    return ConceptPlan(
        sources=sources,
        token=check_token(token),
        kind=cast(Kind, kind),
        class_noun=(settle("class_noun") or "").strip(),
        templates=_templates(settle("templates"), cast(Kind, kind)),
        name=settle("name") or "",
        license=settle("license"),
        negative=bool(settle("negative")),
        notes=written.notes if written else "",
        captions=folder / captions if captions is not None else None,
        masks=folder / masks if masks is not None else None,
        warnings=warnings,
    )


def _templates(given: Path | tuple[str, ...] | None, kind: Kind) -> tuple[str, ...]:
    if isinstance(given, Path):
        return parse_templates(read_text(given), f"'{given}'")
    return check_templates(given) if given else TEMPLATES[kind]


def read_text(path: Path) -> str:
    """A small text file in UTF-8; ConceptError names one that is not."""
    try:
        return read_file(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConceptError(
            f"'{path}' is not text in UTF-8 (byte {error.start + 1})", hint="save it as UTF-8"
        ) from error


def load_concept(
    plan: ConceptPlan, *, captions: bool = True, masks: bool = True, resolution: int = 0
) -> ConceptInput:
    """Open the pictures of ``plan``, with their captions and masks, and look at them.

    ``captions`` and ``masks`` false: they are not looked for. ``resolution`` is the side of
    training, 0 where the base is not known yet; then ``looks.low_resolution`` is to be asked
    later. Raises ConceptError for what cannot be read; all such pictures are named.
    """
    from tireg.training.images import KEEP_SIDE, load_photos
    from tireg.training.looks import look_over

    texts, notes = _captions(plan) if captions else (((),) * len(plan.sources), [])
    keep = max(KEEP_SIDE, 2 * resolution)
    photos = load_photos((source.path for source in plan.sources), keep_side=keep)
    shown = tuple(
        replace(photo, picture=photo.picture.model_copy(update={"caption": "\n".join(own)}))
        if own
        else photo
        for photo, own in zip(photos, texts, strict=True)
    )
    found, more = _masks(plan, photos, use=masks)
    own_notes = [note for photo in photos for note in photo.notes]
    seen = look_over(
        photos, plan.kind, masked=[m is not None for m in found], resolution=resolution
    )
    warnings = (*plan.warnings, *own_notes, *notes, *more, *seen)
    return ConceptInput(plan, shown, texts, found, tuple(dict.fromkeys(warnings)))


def _captions(plan: ConceptPlan) -> tuple[tuple[tuple[str, ...], ...], list[str]]:
    """Captions of every picture and sentences about them."""
    texts: list[tuple[str, ...]] = []
    notes: list[str] = []
    for source in plan.sources:
        name = source.path.name
        if source.caption is not None:
            own = parse_captions(source.caption, f"the caption of '{name}'")
        else:
            own = _beside(source.path, plan, notes)
        for caption in own:
            _checked(plan, name, caption)
        texts.append(own)
    bare = [
        source.path.name
        for source, own in zip(plan.sources, texts, strict=True)
        if any(not holds_token(caption, plan.token) for caption in own)
    ]
    if bare:
        example = next(c for own in texts for c in own if not holds_token(c, plan.token))
        notes.append(
            f"{_listed('the caption', 'the captions', bare)} without {plan.token}: it is put in "
            f"front, as in '{_short(caption_prompt(plan.kind, example, plan.token))}'"
        )
    without = [s.path.name for s, own in zip(plan.sources, texts, strict=True) if not own]
    if without and len(without) < len(texts):
        notes.append(f"{_count(len(without), 'picture')} without a caption: templates are used")
    several = [s.path.name for s, own in zip(plan.sources, texts, strict=True) if len(own) > 1]
    if several:
        notes.append(
            f"{_listed('the caption file', 'the caption files', several)} of several lines: each "
            "line is a caption of its own"
        )
    return tuple(texts), notes


def _beside(picture: Path, plan: ConceptPlan, notes: list[str]) -> tuple[str, ...]:
    """What the caption file of ``picture`` says; empty where there is none."""
    place = plan.captions or picture.parent
    files = [place / f"{picture.stem}{suffix}" for suffix in CAPTION_SUFFIXES]
    files = [path for path in files if path.exists() or path.is_symlink()]
    if not files:
        return ()
    if len(files) > 1:
        notes.append(f"'{files[1].name}' is not read: '{files[0].name}' is")
    own = parse_captions(read_text(files[0]), f"'{files[0]}'")
    if not own:
        notes.append(f"the caption file '{files[0].name}' is empty")
    return own


def _checked(plan: ConceptPlan, name: str, caption: str) -> None:
    try:
        caption_prompt(plan.kind, caption, plan.token)
    except ConceptError as error:
        raise ConceptError(f"{error.message} (of '{name}')", hint=error.hint) from error


def _masks(
    plan: ConceptPlan, photos: Sequence[Photo], *, use: bool
) -> tuple[tuple[Image.Image | None, ...], list[str]]:
    """The mask of every photo and sentences about them; bad masks are all named at once."""
    from tireg.training.masks import alpha_mask, find_mask, read_mask

    found: list[Image.Image | None] = []
    bad: list[str] = []
    own = files = 0
    for source, photo in zip(plan.sources, photos, strict=True):
        mask = None
        try:
            seen = alpha_mask(photo) if use else None
            path = source.mask or (find_mask(source.path, plan.masks) if use else None)
            if use:
                mask = read_mask(path, photo) if path is not None else seen
                own += path is None and seen is not None
                files += path is not None
        except ConceptError as error:
            bad.append(error.message)
        found.append(mask)
    if bad:
        raise ConceptError(
            "; ".join(bad), hint="white marks the concept; 'masks: false' in a recipe goes without"
        )
    return tuple(found), _about_masks(len(found), files, own)


def _about_masks(count: int, files: int, own: int) -> list[str]:
    notes = []
    if own:
        notes.append(
            f"{_count(own, 'picture')} with transparency: only what is opaque is learned, the rest "
            "is laid on white"
        )
    if 0 < files + own < count:
        left = count - files - own
        notes.append(f"{_count(left, 'picture')} without a mask: all of it is learned")
    return notes


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} is" if number == 1 else f"{number} {noun}s are"


def _listed(one: str, many: str, names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:MAX_NAMED])
    if len(names) > MAX_NAMED:
        shown += f" and {len(names) - MAX_NAMED} more"
    return f"{one} of {shown} is" if len(names) == 1 else f"{many} of {shown} are"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"
