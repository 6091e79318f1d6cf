"""Where the rows of a run begin: words, an embedding, the pictures themselves, or chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tireg.domain.recipes import Recipe
from tireg.domain.tensors import tensor_hash
from tireg.errors import FileRefusedError, RecipeError, RefError, TiregError
from tireg.store.registry import Registry
from tireg.workflows.places import BUILT_IN
from tireg.workflows.progress import Event, Listener, Notice
from tireg.workflows.vectors import unpack_vectors

if TYPE_CHECKING:
    import numpy as np

    from tireg.dialects import ReadEmbedding
    from tireg.models.bases import Base, TextEncoder
    from tireg.models.encoders import ClipEncoder
    from tireg.training.data import Data
    from tireg.training.images import Photo
    from tireg.training.starting import Losses, Rank

AUTO, RANDOM = "auto", "random"


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    ``rows`` are fp32 [vectors, width] by encoder key, ``scales`` the mean row norm of words in
    use. ``words`` are what the rows began as, empty where no words were used; ``why`` says it in
    a sentence. ``lineage`` names the embedding that was started from: init_from, record or file
    (sha256) and tensors (tensor hash); empty where there was none.
    """

    rows: dict[str, np.ndarray]
    scales: dict[str, float]
    why: str
    lineage: dict[str, str] = field(default_factory=dict)
    words: str = ""


@dataclass(frozen=True)
class _Origin:
    """An embedding to start from."""

    tensors: dict[str, np.ndarray]
    lineage: dict[str, str]


def starting_rows(
    base: Base,
    recipe: Recipe,
    *,
    class_noun: str,
    photos: Sequence[Photo],
    registry_home: Path,
    listen: Listener,
    templates: Sequence[str],
    rank: Rank | None = None,
    loss: Losses | None = None,
) -> Start:
    """The rows that ``recipe`` starts from on ``base``.

    ``init_from`` beats ``init``; encoders it has no rows for start from the words. ``rank`` (text
    likeness to the pictures) and ``loss`` (paired losses of rows, see :func:`probe_for`) serve
    ``init`` 'auto': without ``rank`` the base's scoring encoder looks at ``photos``, without
    ``loss`` likeness decides alone. Raises RecipeError for words that are not known and for an
    embedding of other encoders or widths, RefError or FileRefusedError where there is none.
    """
    from tireg.training.rows import random_rows, words_norm

    used = sorted({w for t in templates for w in t.replace("{token}", "").split()})
    tables = {key: e.model.get_input_embeddings().weight for key, e in base.encoders.items()}
    scales = {key: words_norm(e.tokenizer, tables[key], used) for key, e in base.encoders.items()}
    origin = _origin(recipe.init_from, base, registry_home) if recipe.init_from else None
    given = _fitted(origin, base, recipe, listen) if origin else {}
    rest = {key: e for key, e in base.encoders.items() if key not in given}
    why = f"started from the embedding '{recipe.init_from}'" if origin else ""
    lineage = origin.lineage if origin else {}
    if not rest:
        return Start(given, scales, why, lineage)
    init = recipe.init.strip()
    if init == RANDOM:
        rows = {
            key: random_rows(
                e.tokenizer, tables[key], recipe.vectors, scales[key], seed=recipe.seed
            ).numpy()
            for key, e in rest.items()
        }
        told = "started from random rows at the length of words in use"
        return Start(given | rows, scales, _joined(why, told, rest), lineage)
    words, told = init or class_noun.strip(), ""
    if init == AUTO:
        words, told = _from_pictures(
            base, recipe, class_noun, photos, templates, listen, rank, loss
        )
    rows = _from_words(rest, words, recipe, scales, listen)
    told = told or f"started from '{words}'"
    return Start(given | rows, scales, _joined(why, told, rest), lineage, words)


def _joined(why: str, told: str, rest: dict[str, TextEncoder]) -> str:
    return f"{why}, and {', '.join(rest)} {told}" if why else told


def _from_words(
    encoders: dict[str, TextEncoder],
    words: str,
    recipe: Recipe,
    scales: dict[str, float],
    listen: Listener | None,
) -> dict[str, np.ndarray]:
    """Rows that begin as ``words``; as the encoder's output for them where the method is cross."""
    from tireg.training.rows import start_rows
    from tireg.training.starting import cross_rows

    rows = {}
    for key, encoder in encoders.items():
        table = encoder.model.get_input_embeddings().weight
        begin = start_rows(encoder.tokenizer, table, words, recipe.vectors, seed=recipe.seed)
        if recipe.method == "cross":
            crossed = cross_rows(encoder, words, recipe.vectors, scales[key], seed=recipe.seed)
            if crossed is None and listen:
                listen(Notice(f"{key} gives another width than it takes: it starts from the words"))
            begin = begin if crossed is None else crossed
        rows[key] = begin.numpy()
    return rows


def _from_pictures(
    base: Base,
    recipe: Recipe,
    class_noun: str,
    photos: Sequence[Photo],
    templates: Sequence[str],
    listen: Listener,
    rank: Rank | None,
    loss: Losses | None,
) -> tuple[str, str]:
    """The words the pictures ask for, and why; the class noun where nothing can look at them."""
    from tireg.training.rows import words_norm
    from tireg.training.starting import candidate_words, choose_words

    noun = class_noun.strip()
    if rank is None:
        try:
            encoder = _scorer(base)
        except TiregError as error:
            if not noun:
                raise RecipeError(
                    f"the pictures cannot choose the first words: {error.message}",
                    hint="--init WORDS, such as --init cat",
                ) from error
            listen(Notice(f"started from the class noun '{noun}', not 'auto': {error.message}"))
            return noun, ""
        rank = rank_by(encoder, photos, templates[0] if templates else "a photo of a {token}")
    listen(Event("choosing the first words", 0, 1))
    scales = {
        key: words_norm(e.tokenizer, e.model.get_input_embeddings().weight)
        for key, e in base.encoders.items()
    }
    choice = choose_words(
        candidate_words([e.tokenizer for e in base.encoders.values()]),
        noun,
        rank,
        lambda words: _from_words(base.encoders, words, recipe, scales, None),
        loss,
    )
    listen(Event("choosing the first words", 1, 1, choice.words))
    return choice.words, choice.why


def _scorer(base: Base) -> ClipEncoder:
    """The scoring encoder of a built-in base, else the default one. EvaluationError without it."""
    from tireg.models.encoders import DEFAULT_ENCODER, open_encoder

    own = [e.scorer() for e in BUILT_IN.values() if e.folder().resolve() == base.folder.resolve()]
    return open_encoder(str(own[0]) if own else DEFAULT_ENCODER, device=base.device)


def rank_by(encoder: ClipEncoder, photos: Sequence[Photo], template: str) -> Rank:
    """How much more a text is like the photos than like empty pictures, in cosine (-2 … 2).

    The mean over photos, less the mean over plain grey, black and white: words that are like
    any picture win nothing by it. ``template`` holds ``{token}``, where the text goes.
    """
    from PIL import Image

    from tireg.training.images import square

    side = 256
    seen = encoder.pictures([square(photo.image, side) for photo in photos]).mean(axis=0)
    grounds = [Image.new("RGB", (side, side), (level,) * 3) for level in (0, 128, 255)]
    direction = seen - encoder.pictures(grounds).mean(axis=0)

    def rank(texts: Sequence[str]) -> list[float]:
        features = encoder.texts([template.replace("{token}", text) for text in texts])
        return [float(value) for value in features @ direction]

    return rank


def probe_for(base: Base, recipe: Recipe, data: Data, prompts: Sequence[str], token: str) -> Losses:
    """A ``loss`` for :func:`starting_rows`: rows in, losses of the run's fixed samples out.

    ``prompts`` hold ``token`` and are those that ``data`` points at. It loads placeholder rows
    for the token; loading the chosen rows afterwards replaces them.
    """
    import numpy as np

    from tireg.models import bases
    from tireg.models.conditioning import Conditioning
    from tireg.training.objective import Objective
    from tireg.training.starting import loss_probe

    widths = {
        key: e.model.get_input_embeddings().weight.shape[1] for key, e in base.encoders.items()
    }
    empty = {key: np.zeros((recipe.vectors, w), dtype=np.float32) for key, w in widths.items()}
    wrappers = bases.load(base.pipe, {token: empty}, family=base.family)
    objective = Objective(base, Conditioning(base, prompts, token), snr_gamma=recipe.snr_gamma)
    return loss_probe(objective, wrappers, data, recipe.batch)


def _fitted(origin: _Origin, base: Base, recipe: Recipe, listen: Listener) -> dict[str, np.ndarray]:
    """The embedding's rows for this base's encoders, as many as the recipe has vectors."""
    import torch

    from tireg.training.rows import fit_rows

    ref, rows = recipe.init_from, {}
    shared = [key for key in base.encoders if key in origin.tensors]
    if not shared:
        raise RecipeError(
            f"'{ref}' has rows for {', '.join(origin.tensors)}, and this base has "
            f"{', '.join(base.encoders)}",
            hint="start from an embedding of the same family, or --init WORDS",
        )
    for key in shared:
        value = origin.tensors[key]
        width = base.encoders[key].model.get_input_embeddings().weight.shape[1]
        if value.shape[1] != width:
            raise RecipeError(
                f"'{ref}' has rows of width {value.shape[1]} and this base's {key} has {width}",
                hint="start from an embedding of the same family, or --init WORDS",
            )
        rows[key] = fit_rows(torch.from_numpy(value), recipe.vectors, seed=recipe.seed).numpy()
        if len(value) > recipe.vectors:
            listen(
                Notice(f"the {len(value)} {key} rows of '{ref}' are averaged to {len(rows[key])}")
            )
    return rows


def _origin(ref: str, base: Base, home: Path) -> _Origin:
    """The embedding that ``ref`` names: a file or ``FILE#token``, else a registry reference."""
    path, token = Path(ref).expanduser(), ""
    if not path.exists() and "#" in ref:
        head, _, token = ref.rpartition("#")
        path = Path(head).expanduser()
    if path.exists():
        return _from_file(ref, path, token, base.family.id)
    try:
        with Registry.open(home) as registry:
            version = registry.resolve(ref)
            stored = version.record.file("embedding")
            if stored is None:
                raise RefError(f"'{ref}' has no vectors", hint="tireg verify")
            tensors = unpack_vectors(version.record, registry.objects.read(stored.sha256))
    except RefError as error:
        if "/" in ref or path.suffix:
            raise RefError(f"there is no file '{path}' to start from", hint="tireg list") from error
        raise
    lineage = {"init_from": ref, "record": version.record_sha, "tensors": tensor_hash(tensors)}
    return _Origin(tensors, lineage)


def _from_file(ref: str, path: Path, token: str, family: str) -> _Origin:
    from tireg.dialects import read_path

    readings = read_path(path)
    refused = [r for r in readings if r.refused is not None]
    if refused and len(refused) == len(readings):
        # A bare tensor says neither token nor family; the base and any token will do.
        readings = read_path(path, family=family, token=token or "start")
        token = ""
    found = [(r, e) for r in readings for e in r.embeddings]
    if not found:
        reason = refused[0].refused if refused else "it holds no embedding"
        told = str(reason).rstrip(".")
        raise FileRefusedError(
            f"'{path}' cannot be started from: {told[:1].lower()}{told[1:]}",
            hint=f"tireg inspect {path}",
        )
    wanted = [(r, e) for r, e in found if not token or token in _names(e)]
    if len(wanted) != 1:
        tokens = ", ".join(e.token for _, e in found)
        what = f"none called '{token}'" if token else f"{len(found)} embeddings"
        raise RefError(
            f"'{path}' holds {what}: {tokens}", hint=f"name one: {path}#{found[0][1].token}"
        )
    reading, embedding = wanted[0]
    tensors = {key: tensor.to_fp32() for key, tensor in embedding.tensors.items()}
    lineage = {"init_from": ref, "tensors": tensor_hash(tensors)}
    if reading.sha256:
        lineage["file"] = reading.sha256
    return _Origin(tensors, lineage)


def _names(embedding: ReadEmbedding) -> tuple[str, ...]:
    return (embedding.token, embedding.trigger, embedding.name)
