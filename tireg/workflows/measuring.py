"""Draw a suite with the word and without it, look at the pictures, lay them out for metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tireg.domain.fingerprints import BaseRef
from tireg.domain.model import canonical_json
from tireg.domain.records import Record, StoredFile
from tireg.domain.scores import Sampling
from tireg.domain.suites import FREE_ROLES, Prompt, Suite, fill
from tireg.workflows.drawing import Loaded, PictureCache, Wish, draw_wishes
from tireg.workflows.places import Place
from tireg.workflows.progress import Event, Listener
from tireg.workflows.train import png_bytes, stored

if TYPE_CHECKING:
    import numpy as np

    from tireg.metrics.samples import Samples, Words
    from tireg.models.bases import Base
    from tireg.models.encoders import ClipEncoder


@dataclass(frozen=True)
class Job:
    """All that one evaluation works with, once everything is open."""

    record: Record
    base: Base
    place: Place
    ref: BaseRef
    suite: Suite
    sampling: Sampling
    encoder: ClipEncoder
    word: Loaded
    references: list[Any]
    reference_shas: tuple[str, ...]
    cache: PictureCache
    listen: Listener

    @property
    def fingerprint(self) -> str:
        """Hash of the base's fingerprint."""
        assert self.ref.fingerprint is not None
        return fingerprint_hash(self.ref)


def fingerprint_hash(ref: BaseRef) -> str:
    """One hash for all that identifies a base, equal on every machine."""
    if ref.fingerprint is not None:
        return ref.fingerprint.identity
    return hashlib.sha256(canonical_json({"id": ref.id})).hexdigest()


# Condition, then position of (prompt, seed) in the suite, to a picture.
Pictures = dict[str, dict[tuple[int, int], "np.ndarray"]]


def _wishes(job: Job) -> dict[str, dict[tuple[int, int], Wish]]:
    """What to draw: slot prompts with the token and the class noun, and token-free prompts."""
    token, noun = job.record.token, job.record.class_noun
    wishes: dict[str, dict[tuple[int, int], Wish]] = {"token": {}, "class": {}, "free": {}}
    for p, prompt in enumerate(job.suite.prompts):
        for s, seed in enumerate(job.suite.seeds):
            if not prompt.has_slot:
                wishes["free"][p, s] = Wish(prompt.text, seed)
                continue
            wishes["token"][p, s] = Wish(fill(prompt, "token", token), seed)
            if noun:
                wishes["class"][p, s] = Wish(fill(prompt, "class", noun), seed)
    return wishes


def measure_samples(job: Job) -> tuple[Samples, Pictures]:
    """Draw everything, look at everything, lay it out for the metrics.

    Token-free prompts are drawn with the word loaded (``class``) and on the base alone
    (``base``): a plain embedding must leave them bit-identical.
    """
    wishes = _wishes(job)
    common = {"cache": job.cache, "listen": job.listen}
    free, token, noun = wishes["free"], wishes["token"], wishes["class"]

    def drawn(task: str, *groups: dict[tuple[int, int], Wish], words: Sequence[Loaded]) -> Any:
        wanted = [wish for group in groups for wish in group.values()]
        return draw_wishes(
            job.base,
            wanted,
            job.sampling,
            job.fingerprint,
            loaded=words,
            task=task,
            **common,  # type: ignore[arg-type]
        )

    with_word = drawn(f"drawing with {job.record.token}", token, free, words=[job.word])
    without = drawn("drawing without it", noun, free, words=[])
    pictures: Pictures = {
        "token": {at: with_word[wish] for at, wish in token.items()},
        "class": {at: without[wish] for at, wish in noun.items()}
        | {at: with_word[wish] for at, wish in free.items()},
        "base": {at: without[wish] for at, wish in free.items()},
    }
    return _samples(job, pictures), pictures


def _samples(job: Job, pictures: Pictures) -> Samples:
    """Features of every picture and text, in the layout metrics read."""
    import numpy as np

    from tireg.metrics.samples import Samples, pack, pack_text

    suite, encoder = job.suite, job.encoder
    shape = (len(suite.prompts), len(suite.seeds))
    images: dict[str, Any] = {}
    pixels: dict[str, Any] = {}
    total = sum(len(group) for group in pictures.values())
    seen = 0
    job.listen(Event("looking at the pictures", 0, total))
    for condition, group in pictures.items():
        if not group:
            continue
        places = list(group)
        features = encoder.pictures([group[at] for at in places])
        rows, columns = [p for p, _ in places], [s for _, s in places]
        images[condition] = pack(features, rows, columns, shape)
        hashes = np.full(shape, "", dtype="<U64")
        for at in places:
            hashes[at] = hashlib.sha256(np.ascontiguousarray(group[at]).tobytes()).hexdigest()
        pixels[condition] = hashes
        seen += len(places)
        job.listen(Event("looking at the pictures", seen, total))
    references = {}
    if job.references:
        features = encoder.pictures(job.references)
        references = {"concept": features.astype(np.float64), "clip": features.astype(np.float64)}
    texts = {}
    for variant, form in _text_forms(job).items():
        if form:
            texts[variant] = pack_text(encoder.texts(list(form.values())), list(form), shape[0])
    words = _vocabularies(job)
    return Samples(
        prompts=suite.prompts,
        seeds=suite.seeds,
        images={"concept": images, "clip": images},
        references=references,
        texts=texts,
        pixels=pixels,
        words=words,
        training_words=_training_words(words, references),
        probe=_probe(job),
        encoders={"concept": encoder.name, "clip": encoder.name},
    )


def _vocabularies(job: Job) -> dict[str, Words]:
    """The suite's words for backgrounds and things, as the scoring encoder reads them."""
    from tireg.metrics.samples import Words

    suite = job.suite
    named = {
        "background": (
            suite.background_text,
            [w for p in suite.prompts for w in p.background] + list(suite.background_words),
        ),
        "object": (
            suite.object_text,
            [w for p in suite.prompts for w in p.objects] + list(suite.object_words),
        ),
    }
    found = {}
    for kind, (text, names) in named.items():
        if different := list(dict.fromkeys(names)):
            features = job.encoder.texts([text.replace("{word}", w) for w in different])
            found[kind] = Words(tuple(different), features.astype("float64"))
    return found


def _training_words(
    words: dict[str, Words], references: dict[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Words that are true of the training pictures, by zero-shot choice."""
    from tireg.metrics.background_leakage import training_words

    if not references:
        return {}
    return {kind: training_words(references["clip"], known) for kind, known in words.items()}


def _text_forms(job: Job) -> dict[str, dict[int, str]]:
    """Per variant the texts the scoring encoder reads, by prompt index."""
    noun = job.record.class_noun
    forms: dict[str, dict[int, str]] = {"class": {}, "empty": {}, "context": {}}
    for p, prompt in enumerate(job.suite.prompts):
        if prompt.context:
            forms["context"][p] = prompt.context
        if not prompt.has_slot:
            forms["class"][p] = forms["empty"][p] = prompt.text
            continue
        if noun:
            forms["class"][p] = fill(prompt, "class", noun)
        if empty := fill(prompt, "empty"):
            forms["empty"][p] = empty
    return forms


def _probe(job: Job) -> dict[str, Any]:
    """The generator's own pooled text features of the slot prompts, with word and class noun."""
    from tireg.models import bases
    from tireg.models.conditioning import pooled_text

    prompts = [p for p in job.suite.prompts if p.has_slot and p.role not in FREE_ROLES]
    if not job.record.class_noun or len(prompts) < 2:
        return {}
    bases.load(job.base.pipe, {job.word.token: job.word.rows}, family=job.base.family)
    try:
        return {
            "token": pooled_text(job.base, _filled(prompts, "token", job.record.token)),
            "class": pooled_text(job.base, _filled(prompts, "class", job.record.class_noun)),
        }
    finally:
        bases.unload(job.base.pipe)


def _filled(prompts: Sequence[Prompt], condition: Any, word: str) -> list[str]:
    return [fill(prompt, condition, word) for prompt in prompts]


def make_sheet(job: Job, pictures: Pictures, objects: dict[str, bytes]) -> tuple[StoredFile, ...]:
    """The contact sheet: each slot prompt a row, word against class noun at the same seeds."""
    from tireg.report.sheet import SheetRow, contact_sheet

    seeds = range(min(3, len(job.suite.seeds)))
    rows = []
    for p, prompt in enumerate(job.suite.prompts):
        if prompt.has_slot and all((p, s) in pictures["token"] for s in seeds):
            left = [pictures["token"][p, s] for s in seeds]
            right = [pictures["class"][p, s] for s in seeds if (p, s) in pictures["class"]]
            rows.append(SheetRow(fill(prompt, "token", job.record.token), (left, right)))
    sheet = contact_sheet(
        f"{job.record.name}: {job.record.token} on {job.ref.id}",
        (job.record.token, job.record.class_noun or ""),
        rows,
        job.references,
    )
    name = f"{job.record.name}-sheet.png"
    return (stored(objects, "sheet", name, png_bytes(sheet), "image/png"),)
