"""Pictures that show what a run learned: previews of its end, a strip of its way there."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tireg.errors import TiregError
from tireg.workflows.making import png_bytes
from tireg.workflows.progress import Event, Listener, Notice
from tireg.workflows.run_folder import RunFolder

if TYPE_CHECKING:
    from tireg.models.bases import Base
    from tireg.workflows.concept_input import ConceptInput
    from tireg.workflows.train import TrainRequest

MAX_PREVIEWS = 4
STRIP_PICTURES = 4
STRIP_SEED = 700_000


def draw_previews(
    request: TrainRequest, concept: ConceptInput, base: Base, listen: Listener
) -> list[tuple[str, bytes]]:
    """One to four pictures with the new word; fewer where drawing would outlast the training.

    A negative embedding is shown by what it does: its own templates drawn with the class noun
    and the word in the negative prompt.
    """
    from tireg.models.latents import restore_vae
    from tireg.models.sampler import Draw, DrawSettings, draw

    family, recipe = base.family, request.recipe
    count = max(1, min(MAX_PREVIEWS, recipe.last_step * recipe.batch // family.steps))
    word, negative = request.token, ""
    if request.negative:
        word, negative = request.class_noun, request.token
    forms = concept.plan.templates
    shown = [forms[i % len(forms)].replace("{token}", word) for i in range(count)]
    settings = DrawSettings(
        family.sampler, family.steps, family.guidance, recipe.resolution, recipe.resolution, count
    )
    draws = [Draw(prompt, seed, negative) for seed, prompt in enumerate(shown)]
    listen(Event("drawing previews", 0, count))
    restore_vae(base)
    pictures = []
    try:
        for index, picture in draw(base.pipe, draws, settings):
            pictures.append((draws[index].prompt, png_bytes(picture)))
            listen(Event("drawing previews", index + 1, count))
    except TiregError as error:
        # What was learned is worth more than its pictures.
        listen(Notice(f"previews are missing: {error.message}"))
    return pictures


@dataclass
class StripPainter:
    """Draws the same prompts and seeds at chosen steps, and joins them to one picture."""

    request: TrainRequest
    templates: tuple[str, ...]
    base: Base
    folder: RunFolder
    listen: Listener

    def __call__(self, step: int) -> None:
        """Draw the pictures of ``step`` with the rows as they are, side by side."""
        import numpy as np

        from tireg.models.latents import drawing
        from tireg.models.sampler import Draw, DrawSettings, draw

        request, family = self.request, self.base.family
        side = request.recipe.resolution
        prompts = [t.replace("{token}", request.token) for t in self.templates]
        draws = [Draw(prompts[i % len(prompts)], STRIP_SEED + i) for i in range(STRIP_PICTURES)]
        settings = DrawSettings(
            family.sampler, family.steps, family.guidance, side, side, STRIP_PICTURES
        )
        try:
            with drawing(self.base):
                pictures = [picture for _, picture in draw(self.base.pipe, draws, settings)]
        except TiregError as error:
            self.listen(Notice(f"no samples of step {step}: {error.message}"))
            return
        self.folder.keep_picture(step, png_bytes(np.concatenate(pictures, axis=1)))

    def strip(self) -> bytes | None:
        """All that was drawn as one PNG, a row of pictures per step; None where nothing was."""
        import numpy as np
        from PIL import Image

        from tireg.report.sheet import SheetRow, contact_sheet

        rows = []
        for step, data in self.folder.pictures():
            with Image.open(io.BytesIO(data)) as image:
                joined = np.asarray(image.convert("RGB"))
            pictures = np.split(joined, STRIP_PICTURES, axis=1)
            rows.append(SheetRow(f"step {step}", (pictures,)))
        if not rows:
            return None
        return png_bytes(contact_sheet(self.request.token, ["samples"], rows))
