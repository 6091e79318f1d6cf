"""Draw a suite with the word and without it, look at the pictures, lay them out for metrics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tireg.domain.fingerprints import BaseRef
from tireg.domain.model import canonical_json
from tireg.domain.records import Record
from tireg.domain.scores import ReferenceSet, RunFile, Sampling
from tireg.domain.suites import BASE, FREE_ROLES, Prompt, Suite, fill
from tireg.errors import EvaluationError
from tireg.workflows.drawing import Loaded, PictureCache, Shot, Wish, keep_drawn, picture_key
from tireg.workflows.looking import NOT_READ, FeatureCache, Lookers, Seen, look
from tireg.workflows.making import png_bytes
from tireg.workflows.progress import Listener

if TYPE_CHECKING:
    import numpy as np

    from tireg.metrics.base import MetricResult
    from tireg.metrics.samples import Samples, Words
    from tireg.models.bases import Base

Spot = tuple[int, int]
"""Position of a prompt and of a seed in the suite."""
Pictures = dict[str, dict[Spot, Shot]]
"""Condition, then place, to a picture."""


@dataclass(frozen=True)
class Job:
    """All that one evaluation works with, once everything is open."""

    record: Record
    base: Base | None
    """None: nothing is drawn."""
    base_id: str
    fingerprint: str
    suite: Suite
    seeds: tuple[int, ...]
    sampling: Sampling
    lookers: Lookers
    word: Loaded
    references: list[Shot]
    others: list[tuple[ReferenceSet, list[Shot]]]
    given: Pictures | None
    """Pictures made elsewhere."""
    cache: PictureCache
    features: FeatureCache
    listen: Listener

    @property
    def negative(self) -> bool:
        """Whether the word stands in the negative prompt."""
        return self.record.negative

    @property
    def noun(self) -> str:
        """What stands for the concept in the prompts of the class noun, "" if nothing does."""
        return self.record.class_noun or ""


def fingerprint_hash(ref: BaseRef) -> str:
    """One hash for all that identifies a base, equal on every machine."""
    if ref.fingerprint is not None:
        return ref.fingerprint.identity
    return hashlib.sha256(canonical_json({"id": ref.id})).hexdigest()


def asked(prompt: Prompt, word: str) -> str:
    """The sentence with ``word`` in its slot, or with nothing there where there is no word."""
    return fill(prompt, "class", word) if word else fill(prompt, "empty")


@dataclass(frozen=True)
class Plan:
    """What is drawn with the word loaded and what without, by condition and place."""

    loaded: dict[str, dict[Spot, Wish]]
    bare: dict[str, dict[Spot, Wish]]

    def conditions(self) -> tuple[str, ...]:
        """The conditions that have a picture."""
        groups = {**self.loaded, **self.bare}
        return tuple(c for c in ("token", "class", "empty", BASE) if groups.get(c) or c == "class")


def plan(suite: Suite, record: Record) -> Plan:
    """Every picture of a suite.

    Slot prompts with the token, with the class noun and with nothing; prompts without a slot with
    the word loaded (``class``) and on the base alone (``base``). A negative word stands in the
    negative prompt, and its ``class`` is the same prompt with an empty one.
    """
    noun = record.class_noun or ""
    token: dict[Spot, Wish] = {}
    bare: dict[str, dict[Spot, Wish]] = {"class": {}, "empty": {}, BASE: {}}
    free: dict[Spot, Wish] = {}
    for p, prompt in enumerate(suite.prompts):
        for s, seed in enumerate(suite.seeds):
            if not prompt.has_slot:
                free[p, s] = bare[BASE][p, s] = Wish(prompt.text, seed)
            elif record.negative:
                token[p, s] = Wish(asked(prompt, noun), seed, record.token)
                bare["class"][p, s] = Wish(asked(prompt, noun), seed)
            else:
                token[p, s] = Wish(fill(prompt, "token", record.token), seed)
                bare["empty"][p, s] = Wish(fill(prompt, "empty"), seed)
                if noun:
                    bare["class"][p, s] = Wish(fill(prompt, "class", noun), seed)
    return Plan({"token": token, "class": free}, bare)


def picture_all(job: Job) -> Pictures:
    """Every picture of the run: given, drawn now, or from before.

    Without a base nothing is drawn: EvaluationError where a picture is missing.
    """
    if job.given is not None:
        return job.given
    wanted = plan(job.suite, job.record)
    pictures: Pictures = {}
    for groups, words, task in (
        (wanted.loaded, [job.word], f"drawing with {job.record.token}"),
        (wanted.bare, [], "drawing without it"),
    ):
        wishes = [wish for group in groups.values() for wish in group.values()]
        keys = _kept(job, wishes, words) if job.base is None else keep_drawn(
            job.base, wishes, job.sampling, job.fingerprint,
            loaded=words, cache=job.cache, listen=job.listen, task=task,
        )  # fmt: skip
        for condition, group in groups.items():
            shots = {at: job.cache.shot(keys[w], f"'{w.prompt}'") for at, w in group.items()}
            pictures[condition] = pictures.get(condition, {}) | shots
    return {condition: group for condition, group in pictures.items() if group}


def _kept(job: Job, wishes: Sequence[Wish], words: Sequence[Loaded]) -> dict[Wish, str]:
    keys = {w: picture_key(w, job.sampling, job.fingerprint, words) for w in wishes}
    if gone := [w for w, key in keys.items() if job.cache.get(key) is None]:
        raise EvaluationError(
            f"{len(gone)} of {len(keys)} pictures are no longer kept, the first of them "
            f"'{gone[0].prompt}' with seed {gone[0].seed}",
            hint="tireg eval without --rescore draws what is missing",
        )
    return keys


def measure_samples(job: Job) -> tuple[Samples, Pictures]:
    """Draw everything, look at everything, lay it out for the metrics."""
    pictures = picture_all(job)
    places = [(c, at) for c, group in pictures.items() for at in sorted(group)]
    shots = [pictures[c][at] for c, at in places]
    seen = look(shots, job.lookers, job.features, job.listen, "looking at the pictures")
    return _samples(job, places, seen, pictures), pictures


def _samples(job: Job, places: list[tuple[str, Spot]], seen: Seen, pictures: Pictures) -> Samples:
    """Features of every picture and text, in the layout metrics read."""
    from tireg.metrics.samples import Samples

    words, pixels = _vocabularies(job), _pixels(job, places, seen.pixels)
    references = _features_of(job, job.references, "looking at the training pictures")
    images = {kind: _layout(job, places, rows) for kind, rows in seen.features.items()}
    absent = {k: why for k, why in NOT_READ.items() if k not in job.lookers.names}
    if job.negative:
        absent["references"] = "a word for the negative prompt is not meant to be seen"
        references = {}
    elif not job.references:
        absent["references"] = "no training pictures are kept"
    if not job.others:
        absent["others"] = "no other concept is named to compare with: --reference REF"
    others: dict[str, dict[str, Any]] = {}
    for reference, shots in job.others:
        for kind, rows in _features_of(job, shots, f"looking at {reference.name}").items():
            others.setdefault(kind, {})[_called(job, reference)] = rows
    return Samples(
        prompts=job.suite.prompts,
        seeds=job.seeds,
        images=images,
        distances=_distances(job, pictures, pixels),
        references=references,
        others=others,
        texts=_texts(job),
        pixels=pixels,
        words=words,
        training_words=_training_words(words, references),
        probe=_probe(job),
        encoders=job.lookers.names,
        absent=absent,
    )


def _distances(
    job: Job, pictures: Pictures, pixels: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    from tireg.workflows.apart import distances_by_prompt

    encoder = job.lookers.apart
    if encoder is None:
        return {}
    prompts = job.suite.prompts
    tables = distances_by_prompt(pictures, pixels, prompts, encoder, job.features, job.listen)
    return {"perceptual": tables}


def _called(job: Job, reference: ReferenceSet) -> str:
    same = [one for one, _ in job.others if one.name == reference.name]
    return reference.name if len(same) == 1 else f"{reference.name}-{reference.embedding[:8]}"


def _layout(job: Job, places: list[tuple[str, Spot]], rows: np.ndarray) -> dict[str, np.ndarray]:
    from tireg.metrics.samples import pack

    shape = (len(job.suite.prompts), len(job.seeds))
    found = {}
    for condition in dict.fromkeys(c for c, _ in places):
        mine = [n for n, (c, _) in enumerate(places) if c == condition]
        at = [places[n][1] for n in mine]
        found[condition] = pack(rows[mine], [p for p, _ in at], [s for _, s in at], shape)
    return found


def _pixels(job: Job, places: list[tuple[str, Spot]], hashes: list[str]) -> dict[str, np.ndarray]:
    import numpy as np

    shape = (len(job.suite.prompts), len(job.seeds))
    found = {c: np.full(shape, "", dtype="<U64") for c in dict.fromkeys(c for c, _ in places)}
    for (condition, at), name in zip(places, hashes, strict=True):
        found[condition][at] = name
    return found


def _features_of(job: Job, shots: list[Shot], task: str) -> dict[str, np.ndarray]:
    if not shots:
        return {}
    seen = look(shots, job.lookers, job.features, job.listen, task)
    return {kind: rows.astype("float64") for kind, rows in seen.features.items()}


def _texts(job: Job) -> dict[str, np.ndarray]:
    """Per variant the features of the texts that metrics compare pictures with."""
    from tireg.metrics.samples import pack_text, text_forms

    forms: dict[str, dict[int, str]] = {}
    for p, prompt in enumerate(job.suite.prompts):
        found = text_forms(prompt, job.noun)
        if job.negative and "empty" in found:
            found.setdefault("class", found["empty"])
        for variant, text in found.items():
            forms.setdefault(variant, {})[p] = text
    job.lookers.texts([text for form in forms.values() for text in form.values()])
    return {
        variant: pack_text(
            job.lookers.texts(list(form.values())), list(form), len(job.suite.prompts)
        )
        for variant, form in forms.items()
    }


def _vocabularies(job: Job) -> dict[str, Words]:
    """The suite's words for backgrounds and things, as the scoring encoder reads them."""
    from tireg.metrics.samples import Words

    kinds: tuple[Literal["background", "object"], ...] = ("background", "object")
    found: dict[str, Words] = {}
    for kind in kinds:
        if asked_as := job.suite.vocabulary(kind):
            features = job.lookers.texts(list(asked_as.values()))
            found[kind] = Words(tuple(asked_as), features.astype("float64"))
    return found


def _training_words(
    words: Mapping[str, Words], references: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Words that are true of the training pictures, by zero-shot choice."""
    from tireg.metrics.background_leakage import training_words

    if "clip" not in references:
        return {}
    return {kind: training_words(references["clip"], known) for kind, known in words.items()}


def _probe(job: Job) -> dict[str, np.ndarray]:
    """The generator's own pooled text features of the slot prompts, with word and class noun."""
    prompts = [p for p in job.suite.prompts if p.has_slot and p.role not in FREE_ROLES]
    if not job.noun or job.negative or job.given is not None or len(prompts) < 2:
        return {}
    texts = {
        "token": [fill(prompt, "token", job.record.token) for prompt in prompts],
        "class": [fill(prompt, "class", job.noun) for prompt in prompts],
    }
    told = [job.record.tensor_hash, job.record.token, job.sampling.dtype, texts]
    key = hashlib.sha256(canonical_json(told)).hexdigest()
    read = _reader(job)
    found: dict[str, np.ndarray] = {}
    for condition, sentences in texts.items():
        name = hashlib.sha256(f"{condition}{key}".encode()).hexdigest()
        kept = job.features.get(job.fingerprint, name)
        if kept is None or kept.ndim != 2:
            kept = read(sentences)
            job.features.put(job.fingerprint, name, kept)
        found[condition] = kept
    return found


def _reader(job: Job) -> Callable[[Sequence[str]], np.ndarray]:
    def read(texts: Sequence[str]) -> np.ndarray:
        from tireg.models import bases
        from tireg.models.conditioning import pooled_text

        if job.base is None:
            raise EvaluationError(
                f"how the text encoder of '{job.base_id}' reads the prompts is no longer kept",
                hint="tireg eval without --rescore reads them again",
            )
        bases.load(job.base.pipe, {job.word.token: job.word.rows}, family=job.base.family)
        try:
            return pooled_text(job.base, texts)
        finally:
            bases.unload(job.base.pipe)

    return read


def per_picture(samples: Samples, results: Iterable[MetricResult]) -> bytes:
    """One line of JSON per picture, in the order of condition, prompt and seed.

    ``condition``, ``prompt`` (its id), ``seed``, ``sha256`` of the pixels, and ``values``: what
    each metric that judges single pictures made of it.
    """
    import numpy as np

    tables = {r.metric: r.pictures for r in results if r.unscored is None}
    lines = []
    for condition, hashes in sorted(samples.pixels.items()):
        for p, s in np.argwhere(hashes != ""):
            values = {
                metric: float(table[condition][p, s])
                for metric, table in tables.items()
                if condition in table and not np.isnan(table[condition][p, s])
            }
            line = {
                "condition": condition,
                "prompt": samples.prompts[p].id,
                "seed": samples.seeds[s],
                "sha256": str(hashes[p, s]),
                "values": values,
            }
            lines.append(json.dumps(line, sort_keys=True))
    return "".join(f"{line}\n" for line in lines).encode()


def make_sheet(job: Job, pictures: Pictures) -> bytes:
    """The contact sheet: each slot prompt a row, word against class noun at the same seeds."""
    from PIL import Image

    from tireg.report.sheet import SheetRow, contact_sheet

    token, noun = pictures.get("token", {}), pictures.get("class", {})
    seeds = range(min(3, len(job.seeds)))
    rows = []
    for p, prompt in enumerate(job.suite.prompts):
        if prompt.has_slot and all((p, s) in token for s in seeds):
            left = [token[p, s].read() for s in seeds]
            right = [noun[p, s].read() for s in seeds if (p, s) in noun]
            rows.append(SheetRow(fill(prompt, "token", job.record.token), (left, right)))
    sheet = contact_sheet(
        f"{job.record.name}: {job.record.token} on {job.base_id}",
        (job.record.token, job.noun),
        rows,
        [Image.fromarray(shot.read()) for shot in job.references],
    )
    return png_bytes(sheet)


def kept_file(
    objects: dict[str, bytes], role: Literal["sheet", "samples"], name: str, data: bytes
) -> RunFile:
    """Put ``data`` among ``objects`` and describe it for a run."""
    sha = hashlib.sha256(data).hexdigest()
    objects[sha] = data
    media = "image/png" if role == "sheet" else "application/jsonl"
    return RunFile(role=role, name=name, sha256=sha, bytes=len(data), media_type=media)
