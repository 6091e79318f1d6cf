"""A look at a few samples while a word is being learned: is it alike, does it still obey?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tireg.domain.concepts import TEMPLATES
from tireg.domain.suites import SLOT, Prompt, load_suite
from tireg.errors import TiregError
from tireg.workflows.progress import Listener, Notice

if TYPE_CHECKING:
    import numpy as np

    from tireg.models.bases import Base
    from tireg.models.encoders import ClipEncoder
    from tireg.training.stopping import Look
    from tireg.workflows.places import Place

# Six pictures of ten steps: about as dear as fifteen training steps of four pictures.
CONTEXTS, PLAIN, STEPS = 5, 1, 10
# Not the seeds of any suite, so that an evaluation is not made on the pictures chosen by.
FIRST_SEED = 900_000
# Below this spread of similarities a ratio would be noise.
LEAST_SPREAD = 0.02


class Prober:
    """Draws the same few prompts and seeds with the token, and compares with the class noun.

    ``fidelity`` is (s - s0) / (s1 - s0): s the mean cosine of samples to training pictures, s0
    that of the class noun's samples, s1 that of training pictures to each other.
    ``editability`` is m / m0: m by how much a sample is nearer to its own prompt than to the
    others, m0 the same for the class noun. Source: the normalised forms of concept fidelity and
    prompt fidelity, as in :mod:`tireg.metrics`, on fewer pictures.
    """

    def __init__(
        self,
        base: Base,
        encoder: ClipEncoder,
        pictures: Sequence[Any],
        prompts: Sequence[Prompt],
        words: tuple[str, str],
        size: int,
    ) -> None:
        """``pictures`` are the training ones, ``words`` the token and the class noun."""
        self.base, self.encoder, self.size = base, encoder, size
        self.token, noun = words
        self.prompts = prompts
        self.contexts = sum(1 for p in prompts if p.context)
        self.references = encoder.pictures(pictures)
        self.texts = encoder.texts([p.text.replace(SLOT, noun) for p in prompts if p.context])
        drawn = self._drawn(noun)
        self.noun_likeness = self._likeness(drawn)
        self.noun_margin = self._margin(drawn)
        self.top = _among(self.references)

    def __call__(self) -> Look:
        """Look at samples drawn with the rows as they are now."""
        from tireg.training.stopping import Look

        drawn = self._drawn(self.token)
        spread = max(LEAST_SPREAD, self.top - self.noun_likeness)
        return Look(
            (self._likeness(drawn) - self.noun_likeness) / spread,
            self._margin(drawn) / max(LEAST_SPREAD, self.noun_margin),
        )

    @property
    def cost(self) -> int:
        """Denoiser samples of one look; guidance draws each picture twice."""
        family = self.base.family
        return len(self.prompts) * min(STEPS, family.steps) * (2 if family.guidance > 1 else 1)

    def _drawn(self, word: str) -> np.ndarray:
        """Features [n, d] of one sample per prompt."""
        from tireg.models.latents import drawing
        from tireg.models.sampler import Draw, DrawSettings, draw

        family, texts = self.base.family, [p.text.replace(SLOT, word) for p in self.prompts]
        settings = DrawSettings(
            family.sampler, min(STEPS, family.steps), family.guidance, self.size, self.size,
            # Pictures do not depend on the batch; a GPU may not hold six with their guidance.
            len(texts) if self.base.device.type == "cpu" else 2,
        )  # fmt: skip
        draws = [Draw(text, FIRST_SEED + i) for i, text in enumerate(texts)]
        with drawing(self.base):
            pictures = [picture for _, picture in draw(self.base.pipe, draws, settings)]
        return self.encoder.pictures(pictures)

    def _likeness(self, features: np.ndarray) -> float:
        return float((features @ self.references.T).mean())

    def _margin(self, features: np.ndarray) -> float:
        import numpy as np

        near = features[: self.contexts] @ self.texts.T
        own = np.diag(near)
        others = (near.sum(axis=1) - own) / max(1, self.contexts - 1)
        return float((own - others).mean())


def _among(features: np.ndarray) -> float:
    """Mean cosine of pictures to each other, themselves left out; 1 for a single one."""
    count = len(features)
    if count < 2:
        return 1.0
    return float(((features @ features.T).sum() - count) / (count * (count - 1)))


def probe_prompts(suite: str, kind: str) -> list[Prompt]:
    """The prompts of a probe: contexts of every role in turn, and one without any."""
    roles: dict[str, list[Prompt]] = {}
    for prompt in load_suite(suite).prompts:
        if prompt.has_slot and prompt.context:
            roles.setdefault(prompt.role, []).append(prompt)
    turns: list[Prompt] = []
    while len(turns) < CONTEXTS and any(roles.values()):
        turns += [waiting.pop(0) for waiting in roles.values() if waiting]
    form = TEMPLATES[kind][0].replace("{token}", SLOT)
    return [*turns[:CONTEXTS], *[Prompt(id="plain", text=form, role="context")] * PLAIN]


def open_scorer(
    place: Place, base: Base, wanted: str | None, listen: Listener
) -> ClipEncoder | None:
    """The scoring encoder for this base, or None with a notice where it cannot be had.

    One that was asked for by name must be there: EvaluationError otherwise.
    """
    from tireg.models.encoders import DEFAULT_ENCODER, open_encoder

    if wanted:
        return open_encoder(wanted, device=base.device)
    name = str(place.scorer) if place.scorer else DEFAULT_ENCODER
    label = f"{place.id}-scorer" if place.scorer else None
    try:
        return open_encoder(name, device=base.device, label=label)
    except TiregError as error:
        listen(
            Notice(
                f"no samples are looked at while learning, only the loss: {error.message}; "
                "give an encoder that is on this machine with --encoder, or --steps N"
            )
        )
        return None
