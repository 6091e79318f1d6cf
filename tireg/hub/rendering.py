"""Every file of a published version: for other tools, for tireg, and the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tireg.dialects import Extra, ReadEmbedding, losses, render
from tireg.domain.model import canonical_json
from tireg.domain.records import Record
from tireg.domain.scores import Run
from tireg.errors import CorruptError, InputError
from tireg.hub.layout import EVAL_RESULTS, PUBLISHED, RECORD, stored_name, version_folder
from tireg.hub.private import public_run
from tireg.hub.stripping import stripped

TOOLS = ("webui", "comfyui", "invokeai")


@dataclass(frozen=True)
class Offer:
    """One version as it is offered to the world.

    ``name`` is its name here, ``objects`` the bytes of its record's files by sha256,
    ``embedding`` its vectors as the dialects write them. ``folder`` is where it lies in a
    repository of several, empty for one of its own. ``tag`` None: the next free number.
    ``eval_results`` are files of scores on benchmarks, by name, for the Hub's leaderboards.
    """

    name: str
    record: Record
    embedding: ReadEmbedding
    objects: Mapping[str, bytes]
    license: str
    runs: tuple[Run, ...] = ()
    folder: str = ""
    tag: str | None = None
    with_pictures: bool = False
    eval_results: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """Of every path of it in the repository."""
        return f"{self.folder}/" if self.folder else ""


def tool_files(offer: Offer) -> dict[str, bytes]:
    """The vectors for other tools: diffusers on top, the rest in a folder per tool.

    A tool whose files cannot hold all of it is left out.
    """
    record = offer.record
    extra = Extra(
        record=record.canonical().decode("utf-8"),
        author=record.author or "",
        license=offer.license,
        date=record.created,
        tags=record.tags,
        resolution=record.recipe.resolution if record.recipe else None,
        step=record.training.steps if record.training else None,
        checkpoint=record.base.id if record.base else "",
    )
    from tireg.dialects.writing import safe_stem

    found: dict[str, bytes] = {}
    for tool in ("diffusers", *TOOLS):
        try:
            lossless = not losses(tool, offer.embedding)
        except InputError:
            continue
        if not lossless:
            continue
        name = "learned_embeds" if tool == "diffusers" else safe_stem(offer.name, tool)
        folder = "" if tool == "diffusers" else f"{tool}/"
        files = render(tool, offer.embedding, stem=name, extra=extra)
        found |= {f"{folder}{file}": data for file, data in files.items()}
    return found


def previews(offer: Offer) -> dict[str, tuple[bytes, str]]:
    """Previews (and pictures, if asked for) without metadata, each with its prompt."""
    found: dict[str, tuple[bytes, str]] = {}
    count: dict[str, int] = {}
    for file in offer.record.files:
        if file.role != "preview" and not (file.role == "picture" and offer.with_pictures):
            continue
        if file.sha256 not in offer.objects:
            continue
        data, suffix = stripped(offer.objects[file.sha256], name=file.name)
        number = count[file.role] = count.get(file.role, 0) + 1
        found[f"{file.role}s/{file.role}-{number}{suffix}"] = (data, file.text or "")
    return found


def version_files(offer: Offer) -> dict[str, bytes]:
    """The version whole, for tireg: the record, the files it names, its scores.

    A picture that had to be stripped is another picture than the record names, so it is not
    among them; CorruptError when the vectors themselves are missing.
    """
    record = offer.record
    top = version_folder(record.sha256)
    found = {f"{top}/{RECORD}": record.canonical()}
    roles = (*PUBLISHED, "picture") if offer.with_pictures else PUBLISHED
    for file in record.files:
        if file.role not in roles:
            continue
        data = offer.objects.get(file.sha256)
        if data is None:
            if file.role == "embedding":
                raise CorruptError(
                    f"the vectors of '{offer.name}' are missing", hint="tireg verify"
                )
            continue
        if file.role != "embedding" and stripped(data, name=file.name)[0] != data:
            continue
        found[f"{top}/{stored_name(record, file)}"] = data
    for run in offer.runs:
        public = public_run(run, record.sha256)
        found[f"{top}/{score_name(run)}"] = canonical_json(public.model_dump(mode="json"))
    return found


def leaderboard_files(offer: Offer) -> dict[str, bytes]:
    """Scores on registered benchmarks where the Hub looks for them: on top of a repository."""
    if offer.folder:
        return {}
    return {f"{EVAL_RESULTS}/{name}.yaml": data for name, data in offer.eval_results.items()}


def score_name(run: Run) -> str:
    """Where a run lies in its version's folder."""
    return f"scores/{run.run_id[:16]}.json"
